"""One point of an experiment, run in this process: what a child does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pystack.experiments.model import Outcome, Point

if TYPE_CHECKING:
    from pystack.experiments.experiment import Experiment


def run_point(experiment: Experiment, point: Point) -> Outcome:
    """Run one point and say what came of it: it raises nothing but KeyboardInterrupt and exits.

    The bundle is unpacked and first on `sys.path`, if the experiment came from elsewhere. Time and
    memory are for the caller to limit.
    """
    raise NotImplementedError

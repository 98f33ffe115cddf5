"""How the points of experiments are run: in processes of this machine, or of a cluster."""

from pystack.experiments.running.progress import Progress
from pystack.experiments.running.supervisor import RunningError
from pystack.experiments.running.sweep import Stopped, run

__all__ = ["Progress", "RunningError", "Stopped", "run"]

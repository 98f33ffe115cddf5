"""Makes the pictures of docs/experiments.md: an experiment is run and drawn, as readers do it.

`scripts/docs --pages` writes them; a test makes the same and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pystack import experiments
from pystack.experiments import Compare, Experiment, SeriesSpec, dumbbell, plot

IMAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "images"


def pictures(folder: Path) -> Mapping[str, bytes]:
    """Run the experiment in a folder; return its pictures by the names of their files."""
    experiment = Experiment(
        dumbbell,
        {"control": ["newreno", "bbr"], "limit": ["1bdp", "4bdp"]},
        constants={"flows": 2, "rate": "4mbit", "duration": "6s", "starts": "0s 1s"},
        seeds=3,
        measure=["goodput", "queue_delay p95"],
        series=SeriesSpec(("cwnd", "goodput", "queue", "sequence"), 0.1),
        compare=Compare("goodput", "control", "newreno"),
        name="access",
        title="Two flows over 4 Mbit/s",
    )
    results = experiments.run(experiment, to=folder / "access.results", processes=1)
    drawn = {
        "series": plot.series(results, ["cwnd", "queue"], where={"limit": "1bdp"}, number=0),
        "pareto": plot.pareto(results),
        "sequence": plot.sequence(results, number=0, begin="0.5s", until="0.8s"),
    }
    return {f"experiment-{name}.svg": picture.data() for name, picture in drawn.items()}


def write() -> None:
    """Write them to docs/images."""
    with TemporaryDirectory() as made:
        for name, data in pictures(Path(made)).items():
            (IMAGES / name).write_bytes(data)


if __name__ == "__main__":
    write()

"""Writes the tables and pictures of docs/experiments-validation.md, and README's first table.

    scripts/python scripts/experiments_page.py [--keep FOLDER]

It runs experiments of examples/experiments, ten minutes in all; `--keep`: results that are in
that folder already are used. The table beside ns-3 is written by scripts/beside_ns3.

With the tables it keeps what two short runs of each experiment come to. A test makes these again:
where they differ, what the stack does has changed, and so have the tables.
"""

import hashlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pystack.experiments import Results, from_file, plot, run
from pystack.experiments.point import run_point

ROOT: Final = Path(__file__).resolve().parent.parent
READY: Final = ROOT / "examples" / "experiments"
PAGE: Final = ROOT / "docs" / "experiments-validation.md"
README: Final = ROOT / "README.md"
IMAGES: Final = ROOT / "docs" / "images"
END: Final = "<!-- up to here -->"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: a measure, by what it is multiplied, and its digits."""

    title: str
    measure: str
    factor: float = 1.0
    digits: int = 2


TABLES: Final[Mapping[str, Sequence[Column]]] = {
    "cubic_law": (
        Column("window, packets", "window", 1, 1),
        Column("Reno's law", "reno", 1, 1),
        Column("CUBIC's law", "cubic", 1, 1),
        Column("of the larger one", "of_law"),
    ),
    "mathis": (
        Column("Mbit/s", "goodput_bps", 1e-6),
        Column("sent again, %", "retransmits_rate", 100),
    ),
    "bbr_beside_cubic": (
        Column("BBR, Mbit/s", "goodput_1_bps", 1e-6),
        Column("CUBIC, Mbit/s", "goodput_2_bps", 1e-6),
        Column("queue, median, ms", "queue_delay_p50_s", 1e3, 0),
        Column("sent again", "retransmits", 1, 0),
    ),
    "rtt_unfairness": (
        Column("near flow, Mbit/s", "goodput_1_bps", 1e-6),
        Column("far flow, Mbit/s", "goodput_2_bps", 1e-6),
        Column("Jain", "fairness", 1, 3),
        Column("queue, 95 %, ms", "queue_delay_p95_s", 1e3, 0),
    ),
}
PLOTS: Final[Mapping[str, Callable[[Path], plot.Picture]]] = {
    "access_lines": lambda found: plot.heatmap(found, "ping_p95_s", x="line", y="control"),
    "mathis": lambda found: plot.curve(found, "goodput_bps", x="loss", by="control"),
    "outage_httpx": lambda found: plot.heatmap(
        found, "failed", x="timeout_s", y="retries", where={"outage_s": 6.0}
    ),
}
# What makes runs of each short
_SHORT_FLOWS: Final = {"after": "1s", "constants.duration": "3s", "constants.warmup": "1s"}
SHORT: Final[Mapping[str, Mapping[str, object]]] = {
    "access_lines": {"constants.seconds": 2.0},
    "bbr_beside_cubic": _SHORT_FLOWS,
    "bufferbloat": {"constants.seconds": 2.0},
    "cubic_law": {"constants.periods": 2},
    "mathis": _SHORT_FLOWS,
    "rtt_unfairness": _SHORT_FLOWS,
}


def short_runs(name: str) -> str:
    """Return what short runs of an experiment's first and last points come to, as a digest."""
    experiment = from_file(READY / f"{name}.toml", {"seeds": 1, **SHORT[name]})
    points = list(experiment.points())
    outcomes = [run_point(experiment, point) for point in (points[0], points[-1])]
    assert all(outcome.ended == "ok" for outcome in outcomes), outcomes
    return hashlib.sha256("".join(outcome.digest for outcome in outcomes).encode()).hexdigest()[:12]


def table(results: Results, columns: Sequence[Column]) -> str:
    """Return medians over the seeds, a line for each combination of parameters."""
    rows = [row for row in results.rows if row.ended == "ok"]
    names = list(rows[0].parameters)
    lines = [
        "| " + " | ".join([*names, *(column.title for column in columns)]) + " |",
        "|" + "---|" * (len(names) + len(columns)),
    ]
    places = list(dict.fromkeys(tuple(row.parameters.values()) for row in rows))
    for place in places:
        here = [row.measures for row in rows if tuple(row.parameters.values()) == place]
        cells = [str(value) for value in place]
        for column in columns:
            value = statistics.median(float(run[column.measure] or 0) for run in here)
            cells.append(f"{value * column.factor:.{column.digits}f}")
        lines.append("| " + " | ".join(cells) + " |")
    seeds = len({row.seed for row in rows})
    how = f"medians of {seeds} seeds" if seeds > 1 else "one seed"
    return "\n".join([*lines, "", f"{how}, digest `{results.digest[:12]}`"])


def results_of(name: str, folder: Path) -> Results:
    """Return a ready experiment's results; it is run if they are not there yet."""
    to = folder / name
    if (to / "rows.parquet").exists():
        return Results(to)
    return run(from_file(READY / f"{name}.toml"), to=to)


def first_table(results: Results) -> str:
    """Return what README's `pystack experiment show` prints of medians, as a block."""
    show = ["experiment", "show", str(results.path), "--measure", "ping_p95,goodput"]
    pystack = [sys.executable, "-c", "from pystack.cli.start import main; main()"]
    said = subprocess.run([*pystack, *show], check=True, capture_output=True, text=True).stdout
    return f"```\n{said.split(chr(10) * 2)[1]}\n```"


def replaced(text: str, name: str, made: str) -> str:
    """Return a page with what stands at the place of this name made anew."""
    begin = f"<!-- {name}: from here on made by scripts/experiments_page.py -->"
    before, mark, rest = text.partition(begin)
    assert mark, f"there is no place for {name}"
    return f"{before}{begin}\n\n{made}\n\n{END}{rest.partition(END)[2]}"


def main(folder: Path) -> None:
    """Run what is not there yet, and write the pages and the pictures."""
    first = first_table(results_of("bufferbloat", folder))
    README.write_text(replaced(README.read_text("utf-8"), "bufferbloat", first), "utf-8")
    text = PAGE.read_text("utf-8")
    for name in {**TABLES, **PLOTS}:
        to = folder / name
        results = results_of(name, folder)
        if name in PLOTS:
            PLOTS[name](to).save(IMAGES / f"experiment-{name.replace('_', '-')}.svg")
        if name in TABLES:
            text = replaced(text, name, table(results, TABLES[name]))
    digests = "\n".join(f"{name} {short_runs(name)}" for name in SHORT)
    PAGE.write_text(replaced(text, "short runs", f"<!--\n{digests}\n-->"), "utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--keep", kept]:
            main(Path(kept))
        case []:
            with tempfile.TemporaryDirectory() as made:
                main(Path(made))
        case _:
            sys.exit("scripts/experiments_page.py [--keep FOLDER]")

"""What each measure costs a run: its CPU time with the meter, as a multiple of that without.

    .venv/bin/python scripts/bench_measures.py [--rounds N] [--write]

Two flows through a dumbbell of 10 Mbit/s, for 1.5 s of virtual time. The least of several rounds,
which are taken in turn so that a machine that becomes slower does so for all. `--write` puts the
table into docs/measures.md.
"""

import argparse
import gc
import re
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pystack
from pystack.experiments.measures import MEASURES, SERIES
from pystack.experiments.measures.meter import Meter
from pystack.experiments.scenes import dumbbell

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "measures.md"
BEGIN: Final = "<!-- costs, by scripts/bench_measures.py --write -->"
END: Final = "<!-- end of costs -->"
RUN: Final = partial(dumbbell, flows=2, rate="10mbit", duration="1500ms")

# How it is asked for: measures, time series, and every so many seconds or (None) at each ACK
Asked = tuple[tuple[str, ...], tuple[str, ...], float | None]
NOTHING: Final[Asked] = ((), (), 0.1)


def asked() -> dict[str, Asked]:
    """Return what is measured, each by what the table calls it."""
    rows: dict[str, Asked] = {f"`{name}`": ((name,), (), 0.1) for name in MEASURES}
    rows["`loss rate`"] = (("loss rate",), (), 0.1)
    rows["all measures"] = ((*MEASURES, "loss rate"), (), 0.1)
    rows |= {f"series `{name}`, every 100 ms": ((), (name,), 0.1) for name in SERIES}
    rows["series `cwnd`, at each ACK"] = ((), ("cwnd",), None)
    return rows


def measured(rounds: int) -> dict[str, float]:
    """Return the ratios."""
    rows = {"": NOTHING, **asked()}
    least = dict.fromkeys(rows, float("inf"))
    pystack.run(RUN)
    for _ in range(rounds):
        for name, words in rows.items():
            least[name] = min(least[name], _seconds(words))
    return {name: seconds / least[""] for name, seconds in least.items() if name}


def _seconds(words: Asked) -> float:
    gc.collect()
    begun = time.process_time()
    meter = Meter(words[0], series=words[1], every_s=words[2])
    if words is NOTHING:
        pystack.run(RUN)
    else:
        with meter:
            pystack.run(RUN)
        meter.result()
    return time.process_time() - begun


def table(ratios: dict[str, float]) -> list[str]:
    """Return the lines of the table."""
    lines = ["| Asked for | CPU time of a run |", "|---|---:|"]
    return lines + [f"| {name} | {max(ratio, 1.0):.2f} |" for name, ratio in ratios.items()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print or write it."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true")
    words = parser.parse_args(arguments)
    lines = table(measured(words.rounds))
    print("\n".join(lines))
    if words.write:
        page = PAGE.read_text("utf-8")
        made = "\n".join([BEGIN, "", *lines, "", END])
        PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: made, page, flags=re.S), "utf-8")


if __name__ == "__main__":
    main()

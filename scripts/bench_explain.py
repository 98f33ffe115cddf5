#!/usr/bin/env python3
"""How long `pystack explain http://server/` takes from the shell: under a second is aimed for.

    scripts/python scripts/bench_explain.py [TIMES]

Wall time and processor time of the whole command, the best of several, and what of it is the
import, the run and the telling: the best says what the machine can do, the rest what else it did.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from typing import Final

TIMES: Final = 7
AIM_S: Final = 1.0
_NOTHING_KEPT: Final = "PYTHONDONTWRITEBYTECODE"
_WAYS: Final = (
    ("python alone", ("-c", "pass")),
    ("imports", ("-c", "from pystack.cli.main import make_app; make_app('explain')")),
    ("explain http://server/", ("-m", "pystack", "explain", "http://server/")),
    ("explain https://server/", ("-m", "pystack", "explain", "https://server/")),
)


def environment() -> dict[str, str]:
    """Return a user's: Python keeps what it has compiled, which else is half of the time."""
    return {name: value for name, value in os.environ.items() if name != _NOTHING_KEPT}


def measured(arguments: tuple[str, ...]) -> tuple[float, float]:
    """Return wall and processor time of one run, in seconds."""
    before, began_at = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, *arguments]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment())
    wall_s = time.perf_counter() - began_at
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a table."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    print(f"{'':26}  wall s   cpu s   (best of {times}, {os.cpu_count()} processors)")
    for title, arguments in _WAYS:
        measured(arguments)  # the caches are warm
        runs = [measured(arguments) for _ in range(times)]
        wall_s, cpu_s = min(run[0] for run in runs), min(run[1] for run in runs)
        verdict = ""
        if "explain http:" in title:
            verdict = "reached" if wall_s < AIM_S else "missed"
            verdict = f"   aim: under {AIM_S:g} s: {verdict}"
        print(f"{title:26}  {wall_s:6.2f}  {cpu_s:6.2f}{verdict}")


if __name__ == "__main__":
    main()

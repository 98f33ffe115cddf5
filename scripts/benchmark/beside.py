"""What `bench_exec.py` and `bench_proxy.py` share: a load, run in somebody's hands, and a table."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmark import ports, spaces
from benchmark.spaces import MeasureError, Program

LOAD: Final = "benchmark.beside_load"
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a load, and which of its figures is shown."""

    title: str
    unit: str
    mode: str
    port: int
    connections: int = 1
    figure: str = "per_s"
    factor: float = 1.0
    less: float = 0.0  # what would be there without any error, in the unit
    words: tuple[str, ...] = ()  # of impairment, for whoever has them


def usual_rows(crowd: int) -> tuple[Row, ...]:
    """Return the loads that whatever stands between is measured by; `crowd`: who ask at once."""
    return (
        Row("bulk up, 1 flow", "Mbit/s", "up", ports.SINK, factor=1e-6),
        Row("bulk down, 1 flow", "Mbit/s", "down", ports.SOURCE, factor=1e-6),
        Row("bulk up, 8 flows", "Mbit/s", "up", ports.SINK, 8, factor=1e-6),
        Row("bulk down, 8 flows", "Mbit/s", "down", ports.SOURCE, 8, factor=1e-6),
        Row("64 B request/response, 1 connection", "a second", "rr", ports.ECHO),
        Row(f"the same, {crowd} connections", "a second", "rr", ports.ECHO, crowd),
        Row("connect, request, close, 1 client", "a second", "crr", ports.ECHO),
        Row("the same, 16 clients", "a second", "crr", ports.ECHO, 16),
        Row("200 connections at once", "ms", "together", ports.ECHO, 200, "median_us", 1e-3),
        Row("UDP echo, 32 on their way", "a second", "udp", ports.ECHO),
    )


@dataclass(slots=True)
class Found:
    """The figures of one row in one column, of all rounds."""

    values: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)  # processors, of what stands between
    trouble: str = ""

    def text(self) -> str:
        """Return the median, and the processors that it took."""
        if not self.values:
            return self.trouble or "-"
        value = statistics.median(self.values)
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        return f"{shown} ({statistics.median(self.busy):.2f})"


def in_namespaces_of_its_own(*kinds: str) -> None:
    """Go on in namespaces that end with this process; nothing here leaves the machine."""
    if os.environ.get("BESIDE_INSIDE") != "1":
        folder = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "BESIDE_INSIDE": "1", "PYTHONPATH": path}
        argv = ["unshare", "--user", "--map-root-user", "--net", *kinds, sys.executable, *sys.argv]
        os.execvpe(argv[0], argv, environment)
    spaces.prepare()
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")


def load(row: Row, address: str, seconds: float) -> list[str]:
    """Return the command of a row's load."""
    words = (row.mode, address, row.port, row.connections, seconds)
    return [sys.executable, "-m", LOAD, *map(str, words)]


def measure(
    row: Row, argv: Sequence[str], seconds: float, between: Sequence[int] = ()
) -> tuple[float, float]:
    """Run a load of so many seconds; return its figure, and the processors of what stands between.

    These are the processes `between`, and what `argv` starts beside the load itself.
    """
    running = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    roots = [running.pid, *between]
    share = 0.0
    last = ""
    for line in running.stdout:
        if line == "begin\n":
            busy_s, began = processor_s(roots), time.perf_counter()
            # Not to the end: what a process took is forgotten when it goes with its connection.
            time.sleep(0.9 * seconds)
            share = (processor_s(roots) - busy_s) / (time.perf_counter() - began)
        else:
            last = line
    _, error = running.communicate()
    if running.returncode or not last.startswith("{"):
        told = re.sub(r".*syslog\n", "", error).strip().splitlines() or [f"said {last!r}"]
        raise MeasureError(told[-1])
    value = json.loads(last)[row.figure] * row.factor - row.less
    return value, share


def processor_s(roots: Sequence[int]) -> float:
    """Return the processor's time of processes and all below them, loads left out."""
    total, queue = 0.0, list(roots)
    while queue:
        process = Path(f"/proc/{queue.pop()}")
        with suppress(OSError):  # it has gone
            # Not by a look at all processes: that would take what is to be measured 50 ms.
            for task in (process / "task").iterdir():
                queue += map(int, (task / "children").read_text().split())
            if LOAD.encode() in (process / "cmdline").read_bytes().split(b"\0")[:3]:
                continue
            words = (process / "stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, words[11:15])) * _TICK_S  # of children that have ended, too
    return total


@contextmanager
def served(*, unshare: bool) -> Iterator[Program]:
    """Run the servers."""
    with spaces.program(spaces.module("beside_server"), 1, unshare=unshare) as running:
        running.line()
        yield running


Way = Callable[[Row, float], tuple[float, float]]


def table(rows: Sequence[Row], columns: dict[str, Way], *, seconds: float, rounds: int) -> None:
    """Measure everything, the columns of a row one right after the other, and print it."""
    titles = max(len(row.title) + len(row.unit) + 2 for row in rows)
    print("medians; in brackets: processors of what stands between", flush=True)
    print(f"{'':{titles}} " + "".join(f"{name:>20}" for name in columns), flush=True)
    for row in rows:
        found = {name: Found() for name in columns}
        for _ in range(rounds):
            for name, way in columns.items():
                try:
                    value, share = way(row, seconds)
                except MeasureError as trouble:
                    found[name].trouble = str(trouble)[:60]
                    continue
                found[name].values.append(value)
                found[name].busy.append(share)
        line = "".join(f"{one.text():>20}" for one in found.values())
        print(f"{row.title + ', ' + row.unit:{titles}} {line}", flush=True)
        for name, one in found.items():
            if one.trouble:
                print(f"    {name}: {one.trouble}", flush=True)

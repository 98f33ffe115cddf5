"""`pystack proxy` beside socat, in one run, and beside Toxiproxy where a toxiproxy-server is found.

    python scripts/bench_proxy.py [--seconds 2] [--rounds 3] [--only TEXT] [--columns proxy,socat]

Servers and clients on the loopback interface of a network namespace of the bench's own; `kernel` is
the client straight at the server. At the end: the error of an emulated delay, and what a thousand
proxies cost that nobody uses.
"""

import argparse
import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

from benchmark import beside, ports
from benchmark.beside import Row
from benchmark.spaces import MeasureError

HERE: Final = "127.0.0.1"
OFFSET: Final = 20000  # a proxy listens so many ports above its upstream
DELAY_MS: Final = 50
IDLE_PROXIES: Final = 1000
STARTS_S: Final = 20.0

ROWS: Final = beside.usual_rows(50)
LATE: Final = tuple(
    Row(
        f"error of 2 x {DELAY_MS} ms of delay, {kind}, {what}", "us", mode, ports.ECHO,
        figure=figure, less=2e3 * DELAY_MS, words=("--delay", f"{DELAY_MS}ms"),
    )
    for kind, mode in (("TCP", "paced"), ("UDP", "paced-udp"))
    for what, figure in (("median", "median_us"), ("p99", "p99_us"))
)  # fmt: skip


@contextlib.contextmanager
def started(argv: Sequence[str], *, stderr: int | None = None) -> Iterator[int]:
    """Run a proxy for the length of the block; return its process's id."""
    running = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
    )
    try:
        yield running.pid
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def proxy(row: Row) -> AbstractContextManager[int]:
    """Start `pystack proxy`."""
    udp = ["--udp"] * (row.mode.endswith("udp"))
    return started([*PYSTACK, *ends(row), *udp, *row.words])


def socat(row: Row) -> AbstractContextManager[int]:
    """Start socat, which makes a process for each connection."""
    kind = "UDP" if row.mode.endswith("udp") else "TCP"
    listen = f"{kind}-LISTEN:{row.port + OFFSET},bind={HERE},fork,reuseaddr"
    backlog = ",backlog=1024,nodelay" if kind == "TCP" else ""
    nodelay = ",nodelay" if kind == "TCP" else ""
    argv = ["socat", "-b", "65536", listen + backlog, f"{kind}:{HERE}:{row.port}{nodelay}"]
    return started(argv, stderr=subprocess.DEVNULL)  # it tells of each reset


@contextlib.contextmanager
def toxiproxy(row: Row) -> Iterator[int]:
    """Start Toxiproxy with one proxy."""
    if row.mode.endswith("udp"):
        raise MeasureError("has no UDP")
    listen, upstream = ends(row)
    config = f'[{{"name": "it", "listen": "{listen}", "upstream": "{upstream}"}}]'
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(config)
        file.flush()
        with started(["toxiproxy-server", "-config", file.name]) as pid:
            yield pid


PYSTACK: Final = (sys.executable, "-m", "pystack", "proxy")
PROXIES: Final[dict[str, Callable[[Row], AbstractContextManager[int]]]] = {
    "proxy": proxy,
    "socat": socat,
    "toxiproxy": toxiproxy,
}
PROGRAMS: Final = {"socat": "socat", "toxiproxy": "toxiproxy-server"}


def ends(row: Row) -> tuple[str, str]:
    """Return where a proxy listens and what it stands before."""
    return f"{HERE}:{row.port + OFFSET}", f"{HERE}:{row.port}"


def kernel(row: Row, seconds: float) -> tuple[float, float]:
    """Run a load straight at the server: of a delay's error, that of the measurement itself."""
    bare = dataclasses.replace(row, less=0.0)
    return beside.measure(bare, beside.load(bare, HERE, seconds), seconds)


def through(
    start: Callable[[Row], AbstractContextManager[int]], row: Row, seconds: float
) -> tuple[float, float]:
    """Run a load through a proxy."""
    behind = dataclasses.replace(row, port=row.port + OFFSET)
    with start(row) as pid:
        wait_for(pid, row.port + OFFSET, udp=row.mode.endswith("udp"))
        return beside.measure(behind, beside.load(behind, HERE, seconds), seconds, [pid])


def wait_for(pid: int, port: int, *, udp: bool = False) -> None:
    """Wait until a port is listened on."""
    table = Path("/proc/net/udp" if udp else "/proc/net/tcp")
    deadline = time.monotonic() + STARTS_S
    while True:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
        if any(row[1].endswith(f":{port:04X}") and row[3] in {"0A", "07"} for row in rows):
            return
        if time.monotonic() > deadline or os.waitpid(pid, os.WNOHANG)[0]:
            raise MeasureError("did not start")
        time.sleep(0.02)


def idle(count: int, seconds: float) -> None:
    """Tell what proxies cost that nobody uses."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        for number in range(count):
            listen, upstream = f"{HERE}:{OFFSET + number}", f"{HERE}:{ports.ECHO}"
            file.write(f'[proxies.p{number}]\nlisten = "{listen}"\nupstream = "{upstream}"\n')
        file.flush()
        began = time.perf_counter()
        with started([*PYSTACK, file.name]) as pid:
            wait_for(pid, OFFSET + count - 1)
            ready_s = time.perf_counter() - began
            time.sleep(1.0)
            busy_s = beside.processor_s([pid])
            switches = wakes(pid)
            time.sleep(seconds)
            busy_s = beside.processor_s([pid]) - busy_s
            switches = wakes(pid) - switches
            status = Path(f"/proc/{pid}/status").read_text()
            resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            with socket.create_connection((HERE, OFFSET + count - 1), 5) as stream:
                stream.send(b"are you there?")
                assert stream.recv(100) == b"are you there?"
    print(
        f"{count} idle proxies: ready after {ready_s:.2f} s, then {busy_s / seconds:.2%} of a "
        f"processor, {switches} wake-ups in {seconds:.0f} s, {' '.join(resident.split())}"
    )


def wakes(pid: int) -> int:
    """Return how often a process has gone to sleep of its own will."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("voluntary")).split()[1])


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose title has this text")
    parser.add_argument("--columns", default=",".join(["kernel", *PROXIES]))
    options = parser.parse_args()
    beside.in_namespaces_of_its_own()
    columns: dict[str, beside.Way] = {}
    for name in options.columns.split(","):
        if name == "kernel":
            columns[name] = kernel
        elif name not in PROGRAMS or shutil.which(PROGRAMS[name]):
            columns[name] = partial(through, PROXIES[name])
        else:
            print(f"{PROGRAMS[name]} is not here: its column is left out")
    with beside.served(unshare=False):
        if rows := [row for row in ROWS if options.only in row.title]:
            beside.table(rows, columns, seconds=options.seconds, rounds=options.rounds)
        if "proxy" in columns:
            ours = {name: columns[name] for name in ("kernel", "proxy") if name in columns}
            if late := [row for row in LATE if options.only in row.title]:
                beside.table(late, ours, seconds=5, rounds=options.rounds)
            if options.only in "idle":
                idle(IDLE_PROXIES, 10.0)


if __name__ == "__main__":
    main()

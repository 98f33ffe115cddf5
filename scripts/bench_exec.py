"""`pystack exec --outside` beside what else puts a program into a network of its own, in one run.

    python scripts/bench_exec.py [--seconds 2] [--rounds 3] [--only TEXT] [--columns exec,pasta]

A machine of the bench's own (a network namespace) with a server behind a cable; a client runs on
the machine itself (`kernel`), in `pystack exec --outside`, in pasta and in slirp4netns, where they
are installed, and against `pystack up`, whose servers are its own. Nothing leaves the machine.
"""

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmark import beside, ports, spaces
from benchmark.beside import Row
from benchmark.spaces import MeasureError

NEAR, FAR = "192.0.2.1", "192.0.2.2"
DELAY_MS: Final = 50
UP: Final = 1  # the number of `pystack up`'s device

ROWS: Final = (
    *beside.usual_rows(16),
    Row("a question to the DNS, median", "us", "dns", ports.DNS, figure="median_us"),
    Row("the same, p99", "us", "dns", ports.DNS, figure="p99_us"),
)
LATE: Final = tuple(
    Row(
        f"error of 2 x {DELAY_MS} ms of delay, {what}", "us", "paced", ports.ECHO,
        figure=figure, less=2e3 * DELAY_MS, words=("--delay", f"{DELAY_MS}ms"),
    )
    for what, figure in (("median", "median_us"), ("p99", "p99_us"))
)  # fmt: skip


def kernel(row: Row, seconds: float) -> tuple[float, float]:
    """Run a load on the machine itself: of a delay's error, that of the measurement."""
    bare = dataclasses.replace(row, less=0.0)
    return beside.measure(bare, beside.load(bare, FAR, seconds), seconds)


def executed(row: Row, seconds: float) -> tuple[float, float]:
    """Run it in `pystack exec --outside`."""
    argv = [sys.executable, "-m", "pystack", "exec", "--outside", *row.words, "--"]
    return beside.measure(row, [*argv, *beside.load(row, FAR, seconds)], seconds)


def pasta(row: Row, seconds: float) -> tuple[float, float]:
    """Run it in pasta; the gateway would be the machine itself, if it were not told."""
    refuse_words(row)
    argv = ["pasta", "-q", "-f", "--config-net", "--no-map-gw", "--"]
    return beside.measure(row, [*argv, *beside.load(row, FAR, seconds)], seconds)


def slirp4netns(row: Row, seconds: float) -> tuple[float, float]:
    """Run it in a namespace that slirp4netns serves."""
    refuse_words(row)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as until:
        fifo, resolv = Path(folder, "go"), Path(folder, "resolv.conf")
        os.mkfifo(fifo)
        resolv.write_text("nameserver 10.0.2.3\n")
        script = f'mount --bind {resolv} /etc/resolv.conf && read -r _ <{fifo} && exec "$@"'
        argv = [
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ]
        holder = subprocess.Popen(
            [*argv, "sleep", "3600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        until.callback(holder.wait)
        until.callback(holder.kill)
        time.sleep(0.3)  # until it has its namespaces
        ready, write = os.pipe()
        serve = ["slirp4netns", "--configure", "--mtu=65520", f"--ready-fd={write}"]
        serving = subprocess.Popen(
            [*serve, str(holder.pid), "tap0"],
            pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(write)
        until.callback(serving.wait)
        until.callback(serving.kill)
        if not os.read(ready, 1):
            raise MeasureError("slirp4netns did not start")
        os.close(ready)
        inside = ["nsenter", f"--target={holder.pid}", "--user", "--net", "--mount"]
        inside += ["--preserve-credentials", "--"]
        return beside.measure(
            row, [*inside, *beside.load(row, FAR, seconds)], seconds, [serving.pid]
        )


def up(row: Row, seconds: float) -> tuple[float, float]:
    """Run it against pystack itself over a TAP, the measure of what a stack in Python can do."""
    refuse_words(row)
    if row.mode == "dns":
        raise MeasureError("no name server of others is there")
    argv = spaces.module("pystack_server", UP, "offload")
    with spaces.program(argv, 0) as serving:
        serving.line()
        address = ports.far(UP).partition("/")[0]
        return beside.measure(row, beside.load(row, address, seconds), seconds, [serving.pid])


def refuse_words(row: Row) -> None:
    """Leave out what only pystack can do."""
    if row.words:
        raise MeasureError("has no delay")


COLUMNS: Final[dict[str, beside.Way]] = {
    "kernel": kernel,
    "up": up,
    "exec": executed,
    "pasta": pasta,
    "slirp4netns": slirp4netns,
}


def cable(pid: int) -> None:
    """Join the machine to the server; it is also where the machine's default route goes."""
    inside = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip"]
    spaces.ip("link", "add", "cable0", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    spaces.ip("address", "add", f"{NEAR}/24", "dev", "cable0")
    spaces.ip("link", "set", "cable0", "up")
    for words in (["address", "add", f"{FAR}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
        subprocess.run([*inside, *words], check=True)
    spaces.ip("route", "add", "default", "via", FAR)


def chosen(rows: Sequence[Row], text: str) -> list[Row]:
    """Return the rows whose title has the text."""
    return [row for row in rows if text in row.title]


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose title has this text")
    parser.add_argument("--columns", default=",".join(COLUMNS))
    options = parser.parse_args()
    beside.in_namespaces_of_its_own("--mount")
    wanted = options.columns.split(",")
    columns = {name: COLUMNS[name] for name in wanted if name in ("kernel", "up", "exec")}
    for name in wanted:
        if name not in columns and shutil.which(name):
            columns[name] = COLUMNS[name]
        elif name not in columns:
            print(f"{name} is not installed here: its column is left out")
    with beside.served(unshare=True) as serving, tempfile.NamedTemporaryFile("w") as resolv:
        cable(serving.pid)
        resolv.write(f"nameserver {FAR}\n")
        resolv.flush()
        subprocess.run(["mount", "--bind", resolv.name, "/etc/resolv.conf"], check=True)
        if rows := chosen(ROWS, options.only):
            beside.table(rows, columns, seconds=options.seconds, rounds=options.rounds)
        if (late := chosen(LATE, options.only)) and "exec" in columns:
            ours = {name: columns[name] for name in ("kernel", "exec") if name in columns}
            beside.table(late, ours, seconds=5, rounds=options.rounds)


if __name__ == "__main__":
    main()

"""Linux's congestion controls and ours over the same emulated lines: prints a table.

As root, with the kernel's BBR at hand (`modprobe tcp_bbr`); it takes 18 minutes, a line of it 50
seconds (`--only 3`), one with random loss three minutes:

    .venv/bin/python scripts/beside_linux.py

Linux's flows go from network namespaces to others, in real time, over links of pystack; ours go
over the same links in virtual time. Nothing leaves the namespaces. Real time has the machine's
highest priority: what is late makes Linux's round trips longer. How late it was is on stderr.
"""

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

import trio
from linux_cubic import LinuxCubic

import pystack
from pystack.experiments import Meter, dumbbell
from pystack.link.words import NetemWords
from pystack.tcp.congestion.registry import ControlLike

PORT: Final = 5001
UP_S: Final = 5.0  # after the network's opening flows begin: by then the namespaces are there
WARM_S: Final = 2.0  # of a flow, left out
PRIORITY: Final = 5  # of SCHED_FIFO, whose least is before all that has none

# Takes what comes, and prints bits/s from so long after the first byte until so long after it
RECEIVER: Final = """
import socket, sys, time
warm, end = float(sys.argv[2]), float(sys.argv[3])
with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as server:
    sock, _ = server.accept()
total, begun = 0, None
while data := sock.recv(1 << 16):
    now = time.monotonic()
    begun = begun or now
    if now - begun > end:
        break
    if now - begun > warm:
        total += len(data)
print(total * 8 / (end - warm), flush=True)
try:
    while sock.recv(1 << 16):
        pass
except ConnectionResetError:
    pass  # what the sender still had does not come
"""
# Sends for so long; prints the segments that were sent again after warm-up, as TCP_INFO has them
SENDER: Final = """
import socket, struct, sys, time
host, port, control = sys.argv[1], int(sys.argv[2]), sys.argv[3]
warm, seconds = float(sys.argv[4]), float(sys.argv[5])
def sent_again():
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return struct.unpack_from("I", info, 100)[0]
while True:  # the other side may take its time
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
    if not sock.connect_ex((host, port)):
        break
    time.sleep(0.05)
begin, before = time.monotonic(), None
while (now := time.monotonic()) < begin + seconds:
    if before is None and now > begin + warm:
        before = sent_again()
    sock.send(bytes(1 << 14))
print(sent_again() - before)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""


class Line(NamedTuple):
    """A bottleneck, and who goes over it."""

    controls: str
    limit: int = 40  # packets; a product of rate and round trip is 27
    loss: str = "0%"
    rate: str = "8mbit"
    delay: str = "20ms"
    flows_s: float = 10.0


LONG_S: Final = 60.0  # 140 losses at 1 %; ten seconds have 20, by which rates differ by a third
LINES: Final = [
    Line("newreno"),
    Line("cubic"),
    Line("bbr"),
    Line("cubic", limit=110),
    Line("bbr", limit=110),
    Line("newreno", loss="1%", flows_s=LONG_S),
    Line("cubic", loss="1%", flows_s=LONG_S),
    Line("bbr", loss="1%", flows_s=LONG_S),
    Line("bbr cubic"),
    Line("bbr cubic", limit=110),
    Line("cubic newreno"),
]
LINK: Final = ["queue_delay mean p95", "utilization", "loss", "loss rate"]


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one run."""

    rates_bps: tuple[float, ...]
    again: int  # segments, sent once more
    measures: Mapping[str, float]


def spread(values: Sequence[float], digits: int) -> str:
    """Return a median, and the least and the most where they differ."""
    low, median, high = (
        f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values))
    )
    return median if low == high else f"{median} ({low} to {high})"


def _row(who: str, runs: Sequence[Found]) -> str:
    flows = range(len(runs[0].rates_bps))

    def column(name: str, factor: float, digits: int) -> str:
        return spread([run.measures[name] * factor for run in runs], digits)

    cells = (
        who,
        " + ".join(spread([run.rates_bps[flow] / 1e6 for run in runs], 2) for flow in flows),
        column("utilization", 1, 2),
        column("queue_delay_mean_s", 1e3, 1),
        column("queue_delay_p95_s", 1e3, 1),
        column("loss_frames", 1, 0),
        column("loss_rate", 100, 2),
        spread([run.again for run in runs], 0),
    )
    return f"| {' | '.join(cells)} |"


def _found(rates: Iterable[float], again: object, meter: Meter) -> Found:
    measures = {name: float(value or 0) for name, value in meter.result()[0].items()}
    assert isinstance(again, int)
    return Found(tuple(rates), again, measures)


def ours(line: Line, seed: int, controls: Sequence[ControlLike] | None = None) -> Found:
    """Run it in virtual time; `controls`: others than the line's."""
    words = [*LINK, "retransmits"]
    meter = Meter(words, link=("r1", "r2"), after_s=WARM_S)
    with meter:
        rates = pystack.run(
            lambda: dumbbell(
                controls=controls or line.controls,
                rate=line.rate,
                delay=line.delay,
                limit=line.limit,
                loss=line.loss,
                duration=line.flows_s,
                warmup=WARM_S,
                seed=seed,
            )
        )
    return _found(
        [float(rate or 0) for rate in rates.values()], meter.result()[0]["retransmits"], meter
    )


async def linux(line: Line, seed: int) -> Found:
    """Run it in real time, between namespaces."""
    controls = line.controls.replace("newreno", "reno").split()
    rates, again = [0.0] * len(controls), [0] * len(controls)
    meter = Meter(LINK, link=("r1", "r2"), after_s=UP_S + WARM_S)

    async def carry(
        index: int, control: str, left: pystack.Namespace, right: pystack.Namespace
    ) -> None:
        async def receive() -> None:
            words = ["python3", "-c", RECEIVER, str(PORT), str(WARM_S), str(line.flows_s - 0.5)]
            rates[index] = float((await right.run(words)).stdout)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.sleep_until(begins_at)
            words = [
                "python3",
                "-c",
                SENDER,
                right.address,
                str(PORT),
                control,
                str(WARM_S),
                str(line.flows_s),
            ]
            again[index] = int((await left.run(words)).stdout)

    with meter:
        async with pystack.Network(seed=seed, ip="4") as net:
            begins_at = net.opened_at + UP_S  # what `after_s` of the meter counts from, too
            r1, r2 = net.router("r1"), net.router("r2")
            queue: NetemWords = {"rate": line.rate, "delay": line.delay, "limit": line.limit}
            net.link(r1, r2, a_to_b={**queue, "loss": line.loss}, b_to_a=queue)
            pairs = []
            for index, _ in enumerate(controls, 1):
                left, right = net.namespace(f"left{index}"), net.namespace(f"right{index}")
                net.link(left, r1)
                net.link(r2, right)
                pairs.append((left, right))
            for left, right in pairs:
                await left.up()
                await right.up()
            if net.now() > begins_at:
                raise RuntimeError(f"the namespaces were not there after {UP_S:g} s")
            async with trio.open_nursery() as nursery:
                for index, (left, right) in enumerate(pairs):
                    nursery.start_soon(carry, index, controls[index], left, right)
            print(f"{line.controls}, seed {seed}: {net.lateness}", file=sys.stderr)
    return _found(rates, sum(again), meter)


@contextmanager
def at_once() -> Iterator[None]:
    """Go before all else on the machine, with what is started meanwhile; as far as it lets us."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many runs of each (default: 3)")
    parser.add_argument("--only", type=int, nargs="*", help="these lines, by their place")
    arguments = parser.parse_args()
    print(f"Linux {platform.release().partition('-')[0]}\n")
    heads = "Mbit/s of text", "busy", "queue, mean, ms", "queue, 95 %, ms", "lost", "lost, %"
    print(f"| | {' | '.join(heads)} | sent again |")
    print("|" + "---|" * (len(heads) + 2))
    for index, line in enumerate(LINES):
        if arguments.only is not None and index not in arguments.only:
            continue
        loss = "" if line.loss == "0%" else f", loss {line.loss}"
        print(
            f"| **{line.controls.replace(' ', ' + ')}**: {line.limit} packets{loss} | | | | | | | |"
        )
        seeds = range(1, arguments.seeds + 1)
        with at_once():
            found = [trio.run(linux, line, seed) for seed in seeds]
        print(_row("Linux", found), flush=True)
        print(_row("pystack", [ours(line, seed) for seed in seeds]), flush=True)
        if line.controls == "cubic":
            found = [ours(line, seed, [LinuxCubic]) for seed in seeds]
            print(_row("pystack, reckoned as Linux", found), flush=True)


if __name__ == "__main__":
    main()

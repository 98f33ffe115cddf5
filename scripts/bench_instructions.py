"""What a segment costs in instructions: the same on a busy machine as on a quiet one.

    .venv/bin/python scripts/bench_instructions.py [out] [in] [ack] [packet] [--functions N]

Runs two sizes of each piece of work under valgrind's callgrind and takes the difference, so that
imports and the handshake are not counted. `out`: a full segment from a write to the port. `in`: one
in order from the port to the user's read, with an ACK for every second. `ack`: an ACK for two, with
nothing more to send. `packet`: a packet of a transfer in virtual time, both hosts, link and Trio.
Checksums are left to be filled in, as between emulated hosts and over a TAP with offload. The
collector of garbage is off: when it comes is not of the work.
"""

import argparse
import gc
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Final

import bench_virtual

import pystack
from pystack.core.addresses import BROADCAST_MAC, Mac, parse_host_address
from pystack.core.scheduler import Scheduler
from pystack.link.port import FrameSink
from pystack.stack.host import Host
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.config import TcpConfig
from pystack.wire import arp, ethernet
from pystack.wire.frame import Frame

SEGMENTS: Final = 1000  # the difference; twice as many are the most
WARM_UP: Final = 40  # until the peer's window is known with its scale, and ACKs are delayed
MSS: Final = 1448
DELAY_S: Final = 0.01
PORT: Final = 9
CONFIG: Final = TcpConfig(
    receive_buffer_bytes=16 << 20, send_buffer_bytes=16 << 20, congestion="fixed:100000"
)
A, B = (parse_host_address(f"10.0.0.{number}/24") for number in (1, 2))

# Where the instructions of an interpreter are, by its files in C; the first that fits
PARTS: Final = (
    ("eval loop", r"/ceval\.c|/frame\.c|/genobject\.c|/ceval_gil"),
    ("calls", r"/call\.c|/methodobject\.c|/classobject\.c|/descrobject\.c|/funcobject|/_functools"),
    ("attributes, types", r"/object\.c|/typeobject\.c|/specialize\.c|/enumobject"),
    ("dict, set", r"/dictobject\.c|/setobject\.c|/pyhash\.c"),
    ("numbers", r"/longobject\.c|/floatobject\.c|/boolobject\.c|/rangeobject\.c"),
    ("struct", r"/_struct\.c"),
    ("bytes, memoryview", r"/bytes|/memoryobject\.c|/bytearray|/unicodeobject\.c|/stringlib"),
    ("tuple, list, deque, heap", r"/tupleobject|/listobject|/_collections|/_heapq|/iterobject"),
    ("memory", r"/obmalloc\.c|/gcmodule\.c|/malloc|/arena"),
    ("copies in libc", r"mem(move|set|cpy|cmp)|string/"),
)


class Recorder:
    """A port that keeps what it is given."""

    mtu_bytes, gso_max_bytes, fills_checksums = 1500, 0, True
    sink: FrameSink

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def attach(self, sink: FrameSink) -> None:
        """Remember the sink."""
        self.sink = sink

    def send(self, frame: Frame, now: float) -> None:
        """Keep it."""
        self.frames.append(frame)

    def close(self) -> None:
        """Do nothing."""


class Pair:
    """Two hosts with a connection between them, whose frames go nowhere by themselves."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.hosts, self.ports = [], [Recorder(), Recorder()]
        for number, address in enumerate((A, B)):
            host = Host("ab"[number], self.scheduler, seed=1)
            host.add_interface("eth0", self.ports[number], *address, _mac(number))
            host.tcp.config = CONFIG
            self.hosts.append(host)
        for number, (ours, theirs) in enumerate(((A, B), (B, A))):  # each hears where the other is
            question = arp.pack(arp.REQUEST, _mac(1 - number), theirs[0], ours[0])
            frame = ethernet.pack(BROADCAST_MAC, _mac(1 - number), ethernet.ARP, question)
            self.ports[number].sink(Frame(frame), 0.0)
            self.ports[number].frames.clear()  # the answer
        listener = self.hosts[1].tcp.listen(B[0], PORT)
        self.sender = self.hosts[0].tcp.connect(B[0], PORT, 0.0)
        self.hosts[0].tcp.pump(self.sender, 0.0)
        for number in (0, 1, 0):
            self.travel(number)
        self.receiver: TcpSocket = listener.ready.popleft()

    def talk(self, count: int) -> None:
        """Send so many segments, have them acknowledged, and forget the frames."""
        for _ in range(count):
            self.hosts[0].tcp.write(self.sender, memoryview(bytes(MSS)), self.scheduler.now)
            self.travel(0)
            self.hosts[1].tcp.read(self.receiver, 1 << 16, self.scheduler.now)
            self.travel(1)

    def travel(self, origin: int) -> None:
        """Let what one host has sent arrive, after a time that keeps timers from going off."""
        frames, self.ports[origin].frames = self.ports[origin].frames, []
        self.scheduler.run_due(self.scheduler.now + DELAY_S)
        self.deliver(origin, frames)

    def acked_segments(self) -> int:
        """Return how many segments of the sender's are acknowledged."""
        tcb = self.sender.connection.tcb
        return (tcb.snd_una - tcb.iss - 1) // MSS

    def deliver(
        self, origin: int, frames: Iterable[Frame], reader: TcpSocket | None = None
    ) -> None:
        """Let frames of one host arrive at the other, each at an instant of its own."""
        scheduler, sink, tcp = self.scheduler, self.ports[1 - origin].sink, self.hosts[1].tcp
        for number, frame in enumerate(frames):
            now = scheduler.now + 1e-7  # no timer is to fire meanwhile
            scheduler.run_due(now)
            sink(frame, now)
            scheduler.run_due(now)
            if reader is not None and number & 1:
                tcp.read(reader, 1 << 16, now)


def segments(sent: int, received: int, acknowledged: int) -> tuple[int, int, int]:
    """Send so many, let so many of them arrive, and so many of their ACKs; return what was done."""
    pair = Pair()
    pair.talk(WARM_UP)
    pair.hosts[0].tcp.write(pair.sender, memoryview(bytes(sent * MSS)), pair.scheduler.now)
    out, back = (port.frames for port in pair.ports)
    pair.deliver(0, out[:received], pair.receiver)
    pair.deliver(1, back[:acknowledged])
    return len(out), len(back), pair.acked_segments() - WARM_UP


def packets(count: int) -> None:
    """Transfer about so many segments in virtual time."""
    pystack.run(partial(bench_virtual.bulk, count * MSS / 1e6, 0))


# Less and more of each, in segments or ACKs, and how many more there are
_OUT, _IN, _ACK = (
    (SEGMENTS * n, SEGMENTS * m, SEGMENTS * k // 2) for n, m, k in ((2, 0, 0), (2, 2, 0), (2, 2, 2))
)
WORK: Final = {
    "out": ("a segment out", (SEGMENTS, 0, 0), _OUT, SEGMENTS),
    "in": ("a segment in", _OUT, _IN, 2 * SEGMENTS),
    "ack": ("a pure ACK in", _IN, _ACK, SEGMENTS),
    # Three packets for two segments: the ACK is one.
    "packet": ("a packet, all in all", (2 * SEGMENTS,), (4 * SEGMENTS,), 3 * SEGMENTS),
}


@cache
def instructions(sizes: tuple[int, ...]) -> Counter[tuple[str, str]]:
    """Run a piece of work under callgrind; return instructions by file and function."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "callgrind.out")
        argv = ["valgrind", "--tool=callgrind", "--dump-instr=no", f"--callgrind-out-file={file}"]
        argv += [sys.executable, __file__, "--run", *map(str, sizes)]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"valgrind: {done.stderr[-2000:]}")
        with file.open() as lines:
            return read_callgrind(lines)


def read_callgrind(lines: Iterable[str]) -> Counter[tuple[str, str]]:
    """Return the instructions of each function itself, by the file it is in and its name."""
    found: Counter[tuple[str, str]] = Counter()
    names: dict[tuple[str, str], str] = {}
    file = function = ""
    called = False  # the next line is what a call took, which is the called one's
    for line in lines:
        if line[:1].isdigit() or line.startswith(("+", "-", "*")):
            if not called and function:
                found[file, function] += int(line.split()[1])
            called = False
        elif match := re.match(r"(fl|fn|cfn|cfi|cfl)=\((\d+)\)(?: (.+))?", line):
            what, number, name = match.groups()
            kind = "fn" if what.endswith("fn") else "fl"
            if name:
                names[kind, number] = name
            if what == "fl":
                file = names[kind, number]
            elif what == "fn":
                function = names[kind, number]
        elif match := re.match(r"f[ie]=\((\d+)\) (.+)", line):
            names["fl", match[1]] = match[2]
        elif line.startswith("calls="):
            called = True
    return found


def parts(costs: Counter[tuple[str, str]]) -> Counter[str]:
    """Sum up by the parts of the interpreter."""
    summed: Counter[str] = Counter()
    for (file, _), cost in costs.items():
        summed[next((name for name, files in PARTS if re.search(files, file)), "rest")] += cost
    return summed


def table(found: dict[str, Counter[tuple[str, str]]]) -> Iterator[str]:
    """Return the lines: one for each part, in a column for each piece of work."""
    by_part = {name: parts(costs) for name, costs in found.items()}
    yield f"{'instructions for':26}" + "".join(f"{WORK[name][0]:>22}" for name in found)
    yield f"{'all':26}" + "".join(f"{costs.total():>22,}" for costs in found.values())
    for part in (*(name for name, _ in PARTS), "rest"):
        cells = [(costs[part], costs[part] / costs.total()) for costs in by_part.values()]
        yield f"{part:26}" + "".join(f"{cost:>16,} {share:>5.0%}" for cost, share in cells)


def main() -> None:
    """Measure what was asked for, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", nargs="*", choices=[*WORK, []], metavar="WORK")
    parser.add_argument("--functions", type=int, default=0, help="name so many C functions too")
    parser.add_argument("--run", nargs="+", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        # One round more in the larger of both sizes looked like 1,500 instructions of a segment.
        gc.disable()
        (segments if len(options.run) == 3 else packets)(*options.run)
        return
    found = {}
    for name in options.work or WORK:
        _, less, more, count = WORK[name]
        costs = Counter(instructions(more))
        costs.subtract(instructions(less))
        found[name] = Counter({key: round(cost / count) for key, cost in costs.items() if cost})
    print("\n".join(table(found)))
    for name, costs in found.items():
        for (file, function), cost in costs.most_common(options.functions):
            print(f"{WORK[name][0]}: {cost:7,}  {function} ({file.rpartition('/')[2]})")


def _mac(number: int) -> Mac:
    return Mac(b"\x02\0\0\0\0" + bytes([10 + number]))


if __name__ == "__main__":
    main()

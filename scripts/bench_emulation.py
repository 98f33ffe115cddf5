"""How many packets a second of wall time the emulator moves: links alone, without hosts.

    .venv/bin/python scripts/bench_emulation.py [PACKETS]

Each line: the median of five runs, in packets per second, and microseconds per packet and hop. The
frames are whole TCP segments of 1460 bytes whose checksum is left to be filled in, as a host's are.
"""

import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.link.port import FrameSink
from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame

RUNS: Final = 5
IN_FLIGHT: Final = 100  # packets that are on their way at the same time

HOPS: Final[dict[str, tuple[int, dict[str, object]]]] = {
    "delay": (1, {"delay": "20ms"}),
    "delay, loss": (1, {"delay": "20ms", "loss": "1%"}),
    "delay, rate": (1, {"delay": "20ms", "rate": "100mbit"}),
    "delay, rate, loss": (1, {"delay": "20ms", "rate": "100mbit", "loss": "1%"}),
    "delay with jitter": (1, {"delay": "20ms", "jitter": "2ms", "distribution": "normal"}),
    "delay, loss gemodel": (1, {"delay": "20ms", "loss": "gemodel 1% 10%"}),
    "delay, rate, pfifo_head_drop": (
        1,
        {"delay": "20ms", "rate": "100mbit", "qdisc": "pfifo_head_drop"},
    ),
    "delay, rate, fq_codel": (1, {"delay": "20ms", "rate": "100mbit", "qdisc": "fq_codel"}),
    "four hops: delay": (4, {"delay": "20ms"}),
    "four hops: delay, rate": (4, {"delay": "20ms", "rate": "100mbit"}),
}


def segment() -> Frame:
    """Return a full-sized TCP segment in its frame."""
    payload = bytes(1460)
    src, dst = 0x0A000001, 0x0A000002
    packed = tcp.pack_header(tcp.Segment(40000, 80, 1, 1, tcp.ACK, 65535, b"", payload), src, dst)
    packet = ipv4.pack_header(src, dst, ipv4.TCP, len(packed) + len(payload)) + packed + payload
    data = ethernet.pack(b"\2\0\0\0\0\2", b"\2\0\0\0\0\1", ethernet.IPV4, packet)
    return Frame(data, CHECKSUM_PARTIAL)


def run(hops: int, words: dict[str, object], packets: int) -> float:
    """Send packets through a chain of links; return the seconds that it took."""
    scheduler = Scheduler()
    links = [
        Link(scheduler, 7, f"hop {number}", PipeConfig.parse(**words)) for number in range(hops)
    ]
    for near, far in pairwise(links):
        near.b.attach(forwarder(far.a.send))
    arrived = 0

    def count(_frame: Frame, _now: float) -> None:
        nonlocal arrived
        arrived += 1

    links[-1].b.attach(count)
    send, frame = links[0].a.send, segment()
    spacing_s = 1514 * 8 / 100e6
    sent = 0

    def send_bunch(now: float) -> None:
        nonlocal sent
        for _ in range(IN_FLIGHT):
            send(frame, now)
        sent += IN_FLIGHT
        if sent < packets:
            scheduler.call_at(now + IN_FLIGHT * spacing_s, send_bunch)

    scheduler.call_at(0.0, send_bunch)
    began = time.perf_counter()
    scheduler.run_due(float("inf"))
    took = time.perf_counter() - began
    assert arrived > 0.8 * sent, "the packets did not arrive"
    return took / sent


def forwarder(send: Callable[[Frame, float], None]) -> FrameSink:
    """Return what passes frames on, as a bridge without a table would."""

    def forward(frame: Frame, now: float) -> None:
        send(frame, now)

    return forward


def main() -> None:
    """Measure, and print one line for each case."""
    packets = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{'':30} {'packets/s':>12} {'us/packet/hop':>14}")
    for name, (hops, words) in HOPS.items():
        took = statistics.median(run(hops, words, packets) for _ in range(RUNS))
        print(f"{name:30} {1 / took:12,.0f} {took / hops * 1e6:14.2f}")


if __name__ == "__main__":
    main()

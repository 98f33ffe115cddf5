"""How many frames a second of wall time each queue takes in and gives out again.

    .venv/bin/python scripts/bench_queues.py [PAIRS]

Each line: the median of five runs, in pairs of enqueue and dequeue per second, and microseconds per
pair. 50 frames of 1514 bytes wait all the time; eight flows; time moves on by a frame at 1 Gbit/s.
"""

import statistics
import sys
import time
from typing import Final

from pystack.core.rng import Random
from pystack.link.qdisc.registry import parse_qdisc
from pystack.wire import ethernet, ipv4
from pystack.wire.frame import Frame

RUNS: Final = 5
WAITING: Final = 50
QUEUES: Final = (
    "pfifo",
    "bfifo limit 10mb",
    "tbf rate 10gbit burst 1mb limit 10mb",
    "red limit 1mb",
    "codel",
    "fq_codel",
    "pie",
    "dualpi2",
    "prio",
)


def frames() -> list[Frame]:
    """Return one frame for each of eight flows."""
    made = []
    for flow in range(8):
        payload = flow.to_bytes(2, "big") + bytes(1478)
        packet = ipv4.pack_header(1, 2, ipv4.TCP, len(payload)) + payload
        made.append(Frame(ethernet.pack(b"\2" * 6, b"\4" * 6, ethernet.IPV4, packet)))
    return made


def run(text: str, pairs: int) -> float:
    """Return the seconds that so many pairs take."""
    queue = parse_qdisc(text)(Random(1))
    flows = frames()
    now = 0.0
    for number in range(WAITING):
        queue.enqueue(flows[number % 8], now)
    start = time.perf_counter()
    for number in range(pairs):
        now += 0.0000121
        queue.enqueue(flows[number % 8], now)
        queue.dequeue(now)
    return time.perf_counter() - start


def main() -> None:
    """Measure each and print."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for text in QUEUES:
        took_s = statistics.median(run(text, pairs) for _ in range(RUNS))
        name = text.split(maxsplit=1)[0]
        print(f"{name:10} {pairs / took_s:12,.0f} pairs/s {took_s / pairs * 1e6:7.2f} us")


if __name__ == "__main__":
    main()

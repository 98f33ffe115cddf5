"""A transmitter behind a queue, and traffic for it: the test bench of the queues' fidelity."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pystack.core.rng import Random
from pystack.link.qdisc.base import Qdisc
from pystack.wire import ethernet, ipv4
from pystack.wire.frame import Frame

MACS = b"\x02" * 6 + b"\x04" * 6 + ethernet.IPV4.to_bytes(2, "big")


class Sent(NamedTuple):
    """A frame that left the queue."""

    frame: Frame
    arrived_at: float
    left_at: float

    @property
    def sojourn_s(self) -> float:
        """Return how long it waited."""
        return self.left_at - self.arrived_at

    @property
    def flow(self) -> int:
        """Return the port that it was made with."""
        return int.from_bytes(self.frame.data[34:36], "big")


def frame(size: int = 1514, flow: int = 1, ecn: int = 0) -> Frame:
    """Return a UDP frame of `size` bytes."""
    header = ipv4.pack_header(1, 2, ipv4.UDP, size - 34, tos=ecn)
    return Frame(MACS + header + flow.to_bytes(2, "big") + bytes(size - 36))


def steady(rate_bps: float, until_s: float, item: Frame) -> Iterator[tuple[float, Frame]]:
    """Give one frame after the other, evenly."""
    gap_s = len(item) * 8 / rate_bps
    for number in range(int(until_s / gap_s)):
        yield number * gap_s, item


def poisson(
    rng: Random, rate_bps: float, until_s: float, item: Frame
) -> Iterator[tuple[float, Frame]]:
    """Give frames with exponential gaps: traffic that does not listen to anybody."""
    now = 0.0
    while (now := now + rng.expovariate(rate_bps / 8 / len(item))) < until_s:
        yield now, item


def mixed(*sources: Iterable[tuple[float, Frame]]) -> list[tuple[float, Frame]]:
    """Return the arrivals of all sources in order."""
    return sorted((arrival for source in sources for arrival in source), key=lambda it: it[0])


def transmit(
    queue: Qdisc,
    arrivals: Iterable[tuple[float, Frame]],
    rate_bps: float,
    after_each: Callable[[float], None] = lambda now: None,
) -> list[Sent]:
    """Send at `rate_bps` whatever the queue gives, until it is empty."""
    arrived_at: list[float] = []
    sent: list[Sent] = []
    free_at = 0.0

    def send_until(now: float) -> None:
        nonlocal free_at
        while (start := max(free_at, queue.next_at(free_at))) < now:
            item = queue.dequeue(start)
            if item is not None:
                sent.append(Sent(item, arrived_at[number_of(item)], start))
                free_at = start + len(item) * 8 / rate_bps
                after_each(start)

    for now, item in arrivals:
        send_until(now)
        free_at = max(free_at, now)
        queue.enqueue(numbered(item, len(arrived_at)), now)
        arrived_at.append(now)
    send_until(float("inf"))
    return sent


def numbered(item: Frame, number: int) -> Frame:
    """Return it with a number in its payload: marks make new frames, the number stays."""
    return Frame(item.data[:36] + number.to_bytes(4, "big") + item.data[40:])


def number_of(item: Frame) -> int:
    """Return the number."""
    return int.from_bytes(item.data[36:40], "big")

"""A pipe on a bench: frames with numbers on them, and when each of them came out."""

import math
from typing import Final

from pystack.core.rng import component_rng
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.pipe import Pipe
from pystack.wire import ethernet, ipv4, tcp, udp
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame

SRC: Final = 0x0A000001
DST: Final = 0x0A000002
_MACS: Final = (b"\2\0\0\0\0\2", b"\2\0\0\0\0\1")


def numbered(number: int, size: int = 100) -> Frame:
    """Return a frame of `size` bytes that has its number in the first 4."""
    return Frame(number.to_bytes(4, "big") + bytes(size - 4))


def number_of(frame: Frame) -> int:
    """Return the number of a frame that `numbered` made."""
    return int.from_bytes(frame.data[:4], "big")


def tcp_frame(
    flags: int = tcp.ACK,
    payload: bytes = b"",
    *,
    seq: int = 1,
    src_port: int = 40000,
    dst_port: int = 80,
    gso_bytes: int = 0,
    partial: bool = False,
) -> Frame:
    """Return a TCP segment in its frame."""
    segment = tcp.Segment(src_port, dst_port, seq, 1, flags, 65535, b"", payload)
    packed = tcp.pack_header(segment, SRC, DST, partial=partial) + payload
    packet = ipv4.pack_header(SRC, DST, ipv4.TCP, len(packed)) + packed
    data = ethernet.pack(*_MACS, ethernet.IPV4, packet)
    return Frame(data, CHECKSUM_PARTIAL if partial else 0, gso_bytes)


def udp_frame(payload: bytes = b"", *, src_port: int = 5000, dst_port: int = 53) -> Frame:
    """Return a UDP datagram in its frame."""
    packed = udp.pack(SRC, DST, src_port, dst_port, payload)
    packet = ipv4.pack_header(SRC, DST, ipv4.UDP, len(packed)) + packed
    return Frame(ethernet.pack(*_MACS, ethernet.IPV4, packet))


class Bench:
    """One pipe, what came out of it, and what it reported."""

    def __init__(self, *, seed: int = 7, start: float = 0.0, **words: object) -> None:
        self.scheduler = Scheduler(start)
        self.out: list[tuple[float, Frame]] = []
        self.reports: list[tuple[str, float]] = []
        self.pipe = Pipe(
            self.scheduler,
            self._take,
            PipeConfig.parse(**words),
            component_rng(seed, "bench"),
            report=lambda reason, _frame, now: self.reports.append((reason, now)),
        )

    def _take(self, frame: Frame, now: float) -> None:
        self.out.append((now, frame))

    def send(self, count: int = 1, *, spacing_s: float = 0.0, size: int = 100) -> None:
        """Let `count` numbered frames come in, the first one now; run up to the last of them."""
        begin = self.scheduler.now
        for number in range(count):
            at = begin + number * spacing_s
            self.scheduler.run_due(at)
            self.pipe.send(numbered(number, size), at)

    def send_at(self, at: float, frame: Frame) -> None:
        """Let a frame come in at an instant."""
        self.scheduler.run_due(at)
        self.pipe.send(frame, at)

    def run(self, until: float = math.inf) -> None:
        """Let time pass."""
        self.scheduler.run_due(until)

    def set(self, **words: object) -> None:
        """Change words, as Link.set does."""
        self.pipe.configure(self.pipe.config.updated(**words))

    @property
    def numbers(self) -> list[int]:
        """Return the numbers in the order of arrival."""
        return [number_of(frame) for _, frame in self.out]

    @property
    def times(self) -> list[float]:
        """Return the instants of arrival."""
        return [round(at, 9) for at, _ in self.out]

"""Frames for the tests of queues, and a list of what a queue reports."""

from typing import Final

from pystack.link.qdisc.base import Qdisc
from pystack.wire import ethernet, ipv4
from pystack.wire.frame import Frame

HEADERS_BYTES: Final = 14 + 20
SRC: Final = 0x0A000001
DST: Final = 0x0A000002


def frame(size: int = 1514, *, tos: int = 0, port: int = 1000, proto: int = 17) -> Frame:
    """Return a frame of `size` bytes with IPv4 inside; `port` tells flows apart."""
    payload = port.to_bytes(2, "big") + bytes(size - HEADERS_BYTES - 2)
    header = ipv4.pack_header(SRC, DST, proto, len(payload), tos=tos)
    return Frame(ethernet.pack(b"\x02" * 6, b"\x04" * 6, ethernet.IPV4, header + payload))


class Reports(list[tuple[str, Frame, float]]):
    """What a queue said about its drops and marks."""

    def __init__(self, qdisc: Qdisc) -> None:
        super().__init__()
        qdisc.report = lambda reason, frame, now: self.append((reason, frame, now))

    @property
    def reasons(self) -> list[str]:
        """Return the names alone."""
        return [reason for reason, _, _ in self]

    @property
    def instants(self) -> list[float]:
        """Return when."""
        return [now for _, _, now in self]

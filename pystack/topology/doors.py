"""What may sit between a node and its link: ports that observe, hold back, or block.

They are put there only while they are needed, so that a frame costs nothing more while not.
"""

import struct
from collections.abc import Callable
from typing import Final

from pystack.core.addresses import unpack_ip6
from pystack.core.errors import WireError
from pystack.link.port import Port, WrappedPort
from pystack.wire import arp, ethernet, icmpv6, ip, ipv6
from pystack.wire.frame import Frame, split

_TYPE: Final = ethernet.TYPE
_ARP: Final = ethernet.IS_ARP
_SOLICITATION: Final = bytes((icmpv6.NEIGHBOR_SOLICITATION,))
_TARGET_END: Final = 24  # of its message

DropFn = Callable[[Frame, float], None]


class _Door(WrappedPort):
    """A port around a port that takes what the inner one takes, super-frames too."""

    def __init__(self, inner: Port) -> None:
        super().__init__(inner)
        self.gso_max_bytes = inner.gso_max_bytes
        self.fills_checksums = inner.fills_checksums


class Completing(_Door):
    """Fills in checksums and cuts super-frames for a port that cannot; takes all from its owner."""

    def __init__(self, inner: Port, drop: Callable[[str, Frame, float], None]) -> None:
        """`drop` is told of what is not what it says it is, and why."""
        super().__init__(inner)
        self.fills_checksums = True
        self._drop = drop

    def send(self, frame: Frame, now: float) -> None:
        """Send what it carries as ordinary frames."""
        try:
            pieces = split(frame)
        except WireError as error:
            self._drop(error.reason, frame, now)
            return
        for piece in pieces:
            self.inner.send(piece, now)


class ClosedDoor(_Door):
    """Lets nothing through, in either direction."""

    def __init__(self, inner: Port, drop: DropFn) -> None:
        super().__init__(inner)
        self._drop = drop

    def send(self, frame: Frame, now: float) -> None:
        """Drop it."""
        self._drop(frame, now)

    def deliver(self, frame: Frame, now: float) -> None:
        """Drop it."""
        self._drop(frame, now)


class Guard(_Door):
    """Lets nothing through that goes to, or comes from, one of some addresses."""

    def __init__(self, inner: Port, shut_out: frozenset[int], drop: DropFn) -> None:
        super().__init__(inner)
        self._shut_out = shut_out
        self._drop = drop

    def send(self, frame: Frame, now: float) -> None:
        """Send it, unless it is for one of them."""
        if _ends(frame)[1] in self._shut_out:
            self._drop(frame, now)
        else:
            self.inner.send(frame, now)

    def deliver(self, frame: Frame, now: float) -> None:
        """Deliver it, unless it is from one of them."""
        if _ends(frame)[0] in self._shut_out:
            self._drop(frame, now)
        else:
            self.sink(frame, now)


def _ends(frame: Frame) -> tuple[int | None, int | None]:
    """Return who a frame is from and for; None: it has no such addresses.

    Of a question about an address, by ARP or neighbor discovery, that is whom it asks for.
    """
    data = memoryview(frame.data)
    try:
        if data[_TYPE] == _ARP:
            question = arp.parse(data[ethernet.HEADER_BYTES :])
            return question.spa, question.tpa
        packet = ip.packet_of(frame.data)
        text = packet.payload
        if packet.proto == ipv6.ICMPV6 and text[:1] == _SOLICITATION and len(text) >= _TARGET_END:
            return packet.src, unpack_ip6(text[8:_TARGET_END])
    except (WireError, struct.error):
        return None, None  # damaged: whoever gets it drops it, and says why
    return packet.src, packet.dst

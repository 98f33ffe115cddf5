"""What may sit between a node and its link: ports that observe, hold back, or block.

They are put there only while they are needed, so that a frame costs nothing more while not.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import unpack_ip6
from pystack.core.errors import WireError
from pystack.link.port import FrameSink, Port, WrappedPort, uso_max_bytes
from pystack.wire import arp, ethernet, icmp, icmpv6, ip, ipv4, ipv6, tcp
from pystack.wire.frame import Frame, split

_TYPE: Final = ethernet.TYPE
_ARP: Final = ethernet.IS_ARP
_SOLICITATION: Final = bytes((icmpv6.NEIGHBOR_SOLICITATION,))
_TARGET_END: Final = 24  # of its message
_TCP_FLAGS: Final = 13
_PORTS: Final = 4  # bytes at the start of a datagram or a segment

DropFn = Callable[[Frame, float], None]


class _Door(WrappedPort):
    """A port around a port that takes what the inner one takes, super-frames too."""

    def __init__(self, inner: Port) -> None:
        super().__init__(inner)
        self.gso_max_bytes = inner.gso_max_bytes
        self.uso_max_bytes = uso_max_bytes(inner)
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


# A datagram's two ends: source and destination, each an address and a port
Flow = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Wall:
    """Whom a guard keeps away, and how."""

    addresses: frozenset[int] | None  # None: everybody
    # Answers a frame that is not let through, by giving the answer to the sink; None: silence
    refuse: Callable[[Frame, FrameSink], None] | None = None
    # What goes on: connections of TCP, and these flows of UDP, in both directions; None: nothing
    spared: frozenset[Flow] | None = None

    @property
    def is_firewall(self) -> bool:
        """Tell whether it is one of IP packets, as of iptables, and not a cut for all frames."""
        return self.refuse is not None or self.spared is not None

    def stops(self, frame: Frame, who: int | None) -> bool:
        """Tell whether a frame is not let through; `who`: the far end of it."""
        if self.addresses is not None and who not in self.addresses:
            return False
        return not self.is_firewall or _is_filtered(frame, self.spared)


class Guard(_Door):
    """Lets nothing through that walls stop: of what goes to, or comes from, some addresses."""

    def __init__(self, inner: Port, walls: Sequence[Wall], drop: DropFn) -> None:
        super().__init__(inner)
        self._walls = walls
        self._drop = drop

    def send(self, frame: Frame, now: float) -> None:
        """Send it, unless it is for one of them."""
        who = _ends(frame)[1]
        for wall in self._walls:
            if wall.stops(frame, who):
                self._drop(frame, now)
                if wall.refuse is not None:
                    wall.refuse(frame, self._answer)
                return
        self.inner.send(frame, now)

    def deliver(self, frame: Frame, now: float) -> None:
        """Deliver it, unless it is from one of them. What had been on its way gets no answer."""
        who = _ends(frame)[0]
        if any(wall.stops(frame, who) for wall in self._walls):
            self._drop(frame, now)
        else:
            self.sink(frame, now)

    def _answer(self, frame: Frame, now: float) -> None:
        self.sink(frame, now)


def _is_filtered(frame: Frame, spared: frozenset[Flow] | None) -> bool:
    """Tell whether a firewall stops a frame: an IP packet that belongs to nothing it spares.

    Who has which address on the link is not its business: ARP and neighbor discovery go on.
    """
    try:
        packet = ip.packet_of(frame.data, checksum_good=True)
    except (WireError, struct.error, IndexError):
        return False  # no IP, or damaged: whoever gets it drops it, and says why
    text, proto = packet.payload, packet.proto
    kind = text[0] if len(text) else 0
    if proto == ipv6.ICMPV6 and icmpv6.ROUTER_SOLICITATION <= kind <= icmpv6.REDIRECT:
        return False
    if spared is None:
        return True
    if packet.fragment_offset_bytes:
        return False  # without its first fragment nothing comes of it
    if proto == ipv4.TCP:
        flags = text[_TCP_FLAGS] if len(text) > _TCP_FLAGS else 0
        return flags & (tcp.SYN | tcp.ACK) == tcp.SYN  # what opens a connection
    if proto == ipv4.UDP and len(text) >= _PORTS:
        ports = int.from_bytes(text[:2], "big"), int.from_bytes(text[2:_PORTS], "big")
        return (packet.src, ports[0], packet.dst, ports[1]) not in spared
    if proto == (ipv4.ICMP if packet.version == 4 else ipv6.ICMPV6):
        # Errors and replies are about what was asked for before.
        return kind in icmp.REQUESTS if packet.version == 4 else kind == icmpv6.ECHO
    return True


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

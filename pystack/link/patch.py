"""Patch: a cable between two ports that both expect a host at their other end.

So a TAP device, whose kernel has a stack of its own, stands on a link of the lab. Frames pass at
the instant at which they arrive. Super-frames, and checksums that are still to be filled in, pass
untouched where the other port takes them, else they are cut and filled here.
"""

from collections.abc import Sequence

from pystack.core.addresses import Mac
from pystack.core.counters import Counters
from pystack.core.errors import WireError
from pystack.link.port import Port, PortBase, WrappedPort, takes_whole
from pystack.wire import ethernet
from pystack.wire.frame import CHECKSUM_PARTIAL, SUPER_TEXT_BYTES, Frame, numbered, split


class Patch:
    """Whatever arrives at one of two ports is sent on the other. Made, it works."""

    __slots__ = ("closed", "counters")

    def __init__(self, one: Port, other: Port) -> None:
        self.closed = False
        self.counters = Counters()  # patch_closed, and why a super-frame could not be cut
        one.attach(lambda frame, now: self._pass_on(other, frame, now))
        other.attach(lambda frame, now: self._pass_on(one, frame, now))

    def close(self) -> None:
        """Pass nothing on any more. The ports stay open: they are their owners'."""
        self.closed = True

    def _pass_on(self, port: Port, frame: Frame, now: float) -> None:
        if self.closed:
            self.counters.add("patch_closed")
            return
        cuts = frame.gso_bytes and not takes_whole(port, frame)
        fills = frame.checksum == CHECKSUM_PARTIAL and not port.fills_checksums
        if not (cuts or fills):
            port.send(frame, now)
            return
        try:
            pieces = _pieces(port, frame)
        except WireError as error:
            self.counters.add(error.reason)
            return
        for piece in pieces:
            port.send(piece, now)


def _pieces(port: Port, frame: Frame) -> Sequence[Frame]:
    """Return what a frame is cut into that a port does not take as it is. WireError: nothing is."""
    if port.gso_max_bytes >= SUPER_TEXT_BYTES and port.fills_checksums:
        pieces = numbered(frame)
        if len(pieces) > 1:  # it takes them, but for their size
            return pieces
    return split(frame)


class SideDoor(WrappedPort):
    """A port with one more station beside it, which nobody on the other side ever sees.

    `self` leads to the inner port; `self.station` is the port for the other station. Frames of the
    inner port for the station's MAC go there alone, those for everybody go there too.
    """

    def __init__(self, inner: Port, mac: Mac) -> None:
        self.station = _SidePort(inner)
        self._mac = mac
        super().__init__(inner)
        self.gso_max_bytes = inner.gso_max_bytes
        self.fills_checksums = inner.fills_checksums

    def deliver(self, frame: Frame, now: float) -> None:
        """Hand a frame on to whom it is for."""
        to = frame.data[ethernet.DST]
        if to == self._mac:
            self.station.sink(frame, now)
            return
        if to[:1] and to[0] & 1:
            self.station.sink(frame, now)
        self.sink(frame, now)


class _SidePort(PortBase):
    """Where the station next to a port is attached."""

    def __init__(self, inner: Port) -> None:
        super().__init__(inner.mtu_bytes)
        self.send = inner.send

"""Patch: a cable between two ports that both expect a host at their other end.

So a TAP device, whose kernel has a stack of its own, stands on a link of the lab. Frames pass at
the instant at which they arrive. Super-frames, and checksums that are still to be filled in, pass
untouched where the other port takes them, else they are cut and filled here.
"""

from pystack.core.addresses import Mac
from pystack.core.counters import Counters
from pystack.core.errors import WireError
from pystack.link.port import FrameSink, Port, takes_whole
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame, completed, split


class Patch:
    """Whatever arrives at one of two ports is sent on the other. Made, it works."""

    __slots__ = ("_one", "_other", "closed", "counters")

    def __init__(self, one: Port, other: Port) -> None:
        self._one = one
        self._other = other
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
        elif frame.gso_bytes and not takes_whole(port, frame):
            try:
                pieces = split(frame)
            except WireError as error:
                self.counters.add(error.reason)
                return
            for piece in pieces:
                port.send(piece, now)
        elif frame.checksum == CHECKSUM_PARTIAL and not port.fills_checksums:
            self._complete(port, frame, now)
        else:
            port.send(frame, now)

    def _complete(self, port: Port, frame: Frame, now: float) -> None:
        try:
            whole = completed(frame)
        except WireError as error:
            self.counters.add(error.reason)
            return
        port.send(whole, now)


class SideDoor:
    """A port with one more station beside it, which nobody on the other side ever sees.

    `self` leads to the inner port, as a wrapper does; `self.station` is the port for the other one.
    Frames of the inner port for the station's MAC go there alone, those for everybody go there too.
    """

    def __init__(self, inner: Port, mac: Mac) -> None:
        self.inner = inner
        self.mtu_bytes = inner.mtu_bytes
        self.gso_max_bytes = inner.gso_max_bytes
        self.fills_checksums = inner.fills_checksums
        self.station = _SidePort(inner)
        self._mac = mac
        self._sink: FrameSink | None = None  # None: nobody is plugged in (yet)
        inner.attach(self._arrived)

    def attach(self, sink: FrameSink) -> None:
        """Give what arrives, and is not for the station, to `sink`."""
        self._sink = sink

    def send(self, frame: Frame, now: float) -> None:
        """Send a frame to the inner port."""
        self.inner.send(frame, now)

    def close(self) -> None:
        """Close what is inside."""
        self.inner.close()

    def _arrived(self, frame: Frame, now: float) -> None:
        to = frame.data[:6]
        if to == self._mac:
            self.station.deliver(frame, now)
            return
        if to[:1] and to[0] & 1:
            self.station.deliver(frame, now)
        if self._sink is not None:
            self._sink(frame, now)


class _SidePort:
    """Where the station beside a port is plugged in."""

    fills_checksums = False
    gso_max_bytes = 0

    def __init__(self, inner: Port) -> None:
        self.mtu_bytes = inner.mtu_bytes
        self._inner = inner
        self._sink: FrameSink | None = None  # None: nobody is plugged in (yet), or any more

    def attach(self, sink: FrameSink) -> None:
        """Give what is for the station to `sink`."""
        self._sink = sink

    def send(self, frame: Frame, now: float) -> None:
        """Send a frame to the inner port."""
        self._inner.send(frame, now)

    def deliver(self, frame: Frame, now: float) -> None:
        """Hand a frame to the station."""
        if self._sink is not None:
            self._sink(frame, now)

    def close(self) -> None:
        """Hear nothing any more."""
        self._sink = None

"""Port: the one interface of all that carries frames.

A TAP, an emulated link, a replayed capture, a tunnel, and every wrapper around one of them is a
Port. A host does not know what it is plugged into.
"""

from collections.abc import Callable
from typing import Final, Protocol

from pystack.core.counters import Counters
from pystack.core.scheduler import Scheduler
from pystack.wire.frame import Frame, is_burst

DEFAULT_MTU_BYTES: Final = 1500  # what Ethernet carries, RFC 894

# Takes a frame that has arrived, and the instant of it. Never raises.
FrameSink = Callable[[Frame, float], None]


class Port(Protocol):
    """Where a host sends frames and gets them from. Synchronous; reads no clock."""

    mtu_bytes: int  # largest IP packet that goes through
    gso_max_bytes: int  # largest TCP payload of a super-frame it takes; 0: ordinary frames only
    fills_checksums: bool  # takes frames whose transport checksum is CHECKSUM_PARTIAL

    def attach(self, sink: FrameSink) -> None:
        """From now on give every frame that arrives to `sink`."""
        ...

    def send(self, frame: Frame, now: float) -> None:
        """Send, queue, or count the loss of one frame. Never raises, never waits."""
        ...

    def close(self) -> None:
        """Send and deliver nothing any more. A second close does nothing."""
        ...


class Send(Protocol):
    """What `Port.send` is, for a port that borrows it."""

    def __call__(self, frame: Frame, now: float) -> None:
        """Send a frame."""
        ...


class PortBase:
    """What ports have in common: an attached sink. Frames that arrive for nobody are counted."""

    __slots__ = ("closed", "counters", "mtu_bytes", "sink")

    gso_max_bytes = 0
    fills_checksums = False

    def __init__(self, mtu_bytes: int, counters: Counters | None = None) -> None:
        self.mtu_bytes = mtu_bytes
        self.counters = Counters() if counters is None else counters
        self.closed = False
        # Takes each frame that arrives; port_unplugged until somebody has attached.
        self.sink: FrameSink = refusing("port_unplugged", self.counters.add)

    def attach(self, sink: FrameSink) -> None:
        """From now on give every frame that arrives to `sink`."""
        if not self.closed:
            self.sink = sink

    def close(self) -> None:
        """Deliver nothing any more: what arrives is counted as port_closed."""
        self.closed = True
        self.sink = refusing("port_closed", self.counters.add)


def refusing(reason: str, count: Callable[[str], None]) -> Send:
    """Return a sink for frames that nobody takes, which counts them."""
    return lambda frame, now: count(reason)


def uso_max_bytes(port: Port) -> int:
    """Return the largest payload of a burst of datagrams that a port takes; 0: it takes none.

    A port says so by an attribute of that name, which it need not have.
    """
    found: int = getattr(port, "uso_max_bytes", 0)
    return found


def takes_whole(port: Port, frame: Frame) -> bool:
    """Tell whether a port takes a super-frame as it is."""
    if len(frame) > port.gso_max_bytes:
        return False
    return not is_burst(frame) or uso_max_bytes(port) > 0


class WrappedPort(PortBase):
    """Passes everything on. Override `send` or `deliver` to do something with it.

    What a wrapper sees are ordinary frames, with their checksums in place, unless it says that it
    takes more (`gso_max_bytes`, `fills_checksums`).
    """

    def __init__(self, inner: Port) -> None:
        super().__init__(inner.mtu_bytes)
        self.inner = inner
        inner.attach(self.deliver)

    def send(self, frame: Frame, now: float) -> None:
        """Take a frame on its way out."""
        self.inner.send(frame, now)

    def deliver(self, frame: Frame, now: float) -> None:
        """Take a frame on its way in."""
        self.sink(frame, now)

    def close(self) -> None:
        """Close what is inside."""
        super().close()
        self.inner.close()


MTU_BYTES: Final = 65535  # what an IP packet can be


class LoopbackPort(PortBase):
    """A port whose other end is itself. Nothing leaves memory, so nothing needs a checksum."""

    __slots__ = ("_scheduler",)

    fills_checksums = True

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(MTU_BYTES)
        self._scheduler = scheduler

    def send(self, frame: Frame, now: float) -> None:
        """Bring the frame back, as an event of its own: never from inside the sender."""
        self._scheduler.call_at(now, lambda at: self.sink(frame, at))

"""The loopback: what a host sends to itself comes back at the same instant, in order."""

from typing import Final

from pystack.core.scheduler import Scheduler
from pystack.link.port import FrameSink
from pystack.wire.frame import Frame

MTU_BYTES: Final = 65535  # what an IP packet can be


class LoopbackPort:
    """A port whose other end is itself. Nothing leaves memory, so nothing needs a checksum."""

    gso_max_bytes = 0
    fills_checksums = True
    mtu_bytes = MTU_BYTES

    __slots__ = ("_closed", "_scheduler", "_sink")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._sink: FrameSink | None = None  # None: nobody is plugged in (yet)
        self._closed = False

    def attach(self, sink: FrameSink) -> None:
        """Give what arrives to `sink`."""
        self._sink = sink

    def send(self, frame: Frame, now: float) -> None:
        """Bring the frame back, as an event of its own: never from inside the sender."""
        self._scheduler.call_at(now, lambda at: self._deliver(frame, at))

    def close(self) -> None:
        """Deliver nothing any more."""
        self._closed = True

    def _deliver(self, frame: Frame, now: float) -> None:
        if self._sink is not None and not self._closed:
            self._sink(frame, now)

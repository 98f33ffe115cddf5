"""The loopback: what a host sends to itself comes back at the same instant, in order."""

from typing import Final

from pystack.core.scheduler import Scheduler
from pystack.link.port import PortBase
from pystack.wire.frame import Frame

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

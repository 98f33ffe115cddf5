"""Pipe: one direction of a link. What goes in comes out after the propagation delay, in order.

Super-frames are cut here, once: what travels on a link is what a wire would carry.
"""

from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.port import FrameSink
from pystack.wire.frame import Frame, split


class Pipe:
    """From one port to one sink, over the scheduler's heap."""

    __slots__ = ("_scheduler", "_sink", "delay_s")

    def __init__(self, scheduler: Scheduler, sink: FrameSink, delay_s: float) -> None:
        if not 0 <= delay_s < float("inf"):
            raise ConfigError(f"a delay of {delay_s} s is not possible")
        self._scheduler = scheduler
        self._sink = sink
        self.delay_s = delay_s

    def send(self, frame: Frame, now: float) -> None:
        """Take a frame at one end."""
        sink = self._sink
        for piece in split(frame):
            self._scheduler.call_at(
                now + self.delay_s,
                lambda at, piece=piece: sink(piece, at),  # type: ignore[misc]
            )

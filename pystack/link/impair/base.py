"""What an impairment is: one stage of a pipe."""

from typing import Protocol

from pystack.wire.frame import Frame

# What goes on, and when: () is a loss, two entries are a duplicate, a later instant is a delay.
Departures = tuple[tuple[float, Frame], ...]


class Impairment(Protocol):
    """One stage of a pipe. Sync, reads no clock, owns its random source."""

    def apply(self, frame: Frame, now: float) -> Departures:
        """Return what goes on and when. Frames are not changed: a damaged one is a new one."""
        ...

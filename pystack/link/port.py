"""Port: the one interface of all that carries frames.

A TAP, an emulated link, a replayed capture, a tunnel, and every wrapper around one of them is a
Port. A host does not know what it is plugged into.
"""

from collections.abc import Callable
from typing import Final, Protocol

from pystack.wire.frame import Frame

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

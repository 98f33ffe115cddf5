"""`corrupt` of tc-netem(8): one bit of the frame, any one, is turned over.

A real Ethernet would throw such a frame away by its check sequence; what is emulated is what slips
through, or was damaged where no check sequence watched (a router's memory).
"""

from pystack.core.errors import WireError
from pystack.core.rng import Random
from pystack.link.impair.base import Stage
from pystack.link.impair.chance import chance
from pystack.wire.frame import Frame, completed


class Corrupt(Stage):
    """Damages each frame with a probability, 0..1."""

    __slots__ = ("_draw", "_probability", "_rng")

    def __init__(self, probability: float, correlation: float, rng: Random) -> None:
        super().__init__()
        self._probability = probability
        self._rng = rng
        self._draw = chance(rng, correlation)

    def send(self, frame: Frame, now: float) -> None:
        """Hand on the frame, or a damaged one in its place."""
        if self._draw() < self._probability and frame.data:
            frame = with_bit_turned(frame, self._rng.randrange(8 * len(frame.data)))
            self.report("corrupt", frame, now)
        self.next(frame, now)


def with_bit_turned(frame: Frame, bit: int) -> Frame:
    """Return a frame with one bit turned; its checksum is in place, and nobody vouches for it."""
    try:
        data = bytearray(completed(frame).data)
    except WireError:
        data = bytearray(frame.data)  # nothing that has a checksum to fill in
    data[bit >> 3] ^= 1 << (bit & 7)
    return frame.replaced(bytes(data))

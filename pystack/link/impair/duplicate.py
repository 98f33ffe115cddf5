"""`duplicate` of tc-netem(8): a frame comes twice, one right after the other."""

from pystack.core.rng import Random
from pystack.link.impair.base import Stage
from pystack.link.impair.chance import chance
from pystack.wire.frame import Frame


class Duplicate(Stage):
    """Doubles each frame with a probability, 0..1. A copy is not doubled again."""

    __slots__ = ("_draw", "_probability")

    def __init__(self, probability: float, correlation: float, rng: Random) -> None:
        super().__init__()
        self._probability = probability
        self._draw = chance(rng, correlation)

    def send(self, frame: Frame, now: float) -> None:
        """Hand it on once or twice."""
        if self._draw() < self._probability:
            self.report("duplicate", frame, now)
            self.next(frame, now)
        self.next(frame, now)

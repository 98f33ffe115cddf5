"""`duplicate` of tc-netem(8): a frame comes twice, one right after the other."""

from pystack.core.rng import Random
from pystack.link.impair.base import Stage
from pystack.link.impair.chance import chance
from pystack.link.impair.loss import LossStage
from pystack.wire.frame import Frame


class Duplicate(Stage):
    """Doubles each frame with a probability, 0..1. A copy is not doubled again."""

    __slots__ = ("_draw", "_probability", "loss")

    def __init__(self, probability: float, correlation: float, rng: Random) -> None:
        super().__init__()
        self._probability = probability
        self._draw = chance(rng, correlation)
        self.loss: LossStage | None = None  # what follows, if it is that: a loss takes one of two

    def send(self, frame: Frame, now: float) -> None:
        """Hand it on once or twice."""
        if self._draw() >= self._probability:
            self.next(frame, now)
            return
        self.report("duplicate", frame, now)
        if self.loss is not None:
            self.loss.send_twice(frame, now)
        else:
            self.next(frame, now)
            self.next(frame, now)

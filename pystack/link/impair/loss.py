"""Loss by chance, in the three models of tc-netem(8).

`random`: each frame alone, or with correlation. `gemodel`: Gilbert and Elliott's two states, good
and bad, each with its own probability of loss. `state`: the four states of Salsano, Ludovici and
Ordine ("Definition of a general and intuitive loss model for packet networks"): good (1), good
within a burst (2), lost within a burst (3), lost alone (4).

With `ecn` a frame that says it can be marked is marked (CE) instead of being lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.core.suggest import suggest
from pystack.core.units import parse_probability
from pystack.link.impair.base import Stage
from pystack.link.impair.chance import chance
from pystack.wire.ecn import mark_ce
from pystack.wire.frame import Frame


@dataclass(frozen=True, slots=True)
class RandomLoss:
    """`loss random`: a frame is lost with this probability, 0..1."""

    probability: float
    correlation: float = 0.0

    def stage(self, rng: Random) -> "LossStage":
        """Return a stage that loses like this."""
        return _RandomLossStage(self, rng)


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """`loss gemodel`: p good to bad, r back; loss in the bad state (1-h) and in the good (1-k)."""

    p: float
    r: float
    loss_bad: float = 1.0
    loss_good: float = 0.0

    def stage(self, rng: Random) -> "LossStage":
        """Return a stage that loses like this; it begins in the good state."""
        return _GilbertElliottStage(self, rng)


@dataclass(frozen=True, slots=True)
class FourState:
    """`loss state`: the probabilities to go from one state to another, 0..1 each."""

    p13: float
    p31: float
    p32: float = 0.0
    p23: float = 1.0
    p14: float = 0.0

    def __post_init__(self) -> None:
        """Check what leaves a state together. Raises ConfigError."""
        for names, total in (
            ("p13 and p14", self.p13 + self.p14),
            ("p31, p32", self.p31 + self.p32),
        ):
            if total > 1.0 + 1e-9:
                raise ConfigError(f"loss state: {names} are together {total:g}, which is above 1")

    def stage(self, rng: Random) -> "LossStage":
        """Return a stage that loses like this; it begins in state 1."""
        return _FourStateStage(self, rng)


LossModel = RandomLoss | GilbertElliott | FourState

# The models, and how many probabilities each takes at most
_MOST: Final = {"random": 2, "gemodel": 4, "state": 5}
_FORMS: Final = (
    "'1%', 'random 1% 25%', 'gemodel p [r [1-h [1-k]]]', 'state p13 [p31 [p32 [p23 [p14]]]]'"
)


def parse_loss(value: str | float) -> LossModel | None:
    """Return the model from tc-netem's text, or from a probability; None for no loss at all."""
    words = value.split() if isinstance(value, str) else [value]
    kind = words[0] if words else ""
    if isinstance(kind, str) and kind.isalpha() and kind not in _MOST:
        raise ConfigError(f"there is no loss model {kind!r}{suggest(kind, _MOST)}")
    if kind in _MOST:
        numbers = [parse_probability(word) for word in words[1:]]
    else:
        kind, numbers = "random", [parse_probability(word) for word in words]
    if not 1 <= len(numbers) <= _MOST[str(kind)]:
        raise ConfigError(f"{value!r} is not a loss (one of: {_FORMS})")
    return _model(kind, numbers)


def _model(kind: str, numbers: Sequence[float]) -> LossModel | None:
    first, rest = numbers[0], numbers[1:]
    if kind == "random":
        return RandomLoss(*numbers) if first else None
    # What tc takes for what is left out: the two-state model that loses all of each burst.
    back = rest if rest else (1.0 - first,)
    return GilbertElliott(first, *back) if kind == "gemodel" else FourState(first, *back)


class LossStage(Stage):
    """Loses each frame that `draw` says; a model decides by nothing but what came before."""

    __slots__ = ("ecn",)

    def __init__(self) -> None:
        super().__init__()
        self.ecn = False  # mark what can be marked

    def draw(self) -> bool:
        """Tell whether the next frame is lost."""
        raise NotImplementedError

    def send(self, frame: Frame, now: float) -> None:
        """Hand it on, marked if need be, or lose it."""
        if self.draw():
            self._strike(frame, now)
        else:
            self.next(frame, now)

    def send_twice(self, frame: Frame, copy: Frame, now: float) -> None:
        """Take a frame and its copy as netem does: a loss takes one of the two.

        netem draws while it holds both, and again when it puts the copy in by itself.
        """
        if not self.draw():
            self.next(frame, now)
        elif self._strike(frame, now):
            self.next(copy, now)
            return
        self.send(copy, now)

    def _strike(self, frame: Frame, now: float) -> bool:
        """Lose it, or hand it on with a mark; tell whether it is lost."""
        marked = mark_ce(frame) if self.ecn else None
        if marked is None:
            self.report("loss", frame, now)
            return True
        self.report("loss_mark", marked, now)
        self.next(marked, now)
        return False


class _RandomLossStage(LossStage):
    __slots__ = ("_draw", "_probability")

    def __init__(self, model: RandomLoss, rng: Random) -> None:
        super().__init__()
        self._probability = model.probability
        self._draw = chance(rng, model.correlation)

    def draw(self) -> bool:
        return self._draw() < self._probability


class _GilbertElliottStage(LossStage):
    __slots__ = ("_bad", "_model", "_random")

    def __init__(self, model: GilbertElliott, rng: Random) -> None:
        super().__init__()
        self._model = model
        self._random = rng.random
        self._bad = False

    def draw(self) -> bool:
        # As in netem, the state moves on first, and the old one decides about this frame.
        model, draw = self._model, self._random
        if self._bad:
            if draw() < model.r:
                self._bad = False
            return draw() < model.loss_bad
        if draw() < model.p:
            self._bad = True
        return draw() < model.loss_good


class _FourStateStage(LossStage):
    __slots__ = ("_model", "_random", "_state")

    def __init__(self, model: FourState, rng: Random) -> None:
        super().__init__()
        self._model = model
        self._random = rng.random
        self._state = 1

    def draw(self) -> bool:
        self._state = state = self._after(self._state, self._random())
        return state >= 3

    def _after(self, state: int, number: float) -> int:
        model = self._model
        if state == 1:
            if number < model.p14:
                return 4
            return 3 if number < model.p14 + model.p13 else 1
        if state == 2:
            return 3 if number < model.p23 else 2
        if state == 3:
            if number < model.p32:
                return 2
            return 1 if number < model.p32 + model.p31 else 3
        return 1


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
            self.loss.send_twice(frame, frame.again(now), now)
        else:
            copy = frame.again(now)
            self.next(frame, now)
            self.next(copy, now)

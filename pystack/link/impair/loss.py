"""Loss by chance, in the three models of tc-netem(8).

`random`: each frame alone, or with correlation. `gemodel`: Gilbert and Elliott's two states, good
and bad, each with its own probability of loss. `state`: the four states of Salsano, Ludovici and
Ordine ("Definition of a general and intuitive loss model for packet networks"): good (1), good
within a burst (2), lost within a burst (3), lost alone (4).
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
from pystack.wire.frame import Frame


@dataclass(frozen=True, slots=True)
class RandomLoss:
    """`loss random`: a frame is lost with this probability, 0..1."""

    probability: float
    correlation: float = 0.0

    def stage(self, rng: Random) -> Stage:
        """Return a stage that loses like this."""
        return _RandomLossStage(self, rng)


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """`loss gemodel`: p good to bad, r back; loss in the bad state (1-h) and in the good (1-k)."""

    p: float
    r: float
    loss_bad: float = 1.0
    loss_good: float = 0.0

    def stage(self, rng: Random) -> Stage:
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

    def stage(self, rng: Random) -> Stage:
        """Return a stage that loses like this; it begins in state 1."""
        return _FourStateStage(self, rng)


LossModel = RandomLoss | GilbertElliott | FourState

# The models, and how many probabilities each takes at the most
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


class _RandomLossStage(Stage):
    __slots__ = ("_draw", "_probability")

    def __init__(self, model: RandomLoss, rng: Random) -> None:
        super().__init__()
        self._probability = model.probability
        self._draw = chance(rng, model.correlation)

    def send(self, frame: Frame, now: float) -> None:
        if self._draw() < self._probability:
            self.report("loss", frame, now)
        else:
            self.next(frame, now)


class _GilbertElliottStage(Stage):
    __slots__ = ("_bad", "_model", "_random")

    def __init__(self, model: GilbertElliott, rng: Random) -> None:
        super().__init__()
        self._model = model
        self._random = rng.random
        self._bad = False

    def send(self, frame: Frame, now: float) -> None:
        # As in netem, the state moves on first, and the old one decides about this frame.
        model, draw = self._model, self._random
        if self._bad:
            if draw() < model.r:
                self._bad = False
            lost = draw() < model.loss_bad
        else:
            if draw() < model.p:
                self._bad = True
            lost = draw() < model.loss_good
        if lost:
            self.report("loss", frame, now)
        else:
            self.next(frame, now)


class _FourStateStage(Stage):
    __slots__ = ("_model", "_random", "_state")

    def __init__(self, model: FourState, rng: Random) -> None:
        super().__init__()
        self._model = model
        self._random = rng.random
        self._state = 1

    def send(self, frame: Frame, now: float) -> None:
        self._state = state = self._after(self._state, self._random())
        if state >= 3:
            self.report("loss", frame, now)
        else:
            self.next(frame, now)

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

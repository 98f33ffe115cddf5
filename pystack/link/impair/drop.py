"""Loss by intent: exactly these frames, a pattern, or what a rule says of the parsed packet."""

from collections.abc import Iterable
from typing import Final

from pystack.core.errors import ConfigError
from pystack.link.impair.base import Stage
from pystack.link.impair.packet import Packet, Predicate
from pystack.wire.frame import Frame

_FORMS: Final = (
    "positions [3, 5] counted from 1, a pattern '..x' (x is dropped; repeated for ever), "
    "or a function of the packet"
)


class Drop:
    """Which frames are dropped, of those that `predicate` holds for (None: of all).

    `positions` count from 1, from the moment when the pipe gets this configuration; a `pattern` is
    repeated for ever. Neither of them: all.
    """

    __slots__ = ("pattern", "positions", "predicate")

    def __init__(
        self,
        *,
        positions: Iterable[int] | None = None,
        pattern: str | None = None,
        predicate: Predicate | None = None,
    ) -> None:
        self.positions = None if positions is None else frozenset(positions)
        self.pattern = pattern
        self.predicate = predicate
        for position in self.positions or ():
            if type(position) is not int or position < 1:
                raise ConfigError(f"{position!r} is not a position of a frame: they count from 1")
        if pattern is not None and (not pattern or set(pattern) - {".", "x"}):
            raise ConfigError(
                f"{pattern!r} is not a pattern: '.' passes and 'x' is dropped, as '..x'"
            )

    def stage(self) -> Stage:
        """Return a stage that drops like this, with a count of its own."""
        return _DropStage(self)


def first(predicate: Predicate, count: int = 1) -> Drop:
    """Drop the first one (or the first `count`) that the predicate holds for."""
    return Drop(predicate=predicate, positions=range(1, count + 1))


def nth(predicate: Predicate, *positions: int) -> Drop:
    """Drop those that come as number 2 and 5, say, among those that the predicate holds for."""
    return Drop(predicate=predicate, positions=positions)


def parse_drop(value: object) -> Drop:
    """Return what to drop from its forms. Raises ConfigError."""
    match value:
        case Drop():
            return value
        case str() if value and set(value) <= {".", "x"}:
            return Drop(pattern=value)
        case str():
            numbers = value.replace(",", " ").split()
            if numbers and all(number.isdecimal() for number in numbers):
                return Drop(positions=map(int, numbers))
        case bool():
            pass
        case int():
            return Drop(positions=[value])
        case list() | tuple() | set() | frozenset() | range():
            return Drop(positions=value)
        case _ if callable(value):
            return Drop(predicate=value)
    raise ConfigError(f"drop {value!r} is not possible: it takes {_FORMS}")


class _DropStage(Stage):
    __slots__ = ("_count", "_drop")

    def __init__(self, drop: Drop) -> None:
        super().__init__()
        self._drop = drop
        self._count = 0

    def send(self, frame: Frame, now: float) -> None:
        drop = self._drop
        if drop.predicate is not None and not drop.predicate(Packet(frame)):
            self.next(frame, now)
            return
        self._count += 1
        if drop.positions is not None:
            dropped = self._count in drop.positions
        else:
            pattern = drop.pattern
            dropped = pattern is None or pattern[(self._count - 1) % len(pattern)] == "x"
        if dropped:
            self.report("drop", frame, now)
        else:
            self.next(frame, now)


class BlackHole(Stage):
    """Swallows what the predicate holds for."""

    __slots__ = ("_predicate",)

    def __init__(self, predicate: Predicate) -> None:
        super().__init__()
        if not callable(predicate):
            raise ConfigError(f"a black hole needs a function of the packet, not {predicate!r}")
        self._predicate = predicate

    def send(self, frame: Frame, now: float) -> None:
        """Swallow it, or hand it on."""
        if self._predicate(Packet(frame)):
            self.report("black_hole", frame, now)
        else:
            self.next(frame, now)

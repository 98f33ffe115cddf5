"""Attributes of toxics: what values they take, as JSON has them, and what is made of these.

A number is in the unit of the attribute, as with Toxiproxy: milliseconds, say. Where netem has a
notation a text in it will do as well: "50ms", "1%", "10mbit". What is kept, and shown, is always
the number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.core.units import parse_probability, parse_rate_bps, parse_size_bytes, parse_time_s

MAX_INTEGER: Final = (1 << 63) - 1  # Toxiproxy's are int64
_HUGE: Final = 1e300
_SENTENCE: Final = 200  # letters


class Kind(Protocol):
    """What the value of an attribute may be."""

    @property
    def about(self) -> str:
        """Return what it takes, as the end of "it must be"."""
        ...

    def read(self, value: object) -> object:
        """Return the value as it is kept. Raises ConfigError."""
        ...


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number; 5.0 is one too, since not every language tells it from 5."""

    least: int = 0
    most: int = MAX_INTEGER

    @property
    def about(self) -> str:
        """Return what it takes."""
        if self.most == MAX_INTEGER:
            return f"a whole number, {self.least} or more"
        return f"a whole number, {self.least} to {self.most}"

    def read(self, value: object) -> int:
        """Return the number. Raises ConfigError."""
        number = _number(value)
        if number != math.floor(number) or not self.least <= number <= self.most:
            raise ConfigError
        return int(number)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a unit of ours, or a text in netem's notation."""

    about: str
    parse: Callable[[str | float], float]
    per: float = 1.0  # how many of our units are in one of the parser's
    least: float = 0.0
    most: float = math.inf
    whole: bool = False

    def read(self, value: object) -> float:
        """Return the number in our unit. Raises ConfigError."""
        number = self.parse(value) * self.per if isinstance(value, str) else _number(value)
        if not self.least <= number <= self.most or (self.whole and number != math.floor(number)):
            raise ConfigError
        return int(number) if number == math.floor(number) else number


@dataclass(frozen=True, slots=True)
class Switch:
    """True or false; the texts of these too, since Toxiproxy's CLI knows numbers and texts only."""

    about: ClassVar[str] = "true or false"

    def read(self, value: object) -> bool:
        """Return it. Raises ConfigError."""
        if isinstance(value, bool):
            return value
        if value == "true" or value == "false":
            return value == "true"
        raise ConfigError


@dataclass(frozen=True, slots=True)
class Text:
    """A text that means something to whoever `check`s it, by raising ConfigError."""

    about: str
    check: Callable[[str], object]
    optional: bool = False  # "" stands for nothing

    def read(self, value: object) -> str:
        """Return it. Raises ConfigError."""
        if not isinstance(value, str):
            raise ConfigError
        text = " ".join(value.split())
        if text:
            self.check(text)
        elif not self.optional:
            raise ConfigError
        return text


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    @property
    def about(self) -> str:
        """Return what it takes."""
        return f"one of {', '.join(self.words)}"

    def read(self, value: object) -> str:
        """Return it. Raises ConfigError."""
        if not isinstance(value, str):
            raise ConfigError
        if value not in self.words:
            raise ConfigError(f"there is no {value!r}{suggest(value, self.words)}")
        return value


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a type of toxic."""

    name: str
    kind: Kind
    unit: str  # of a number: "ms"; "": it has none
    about: str  # a sentence, in Markdown
    default: object = 0

    def read(self, value: object) -> object:
        """Return the value as it is kept. Raises ConfigError, whose text names the attribute."""
        try:
            return self.kind.read(value)
        except ConfigError as error:
            unit = f" ({self.unit})" if self.unit else ""
            why = brief(str(error)) or f"it must be {self.kind.about}{unit}"
            raise ConfigError(f"attribute {self.name} is {brief(repr(value))}: {why}") from None


def milliseconds(*, least: float = 0.0) -> Quantity:
    """Return a time: 50, 0.5, or "50ms"."""
    about = f"a time, {least:g} or more, or a text such as '50ms'"
    return Quantity(about, parse_time_s, 1e3, least, most=1e12)


PROBABILITY: Final = Quantity(
    "a probability, 0 to 1, or a text such as '1%'", parse_probability, most=1.0
)
RATE: Final = Quantity("a rate, 0 or more, or a text such as '10mbit'", parse_rate_bps, most=1e15)


def size(least: int, most: int) -> Quantity:
    """Return a number of bytes: 1400, or "1kb"."""
    about = f"a size, {least} to {most}, or a text such as '1kb'"
    return Quantity(about, parse_size_bytes, 1.0, least, most, whole=True)


def brief(text: str) -> str:
    """Return what a stranger said, or what came of it, no longer than a sentence may be."""
    return text if len(text) <= _SENTENCE else f"{text[: _SENTENCE - 3]}..."


def _number(value: object) -> float:
    """Return a number of JSON, where true is none. Raises ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError
    if not abs(value) <= _HUGE:  # infinite, not a number, or more than a float can hold
        raise ConfigError
    return value

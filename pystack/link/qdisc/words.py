"""The words of a queue's configuration: from text or numbers to values, checked."""

import math
import re
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.units import parse_fraction, parse_time_s

# What a word may be given as: tc's text, or a number in the unit of the result.
Word = str | float

_COUNT: Final = re.compile(r"([0-9]+)(p|pkt|pkts|packet|packets)?", re.ASCII)


def count(name: str, value: Word, least: int = 1) -> int:
    """Return a number of packets, flows, bands: from "100", "100p", or 100. Raises ConfigError."""
    if isinstance(value, str):
        match = _COUNT.fullmatch(value.strip())
        number = int(match[1]) if match else -1
    else:
        number = int(value) if math.isfinite(value) and value == int(value) else -1
    if number < least:
        raise ConfigError(f"{name} {value!r} is not possible: a whole number from {least} on")
    return number


def duration_s(name: str, value: Word) -> float:
    """Return seconds, above 0. Raises ConfigError."""
    duration = parse_time_s(value)
    if duration == 0:
        raise ConfigError(f"{name} {value!r} is not possible: it must be above 0")
    return duration


def factor(name: str, value: Word, most: float = math.inf) -> float:
    """Return a plain number, above 0 and up to `most`. Raises ConfigError."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number <= most or math.isinf(number):
        bound = f" and up to {most:g}" if most < math.inf else ""
        raise ConfigError(f"{name} {value!r} is not possible: a number above 0{bound}")
    return number


def chance(name: str, value: Word) -> float:
    """Return a probability above 0, up to 1. Raises ConfigError."""
    probability = parse_fraction(value)  # tc-red(8): bare text is 0..1 there
    if probability == 0:
        raise ConfigError(f"{name} {value!r} is not possible: it must be above 0")
    return probability

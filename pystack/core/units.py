"""Quantities in text as tc(8) writes them: "10mbit", "20ms", "64kb", "1%".

A number has the unit of the result (seconds, bits per second, bytes, 0..1), so that the Python API
takes 0.02 as well as "20ms". A text says its unit: "50" would be 50 microseconds to tc and 50
seconds to whoever writes numbers, "1" one per cent or all. Bytes need none, and 0 is 0 in each
unit.
"""

import math
import re
from collections.abc import Callable
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.suggest import nearest

# tc(8), PARAMETERS: SI prefixes are powers of 1000, IEC ones (kibit) of 1024; "bps" is BYTES/s.
_RATES: Final[dict[str, float]] = {
    "": 1,
    "bit": 1,
    "kbit": 1e3,
    "mbit": 1e6,
    "gbit": 1e9,
    "tbit": 1e12,
    "kibit": 2**10,
    "mibit": 2**20,
    "gibit": 2**30,
    "tibit": 2**40,
    "bps": 8,
    "kbps": 8e3,
    "mbps": 8e6,
    "gbps": 8e9,
    "tbps": 8e12,
    "kibps": 8 * 2**10,
    "mibps": 8 * 2**20,
    "gibps": 8 * 2**30,
    "tibps": 8 * 2**40,
}
_TIMES: Final[dict[str, float]] = {
    "": 1,
    "s": 1,
    "sec": 1,
    "secs": 1,
    "ms": 1e-3,
    "msec": 1e-3,
    "msecs": 1e-3,
    "us": 1e-6,
    "usec": 1e-6,
    "usecs": 1e-6,
    "ns": 1e-9,
    "nsec": 1e-9,
    "nsecs": 1e-9,
    "min": 60,
    "h": 3600,
}
# tc(8): sizes count in 1024s; "kbit" here is a size in bits.
_SIZES: Final[dict[str, float]] = {
    "": 1,
    "b": 1,
    "k": 2**10,
    "kb": 2**10,
    "m": 2**20,
    "mb": 2**20,
    "g": 2**30,
    "gb": 2**30,
    "kbit": 2**10 / 8,
    "mbit": 2**20 / 8,
    "gbit": 2**30 / 8,
}
_PARTS: Final[dict[str, float]] = {"": 1, "%": 0.01}

_QUANTITY: Final = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z%]*)\s*", re.ASCII)


def parse_rate_bps(value: str | float) -> float:
    """Return bits per second, above 0: from "10mbit", "100kbps" (bytes!), or a number."""
    rate = _parse(value, _RATES, "a rate", "10mbit", _bare_rate)
    if rate == 0:
        raise ConfigError(f"a rate of {value!r} lets nothing through; leave it out for no limit")
    return rate


def parse_time_s(value: str | float) -> float:
    """Return seconds, 0 or more: from "20ms", "1.5s", "300us", or a number of seconds."""
    return _parse(value, _TIMES, "a time", "20ms", _bare_time)


def parse_size_bytes(value: str | float) -> int:
    """Return bytes, 0 or more: from "64kb", "1mb", or a number of bytes."""
    return round(_parse(value, _SIZES, "a size", "64kb"))


def parse_probability(value: str | float) -> float:
    """Return 0..1: from "1%", "0.5%", or a number that is 0..1 already."""
    return _at_most_1(value, _parse(value, _PARTS, "a probability", "1%", _bare_part))


def parse_fraction(value: str | float) -> float:
    """Return 0..1 as `parse_probability`, for words whose bare text tc too takes for 0..1."""
    return _at_most_1(value, _parse(value, _PARTS, "a probability", "1%"))


def ratio_of_units(unit: str, other: str) -> float:
    """Return how many of another unit one of a unit is: 1000 for "s" and "ms". ConfigError."""
    unit, other = unit.lower(), other.lower()
    for units in (_RATES, _TIMES, _SIZES, _PARTS):
        if unit and other and unit in units and other in units:
            return units[unit] / units[other]
    raise ConfigError(f"{unit!r} and {other!r} are no units of the same kind")


def time_text(seconds: float) -> str:
    """Return a time as tc(8) writes it: "50ms"."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.6g}{unit}"
    return f"{seconds / 1e-9:.6g}ns" if seconds else "0s"


def rate_text(bps: float) -> str:
    """Return a rate as tc(8) writes it: "10mbit"."""
    for unit, size in (("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)):
        if bps >= size:
            return f"{bps / size:.6g}{unit}"
    return f"{bps:.6g}bit"


def part_text(part: float) -> str:
    """Return a probability in per cent: "1%"."""
    return f"{part * 100:.6g}%"


def _at_most_1(value: str | float, probability: float) -> float:
    if probability > 1:
        raise ConfigError(f"the probability {value!r} is above 1 (a percentage needs its % sign)")
    return probability


# What a text without a unit would mean: to tc, to someone who takes it for a number, and what to
# write
def _bare_time(text: str) -> str:
    return f"{text} us (tc) or {text} s? Write {text}us, {text}ms or {text}s"


def _bare_rate(text: str) -> str:
    return f"{text} bit/s (tc) or {text} Mbit/s? Write {text}bit or {text}mbit"


def _bare_part(text: str) -> str:
    part, percent = f"{float(text) / 100:.12g}", f"{float(text) * 100:.12g}"
    if float(text) > 1:
        return f"{text} % (tc)? Write {text}%, or {part} as a number"
    return f"{text} % (tc) or {percent} %? Write {text}% or {percent}%, or {part} as a number"


def _parse(
    value: str | float,
    units: dict[str, float],
    what: str,
    example: str,
    bare: Callable[[str], str] | None = None,
) -> float:
    """`bare`: how a text without a unit may be read, if there are two ways; None: it is taken."""
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.lower())
        if match is None or match[2] not in units:
            raise _no_quantity(value, match, units, what, example)
        number = float(match[1]) * units[match[2]]
        if bare is not None and not match[2] and number:
            raise ConfigError(f"{value!r} has no unit: {bare(match[1])}")
    else:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except OverflowError:
            number = math.inf
        except (TypeError, ValueError):
            raise ConfigError(f"{value!r} is not {what} (like {example!r}, or a number)") from None
    if not math.isfinite(number) or number < 0:
        raise ConfigError(f"{value!r} is not {what}: it must be 0 or more, and finite")
    return number


def _no_quantity(
    value: str, match: re.Match[str] | None, units: dict[str, float], what: str, example: str
) -> ConfigError:
    """Return the error for a text: it has the nearest unit, if the number is one."""
    if match is None:
        wrong = _QUANTITY.fullmatch(value.lower().removeprefix("-"))
        if wrong is not None and wrong[2] in units:
            return ConfigError(f"{value!r} is not {what}: it must be 0 or more, and finite")
    elif not any(match[2] in known for known in (_RATES, _TIMES, _SIZES)):  # a slip, no mix-up
        near = nearest(match[2], [unit for unit in units if unit])
        if near is not None:
            return ConfigError(f"{value!r} is not {what}; did you mean '{match[1]}{near}'?")
    known = " ".join(unit for unit in units if unit)
    return ConfigError(f"{value!r} is not {what} (like {example}; units: {known})")

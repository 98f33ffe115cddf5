"""The calendar of a world, and the clocks of its hosts, in words: epoch, offset, drift."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.units import parse_time_s

DEFAULT_EPOCH: Final = "2026-01-01T00:00:00Z"
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
LAST_S: Final = (_LAST - _FIRST).total_seconds()
_MOST_OFFSET_S: Final = 100 * 366 * 86400.0
_PPM: Final = re.compile(r"([+-]?[0-9]*\.?[0-9]+)\s*(ppm|%)", re.ASCII)
_PARTS: Final = {"ppm": 1e-6, "%": 1e-2}


def parse_epoch_s(value: object) -> float:
    """Return the seconds since 1970 at which a world's time is 0. Raises ConfigError.

    From a date with a time ("2026-01-01T00:00:00Z"; without a zone it is UTC), a datetime, or
    seconds since 1970.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip().upper())
        except ValueError:
            raise _no_epoch(value) from None
    if isinstance(value, datetime):
        value = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        value = (value - _FIRST).total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _no_epoch(value)
    if not 0 <= value <= LAST_S:
        raise ConfigError(f"the epoch {value!r} is not between 1970 and 9000")
    return float(value)


def parse_offset_s(value: object) -> float:
    """Return by how much a clock is ahead, in seconds: "2s", "-300ms", or a number. ConfigError."""
    if isinstance(value, str):
        text = value.strip()
        behind = text.startswith("-")
        seconds = parse_time_s(text[1:] if text[:1] in ("+", "-") else text)
        value = -seconds if behind else seconds
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"a clock's offset is a time (like '2s' or '-300ms'), not {value!r}")
    if not abs(value) <= _MOST_OFFSET_S:  # NaN is not either
        raise ConfigError(f"a clock's offset of {value!r} s is more than a hundred years")
    return float(value)


def parse_drift(value: object) -> float:
    """Return how much too fast a clock is, in seconds per second: "50ppm", "-1%", or a number.

    Between -0.5 and 0.5. Raises ConfigError.
    """
    drift = value
    if isinstance(value, str):
        match = _PPM.fullmatch(value.strip().lower())
        if match is None:
            raise ConfigError(f"a clock's drift is a rate like '50ppm' or '-1%', not {value!r}")
        drift = float(match[1]) * _PARTS[match[2]]
    if isinstance(drift, bool) or not isinstance(drift, int | float) or math.isnan(drift):
        raise ConfigError(f"a clock's drift is a rate like '50ppm', or a number, not {value!r}")
    if not -0.5 <= drift <= 0.5:
        raise ConfigError(f"a clock's drift of {value!r} is more than a half: it is s per s")
    return float(drift)


def _no_epoch(value: object) -> ConfigError:
    return ConfigError(
        f"an epoch is a date with a time (like {DEFAULT_EPOCH!r}), a datetime, or seconds since "
        f"1970, not {value!r}"
    )


DEFAULT_EPOCH_S: Final = parse_epoch_s(DEFAULT_EPOCH)

"""What parameters, constants and measurements can be, and what they can be called."""

from __future__ import annotations

import math
from typing import Final

from pystack.core.errors import ConfigError
from pystack.experiments.model import Value

WHOLE_MAX: Final = 2**63  # Parquet has 64 bits for them

TEXT_MAX: Final = 1 << 16  # characters of one value
# Columns of all results; the last two are added where several folders are loaded.
COLUMNS: Final = (
    *("number", "repetition", "seed", "ended", "error", "version", "digest"),
    *("identity", "results"),
)
# What no parameter and no measurement can be called: columns of results are, and what is offered.
RESERVED: Final = (*COLUMNS, "run")


def check_value(value: object, what: str) -> Value:
    """Return what a parameter or a constant can be, of Python's own types. Raises ConfigError."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _check_text(str.__str__(value), what)
    if isinstance(value, int):
        if not -WHOLE_MAX <= value < WHOLE_MAX:
            raise ConfigError(f"{what}: {value} does not fit into 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{what}: {value} is not finite")
        return float(value)  # numpy's are of a class of their own
    raise ConfigError(
        f"{what} can be a text, a number, true or false, not {type(value).__name__} ({value!r})"
    )


def _check_text(text: str, what: str) -> str:
    if len(text) > TEXT_MAX:
        raise ConfigError(f"{what}: a text of {len(text):,} characters: {TEXT_MAX:,} are the most")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{what}: {text[:40]!r} is no text: no UTF-8 has its character {error.start + 1}"
            ) from None
    return text


def check_name(name: object, what: str = "parameter") -> str:
    """Return what a parameter can be called. Raises ConfigError."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(f"{name!r} is no name of a {what}: letters, digits and _ make one")
    if name in RESERVED:
        raise ConfigError(
            f"no {what} can be called {name!r}, for results have that: call it otherwise"
        )
    return name

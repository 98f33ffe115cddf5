"""What a number may be, and the one error for what is outside of it: ConfigError, a ValueError.

Where sockets have a word for that too (EINVAL), it is a `RangeError`, which is both.
"""

import math
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import ConfigError

_MANY: Final = 1 << 31  # more than anybody means


@dataclass(frozen=True, slots=True)
class Range:
    """What a number may be, both ends included; never a bool, a text, or NaN."""

    least: float = 0
    most: float = _MANY
    whole: bool = True
    above: bool = False  # `least` itself is too little
    optional: bool = False  # None will do

    def check(self, name: str, value: object) -> None:
        """Raise ConfigError for what it may not be."""
        if not self.allows(value):
            raise ConfigError(f"{name} is {value!r}: it must be {self}")

    def allows(self, value: object) -> bool:
        """Tell whether a value may be that."""
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return self.least < value <= self.most or (value == self.least and not self.above)

    def __str__(self) -> str:
        """Return it in words."""
        least = f"{self.least:g}"
        if self.most == 1 << 30:
            bounds = f"{least} to 2**30"
        elif self.most < 1e9:
            bounds = f"{least} to {self.most:g}"
        else:
            bounds = f"more than {least}" if self.above else f"{least} or more"
        return ("a whole number, " if self.whole else "") + bounds + (" or None" * self.optional)


def check_switch(name: str, value: object) -> None:
    """Raise ConfigError for what is neither True nor False."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}: it must be True or False")


COUNT: Final = Range()
FROM_ONE: Final = Range(1)
TTL: Final = Range(1, 255)
DURATION: Final = Range(0, math.inf, whole=False)  # seconds; infinity: for ever
PORT: Final = Range(0, 0xFFFF)

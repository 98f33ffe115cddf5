"""Which sequence numbers have come, so that none is taken twice (as RFC 4303 section 3.4.3 has it).

A bit for each of the last numbers: as much memory whatever arrives.
"""

from typing import Final

# What overtakes by more is lost. A path that reorders does it by tens, and a queue of the kernel's
# on the way holds a thousand.
WINDOW: Final = 1024
_ALL: Final = (1 << WINDOW) - 1


class ReplayWindow:
    """The highest number that came, and which of those before it."""

    __slots__ = ("_seen", "top")

    def __init__(self) -> None:
        self.top = 0  # numbers begin with 1
        self._seen = 1  # bit i: `top` - i has come; 0 counts as come

    def is_new(self, number: int) -> bool:
        """Tell whether it has not come yet, as far as that can be known."""
        age = self.top - number
        return age < 0 or (age < WINDOW and not self._seen >> age & 1)

    def note(self, number: int) -> None:
        """Take note of one that is new. Not before its tag was found right."""
        ahead = number - self.top
        if ahead <= 0:
            self._seen |= 1 << -ahead
            return
        self.top = number
        self._seen = 1 if ahead >= WINDOW else (self._seen << ahead | 1) & _ALL

    def note_run(self, count: int) -> None:
        """Take note of as many that follow the highest one, each the next (HOT)."""
        if count:
            self.top += count
            self._seen = (self._seen << count | (1 << count) - 1) & _ALL

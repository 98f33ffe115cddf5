"""Counters by name: nothing is dropped or refused without one of them saying so."""


class Counters(dict[str, int]):
    """Names to numbers; a name that was never counted reads as 0 (and is not stored)."""

    __slots__ = ()

    def __missing__(self, name: str) -> int:
        """Return 0 for what was never counted."""
        return 0

    def add(self, name: str, count: int = 1) -> None:
        """Count `name`."""
        self[name] = self[name] + count

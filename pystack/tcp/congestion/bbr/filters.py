"""The maxima over windows of draft-ietf-ccwg-bbr-06, sections 5.5.5 and 5.5.9."""

from collections import deque


class MaxBwFilter:
    """The largest of this cycle of ProbeBW and of the one before it."""

    __slots__ = ("_current", "_last")

    def __init__(self) -> None:
        self._last = 0.0
        self._current = 0.0

    @property
    def largest(self) -> float:
        """Return BBR.max_bw."""
        return max(self._last, self._current)

    def take(self, value: float) -> None:
        """Take a sample of this cycle."""
        self._current = max(self._current, value)

    def advance(self) -> None:
        """Begin a new cycle, section 5.5.6; one without any sample, as in Linux, was none."""
        if self._current:
            self._last, self._current = self._current, 0.0


class WindowedMax:
    """The largest value of the last rounds; each round, of which there are few, holds one place."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[tuple[int, float]] = deque()  # (round, value), values falling

    def update(self, value: float, at_round: int, rounds: int) -> float:
        """Take a value; return the largest of the `rounds` that end with this one."""
        kept = self._kept
        while kept and kept[-1][1] <= value:
            kept.pop()
        # A smaller value of the same round will never be the largest.
        if not kept or kept[-1][0] != at_round:
            kept.append((at_round, value))
        while kept[0][0] <= at_round - rounds:
            kept.popleft()
        return kept[0][1]

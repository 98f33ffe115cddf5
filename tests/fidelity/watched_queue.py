"""A queue that remembers how long each frame has waited in it, and what was dropped or marked."""

from collections import Counter

from pystack.core.rng import Random
from pystack.link.qdisc.base import Report
from pystack.link.qdisc.registry import parse_qdisc
from pystack.wire.frame import Frame


class WatchedQueue:
    """Any queue, from tc's text, with a look at what passes."""

    def __init__(self, text: str) -> None:
        self._inner = parse_qdisc(text)(Random(1))
        self._came_at: dict[int, float] = {}
        self.reasons: Counter[str] = Counter()
        self.sojourns_s: list[tuple[float, float, Frame]] = []  # when it left, after how long

    def itself(self, _rng: Random) -> "WatchedQueue":
        """Return it, where a link wants what makes a queue: one direction alone may have it."""
        return self

    @property
    def report(self) -> Report:
        return self._inner.report

    @report.setter
    def report(self, report: Report) -> None:
        def told(reason: str, frame: Frame, now: float) -> None:
            self.reasons[reason] += 1
            report(reason, frame, now)

        self._inner.report = told

    def enqueue(self, frame: Frame, now: float) -> None:
        # Who marks puts another frame in its place; what is the same is its identity in TCP.
        self._came_at[hash(frame.data[34:])] = now
        self._inner.enqueue(frame, now)

    def dequeue(self, now: float) -> Frame | None:
        frame = self._inner.dequeue(now)
        if frame is not None:
            came_at = self._came_at.pop(hash(frame.data[34:]), now)
            self.sojourns_s.append((now, now - came_at, frame))
        return frame

    def next_at(self, now: float) -> float:
        return self._inner.next_at(now)

    def drain(self, now: float) -> list[Frame]:
        return self._inner.drain(now)

    def __len__(self) -> int:
        return len(self._inner)

    @property
    def backlog_bytes(self) -> int:
        return self._inner.backlog_bytes

    def delays_s(self, after_s: float, ecn: bool | None = None) -> list[float]:
        """Return in order of size how long frames have waited that left after that time.

        `ecn`: only of frames that are ECN-capable (True), or not (False); None: of all.
        """
        return sorted(
            waited
            for left_at, waited, frame in self.sojourns_s
            if left_at > after_s and (ecn is None or bool(frame.data[15] & 3) is ecn)
        )

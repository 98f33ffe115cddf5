"""A chain of toxics in a splice of its own, for tests."""

import math
from collections.abc import Iterable
from random import Random

from pystack.apps.proxy.toxics.chain import Chain
from pystack.apps.proxy.toxics.registry import checked
from pystack.apps.proxy.toxics.spec import ToxicSpec
from pystack.core.scheduler import Scheduler


def toxic(type_name: str, name: str = "", /, **attributes: object) -> ToxicSpec:
    return checked(ToxicSpec(name, type_name, attributes=attributes))


class Line:
    """A chain, the splice that it stands in, and its world's time."""

    def __init__(self, *toxics: ToxicSpec, seed: int = 7) -> None:
        self.scheduler = Scheduler()
        self.room_bytes: float = math.inf
        self.told: list[tuple[float, str]] = []  # each what was put, or "end", "close", "reset"
        self.reads_on = 0
        self.over = False
        self.chain = Chain(self.scheduler, Random(seed), toxics)
        self.chain.begin(self, self.scheduler.now)

    # what the splice offers

    def put(self, data: bytes | memoryview, now: float) -> int:
        size = int(min(len(data), self.room_bytes))
        self.room_bytes -= size
        if size:
            self._tell(now, bytes(data[:size]).decode())
        return size

    def end(self, now: float) -> None:
        self._tell(now, "end")

    def close(self, now: float) -> None:
        self._tell(now, "close")
        self._end(now)

    def reset(self, now: float) -> None:
        self._tell(now, "reset")
        self._end(now)

    def read_on(self, now: float) -> None:
        self.reads_on += 1

    # what a test does

    def take(self, text: str) -> None:
        assert 0 < len(text) <= self.chain.room_bytes
        self.chain.take(text.encode(), self.scheduler.now)

    def finish(self) -> None:
        self.chain.end(self.scheduler.now)

    def update(self, *toxics: ToxicSpec) -> None:
        self.chain.update(toxics, self.scheduler.now)

    def make_room(self, size: float) -> None:
        self.room_bytes = size
        self.chain.room(self.scheduler.now)

    def run(self, until: float = math.inf) -> list[tuple[float, str]]:
        """Let time pass; return what was told since the last time, instants to a microsecond."""
        while (when := self.scheduler.next_at()) <= min(until, 1e9):
            self.scheduler.run_due(when)
        if until < math.inf:
            self.scheduler.run_due(until)
        told, self.told = self.told, []
        return [(round(when, 6), what) for when, what in told]

    def _tell(self, now: float, what: str) -> None:
        assert not self.over
        self.told.append((now, what))

    def _end(self, now: float) -> None:
        self.over = True
        self.chain.over(now)


def joined(told: Iterable[tuple[float, str]]) -> str:
    return "".join(what for _, what in told)

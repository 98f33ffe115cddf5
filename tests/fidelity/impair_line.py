"""One pipe, a hundred thousand frames, and what became of each."""

from typing import Final

from pystack.core.rng import component_rng
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.pipe import Pipe
from pystack.wire.frame import Frame

PACKETS: Final = 100_000


class Line:
    """Sends numbered frames at even intervals through a pipe of these words."""

    def __init__(
        self,
        *,
        seed: int = 7,
        packets: int = PACKETS,
        spacing_s: float = 0.0,
        size: int = 100,
        **words: object,
    ) -> None:
        self.packets = packets
        self.spacing_s = spacing_s
        self.numbers: list[int] = []
        self.times: list[float] = []
        self.frames: list[Frame] = []
        scheduler = Scheduler()
        self.pipe = Pipe(
            scheduler, self._take, PipeConfig.parse(**words), component_rng(seed, "line")
        )
        rest = bytes(size - 4)
        for number in range(packets):
            now = number * spacing_s
            scheduler.run_due(now)
            self.pipe.send(Frame(number.to_bytes(4, "big") + rest), now)
        scheduler.run_due(float("inf"))

    def _take(self, frame: Frame, now: float) -> None:
        self.frames.append(frame)
        self.times.append(now)
        self.numbers.append(int.from_bytes(frame.data[:4], "big"))

    @property
    def lost(self) -> list[bool]:
        """Return of each frame whether it was lost."""
        there = set(self.numbers)
        return [number not in there for number in range(self.packets)]

    @property
    def delays_s(self) -> list[float]:
        """Return how long each frame took, in the order of sending."""
        arrived = sorted(zip(self.numbers, self.times, strict=True))
        return [at - number * self.spacing_s for number, at in arrived]

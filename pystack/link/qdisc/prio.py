"""Strict priorities, tc-prio(8): band 0 before band 1, and so on; each band is an own queue."""

from collections.abc import Sequence
from typing import Final

from pystack.core.errors import ConfigError
from pystack.link.qdisc.base import Qdisc, Report, ignore
from pystack.wire.ecn import tos
from pystack.wire.frame import Frame

DEFAULT_BANDS: Final = 3
DEFAULT_PRIOMAP: Final = (1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)

# TOS bits 0x1C to Linux's priorities: best effort 0, bulk 2, interactive 6, interactive bulk 4.
# The lowest bit of the old TOS field (0x02, "minimize cost") counts no longer: it belongs to ECN.
_PRIORITIES: Final = (0, 0, 2, 2, 6, 6, 4, 4)


def priority(frame: Frame) -> int:
    """Return Linux's priority of a frame, from its TOS byte; 0 for what isn't IP."""
    return _PRIORITIES[(tos(frame) & 0x1C) >> 2]


def check_bands(number: int) -> None:
    """Raise ConfigError for more bands than there can be, or fewer."""
    if not 2 <= number <= 16:  # Linux: TCQ_PRIO_BANDS
        raise ConfigError(f"{number} bands: there can be 2 to 16")


class Prio:
    """Bands of queues, served in order."""

    __slots__ = ("_priomap", "_report", "bands")

    def __init__(self, bands: Sequence[Qdisc], priomap: Sequence[int] = DEFAULT_PRIOMAP) -> None:
        """`priomap`: for each of the 16 priorities, the band. Raises ConfigError."""
        check_bands(len(bands))
        if len(priomap) != 16:
            raise ConfigError(
                f"the priomap needs 16 bands, one for each priority, not {len(priomap)}"
            )
        for number in priomap:
            if not 0 <= number < len(bands):
                raise ConfigError(
                    f"the priomap names band {number}, but there are 0 to {len(bands) - 1}"
                )
        self.bands = tuple(bands)
        self._priomap = tuple(priomap)
        self._report: Report = ignore

    @property
    def report(self) -> Report:
        """Return the receiver of reports about drops and marks in all bands."""
        return self._report

    @report.setter
    def report(self, report: Report) -> None:
        self._report = report
        for band in self.bands:
            band.report = report

    def enqueue(self, frame: Frame, now: float) -> None:
        """Hand it to the band of its priority."""
        self.bands[self._priomap[priority(frame)]].enqueue(frame, now)

    def dequeue(self, now: float) -> Frame | None:
        """Return a frame of the first band that gives one."""
        for band in self.bands:
            frame = band.dequeue(now)
            if frame is not None:
                return frame
        return None

    def next_at(self, now: float) -> float:
        """Return when the first of the bands may have something."""
        return min(band.next_at(now) for band in self.bands)

    def drain(self, now: float) -> list[Frame]:
        """Take out all that wait, band by band."""
        return [frame for band in self.bands for frame in band.drain(now)]

    def __len__(self) -> int:
        """Return how many frames wait in all bands."""
        return sum(len(band) for band in self.bands)

    @property
    def backlog_bytes(self) -> int:
        """Return how many bytes wait in all bands."""
        return sum(band.backlog_bytes for band in self.bands)

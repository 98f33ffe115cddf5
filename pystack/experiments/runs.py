"""What a function of an experiment may ask for, by a parameter called `run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pystack.experiments.model import Track, Value


@dataclass(frozen=True, slots=True)
class SeriesWriter:
    """Writes one time series down, of as many subjects as one likes."""

    series: str
    unit: str
    _tracks: dict[tuple[str, str], Track]

    def add(self, time_s: float, value: float, subject: str = "") -> None:
        """Write down what it is at a time; times of one subject do not go backwards."""
        track = self._tracks.get((self.series, subject))
        if track is None:
            track = Track(self.series, subject, self.unit)
            self._tracks[self.series, subject] = track
        track.add(time_s, value)


class Run:
    """One run, for the function that does it."""

    def __init__(self, parameters: Mapping[str, Value], seed: int) -> None:
        self.parameters = parameters  # constants among them
        self.seed = seed
        self._tracks: dict[tuple[str, str], Track] = {}

    def series(self, name: str, unit: str = "") -> SeriesWriter:
        """Return what writes a time series down: `run.series("queue", "packets").add(now, 3)`."""
        return SeriesWriter(name, unit, self._tracks)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What has been written down, in the order in which it began."""
        return tuple(self._tracks.values())

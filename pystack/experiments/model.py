"""What an experiment is: a base that is run at points, with seeds, and what is measured of it.

An experiment is data: it goes to other processes and machines as JSON and the texts of its files.
What a run came to is data too, and depends on nothing but the experiment, its point and pystack's
version: neither on the machine nor on the process, the order or the time that it took.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from pystack.core.errors import ConfigError
from pystack.core.ranges import Range

_LEAST_BYTES: Final = 64 << 20  # a process that has imported pystack has as many

# What a parameter, a constant and a measurement may be.
Value = bool | int | float | str

if TYPE_CHECKING:
    Doubles = array[float]
else:
    Doubles = array  # Python 3.11 knows no array[float] when somebody looks a type up

Ended = Literal["ok", "raised", "time_limit", "memory_limit", "died", "wrong_result"]

ENDED: Final[Mapping[Ended, str]] = {
    "ok": "it returned its measurements",
    "raised": "it raised an error",
    "time_limit": "it took longer than its time limit, and was ended",
    "memory_limit": "it needed more memory than its limit, and was ended",
    "died": "its process died, in each attempt",
    "wrong_result": "what it returned is no measurement",
}


class WordError(ConfigError):
    """A parameter, a constant or another word of an experiment is wrong: which one."""

    def __init__(self, word: str, sentence: str) -> None:
        super().__init__(sentence)
        self.word = word


@dataclass(frozen=True, slots=True)
class Point:
    """One run of an experiment: values for all of its parameters, and a seed."""

    number: int  # its place in the order of the experiment, from 0
    parameters: Mapping[str, Value]  # without the constants
    repetition: int  # from 0; the same repetition has the same seed everywhere
    seed: int

    def __str__(self) -> str:
        """Return it as sentences have it: "control = 'cubic', delay = '10ms', seed = 1"."""
        values = {**self.parameters, "seed": self.seed}
        return ", ".join(f"{name} = {value!r}" for name, value in values.items())

    def told(self, error: str) -> str:
        """Return what a run says of itself as a sentence that names it; "": nothing."""
        return f"run {self.number} ({self}): {error}" if error else ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may take."""

    time_s: float = 60.0  # of wall time
    memory_bytes: int = 2 << 30  # of its process
    attempts: int = 2  # how often it is tried in all, where its process dies

    def __post_init__(self) -> None:
        """Raise ConfigError for what nothing can run with."""
        Range(0, math.inf, whole=False, above=True).check("time_s", self.time_s)
        Range(1, 100).check("attempts", self.attempts)
        if not Range(_LEAST_BYTES, math.inf).allows(self.memory_bytes):
            raise ConfigError(
                f"memory_bytes is {self.memory_bytes!r}: no process of pystack needs less than "
                f"{_LEAST_BYTES} (64mb)"
            )


@dataclass(frozen=True, slots=True)
class SeriesSpec:
    """Which time series are written down, and how often."""

    of: tuple[str, ...]  # what of: "cwnd", "goodput", "queue"
    every_s: float | None = 0.1  # virtual time; None: at each ACK


@dataclass(frozen=True, slots=True)
class Compare:
    """What the values of one parameter are compared by, at the same others and the same seeds."""

    measure: str  # a column: "goodput_bps"
    between: str  # a parameter
    baseline: Value  # the value of it that the others are held against
    # True: a part of a file's experiment is run, which has the baseline no more (`--set`)
    is_left_out: bool = False

    @property
    def note(self) -> str:
        """Say why nothing is compared where no run has the baseline, since that was left out."""
        return (
            f"nothing is compared: what was set leaves out {self.between} = {self.baseline!r}, the "
            "baseline (--set compare.baseline= names another)"
        )


@dataclass(slots=True)
class Track:
    """One time series of one subject: columns of the same length, in order of time."""

    series: str  # its name: "cwnd"
    subject: str  # of what: "left1:49152>right1:5001"; "" if there is only one
    unit: str  # "bytes"; "" if it is a number
    times_s: Doubles = field(default_factory=lambda: array("d"))
    values: Doubles = field(default_factory=lambda: array("d"))

    def add(self, time_s: float, value: float) -> None:
        """Write a value down."""
        self.times_s.append(time_s)
        self.values.append(value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to, whatever place it has in whichever experiment."""

    ended: Ended
    # What went wrong, in one line that `Point.told` makes a sentence of; "": it is ok.
    error: str = ""
    measures: Mapping[str, Value | None] = field(default_factory=dict)  # by the names of columns
    series: bytes | None = None  # a Parquet file; None: there are none
    # SHA-256 over the measures and the series, in a form that is the same everywhere; "" unless ok.
    digest: str = ""


@dataclass(frozen=True, slots=True)
class FunctionBase:
    """A function of parameters, which returns measurements."""

    module: str  # its dotted name
    name: str  # in the module: "run", "Case.run"
    file: str | None = None  # in the bundle; None: it is installed wherever it runs

    def __str__(self) -> str:
        """Return it as a file names it: "mine.py:run", "pystack.experiments:dumbbell"."""
        return f"{self.file or self.module}:{self.name}"


@dataclass(frozen=True, slots=True)
class LabBase:
    """A lab's file, of which places are set for each point."""

    file: str  # in the bundle
    for_s: float | None  # virtual time; None: until its programs have ended
    # A place -> its value, or a text with names of parameters: "{rate}", "{flows}mbit"
    places: Mapping[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name of its file."""
        return self.file


Base = FunctionBase | LabBase

"""What the worker of a cluster does for a sweep: points in processes of its own machine.

The processes are those of a sweep at home, with the same limits. They stay for the next points, and
end when nobody has had any for a minute, or with the worker.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from pystack.experiments.model import Point
from pystack.experiments.running.processes import Crew
from pystack.experiments.running.supervisor import Done, Supervisor

_IDLE_S: Final = 60.0

# What makes a `Kind`. It is text, since it is asked of workers whose pystack may be another one.
ASK_KIND: Final = """(lambda sys, pystack, hashlib, Path: (
    lambda folder, digest: (
        [digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
            for path in sorted(folder.rglob("*.py"))],
        ("%d.%d" % sys.version_info[:2], pystack.__version__, digest.hexdigest()))[1]
    )(Path(pystack.__file__).parent, hashlib.sha256())
)(*map(__import__, ("sys", "pystack", "hashlib")), __import__("pathlib").Path)"""


class Kind(NamedTuple):
    """What has to be the same everywhere, so that the results are."""

    python: str  # "3.11"
    pystack: str  # its version
    sources: str  # SHA-256 over its files, for versions that are still being worked on

    def difference(self, other: Kind) -> str:
        """Say how another one differs; "": it does not."""
        if self.python != other.python:
            return f"has Python {other.python}, and here is {self.python}"
        if self.pystack != other.pystack:
            return f"has pystack {other.pystack}, and here is {self.pystack}"
        if self.sources != other.sources:
            return f"has a pystack {other.pystack} whose files differ from those here"
        return ""


@cache
def kind() -> Kind:
    """Return what this process is."""
    return Kind(*eval(ASK_KIND))


class Chunk(NamedTuple):
    """Points that are run one after the other."""

    sweep: str  # whose processes run them
    experiment: str  # as JSON, without its points
    points: tuple[Point, ...]
    kind: Kind  # of who asks for it


class Came(NamedTuple):
    """What a worker says of a chunk."""

    done: list[Done]  # not all of them: it is being stopped
    refused: str = ""  # why it runs nothing; "": it does


class _Station:
    """The processes of one sweep in this worker."""

    def __init__(self, text: str) -> None:
        from pystack.experiments.experiment import Experiment

        self.crew = Crew(Experiment.from_json(text), dies_with_thread=False)
        self.idle: list[Supervisor] = []
        self.busy = 0
        self.timer: threading.Timer | None = None  # None: some are at work


_stations: Final[dict[str, _Station]] = {}
_lock: Final = threading.Lock()


def run_chunk(chunk: Chunk) -> Came:
    """Run points, in a thread of a worker."""
    if difference := chunk.kind.difference(kind()):
        return Came([], difference)
    from distributed import get_worker

    where = str(get_worker().address)
    station, supervisor = _take(chunk)
    done: list[Done] = []
    try:
        supervisor.run(chunk.points, done.append)
    finally:
        _give_back(chunk.sweep, station, supervisor)
    return Came([each.at(where) for each in done])


def end_sweep(sweep: str) -> None:
    """End the processes of a sweep in this worker, whatever they do."""
    with _lock:
        station = _stations.pop(sweep, None)
    if station is not None:
        if station.timer is not None:
            station.timer.cancel()
        station.crew.close()


def _take(chunk: Chunk) -> tuple[_Station, Supervisor]:
    with _lock:
        station = _stations.get(chunk.sweep)
        if station is None:
            station = _stations[chunk.sweep] = _Station(chunk.experiment)
        if station.timer is not None:
            station.timer.cancel()
            station.timer = None
        station.busy += 1
        return station, station.idle.pop() if station.idle else Supervisor(station.crew)


def _give_back(sweep: str, station: _Station, supervisor: Supervisor) -> None:
    with _lock:
        station.idle.append(supervisor)
        station.busy -= 1
        if not station.busy and _stations.get(sweep) is station:
            station.timer = threading.Timer(_IDLE_S, _end_if_idle, (sweep, station))
            station.timer.daemon = True
            station.timer.start()


def _end_if_idle(sweep: str, station: _Station) -> None:
    with _lock:
        if station.busy or _stations.get(sweep) is not station:
            return
        del _stations[sweep]
    station.crew.close()


def kinds_that_differ(ours: Kind, found: Mapping[str, object]) -> list[str]:
    """Return a sentence for each worker that must not take part."""
    faults = []
    for where, told in sorted(found.items()):
        if isinstance(told, BaseException):
            faults.append(f"worker {where} has no pystack that can be used ({told})")
            continue
        assert isinstance(told, tuple)
        if difference := ours.difference(Kind(*told)):
            faults.append(f"worker {where} {difference}")
    return faults

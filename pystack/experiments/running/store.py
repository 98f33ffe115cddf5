"""The folder of a sweep while it runs: what has been done is kept, whatever happens.

Each run is a line of `rows.jsonl` as it ends, with its series beside it and what it has cost in
`timings.jsonl`. The system has a line at once, the disk within a second: of a sweep that is killed
nothing is lost, of a machine that loses its power a second at most.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError, OutputError
from pystack.experiments.results.description import (
    ASKED,
    experiment_json,
    read_description,
)
from pystack.experiments.results.journal import DAMAGES, JOURNAL, damaged, line_of, row_of
from pystack.experiments.results.series import series_file

if TYPE_CHECKING:
    from pystack.experiments.experiment import Experiment
    from pystack.experiments.running.supervisor import Done

TIMINGS: Final = "timings.jsonl"
LOCK: Final = ".lock"
_RUNS_MAX: Final = 100_000_000
_TO_DISK_S: Final = 1.0  # the disk has each line within that time
# Of `experiment.json`: in these, results do not differ, or it is said better by others.
_SAYS_NOTHING: Final = frozenset(
    {"identity", "experiment", "format", "name", "title", "compare", "limits", "runs", "files"}
)
_LOOK_BYTES: Final = 1 << 20


class Store:
    """A folder that a sweep writes to, alone. A `with` block."""

    def __init__(
        self, folder: Path, experiment: Experiment, *, resume: bool, retry: bool = False
    ) -> None:
        """Raises ConfigError where the folder is another's, or in use; OutputError: the disk."""
        self.folder = folder
        self._failed: set[int] = set()  # of the runs that are done
        if experiment.size > _RUNS_MAX:
            raise ConfigError(
                f"{experiment.size:,} runs are too many for one sweep: {_RUNS_MAX:,} are the most"
            )
        self._done = bytearray(len(experiment))  # 1: it is
        self._pending_since: float | None = None  # lines that the disk need not have; None: none
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
        try:
            with self._explained():
                self._begin(experiment, resume=resume or retry)
                if retry:
                    self._forget_failed()
                self._rows = _Lines(folder / JOURNAL)
                self._timings = _Lines(folder / TIMINGS)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Store:
        """Return it."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Have the disk keep what there is, and let others have the folder."""
        try:
            self._rows.close()
            self._timings.close()
        finally:
            os.close(self._lock)

    @property
    def count(self) -> int:
        """How many runs are done."""
        return self._done.count(1)

    @property
    def failed(self) -> int:
        """How many of these did not end well."""
        return len(self._failed)

    def has(self, number: int) -> bool:
        """Tell whether a run is done."""
        return self._done[number] == 1

    def add(self, done: Done) -> bool:
        """Keep a run; False: it is there already. Raises OutputError, and keeps what there was."""
        number = done.point.number
        if self._done[number]:
            return False
        with self._explained():
            if done.outcome.series is not None:
                file = series_file(self.folder, number)
                file.parent.mkdir(exist_ok=True)
                _write_beside(file, done.outcome.series)
            timing = {"number": number, **asdict(done.timing)}
            self._timings.add(json.dumps(timing, separators=(",", ":")))
            self._rows.add(line_of(done.point, done.outcome))
        self._note(number, done.outcome.ended)
        if self._pending_since is None:
            self._pending_since = time.monotonic()
        return True

    def sync(self) -> None:
        """Have the disk keep it, if it is time to; to be called now and then."""
        if self._pending_since is None or time.monotonic() - self._pending_since < _TO_DISK_S:
            return
        self._pending_since = None
        with self._explained():
            self._rows.sync()

    def finish(self) -> None:
        """Write rows.parquet out of all that is done. Raises OutputError."""
        from pystack.experiments.results.table import write_rows

        with self._explained():
            self._rows.sync()
            if find_spec("pyarrow") is not None:  # else the lines are all that there is
                write_rows(self.folder)

    def _begin(self, experiment: Experiment, *, resume: bool) -> None:
        """Find out what the folder is, and what is done in it."""
        if not (self.folder / ASKED).exists():
            if (self.folder / JOURNAL).exists():
                raise ConfigError(
                    f"{self.folder} has {JOURNAL} and no {ASKED}: whose results these are cannot "
                    "be told; use another folder"
                )
            _write_beside(self.folder / ASKED, experiment_json(experiment).encode())
            return
        if not resume:
            journal = self.folder / JOURNAL
            if journal.exists() and not journal.stat().st_size:
                # A sweep was begun here and came to nothing, as where no scheduler was found.
                _write_beside(self.folder / ASKED, experiment_json(experiment).encode())
                return
            raise ConfigError(
                f"{self.folder} has results already: resume goes on with them (--resume), another "
                "folder (--to) begins anew"
            )
        there = read_description(self.folder)
        if there.identity != experiment.identity:
            raise ConfigError(
                f"{self.folder} has results of another experiment: "
                f"{_difference(self.folder, experiment)}; use another folder"
            )
        _cut(self.folder / TIMINGS)
        _cut(self.folder / JOURNAL)
        for at, line in enumerate(_whole_lines(self.folder / JOURNAL), 1):
            try:
                row = row_of(line)
                if row.number < 0 or row.point != experiment.point(row.number):
                    raise ValueError
            except DAMAGES:
                raise damaged(self.folder / JOURNAL, at) from None
            self._note(row.number, row.ended)
        # What may have been damaged, and what is no part of the identity: a title, a comparison.
        asked = experiment_json(experiment).encode()
        if (self.folder / ASKED).read_bytes() != asked:
            _write_beside(self.folder / ASKED, asked)
        # It is made anew at the end. Were this sweep killed, it would hide what has been added.
        from pystack.experiments.results.table import ROWS

        (self.folder / ROWS).unlink(missing_ok=True)

    def _note(self, number: int, ended: str) -> None:
        """Note that a run is done. Of one that was run again the last line is what holds."""
        self._done[number] = 1
        if ended == "ok":
            self._failed.discard(number)
        else:
            self._failed.add(number)

    def _forget_failed(self) -> None:
        """Have what failed run again; its time series go, for the next attempt may have none."""
        for number in self._failed:
            self._done[number] = 0
            series_file(self.folder, number).unlink(missing_ok=True)
        self._failed.clear()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ConfigError:
            raise
        except OSError as error:
            what = error.strerror or str(error)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                what = f"{what}; make room, and resume"
            kept = "" if error.errno == errno.ENOENT else " (what is done is kept)"
            raise OutputError(f"results cannot be written to {self.folder}: {what}{kept}") from None


class _Lines:
    """A file of lines that grows: a line is in it as a whole, or not at all."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._size = os.fstat(self._descriptor).st_size

    def add(self, line: str) -> None:
        data = line.encode() + b"\n"
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):  # a disk that becomes full takes a part
                written += os.write(self._descriptor, data[written:])
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def sync(self) -> None:
        if not os.fstat(self._descriptor).st_nlink:
            raise OSError(errno.ENOENT, "it was deleted while the sweep ran")
        os.fsync(self._descriptor)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)


def _locked(folder: Path) -> int:
    """Keep other sweeps out of a folder, for as long as the descriptor is open."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            raise
        raise ConfigError(
            f"another sweep writes to {folder} at this moment: wait for it, or use another folder"
        ) from None
    return descriptor


def _write_beside(path: Path, data: bytes) -> None:
    """Write a file so that it is there as a whole, or as it was before."""
    beside = path.with_name(f"{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # before the line that tells of it
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _cut(path: Path) -> None:
    """Take away a last line that was not written to its end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        at = end
        while at > 0:
            size = min(_LOOK_BYTES, at)
            file.seek(at - size)
            found = file.read(size).rfind(b"\n")
            if found >= 0:
                at = at - size + found + 1
                break
            at -= size
        if at < end:
            file.truncate(at)


def _whole_lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from file


def _difference(folder: Path, experiment: Experiment) -> str:
    """Say in what an experiment differs from the one whose results are in a folder."""
    there = _read((folder / ASKED).read_text())
    here = _read(experiment_json(experiment))
    for one, other in ((there, here), (_read(there["experiment"]), _read(here["experiment"]))):
        parts = [
            f"{name} is {_shown(one.get(name))} there and {_shown(other.get(name))} here"
            for name in sorted((one.keys() | other.keys()) - _SAYS_NOTHING)
            if one.get(name) != other.get(name)
        ]
        if parts:
            return "; ".join(parts[:3])
    one, other = (_read(_read(each["experiment"])["files"]) for each in (there, here))
    changed = [
        name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)
    ]
    return f"{', '.join(changed[:3]) or 'something'} has changed"


def _read(part: object) -> dict[str, object]:
    found = json.loads(part) if isinstance(part, str) else part
    return found if isinstance(found, dict) else {}


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

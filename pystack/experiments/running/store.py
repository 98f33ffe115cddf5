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
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError, OutputError
from pystack.experiments.results.description import ASKED, experiment_json
from pystack.experiments.results.journal import JOURNAL, line_of
from pystack.experiments.results.series import series_file
from pystack.experiments.results.table import ROWS, write_rows
from pystack.experiments.results.whole import write_whole
from pystack.experiments.running.kept import check_size, kept_in

if TYPE_CHECKING:
    from pystack.experiments.experiment import Experiment
    from pystack.experiments.model import Point
    from pystack.experiments.running.supervisor import Done

TIMINGS: Final = "timings.jsonl"
LOCK: Final = ".lock"
_TO_DISK_S: Final = 1.0  # the disk has each line within that time
_LOOK_BYTES: Final = 1 << 20


class Store:
    """A folder that a sweep writes to, alone. A `with` block."""

    def __init__(
        self, folder: Path, experiment: Experiment, *, resume: bool, retry: bool = False
    ) -> None:
        """Raises ConfigError where the folder is another's, or in use; OutputError: the disk."""
        self.folder = folder
        self._order = experiment.order
        check_size(experiment)
        self._pending_since: float | None = None  # lines that the disk need not have; None: none
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
        try:
            with self._explained():
                self._kept = kept_in(folder, experiment, resume=resume, retry=retry)
                self._begin(experiment_json(experiment).encode())
                self._rows = _Lines(folder / JOURNAL)
                self._timings = _Lines(folder / TIMINGS)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Store:
        """Return it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Have the disk keep what there is, and let others have the folder."""
        try:
            self._rows.close()
            self._timings.close()
        finally:
            os.close(self._lock)

    @property
    def count(self) -> int:
        """How many runs are done."""
        return self._kept.count

    @property
    def failed(self) -> int:
        """How many of these did not end well."""
        return len(self._kept.failed)

    def has(self, number: int) -> bool:
        """Tell whether a run is done."""
        return self._kept.has(number)

    def missing(self) -> Iterator[Point]:
        """Yield what is to be run. It is looked at as it is taken: what is done by then is not."""
        for point in self._order:
            # Where the same point has several places, the run at the first one is that of all.
            if not self.has(point.number) and self._order.is_first(point):
                yield point

    def add(self, done: Done) -> bool:
        """Keep a run; False: it is there already. Raises OutputError, and keeps what there was."""
        point, outcome = done.point, done.outcome
        if self.has(point.number):
            return False
        with self._explained():
            if outcome.series is not None:
                file = series_file(self.folder, outcome.digest)
                file.parent.mkdir(exist_ok=True)
                write_whole(file, outcome.series)
            timing = {"parameters": dict(point.parameters), "seed": point.seed}
            self._timings.add(json.dumps(timing | done.timing.to_json(), separators=(",", ":")))
            self._rows.add(line_of(point, outcome))
        self._kept.take(self._order.places_of(point), outcome.ended)
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
        with self._explained():
            self._rows.sync()
            # Of no runs there is no table: one without lines beside it has lost them.
            if self.count and find_spec("pyarrow") is not None:  # else the lines are all there is
                write_rows(self.folder)

    def _begin(self, asked: bytes) -> None:
        """Have the folder be of this experiment, whose points all of its runs are."""
        _cut(self.folder / TIMINGS)
        _cut(self.folder / JOURNAL)
        # It is made anew at the end. Were this sweep killed, it would hide what has been added.
        (self.folder / ROWS).unlink(missing_ok=True)
        file = self.folder / ASKED
        if not file.exists() or file.read_bytes() != asked:
            # Whichever of the two is there, old or new, has all runs of the journal.
            write_whole(file, asked)

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

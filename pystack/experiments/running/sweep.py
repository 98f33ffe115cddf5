"""A sweep: all points of an experiment run, and written down as they end."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pystack.core.extras import need
from pystack.experiments.results import Results
from pystack.experiments.running.local import Local
from pystack.experiments.running.processes import CHILD
from pystack.experiments.running.progress import Pace, Progress
from pystack.experiments.running.store import Store
from pystack.experiments.running.supervisor import RunningError
from pystack.runtime.current import current_host

if TYPE_CHECKING:
    from types import FrameType

    from distributed import Client

    from pystack.experiments.experiment import Experiment
    from pystack.experiments.running.engine import Engine
    from pystack.experiments.running.supervisor import Done

OnProgress = Callable[[Progress], object]

_TELL_S: Final = 0.1  # progress is told so often at most


class Stopped(KeyboardInterrupt):
    """A sweep was stopped by a signal; what is done is kept."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.status = 128 + number  # what a command exits with, as shells have it


def run(
    experiment: Experiment,
    *,
    to: str | Path,
    processes: int | None = None,
    dask: str | Client | None = None,
    resume: bool = False,
    retry: bool = False,
    on_progress: OnProgress | None = None,
) -> Results:
    """Run all points of an experiment, and write what they come to into a folder.

    It blocks; from a Trio or asyncio program, call it in a thread. A script whose own functions are
    what is run calls it below `if __name__ == "__main__":`, for it is imported in each process.

    Args:
        to: The folder; it is made. Another sweep that writes there, or has, is an error.
        processes: How many run at a time on this machine; None: one for each processor.
        dask: A scheduler ("tcp://10.0.0.5:8786") or a `distributed.Client`, whose workers run the
            points instead.
        resume: Go on with what the folder has. The experiment may ask for more than it was: for
            more seeds, values, or other parameters' ranges, as long as all that is there is asked
            for too, and the same is run.
        retry: Go on, and run again what failed.
        on_progress: Is called in this thread, some ten times a second at most; `str(progress)` is
            a line for people. What it raises stops the sweep.

    Raises:
        ConfigError: It cannot be had as asked: another experiment's folder, one that is in use, no
            scheduler, workers that have another pystack.
        OutputError: The folder cannot be written to (any more).
        RunningError: It cannot go on: the scheduler has gone, no process can be started.
        Stopped: SIGINT or SIGTERM came, in the main thread. The first SIGINT lets those runs end
            that have begun; a second, and SIGTERM, end all at once. It is a KeyboardInterrupt.

        What was done is kept in each case, and `resume=True` goes on there.
    """
    _check_place()
    if experiment.series is not None:
        need("pyarrow", "writing time series")
    with Store(Path(to), experiment, resume=resume, retry=retry) as store:
        sweep = _Sweep(experiment, store, on_progress)
        try:
            # Nothing to do needs nobody who does it.
            if store.count < len(experiment):
                with _signals() as asked, _engine(experiment, processes, dask) as engine:
                    sweep.go(engine, asked)
                if asked.first is not None:
                    raise Stopped(asked.first, sweep.stopped())
        except BaseException:
            # What went wrong first is what matters, a Ctrl-C more among it: the journal has it all.
            with contextlib.suppress(Exception, KeyboardInterrupt):
                store.finish()
            raise
        try:
            store.finish()
        except KeyboardInterrupt:
            raise Stopped(signal.SIGINT, sweep.stopped()) from None
    return Results(Path(to))


def _check_place() -> None:
    """Raise RunningError where no sweep can be begun."""
    if current_host.get() is not None:
        raise RunningError(
            "a sweep runs processes of this machine, which a program on a host of a network has "
            "not: call pystack.experiments.run outside of the network"
        )
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name == CHILD:
        raise RunningError(
            "pystack.experiments.run was called in a process that runs points already: in a script "
            'whose own functions are run, call it below `if __name__ == "__main__":`'
        )


class _Sweep:
    """One sweep, while it runs."""

    def __init__(
        self, experiment: Experiment, store: Store, on_progress: OnProgress | None
    ) -> None:
        self._store = store
        self._on_progress = on_progress
        self._total = len(experiment)
        self._pace = Pace(store.count)
        self._told_at = 0.0
        self._last_error = ""

    def go(self, engine: Engine, asked: _Asked) -> None:
        """Run what is not done yet."""
        store = self._store
        self._tell(asked, always=True)
        for done in engine.outcomes(store.missing(), self._total - store.count):
            if done is not None:
                self._keep(done)
            store.sync()
            self._tell(asked)
            if asked.first is not None:
                if asked.is_urgent:
                    break
                engine.begin_no_more()
        self._tell(asked, always=True)

    def stopped(self) -> str:
        """Say how far it came."""
        return (
            f"stopped: {self._store.count} of {self._total} runs are done and kept in "
            f"{self._store.folder}; resume goes on there (--resume)"
        )

    def _keep(self, done: Done) -> None:
        if self._store.add(done) and done.outcome.error:
            self._last_error = done.point.told(done.outcome.error)

    def _tell(self, asked: _Asked, *, always: bool = False) -> None:
        if self._on_progress is None:
            return
        now = time.monotonic()
        if not always and now - self._told_at < _TELL_S:
            return
        self._told_at = now
        self._on_progress(
            Progress(
                done=self._store.count,
                total=self._total,
                failed=self._store.failed,
                rate=self._pace.rate(self._store.count),
                is_ending=asked.first is not None,
                last_error=self._last_error,
            )
        )


class _Asked:
    """What signals have asked for."""

    def __init__(self) -> None:
        self.first: int | None = None  # the signal that came first; None: none did
        self.is_urgent = False

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        self.is_urgent = self.first is not None or number != signal.SIGINT
        self.first = self.first or number


@contextlib.contextmanager
def _signals() -> Iterator[_Asked]:
    """Take SIGINT and SIGTERM for the block. Other threads than the main one get none anyway."""
    asked = _Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {
        number: signal.signal(number, asked.take) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            # None: it was not Python's, and cannot be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _engine(experiment: Experiment, processes: int | None, dask: str | Client | None) -> Engine:
    if dask is None:
        return Local(experiment, processes)
    from pystack.experiments.running.cluster import Cluster

    return Cluster(experiment, dask)

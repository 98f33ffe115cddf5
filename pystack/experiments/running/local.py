"""The processes of this machine: a thread for each, which hands it points and waits."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Self

from pystack.core.errors import ConfigError
from pystack.experiments.running.engine import TICK_S
from pystack.experiments.running.processes import Crew
from pystack.experiments.running.supervisor import Done, Supervisor

if TYPE_CHECKING:
    from pystack.experiments.experiment import Experiment
    from pystack.experiments.model import Point

_WAITING: Final = 4  # runs a process, whose outcomes are not yet written down


class Local:
    """An engine: processes of this machine."""

    def __init__(self, experiment: Experiment, processes: int | None) -> None:
        """`processes`: None: as many as there are processors for us. Raises ConfigError."""
        if processes is not None and processes < 1:
            raise ConfigError(f"{processes} processes cannot run anything: say 1 or more")
        self._processes = processes or _processors()
        self._crew = Crew(experiment, dies_with_thread=True)
        self._threads: list[threading.Thread] = []
        # Runs, errors of threads, and None for each thread that has ended
        self._events: queue.Queue[Done | BaseException | None] = queue.Queue(
            _WAITING * self._processes
        )
        self._source: _Shared | None = None  # None: it has not begun

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End all processes, at once."""
        self.begin_no_more()
        self._crew.stop()
        for thread in self._threads:
            while thread.is_alive():
                self._drain()  # it may wait for a place to put a run
                thread.join(TICK_S / 10)
        self._crew.close()

    def outcomes(self, points: Iterator[Point], count: int) -> Iterator[Done | None]:
        """Run points, and yield what becomes of them."""
        self._source = _Shared(points)
        running = min(self._processes, count)
        for number in range(running):
            thread = threading.Thread(target=self._supervise, name=f"runs {number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        while running:
            try:
                event = self._events.get(timeout=TICK_S)
            except queue.Empty:
                yield None
                continue
            if isinstance(event, BaseException):
                raise event
            if event is None:
                running -= 1
            else:
                yield event

    def begin_no_more(self) -> None:
        """Take no further points."""
        if self._source is not None:
            self._source.is_over = True

    def _supervise(self) -> None:
        assert self._source is not None
        supervisor = Supervisor(self._crew)
        try:
            supervisor.run(self._source, self._events.put)
        except BaseException as error:
            self._events.put(error)
        finally:
            supervisor.close()
            self._events.put(None)

    def _drain(self) -> None:
        try:
            while True:
                self._events.get_nowait()
        except queue.Empty:
            return


class _Shared:
    """Points for several threads."""

    def __init__(self, points: Iterator[Point]) -> None:
        self.is_over = False  # there are to be no more
        self._points = points
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Point]:
        return self

    def __next__(self) -> Point:
        with self._lock:
            if self.is_over:
                raise StopIteration
            return next(self._points)


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

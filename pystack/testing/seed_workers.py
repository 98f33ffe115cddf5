"""Processes that run seeds of a test: forks of pytest's own, which get some at a time, in order."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Final

import pytest

from pystack.testing.seed_run import Runner, SeedRun, outcomes_of

_CHUNK_S: Final = 0.2  # what is handed out at a time takes about so long

Took = Callable[[int, int, "Counter[str]"], None]  # the last seed, how many, what became of them


class GoneError(Exception):
    """A process has ended by itself."""

    def __init__(self, seeds: list[int], how: str) -> None:
        super().__init__(how)
        self.seeds, self.how = seeds, how


class Worker:
    """A process that runs seeds."""

    def __init__(self, runner: Runner) -> None:
        self.seeds: list[int] = []  # that it has
        self.is_busy = False
        self.failed: SeedRun | None = None
        here, there = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # That threads of the parent may hold locks: idle ones of Trio's do not.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            here.close()
            _serve(runner, there)
        there.close()
        self.connection = here

    def hand_out(self, seeds: list[int]) -> None:
        """Have it run seeds."""
        self.seeds, self.is_busy = seeds, True
        self.connection.send(("run", seeds))

    def gone(self) -> str:
        """Return how it has ended by itself, in words."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        return f"by signal {-code}" if code < 0 else f"with status {code}"

    def end(self) -> None:
        """End it, whatever it does."""
        self.connection.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class Pool:
    """Processes that have one test."""

    def __init__(self, runner: Runner, jobs: int) -> None:
        self._item = runner.item
        self._runner = runner
        self._workers: list[Worker] = []
        self._jobs = jobs
        self.done: list[tuple[int, Counter[str]]] = []  # by the first seed of each piece
        self._rate = 0.0  # seeds a second of one of them; 0: not known

    def run(self, seeds: list[int], took: Took) -> tuple[Worker, SeedRun] | None:
        """Return the first that failed, and where; None: none did."""
        for _ in range(self._jobs):
            self._workers.append(Worker(self._runner))
        left, first = seeds, None
        before: set[int] = set()  # those before the first that failed
        while True:
            for worker in self._workers:
                if left and first is None and not worker.is_busy:
                    size = self._size(len(left))
                    worker.hand_out(left[:size])
                    left = left[size:]
            at_work = [
                worker
                for worker in self._workers
                # Behind one that has failed nobody is waited for.
                if worker.is_busy and (first is None or worker.seeds[0] in before)
            ]
            if not at_work:
                return first
            for connection in wait([worker.connection for worker in at_work]):
                worker = next(each for each in at_work if each.connection is connection)
                failed = self._receive(worker, took)
                if failed is not None and (first is None or failed.seed in before):
                    first = worker, failed
                    before = set(seeds[: seeds.index(failed.seed)])

    def _size(self, left: int) -> int:
        fair = left // (2 * self._jobs) + 1
        return max(1, min(fair, int(self._rate * _CHUNK_S)))

    def _receive(self, worker: Worker, took: Took) -> SeedRun | None:
        """Take what a process has to say; return a run that failed."""
        try:
            what, *said = worker.connection.recv()
        except (EOFError, OSError):
            raise GoneError(worker.seeds, worker.gone()) from None
        worker.is_busy = False
        if what == "exit":
            pytest.exit(*said)
        if what == "error":
            raise RuntimeError(f"the process that ran seeds has failed:\n{said[0]}")
        last, count, outcomes, took_s, failed = said
        if took_s:
            self._rate = count / took_s
        self.done.append((worker.seeds[0], outcomes))
        took(last, count, outcomes)
        if failed is None:
            return None
        return revived(self._item, failed)

    def close(self) -> None:
        """End them all."""
        for worker in self._workers:
            worker.end()


def _serve(runner: Runner, connection: Connection) -> None:
    """Run seeds, in the process of a worker, until its parent has gone. Never returns."""
    status = 0
    try:
        _parents = _own_capture(runner.item.config)
        failed: SeedRun | None = None
        while True:
            what, said = connection.recv()
            if what == "again":
                assert failed is not None
                failed = runner.again(failed)
                connection.send((_saved(runner.item, failed), compared(runner, failed, said)))
                continue
            failed = _run_some(runner, said, connection)
            sys.stdout.flush()
    except (EOFError, OSError, KeyboardInterrupt):
        status = 1
    except pytest.exit.Exception as error:
        connection.send(("exit", str(error)))
    except BaseException:
        import traceback

        connection.send(("error", traceback.format_exc()))
    finally:
        os._exit(status)


def _run_some(runner: Runner, seeds: list[int], connection: Connection) -> SeedRun | None:
    began_at = time.perf_counter()
    outcomes: Counter[str] = Counter()
    last, count = seeds[0], 0
    failed: SeedRun | None = None
    for last in seeds:
        found = runner.run(last)
        outcomes += found.outcomes
        count += 1
        if found.failed:
            failed = found
            break
    told = None if failed is None else _saved(runner.item, failed)
    connection.send(("ran", last, count, outcomes, time.perf_counter() - began_at, told))
    return failed


Saved = tuple[int, list[dict[str, Any]], list[str]]  # a run, for another process


def _saved(item: pytest.Item, run: SeedRun) -> Saved:
    save = item.config.hook.pytest_report_to_serializable
    return (
        run.seed,
        [save(config=item.config, report=report) for report in run.reports],
        run.notes,
    )


def revived(item: pytest.Item, saved: Saved) -> SeedRun:
    """Return a run of another process."""
    seed, data, notes = saved
    revive = item.config.hook.pytest_report_from_serializable
    reports = [revive(config=item.config, data=each) for each in data]
    return SeedRun(seed, reports, outcomes_of(item, reports), notes=notes)


def _own_capture(config: pytest.Config) -> object:
    """Capture output to a file of this process's own: the one that there is belongs to pytest's.

    That one is returned, for it must not be closed as long as this process runs.
    """
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    if manager is None or not manager.is_globally_capturing():
        return None
    parents = manager._global_capturing
    manager._global_capturing = None
    manager.start_global_capturing()
    manager.suspend_global_capture(in_=True)
    return parents


def compared(runner: Runner, failed: SeedRun, candidates: Iterable[int]) -> list[str]:
    """Return where a run that failed leaves one that passes; nothing: that cannot be told."""
    if failed.account is None or not failed.account.entries:
        return []
    from pystack.testing.parting import where_they_part

    tried = 0
    for seed in candidates:
        if seed == failed.seed:
            continue
        tried += 1
        found = runner.account_for(seed, keeps=False)
        if found.outcomes["passed"] and not found.failed and found.account is not None:
            names = (f"seed {seed}, which passes", f"seed {failed.seed}, which fails")
            return where_they_part(found.account, failed.account, names)
    return [f"none of {tried} other seeds passes"] if tried else []

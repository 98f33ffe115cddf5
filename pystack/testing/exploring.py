"""`--pystack-seeds`: one test with many seeds, spread over processes, up to the first that fails.

The first seed runs in pytest's own process: what it imports, and fixtures of the module and above,
the others have from it, for they run in forks. Seeds are handed out in their order, some at a time;
of several that fail the first in that order is told of, so a run says the same on each machine.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from pystack.testing.seed_run import Runner, SeedRun, outcomes_of
from pystack.testing.seed_workers import GoneError, Pool, Worker, compared, revived

KEPT: Final = "pystack/seeds"  # in pytest's cache: those that failed, by test
MOST_KEPT: Final = 10  # of a test
LOOKED_AT: Final = 16  # seeds behind the first that are tried for one that passes

_FORKS: Final = hasattr(os, "fork")


@dataclass
class Explored:
    """What became of a test: sent along with its report, in attributes that xdist passes on."""

    seeds: int = 0  # that ran
    took_s: float = 0.0
    processes: int = 1
    outcomes: Counter[str] = field(default_factory=Counter)  # of those without reports of their own


def explore(
    runner: Runner,
    nextitem: pytest.Item | None,
    seeds: range,
    *,
    jobs: int,
    again: Callable[[int], str],
) -> None:
    """Run a test with each of the seeds, and report it. `again`: the command for one of them."""
    item = runner.item
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    exploration = _Exploration(runner, seeds, jobs)
    try:
        found = exploration.run()
        reports = found.reports
        if found.failed:
            exploration.tell(found, again)
        reports += _tear_down(item, nextitem)
        exploration.sign(reports)
    finally:
        item.session._setupstate.teardown_exact(nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def jobs_of(config: pytest.Config) -> int:
    """Return over how many processes to spread seeds."""
    given: int | None = config.getoption("--pystack-jobs")
    if not _FORKS or config.getoption("usepdb", default=False):
        return 1
    if given is not None:
        return given
    if hasattr(config, "workerinput"):  # xdist spreads the tests already
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def kept_seeds(config: pytest.Config, nodeid: str) -> list[int]:
    """Return the seeds with which a test failed before."""
    cache = getattr(config, "cache", None)
    known = cache.get(KEPT, {}).get(nodeid, []) if cache is not None else []
    return [seed for seed in known if isinstance(seed, int)]


def keep_seeds(config: pytest.Config, news: dict[str, list[int]]) -> None:
    """Write down with which seeds tests fail, and forget those with which they pass now."""
    cache = getattr(config, "cache", None)
    if cache is None or not news:
        return
    known = {**cache.get(KEPT, {}), **news}
    cache.set(KEPT, {nodeid: seeds for nodeid, seeds in sorted(known.items()) if seeds})


class _Exploration:
    """One test, and all its seeds."""

    def __init__(self, runner: Runner, seeds: range, jobs: int) -> None:
        self._item = item = runner.item
        self._seeds = len(seeds)
        self._jobs = jobs
        self._runner = runner
        self._kept = kept_seeds(item.config, item.nodeid) if len(seeds) > 1 else []
        self._kept_now = list(self._kept)
        # Those that failed before go first.
        self._order = [*self._kept, *(seed for seed in seeds if seed not in self._kept)]
        self._first: SeedRun | None = None
        self._before = 0  # seeds that ran before the one that failed
        self._passed: int | None = None  # the last that passed
        self._parting: list[str] = []
        self._explored = Explored()
        self._bar = _Bar(item, len(self._order))
        self._began_at = time.perf_counter()

    def run(self) -> SeedRun:
        """Return the run that failed first, or else the first run."""
        here = max(1, len(self._kept))
        failed = self._here(self._order[:here])
        first, rest = self._first, self._order[here:]
        if failed is None and rest and first is not None and not first.outcomes["skipped"]:
            jobs = min(self._jobs, len(rest))
            self._explored.processes = max(jobs, 1)
            failed = self._spread(rest, jobs) if jobs > 1 else self._here(rest)
        self._bar.clear()
        found = failed or first
        assert found is not None
        # What its own reports say is counted by them.
        self._explored.outcomes -= outcomes_of(self._item, found.reports)
        if failed is not None:
            kept = [seed for seed in self._kept_now if seed != failed.seed]
            self._kept_now = [failed.seed, *kept][:MOST_KEPT]
        return found

    def _count(self, last: int, seeds: int, outcomes: Counter[str]) -> None:
        self._explored.seeds += seeds
        self._explored.outcomes += outcomes
        self._explored.took_s = time.perf_counter() - self._began_at
        if outcomes["passed"] and not outcomes["failed"] and not outcomes["error"]:
            self._passed = last
        self._bar.show(self._explored)

    def _candidates(self, failed: int) -> list[int]:
        """Return the seeds one of which passes, most likely."""
        if self._passed is not None:
            return [self._passed]
        behind = self._order[self._order.index(failed) + 1 :]
        return behind[:LOOKED_AT]

    def _here(self, seeds: list[int]) -> SeedRun | None:
        for seed in seeds:
            found = self._runner.run(seed)
            self._first = self._first or found
            self._count(seed, 1, found.outcomes)
            if found.failed:
                self._before = self._explored.seeds - 1
                found = self._runner.again(found)
                self._parting = compared(self._runner, found, self._candidates(seed))
                return found
            if seed in self._kept_now:
                self._kept_now.remove(seed)
        return None

    def _spread(self, seeds: list[int], jobs: int) -> SeedRun | None:
        """Hand out the seeds to processes, until one fails, or none are left."""
        pool = Pool(self._runner, jobs)
        before, passed = self._explored.seeds, self._passed
        outcomes = self._explored.outcomes.copy()
        try:
            failed = pool.run(seeds, self._count)
            if failed is None:
                return None
            worker, found = failed
            # All before it have passed; what others did with those behind it nobody needs to know.
            ahead = seeds.index(found.seed)
            self._before = before + ahead
            self._passed = seeds[ahead - 1] if ahead else passed
            self._explored.seeds = self._before + 1
            own = seeds.index(found.seed)
            self._explored.outcomes = outcomes + sum(
                (done for start, done in pool.done if seeds.index(start) <= own), Counter()
            )
            return self._told_again(worker, found)
        except GoneError as error:
            item, there = self._item, error.seeds
            text = (
                f"the process that ran seeds {there[0]} to {there[-1]} ended by itself, "
                f"{error.how}: run them with --pystack-seed={there[0]} "
                f"--pystack-seeds={len(there)} --pystack-jobs=1"
            )
            report = pytest.TestReport(
                item.nodeid, item.location, dict(item.keywords), "failed", text, "call"
            )
            self._before = self._explored.seeds
            return SeedRun(there[0], [report], outcomes_of(item, [report]))
        finally:
            pool.close()

    def _told_again(self, worker: Worker, found: SeedRun) -> SeedRun:
        """Have it run again where it failed; return how it went, and know where it parts."""
        try:
            worker.connection.send(("again", self._candidates(found.seed)))
            told, self._parting = worker.connection.recv()
        except (EOFError, OSError):
            found.notes.append("the process that ran it ended when it was run again")
            return found
        return revived(self._item, told)

    def tell(self, found: SeedRun, again: Callable[[int], str]) -> None:
        """Add to the report of a failure what is known of the other seeds."""
        lines = []
        if self._seeds > 1:
            first = " (it had failed before, and went first)" if found.seed in self._kept else ""
            line = f"seed {found.seed} fails{first}; {self._before:,} passed before it"
            lines.append(line)
        lines += [line for note in found.notes for line in note.splitlines()]
        report = next(report for report in found.reports if report.failed)
        if not any(name == "pystack" for name, _ in report.sections):
            report.sections.append(("pystack", f"seed: {found.seed}\nagain: {again(found.seed)}"))
        if lines:
            report.sections.append(("pystack seeds", "\n".join(lines)))
        if self._parting:
            report.sections.append(
                ("pystack: where it leaves the last seed that passes", "\n".join(self._parting))
            )

    def sign(self, reports: Sequence[pytest.TestReport]) -> None:
        """Have a report say what became of all seeds: the one that counts for pytest."""
        explored = self._explored
        chosen = next(
            (each for each in reports if each.failed),
            next((each for each in reports if each.when == "call"), reports[0]),
        )
        chosen.pystack_seeds = explored.seeds  # type: ignore[attr-defined]
        chosen.pystack_took_s = explored.took_s  # type: ignore[attr-defined]
        chosen.pystack_processes = explored.processes  # type: ignore[attr-defined]
        chosen.pystack_outcomes = dict(explored.outcomes)  # type: ignore[attr-defined]
        if self._kept_now != self._kept:
            chosen.pystack_kept = self._kept_now  # type: ignore[attr-defined]
        if self._seeds > 1:
            chosen.user_properties.append(("pystack_seeds", explored.seeds))


def _tear_down(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """End fixtures of the module and above that the next test does not need; return what failed."""
    state = item.session._setupstate
    call = pytest.CallInfo.from_call(lambda: state.teardown_exact(nextitem), when="teardown")
    report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return [report] if report.failed else []


class _Bar:
    """How far it has got: on a terminal, in the line below pytest's own, which it leaves alone."""

    _EVERY_S: Final = 0.1
    _CELLS: Final = 24

    def __init__(self, item: pytest.Item, seeds: int) -> None:
        reporter: Any = item.config.pluginmanager.getplugin("terminalreporter")
        can = seeds > 1 and reporter is not None and reporter.isatty()
        self._terminal = reporter._tw if can and os.environ.get("TERM") != "dumb" else None
        self._name = item.name
        self._seeds = seeds
        self._shown_at = time.perf_counter()  # what is over at once shows nothing
        self._is_shown = False

    def show(self, explored: Explored) -> None:
        """Show it, if it is time to."""
        now = time.perf_counter()
        if self._terminal is None or now - self._shown_at < self._EVERY_S:
            return
        self._shown_at = now
        cells = round(self._CELLS * min(explored.seeds / self._seeds, 1))
        bar = f"{'━' * cells}{'─' * (self._CELLS - cells)}"
        rate = explored.seeds / max(explored.took_s, 1e-9)
        text = f"{explored.seeds:,} of {self._seeds:,} seeds, {rate:,.0f} a second"
        line = f"{self._name} {bar} {text}"[: self._terminal.fullwidth - 1]
        self._write(f"{'' if self._is_shown else chr(10)}\r{line}\x1b[K")
        self._is_shown = True

    def clear(self) -> None:
        """Take it away, and go back to where pytest was."""
        if self._terminal is not None and self._is_shown:
            column = self._terminal.width_of_current_line
            self._write(f"\r\x1b[K\x1b[A{f'{chr(27)}[{column}C' if column else ''}")
            self._is_shown = False

    def _write(self, text: str) -> None:
        assert self._terminal is not None
        self._terminal._file.write(text)
        self._terminal._file.flush()

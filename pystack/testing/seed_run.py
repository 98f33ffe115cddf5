"""One test of pytest with one seed: run, if wanted twice, and told of by reports."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import pytest
from _pytest.runner import runtestprotocol

if TYPE_CHECKING:
    from pystack.testing.runs import Account, Comparison

FAILED: Final = ("failed", "error")


@dataclass
class SeedRun:
    """How a test went with one seed."""

    seed: int
    reports: list[pytest.TestReport]
    outcomes: Counter[str]  # by pytest's categories: "passed", "failed", "skipped", "xfailed" ...
    account: Account | None = None  # what was seen of it; None: nobody wanted to know
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Tell whether it is to be told of."""
        return any(self.outcomes[category] for category in FAILED)


class Prepare(Protocol):
    """Tells the plug-in's fixtures what the next run is to be."""

    def __call__(self, seed: int, *, has_capture: bool) -> None:
        """`has_capture`: all frames are written to a file, if that is wanted at all."""
        ...


class Runner:
    """Runs one test, again and again, in this process."""

    def __init__(self, item: pytest.Function, prepare: Prepare, *, twice: bool = False) -> None:
        self.item = item
        self._prepare = prepare
        self._function = item.obj
        self._twice = twice
        # Fixtures of the module and above stay, as between two tests of one module.
        self._sibling = copy.copy(item)

    def run(self, seed: int) -> SeedRun:
        """Run it."""
        if self._twice:
            return self._run_twice(seed)
        keeps: bool = self.item.config.getoption("--pystack-pcap") == "always"
        return self._run(seed, keeps=keeps)

    def again(self, failed: SeedRun) -> SeedRun:
        """Run one that failed again, with a capture and an account of what is seen."""
        if self._twice:
            return failed
        found = self.account_for(failed.seed)
        if found.failed:
            return found
        failed.notes.append(
            "it passed when it was run again with the same seed: it is not the same in each run; "
            "--pystack-twice says where"
        )
        return failed

    def account_for(self, seed: int, *, keeps: bool = True) -> SeedRun:
        """Run it and write down what is seen; `keeps`: with a capture."""
        from pystack.testing.runs import Account, Watch, watched

        account = Account()
        with watched(Watch(account.add)):
            found = self._run(seed, keeps=keeps)
        found.account = account
        return found

    def _run(self, seed: int, *, keeps: bool) -> SeedRun:
        item = self.item
        self._prepare(seed, has_capture=keeps)
        item._report_sections.clear()
        if isinstance(item.parent, pytest.Class):  # each test has an instance of its own
            for name in ("_instance", "_obj"):
                vars(item).pop(name, None)
        else:
            item.obj = self._function  # pytest-trio has put another in its place
        reports = runtestprotocol(item, log=False, nextitem=self._sibling)
        return SeedRun(seed, reports, outcomes_of(item, reports))

    def _run_twice(self, seed: int) -> SeedRun:
        if hasattr(self._function, "hypothesis"):  # what it draws is to be the same, too
            self.item.function._hypothesis_internal_use_seed = seed
        from pystack.testing.difference import Difference
        from pystack.testing.runs import Account, Comparison, Watch, hints_of, watched

        account = Account()
        watch = Watch(account.add)
        with watched(watch):
            found = self._run(seed, keeps=True)
        if not watch.seeds:
            return found
        seeds, comparison = watch.seeds, Comparison(account)
        watch = Watch(comparison.add, lambda: comparison.is_over)
        with watched(watch):
            other = self._run(seed, keeps=False)
        comparison.end()
        outcomes = (_outcome(found.reports), "" if comparison.is_over else _outcome(other.reports))
        if not comparison.differs and outcomes[0] == outcomes[1]:
            return found
        difference = Difference(
            comparison.same + 1,
            comparison.before,
            comparison.first,
            comparison.second,
            outcomes,
            threads=watch.had_threads,
            hints=hints_of(seeds, watch.seeds),
            comes_later=comparison.comes_later(),
            third=self._third(seed, comparison) if comparison.differs else "",
        )
        text = f"the same seed, and not the same run: {difference}"
        self._fail(found, text)
        return found

    def _third(self, seed: int, comparison: Comparison) -> str:
        from pystack.testing.runs import watched

        watch, whose = comparison.third()
        with watched(watch):
            self._run(seed, keeps=False)
        return whose()

    def _fail(self, found: SeedRun, text: str) -> None:
        """Let a run fail by what was found; one that has failed by itself only tells of it."""
        if found.failed:
            found.notes.append(text)
            return
        report = next((each for each in found.reports if each.when == "call"), found.reports[0])
        report.outcome = "failed"
        report.longrepr = text
        found.outcomes = outcomes_of(self.item, found.reports)


def outcomes_of(item: pytest.Item, reports: Sequence[pytest.TestReport]) -> Counter[str]:
    """Return what pytest counts them as."""
    ask = item.config.hook.pytest_report_teststatus
    found = (ask(report=report, config=item.config)[0] for report in reports)
    return Counter(category for category in found if category)


def _outcome(reports: Sequence[pytest.TestReport]) -> str:
    """Return how a run ended, in words."""
    for report in reports:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = crash.message if crash is not None else str(report.longrepr)
            return f"the test failed: {said.splitlines()[0] if said else ''}"
        if report.skipped:
            return "the test was skipped"
    return "the test passed"

"""What pytest counts and says of seeds: in its totals, in a line at the end, in its cache."""

from __future__ import annotations

from collections.abc import Generator
from itertools import repeat
from typing import Any

import pytest

from pystack.testing.exploring import keep_seeds


class SeedsTold:
    """A plug-in for runs with several seeds; with xdist, that of the process that reports."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seeds = 0
        self._took_s = 0.0
        self._processes = 1
        self._unlisted: list[tuple[str, Any]] = []
        self._kept: dict[str, list[int]] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the seeds that have no report of their own, and remember which of them failed."""
        told: Any = report
        if not hasattr(report, "pystack_seeds"):
            return
        self._seeds += told.pystack_seeds
        self._took_s += told.pystack_took_s
        self._processes = max(self._processes, told.pystack_processes)
        if hasattr(report, "pystack_kept"):
            self._kept[report.nodeid] = told.pystack_kept
        self._unlisted += [(category, told) for category in told.pystack_outcomes]

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Say with how many seeds a test passed, where names are listed."""
        seeds: int = getattr(report, "pystack_seeds", 1)
        if seeds == 1 or report.when != "call" or not report.passed or hasattr(report, "wasxfail"):
            return None
        return "passed", ".", f"PASSED ({seeds:,} seeds)"

    @pytest.hookimpl(tryfirst=True, wrapper=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Generator[None]:  # noqa: ANN401
        """After all is listed say how fast it went, and let pytest's totals count all seeds."""
        yield
        if self._config.getoption("--pystack-seeds") > 1 and self._took_s:
            seeds = "seed" if self._seeds == 1 else "seeds"
            where = f" in {self._processes} processes" if self._processes > 1 else ""
            terminalreporter.write_line(
                f"{self._seeds:,} {seeds} in {self._took_s:.2f} s: "
                f"{self._seeds / self._took_s:,.0f} a second{where}"
            )
        for category, report in self._unlisted:
            # One report many times: a hundred thousand of their own would fill the memory.
            more = repeat(report, report.pystack_outcomes[category])
            terminalreporter.stats.setdefault(category, []).extend(more)

    def pytest_sessionfinish(self) -> None:
        """Write down with which seeds tests failed."""
        if not hasattr(self._config, "workerinput"):
            keep_seeds(self._config, self._kept)

"""The tables of docs/experiments-validation.md and README are of the stack as it is now.

To make them takes minutes; what short runs of the same experiments come to stands with them.
"""

import sys
from types import ModuleType

import pytest
from doc_blocks import ROOT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import experiments_page
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    return experiments_page


@pytest.mark.parametrize(
    "name",
    ["access_lines", "bbr_beside_cubic", "bufferbloat", "cubic_law", "mathis", "rtt_unfairness"],
)
def test_short_runs_come_to_what_they_did_when_the_tables_were_made(
    script: ModuleType, name: str
) -> None:
    page = script.PAGE.read_text("utf-8")
    (kept,) = (line for line in page.splitlines() if line.startswith(f"{name} "))
    assert f"{name} {script.short_runs(name)}" == kept, (
        "what TCP or the links do has changed, and with it the tables and pictures: "
        "scripts/experiments_page.py makes them anew"
    )


def test_each_table_has_short_runs(script: ModuleType) -> None:
    assert set(script.TABLES) <= set(script.SHORT)

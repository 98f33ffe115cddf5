"""docs/measures.md has the measures that there are; what it shows is run with all other pages."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


def test_the_page_of_measures_is_made_from_their_table() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import docs_pages; print(docs_pages.measures_page(), end='')"],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert made == (ROOT / "docs" / "measures.md").read_text("utf-8"), "run scripts/docs --pages"


def test_the_page_has_what_each_measure_costs() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import bench_measures; print(*bench_measures.asked(), sep='\\n')"],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    page = (ROOT / "docs" / "measures.md").read_text("utf-8")
    costs = page.partition("<!-- costs")[2]
    assert made
    assert [row for row in made if f"| {row} |" not in costs] == [], "run scripts/bench_measures.py"

"""docs/toxics.md has the toxics that there are; what it shows is run beside the API's page."""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


def test_the_page_of_toxics_is_made_from_their_table() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import docs_pages; print(docs_pages.toxics_page(), end='')"],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert made == (ROOT / "docs" / "toxics.md").read_text("utf-8"), "run scripts/docs --pages"

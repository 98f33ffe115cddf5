"""docs/toxics.md has the toxics that there are; what it shows is run beside the API's page."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from doc_blocks import blocks

from pystack.apps.proxy.file import ProxyFile

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


def test_its_file_has_the_toxics_of_its_commands(tmp_path: Path) -> None:
    page = ROOT / "docs" / "toxics.md"
    (block,) = (each for each in blocks(page) if each.file)
    (tmp_path / block.file).write_text(block.text)
    toxics = ProxyFile(tmp_path / block.file).specs["db"].toxics
    assert [(each.name, each.stream, each.toxicity, each.attributes) for each in toxics] == [
        ("loss_downstream", "downstream", 1, {"probability": 0.02, "correlation": 0, "model": ""}),
        ("limit_data_downstream", "downstream", 0.1, {"bytes": 5000}),
        ("now and then", "upstream", 1, {"up": 5000, "down": 300}),
    ]

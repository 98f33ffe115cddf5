"""The drawing in docs/ladders.md is what the page's program draws."""

import subprocess
import sys

from doc_blocks import ROOT


def test_the_drawing_of_the_ladders_page_is_current() -> None:
    code = "import docs_pages; print(docs_pages.ladder_picture(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "scripts",
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == (ROOT / "docs" / "images" / "ladder.svg").read_bytes()

"""The templates of the pages: files that are read once, escape what is put in, and can be read."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from pystack.apps.http import templates
from pystack.apps.http.templates import macro, template

PAGES: Final = Path(templates.__file__).with_name("pages")


def test_what_is_put_in_is_escaped_and_harmless() -> None:
    row = macro("listing_row.html", "row")("a&b", "<x>\x1b\u202e\u202f", "1\u202f000", "now")
    assert 'href="a&amp;b"' in row
    assert "&lt;x&gt;\\x1b\\u202e\u202f" in row
    assert "1\u202f000" in row


def test_every_page_needs_nothing_from_elsewhere() -> None:
    for file in PAGES.iterdir():
        if file.is_file():
            text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"(?:src|href)=\"(?:https?:)?//|url\(|@import", text), file
    assert "{{" not in template("websocket.html").render()


@pytest.mark.parametrize("is_read_only", [False, True])
def test_compiled_templates_are_kept_beside_them_where_that_may_be(
    tmp_path: Path, *, is_read_only: bool
) -> None:
    if is_read_only:
        (tmp_path / "__pycache__").write_text("no folder")
    code = (
        "import sys; from pathlib import Path; from pystack.apps.http import templates\n"
        "pages, there = templates._PAGES, Path(sys.argv[1])\n"
        "for file in pages.iterdir():\n"
        "    if file.is_file(): (there / file.name).write_bytes(file.read_bytes())\n"
        "templates._PAGES = there; templates.load()\n"
        "print(len(templates.template('listing_row.html').module.row('a', 'b', 'c', 'd')))"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    for _ in range(2):  # compiled; and read
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            capture_output=True, text=True, check=True, timeout=60, env=environment,
        )  # fmt: skip
        assert int(done.stdout) > 50
    kept = list(tmp_path.glob("__pycache__/*.jinja"))
    assert bool(kept) is not is_read_only

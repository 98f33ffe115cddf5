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
SCHEMES: Final = [
    dict(re.findall(r"--([\w-]+):(#\w+)", part))
    for part in (PAGES / "colours.css").read_text("utf-8").split("prefers-color-scheme:dark")
]
# What is written on what: texts in the page's ink, in soft ink, and in a layer's colour
PAIRS: Final = [
    *((ink, ground) for ink in ("ink", "soft") for ground in ("paper", "card", "code")),
    *((ink, f"{ink}-bg") for ink in ("link", "net", "tcp", "http", "sec")),
    *((ink, "card") for ink in ("link", "net", "tcp", "http", "sec")),
    *(("soft", f"{ground}-bg") for ground in ("link", "net", "tcp", "http", "sec")),
    ("tcp", "paper"),
]


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_texts_have_the_contrast_of_wcag_aa_in_both_schemes(
    ink: str, ground: str, scheme: int
) -> None:
    colours = SCHEMES[scheme]
    low, high = sorted(luminance(colours[name]) for name in (ink, ground))
    assert (high + 0.05) / (low + 0.05) >= 4.5


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

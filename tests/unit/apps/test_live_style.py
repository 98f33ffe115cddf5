"""The live page's style: its colours are those of all pages, and nothing moves unasked."""

import re
from importlib.resources import files

from pystack.observe.palette import COLOURS

STYLE = (files("pystack.apps.live") / "static" / "style.css").read_text("utf-8")


def test_it_has_no_colours_of_its_own() -> None:
    used = set(re.findall(r"var\(--([\w-]+)", STYLE))
    assert used <= {*COLOURS, "c"}
    assert re.findall(r"#[0-9a-f]{3,8}\b(?=[;} ])", STYLE) == []


def test_motion_is_for_those_who_want_it() -> None:
    animated = [line for line in STYLE.splitlines() if "animation:" in line]
    assert animated
    assert all("prefers-reduced-motion: no-preference" in line for line in animated)

"""A story as one HTML page that needs nothing beside itself: no network, no foreign script.

The templates, the style and the script are files in `pages/`; they are put into the page, and its
Content-Security-Policy allows just these two. Without scripts it is all there to read.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pystack.core.extras import need
from pystack.observe.amounts import duration
from pystack.observe.explain.pieces import Paper, fit
from pystack.observe.explain.story import LAYERS7, Comparison, Depth, Drawn, Shown, Span, Story
from pystack.observe.explain.wording import (
    LAYERS5,
    SPAN_LAYERS,
    after,
    alike,
    byte_range,
    chains,
    fate,
    figures,
    instant,
    percent,
    sizes,
    total_s,
    who,
)
from pystack.observe.ladder import svg_style
from pystack.observe.palette import page_colours

if TYPE_CHECKING:
    from jinja2 import Environment

_PAGES: Final = Path(__file__).with_name("pages")
_MOST_FRAMES: Final = 12  # of a step that can be opened
_MOST_LISTED: Final = 60  # that are mentioned
_SCALE: Final = 1000  # what a bar over the whole width is
_ROW: Final = 16


class Bar(NamedTuple):
    """A stretch of a bar."""

    slug: str
    x: float
    width: float


def as_html(
    told: Story | Comparison, *, depth: Depth = "story", ladders: Sequence[Drawn] = ()
) -> str:
    """Return the page. Raises ConfigError where jinja2 is not installed.

    `depth`: how much is open at first. `ladders`: of the story, or of both; may be left out.
    """
    pages = _environment()
    page_style = (_PAGES / "page.css").read_text("utf-8")
    style = f"{page_colours()}\n{page_style}{svg_style() if ladders else ''}"
    script = (_PAGES / "page.js").read_text("utf-8")
    told = fit(told, Paper())
    stories = [told.left, told.right] if isinstance(told, Comparison) else [told]
    used = {step.layer5 for story in stories for step in story.steps}
    common = {
        "depth": depth,
        "style": style,
        "style_hash": _hash(style),
        "script": script,
        "script_hash": _hash(script),
        "layers": [name for name in reversed(LAYERS5) if name in used],
        "layers5": list(reversed(LAYERS5)),
        "layers7": LAYERS7,
        "most_frames": _MOST_FRAMES,
        "most_listed": _MOST_LISTED,
        "ladders": [ladder.svg(fragment=True) for ladder in ladders],
    }
    if isinstance(told, Comparison):
        sides = list(zip(told.names, stories, strict=True))
        longest = max(map(total_s, stories))
        page = pages.get_template("comparison.html")
        return page.render(common, told=told, sides=sides, longest=longest)
    return pages.get_template("story.html").render(common, story=told, total=total_s(told))


def _environment() -> Environment:
    jinja2 = need("jinja2", "an explanation as HTML")
    pages: Environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "after": after,
        "alike": alike,
        "bars": _bars,
        "byte_range": byte_range,
        "chains": chains,
        "dump": _dump,
        "duration": duration,
        "fate": fate,
        "figures": figures,
        "instant": lambda at, story: instant(story, at),
        "part_slug": lambda name: _slug(SPAN_LAYERS.get(name, "neutral")),
        "percent": lambda seconds, story: percent(seconds, total_s(story)),
        "ranges": _ranges,
        "row5": lambda index: "r13" if index == 0 else f"r{index + 3}",
        "sizes": sizes,
        "slug": _slug,
        "total": total_s,
        "who": who,
    }
    pages.tests["part_of"] = lambda name: name.startswith("of these ")
    return pages


def _hash(text: str) -> str:
    """Return what a Content-Security-Policy calls a text that may stand in the page."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _slug(text: str) -> str:
    """Return a name as it may stand in a class or an id."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower())


def _bars(span: Span, story: Story, scale_s: float) -> list[Bar]:
    """Return a span as a bar where it lies, cut into its parts in their layers' colours."""
    if scale_s <= 0:
        return []
    parts = [part for part in span.parts if part.seconds > 0] or [span]
    whole = sum(part.seconds for part in parts)
    x = (span.begin - story.began_at) / scale_s * _SCALE
    width = (span.end - span.begin) / scale_s * _SCALE
    bars = []
    for part in parts:
        share = width * part.seconds / whole if whole > 0 else width
        slug = _slug(SPAN_LAYERS.get(part.name, "neutral"))
        bars.append(Bar(slug, round(x, 2), round(max(share, 1.5), 2)))
        x += share
    return bars


def _ranges(shown: Shown) -> str:
    """Return where each layer's bytes are, for the script: "0,74,data-link 14,74,network"."""
    end = len(shown.data)
    return " ".join(f"{box.start},{end},{_slug(box.layer5)}" for box in shown.boxes)


def _dump(data: bytes) -> str:
    rows = (data[at : at + _ROW] for at in range(0, len(data), _ROW))
    return "\n".join(f"{number * _ROW:04x}  {row.hex(' ')}" for number, row in enumerate(rows))

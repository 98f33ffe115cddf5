"""Explanations on standard output: in colour on a terminal, plain everywhere else."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from pystack.cli.terminal import can_show, has_colours
from pystack.observe.explain.pieces import Paper, drawn, plain
from pystack.observe.explain.story import Comparison, Depth, Drawn, Story
from pystack.observe.explain.text import lines_of

_DRAWN: Final = "┌┃█→·µ"  # characters of boxes, bars and arrows
# Of the middle, so that they can be read on dark and on light; where there are 16, the nearest.
_STYLES: Final[Mapping[str, str]] = {
    "application": "color(168)",
    "transport": "color(69)",
    "network": "color(36)",
    "data link": "color(172)",
    "physical": "color(106)",
    "title": "bold",
    "bold": "bold",
    "dim": "color(245)",
    "bar": "color(69)",
    "trouble": "bold color(203)",
    "": "",
}


def show(
    told: Story | Comparison,
    *,
    depth: Depth = "story",
    ladders: Sequence[Drawn] = (),
    only: Sequence[str] = (),
) -> None:
    """Print it: as wide as the terminal, with the characters that standard output can write.

    `only`: as of `as_text`. Raises ConfigError where that names what is not there.

    Colours where standard output is a terminal that has some, and NO_COLOR is not set.
    """
    paper = Paper(_width(), ascii_only=not can_show(sys.stdout, _DRAWN))
    lines = lines_of(told, depth, paper, ladders, only)
    try:
        if not has_colours(sys.stdout):
            raise ModuleNotFoundError
        # Only here: who reads from a pipe need not wait for it.
        from rich.console import Console
        from rich.text import Text
    except ModuleNotFoundError:
        sys.stdout.write(plain(lines, paper))
        return
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, legacy_windows=False)
    for line in lines:
        pieces = [(drawn(text, paper), _STYLES[style]) for text, style in line]
        console.print(Text.assemble(*pieces))


def _width() -> int:
    """Return the terminal's columns, or what COLUMNS says, or 80."""
    return shutil.get_terminal_size().columns

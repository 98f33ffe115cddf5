"""Ladders: who sent what to whom, downwards in time: one model, drawn as text and as SVG.

Open first: `ladder` (the whole face), `model` (what a ladder consists of), `building` (how it is
made of a recording), then `text` and `svg`, which draw it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pystack.observe.ladder.ladder import EVERY_NOTE, NOTES, TROUBLE, Ladder, LadderWords
    from pystack.observe.ladder.model import Arrow, Kind, Lifeline, Note, Window
    from pystack.observe.ladder.style import svg_style

__all__ = [
    "EVERY_NOTE",
    "NOTES",
    "TROUBLE",
    "Arrow",
    "Kind",
    "Ladder",
    "LadderWords",
    "Lifeline",
    "Note",
    "Window",
    "svg_style",
]

# Looked up when they are first used: a page that draws a ladder of its own needs no reader of
# recordings.
_HOMES: Final = {
    name: f"{__name__}.{module}"
    for module, names in (
        ("ladder", "EVERY_NOTE NOTES TROUBLE Ladder LadderWords"),
        ("model", "Arrow Kind Lifeline Note Window"),
        ("style", "svg_style"),
    )
    for name in names.split()
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return one of the names, from the module that it is in."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

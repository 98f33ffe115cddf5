"""Ladders: who sent what to whom, downwards in time: one model, drawn as text and as SVG.

Open first: `ladder` (the whole face), `model` (what a ladder consists of), `building` (how it is
made of a recording), then `text` and `svg`, which draw it.
"""

from pystack.observe.ladder.ladder import EVERY_NOTE, NOTES, TROUBLE, Ladder, LadderWords
from pystack.observe.ladder.model import Arrow, Lifeline, Note, Window
from pystack.observe.ladder.style import svg_style

__all__ = [
    "EVERY_NOTE",
    "NOTES",
    "TROUBLE",
    "Arrow",
    "Ladder",
    "LadderWords",
    "Lifeline",
    "Note",
    "Window",
    "svg_style",
]

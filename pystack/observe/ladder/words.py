"""Words that text and drawing have in common."""

from __future__ import annotations

from pystack.core.texts import harmless
from pystack.observe.ladder.model import Arrow, Diagram


def plain(text: str, *, ascii_only: bool = False) -> str:
    """Return text fit for a terminal or a drawing: what has no shape on paper as an escape."""
    if ascii_only and not text.isascii():
        text = text.replace("\u2026", "...").replace("\u2192", "->")
        text = text.encode("ascii", "backslashreplace").decode("ascii")
    return harmless(text)


def befell(arrow: Arrow) -> list[str]:
    """Return what befell a frame, in words."""
    if arrow.lost:
        return [*arrow.marks, arrow.lost]
    return [*arrow.marks, *(("under way",) if arrow.arrives_at is None else ())]


def left_out(diagram: Diagram) -> str:
    """Return a sentence about what had no room; "": all is there."""
    counts = ((diagram.left_out, "frame"), (diagram.notes_left_out, "note"))
    parts = [f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in counts if n]
    verb = "is" if sum(n for n, _ in counts) == 1 else "are"
    return f"{' and '.join(parts)} before this {verb} not shown" if parts else ""

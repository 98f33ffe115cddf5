"""What befell a frame, in plain words, as the comments of captures say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pystack.observe.passage import LOST, Change, Passage

# Why a link loses a frame. A queue's reasons end alike, whichever it is.
_LOST: Final = {
    "loss": "by chance",
    "drop": "on purpose",
    "link_down": "the link was down",
    "link_mtu": "larger than the link takes",
    "black_hole": "swallowed by a black hole",
    "frame_bad_gso": "not what it says it is",
}
_LOST_BY_QUEUE: Final = {
    "_full": "queue full",
    "_full_head": "queue full, the oldest went",
    "_overlimit": "queue full",
    "_too_big": "larger than the shaper takes",
    "_drop": "the queue was too long",
    "_early": "early, before the queue is full",
    "_forced": "the queue was too long",
    "_overload": "the queue was overloaded",
}
_MARK: Final = "_mark"
NOTABLE_S: Final = 1e-6  # less than that is no delay


def why_lost(reason: str) -> str:
    """Return a loss's reason in words, with the counter's name behind it."""
    words = _LOST.get(reason)
    if words is None:
        words = next(
            (said for end, said in _LOST_BY_QUEUE.items() if reason.endswith(end)),
            "",
        )
    return f"{words} ({reason})" if words else reason


def what_changed(change: Change) -> str:
    """Return what was done to a frame that went on."""
    if change.what == "corrupt":
        return f"{change.detail} turned" if change.detail else "corrupted"
    if change.what == "reorder":
        return "not delayed, so that it overtakes others"
    if change.what == "duplicate":
        return "duplicated" if not change.detail else f"duplicated by {change.detail}"
    if change.what.endswith(_MARK):
        return f"marked CE by {change.what.removesuffix(_MARK)}"
    return f"{change.what}: {change.detail}" if change.detail else change.what


def duration(seconds: float) -> str:
    """Return a duration as people say it: "23.1 ms"."""
    if seconds >= 1:
        return f"{seconds:.4g} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.4g} ms"
    return f"{seconds * 1e6:.4g} us"


def delay_of(legs: Sequence[Passage]) -> str:
    """Return how long a frame took over links one after the other, and with what."""
    first, last = legs[0], legs[-1]
    if last.ended_at is None or last.end == LOST:
        return ""
    queued = sum(leg.queued_s or 0.0 for leg in legs)
    sending = sum(leg.serialization_s or 0.0 for leg in legs)
    line = sum(leg.propagation_s or 0.0 for leg in legs)
    parts = [
        f"{duration(part)} {where}"
        for part, where in (
            (queued, "in the queue" if len(legs) == 1 else "in queues"),
            (sending, "to send"),
            (line, "on the line"),
        )
        if part > NOTABLE_S
    ]
    total = last.ended_at - first.entered_at
    return f"delayed {duration(total)}" + (f": {', '.join(parts)}" if parts else "")


def fate(legs: Sequence[Passage], *, late: bool) -> list[str]:
    """Return what befell a frame on the links that it went over, in its order, besides copies.

    `late`: the delay is worth a word. Nothing: it went as frames go.
    """
    said: list[str] = []
    several = len(legs) > 1
    for leg in legs:
        where = f" on {leg.place}" if several else ""
        said += [f"{what_changed(change)}{where}" for change in leg.changes]
        if leg.end == LOST:
            said.append(f"lost{where}: {why_lost(leg.lost)}")
        elif leg.refused:
            said.append(f"dropped by {leg.receiver}: {leg.refused}")
    if late:
        delay = delay_of(legs)
        said += [delay] if delay else []
    return said

"""What befell a frame: in plain words, as the comments of captures say it, and read back from them.

A comment tells a delay where it is worth a word. That of other frames on the same way is concluded
from those: what is on the line takes the least that was told, and sending takes its time by bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pystack.observe.captures.pairs import identity
from pystack.observe.passage import ARRIVED, LOST, SEEN, UNDER_WAY, Change, Passage

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

# What is looked for in a comment
_UNITS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_DURATION: Final = r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?) (s|ms|us)"  # "23.1 ms", "1e+05 s"
_MOST_SAID: Final = 32  # of a frame, which more does not befall
_MOST_S: Final = 1e9  # more is no delay, whatever a file claims
_DELAYED: Final = re.compile(rf"delayed {_DURATION}(?:: (.*))?")
_PART: Final = re.compile(rf"{_DURATION} (in the queue|in queues|to send|on the line)")
_LOST_SAID: Final = re.compile(r"lost(?: on (\S+))?: (?:.*\((\w+)\)|(.*))")
_DROPPED: Final = re.compile(r"dropped by (\S+): (\S+)")
_UNDER_WAY: Final = "still under way when this was written"
_CHANGES: Final = (
    (re.compile(r"(bits? .*) turned"), "corrupt"),
    (re.compile(r"corrupted()"), "corrupt"),
    (re.compile(r"not delayed, so that it overtakes others()"), "reorder"),
    (re.compile(r"duplicated(?: by (.*))?"), "duplicate"),
)
_MARKED: Final = re.compile(r"marked CE by (\S+)")
_PLACE: Final = re.compile(r" on [^ ]+$")  # of several links, which


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


@dataclass(slots=True)
class _Way:
    """What is known of a direction of a link."""

    line_s: float = float("inf")
    byte_s: float = 0.0  # to send one


def read_back(passage: Passage, comment: str) -> None:
    """Take what a comment says of a frame; what it does not know is passed over."""
    at = passage.entered_at
    for said in comment.split("; ", _MOST_SAID)[:_MOST_SAID]:
        if found := _DELAYED.fullmatch(said):
            _take_delay(passage, found)
        elif found := _LOST_SAID.fullmatch(said):
            passage.end, passage.ended_at = LOST, at
            passage.lost = found[2] or found[3]
        elif found := _DROPPED.fullmatch(said):
            passage.end, passage.refused = ARRIVED, found[2]
        elif said == _UNDER_WAY:
            passage.end, passage.ended_at = UNDER_WAY, None
        else:
            _take_change(passage, said)


def conclude(passages: Iterable[Passage]) -> None:
    """Conclude when those arrived whose delay was not worth a word; all are of one capture."""
    passages = list(passages)
    ways: dict[tuple[str, str, str], _Way] = {}
    before: dict[bytes, Passage] = {}
    for each in passages:
        if each.sent_at is not None and each.arrives_at is not None:
            way = ways.setdefault(_way_of(each), _Way())
            way.line_s = min(way.line_s, each.arrives_at - each.sent_at)
            if each.begins_at is not None:
                way.byte_s = (each.sent_at - each.begins_at) / len(each.frame)
        # A node passes on what has arrived, at once or later: it took no longer than that.
        key = identity(each.frame.data)
        leg = before.get(key)
        if leg is not None and leg.end == SEEN and leg.receiver == each.sender:
            way = ways.setdefault(_way_of(leg), _Way())
            way.line_s = min(way.line_s, each.entered_at - leg.entered_at)
        before[key] = each
    for each in passages:
        known = ways.get(_way_of(each))
        if each.end != SEEN or known is None:
            continue
        each.begins_at = each.entered_at
        each.sent_at = each.begins_at + known.byte_s * len(each.frame)
        each.arrives_at = each.ended_at = each.sent_at + known.line_s
        each.end = ARRIVED


def _way_of(passage: Passage) -> tuple[str, str, str]:
    return passage.place, passage.sender, passage.receiver


def _take_delay(passage: Passage, found: re.Match[str]) -> None:
    total_s = _seconds(found)
    parts = {"in the queue": 0.0, "in queues": 0.0, "to send": 0.0, "on the line": 0.0}
    for part in _PART.finditer(found[3] or ""):
        parts[part[3]] = _seconds(part)
    passage.end = ARRIVED if passage.end == SEEN else passage.end
    passage.arrives_at = passage.ended_at = arrives = passage.entered_at + total_s
    waited_s = parts["in the queue"] + parts["in queues"]
    passage.begins_at = min(passage.entered_at + waited_s, arrives)
    passage.sent_at = min(passage.begins_at + parts["to send"], arrives)


def _seconds(found: re.Match[str]) -> float:
    return min(float(found[1]) * _UNITS[found[2]], _MOST_S)


def _take_change(passage: Passage, said: str) -> None:
    at = passage.entered_at
    if len(passage.changes) >= _MOST_SAID:
        return
    said = _PLACE.sub("", said) if not said.endswith(" others") else said
    if marked := _MARKED.fullmatch(said):
        passage.changes.append(Change(f"{marked[1]}_mark", at))
        return
    for pattern, what in _CHANGES:
        if found := pattern.fullmatch(said):
            passage.changes.append(Change(what, at, found[1] or ""))
            return

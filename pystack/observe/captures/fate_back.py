"""What befell a frame, read back from the comment of a capture of ours (see `fate.py`).

A comment tells a delay where it is worth a word. That of other frames on the same way is concluded
from those: what is on the line takes the least that was told, and sending takes its time by bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pystack.observe.captures.pairs import identity
from pystack.observe.passage import ARRIVED, LOST, SEEN, UNDER_WAY, Change, Passage

_UNITS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_DURATION: Final = r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?) (s|ms|us)"  # "23.1 ms", "1e+05 s"
_MOST_S: Final = 1e9  # more is no delay, whatever a file claims
_DELAYED: Final = re.compile(rf"delayed {_DURATION}(?:: (.*))?")
_PART: Final = re.compile(rf"{_DURATION} (in the queue|in queues|to send|on the line)")
_LOST: Final = re.compile(r"lost(?: on (\S+))?: (?:.*\((\w+)\)|(.*))")
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


@dataclass(slots=True)
class _Way:
    """What is known of a direction of a link."""

    line_s: float = float("inf")
    byte_s: float = 0.0  # to send one


def read_back(passage: Passage, comment: str) -> None:
    """Take what a comment says of a frame; what it does not know is passed over."""
    at = passage.entered_at
    for said in comment.split("; "):
        if found := _DELAYED.fullmatch(said):
            _take_delay(passage, found)
        elif found := _LOST.fullmatch(said):
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
    said = _PLACE.sub("", said) if not said.endswith(" others") else said
    if marked := _MARKED.fullmatch(said):
        passage.changes.append(Change(f"{marked[1]}_mark", at))
        return
    for pattern, what in _CHANGES:
        if found := pattern.fullmatch(said):
            passage.changes.append(Change(what, at, found[1] or ""))
            return

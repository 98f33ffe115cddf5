"""Frames of a capture that were seen at two places: one passage, from here to there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pystack.observe.flows import Flow
from pystack.observe.passage import ARRIVED, LOST, SEEN, Change, Passage
from pystack.observe.reading import End
from pystack.wire import ethernet

AFTER_S: Final = 1.0  # a conversation may begin and end so much later at its next place
_TO: Final = " > "  # between the places that a frame was seen at
_PAIRED_WITHIN_S: Final = 10.0  # a frame is at its second place by then
_MOST_PLACES: Final = 16  # that a frame is followed over
_MOST_OPEN: Final = 65536  # frames that wait to be seen at their second place


class Pairs:
    """Finds frames that were seen at two places: on their way out, and at the other end."""

    def __init__(self) -> None:
        self.paired = 0
        self._open: dict[bytes, Passage] = {}
        self._to: dict[tuple[str, str], str] = {}  # where what one sends at a place is seen next

    def takes(self, passage: Passage) -> bool:
        """Tell whether it is one that was seen elsewhere before: that one has arrived then."""
        key = identity(passage.frame.data)
        first = self._open.get(key)
        if (
            first is None
            or first.place == passage.place
            or first.place.count(_TO) >= _MOST_PLACES
            or passage.entered_at - first.entered_at > _PAIRED_WITHIN_S
        ):
            if len(self._open) >= _MOST_OPEN:
                self._open.pop(next(iter(self._open)))
            self._open[key] = passage
            return False
        at = passage.entered_at
        if passage.place in first.place.split(_TO)[1:]:
            first.changes.append(Change("duplicate", at))
            passage.copy_of, passage.entered_at, passage.place = (
                first,
                first.entered_at,
                first.place,
            )
            passage.end, passage.arrives_at = ARRIVED, at
            return False
        first.end, first.ended_at, first.arrives_at = ARRIVED, at, at
        if passage.frame.data != first.frame.data:
            first.arrived = passage.frame
        self._to[first.place.partition(_TO)[0], first.sender] = passage.place
        first.place = f"{first.place}{_TO}{passage.place}"
        self.paired += 1
        return True

    def judge(self, passages: Iterable[Passage]) -> None:
        """Call those lost that were seen where they began and not where others arrived."""
        for passage in passages:
            to = self._to.get((passage.place, passage.sender))
            if passage.end == SEEN and to is not None:
                passage.end, passage.lost = LOST, f"not seen at {to}"


def identity(data: bytes) -> bytes:
    """Return what of a frame stays the same on its way, whichever routers it passes."""
    kind = data[ethernet.TYPE]
    if kind == ethernet.IS_IPV4:
        # Without TTL and header checksum, which each router changes, and the two ECN bits
        return data[14:15] + data[16:22] + data[23:24] + data[26:]
    if kind == ethernet.IS_IPV6:
        return data[18:21] + data[22:]
    return data


def between(flow: Flow) -> tuple[str, frozenset[End]]:
    """Return whose conversation it is, at whichever place."""
    return flow.protocol, frozenset((flow.a, flow.b))


def seen_of(flow: Flow, same: Iterable[Flow]) -> list[Flow]:
    """Return those that are this conversation at all places, of some between the same ends."""
    found = [
        each
        for each in same
        if each.number == flow.number
        or (
            each.place != flow.place
            and each.began_at <= flow.ended_at + AFTER_S
            and flow.began_at <= each.ended_at + AFTER_S
        )
    ]
    return sorted(found, key=lambda each: (each.began_at, each.number))

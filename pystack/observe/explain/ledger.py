"""Who waited for what: each arrival at a node, and the way back from the end to the beginning.

The critical path: what happened last was made possible by something that arrived; that was put on
its link by somebody to whom something had arrived before; and so on, to where all began. Each piece
of that way is propagation, serialization, queueing, a wait for a repair, or a host's own time. The
rules, where several things arrived at a node before it sent:

- What it passes on is due to the arrival of that very packet; or, where it had to ask for the next
  hop's MAC address, to the answer that came at that instant.
- Else, to what arrived at that very instant; or to the last arrival that belongs to the same
  conversation; at its beginning, to any.
- What is sent again is due to what it repeats: the time between the two is the wait for a repair.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from pystack.observe.passage import Passage

MOST_LEGS: Final = 200_000
_SAME_S: Final = 1e-9
_LOOK_BACK: Final = 4096  # arrivals among which one looks for a packet that is passed on

PROPAGATION: Final = "propagation"
SERIALIZATION: Final = "serialization"
QUEUEING: Final = "queueing"
REPAIR: Final = "retransmission"
HOST: Final = "hosts"


@dataclass(slots=True, eq=False)
class Leg:
    """A passage, as far as the way back needs it."""

    sender: str
    receiver: str
    flow: Hashable  # the conversation that it belongs to
    key: Hashable  # of the packet, the same on all links
    number: int  # of the passage
    entered_at: float
    begins_at: float
    sent_at: float
    arrives_at: float
    serial: int  # its place among all departures and arrivals
    arrival: int = -1  # of its arrival; -1: there was none
    is_first: bool = False  # of its conversation, at this node
    is_answer: bool = False  # of ARP or ND
    is_question: bool = False
    original: Leg | None = None  # what it repeats; None: it is new


@dataclass(slots=True)
class Piece:
    """A stretch of the way, and what it was spent on."""

    begin: float
    end: float
    what: str
    where: str  # a link, or a node
    number: int = 0  # of the passage; 0: none


@dataclass(slots=True)
class Ledger:
    """All departures and arrivals."""

    full: bool = False  # there were more than are kept
    _serial: int = 0
    _legs: int = 0
    _arrived: dict[tuple[str, Hashable], list[Leg]] = field(default_factory=dict)
    _at_node: dict[str, list[Leg]] = field(default_factory=dict)
    _answers: dict[str, list[Leg]] = field(default_factory=dict)
    _begun: set[tuple[str, Hashable]] = field(default_factory=set)

    def depart(self, passage: Passage, flow: Hashable, key: Hashable) -> Leg:
        """Note that a frame is put on a link."""
        self._serial += 1
        entered = passage.entered_at
        begins = entered if passage.begins_at is None else passage.begins_at
        sent = begins if passage.sent_at is None else passage.sent_at
        arrives = sent if passage.arrives_at is None else passage.arrives_at
        leg = Leg(
            passage.sender,
            passage.receiver,
            flow,
            key,
            passage.number,
            entered,
            begins,
            sent,
            arrives,
            self._serial,
        )
        if (passage.sender, flow) not in self._begun and len(self._begun) < MOST_LEGS:
            self._begun.add((passage.sender, flow))
            leg.is_first = True
        return leg

    def arrive(self, leg: Leg) -> None:
        """Note that it is there."""
        self._serial += 1
        self._legs += 1
        if self._legs > MOST_LEGS:
            self.full = True
            return
        leg.arrival = self._serial
        self._arrived.setdefault((leg.receiver, leg.flow), []).append(leg)
        self._at_node.setdefault(leg.receiver, []).append(leg)
        if leg.is_answer:
            self._answers.setdefault(leg.receiver, []).append(leg)

    def way_back(self, end: Leg, until: float, since: float) -> list[Piece]:
        """Return the pieces from `since` to `until`, which follow `end`'s arrival, in order."""
        pieces: list[Piece] = []
        at = until
        leg: Leg | None = end
        where = end.receiver

        def take(begin: float, what: str, place: str, number: int = 0) -> None:
            nonlocal at
            begin = max(begin, since)
            if begin < at:
                pieces.append(Piece(begin, at, what, place, number))
                at = begin

        while leg is not None and at > since:
            link = f"{leg.sender} to {leg.receiver}"
            take(leg.arrives_at, HOST, where)
            take(leg.sent_at, PROPAGATION, link, leg.number)
            take(leg.begins_at, SERIALIZATION, link, leg.number)
            take(leg.entered_at, QUEUEING, link, leg.number)
            where = leg.sender
            if leg.original is not None and leg.original.serial < leg.serial:
                leg = leg.original
                take(leg.entered_at, REPAIR, where, leg.number)
            leg = self._cause(leg)
        take(since, HOST, where)
        pieces.reverse()
        return pieces

    def _cause(self, leg: Leg) -> Leg | None:
        """Return the arrival that made the sender send; None: nothing did, it began by itself."""
        node = leg.sender
        released = self._last(self._answers.get(node, []), leg.serial)
        if released is not None and abs(released.arrives_at - leg.entered_at) > _SAME_S:
            released = None
        same = self._arrived.get((node, leg.flow), [])
        at = self._before(same, leg.serial)
        for passed_on in reversed(same[max(at - _LOOK_BACK, 0) : at]):
            if passed_on.key == leg.key:
                return self._later(passed_on, released)
        last = self._last(self._at_node.get(node, []), leg.serial)
        if last is not None and (
            leg.is_first or leg.is_question or abs(last.arrives_at - leg.entered_at) < _SAME_S
        ):
            return last
        return self._later(self._last(same, leg.serial), released)

    @staticmethod
    def _later(one: Leg | None, other: Leg | None) -> Leg | None:
        if one is None or other is None:
            return one or other
        return one if one.arrival > other.arrival else other

    def _last(self, legs: list[Leg], serial: int) -> Leg | None:
        at = self._before(legs, serial)
        return legs[at - 1] if at else None

    @staticmethod
    def _before(legs: list[Leg], serial: int) -> int:
        return bisect_left(legs, serial, key=lambda leg: leg.arrival)

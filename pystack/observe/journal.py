"""Journal: all that happens in a network, as plain values: to hash, to keep, to compare.

Each entry stands for an event, or for a frame that enters a link, or that has left it. Two runs
whose entries are equal, in their order, cannot be told apart by anybody who looks on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final, NamedTuple, get_args

from pystack.core.tcp_events import TcpMeasured
from pystack.observe.captures.fate import what_changed, why_lost
from pystack.observe.log import describe
from pystack.observe.observer import Event, FrameSeen
from pystack.observe.passage import LOST, SEEN, UNDER_WAY, Passage
from pystack.observe.summary import summarize

# Kinds of entries that are no events
ENTERS: Final = "frame"
LEAVES: Final = "end"

_CLASSES: Final = {each.__name__: each for each in get_args(Event)}
# What an event has besides its instant, its bytes, and a frame (whose bytes they are, too)
_NAMES: Final = {
    name: tuple(each.name for each in fields(kind) if each.name not in ("at", "data", "frame"))
    for name, kind in _CLASSES.items()
}
_PLACES: Final = ("link", "sender", "receiver")


class Entry(NamedTuple):
    """Something that happened."""

    kind: str  # the class of an event, or one of the kinds above
    at: float
    values: tuple[object, ...]  # all that it has but bytes; `names` tells which
    data: bytes  # of the frame, or what was dropped; empty: there is none
    maker: str = ""  # who did it; "": nobody knows. No part of what happened

    def happened(self) -> tuple[object, ...]:
        """Return what two runs have to have in common."""
        return self[:4]

    def names(self) -> tuple[str, ...]:
        """Return what the values are."""
        if self.kind == ENTERS:
            return (*_PLACES, "segmentation")
        if self.kind == LEAVES:
            return (*_PLACES, "entered at", "lost", "changes")
        return _NAMES[self.kind]

    def __str__(self) -> str:
        """Return it in a line, without the time."""
        if self.kind == ENTERS:
            _link, sender, receiver, _gso = self.values
            return f"{_way(sender, receiver)}: {summarize(self.data)}"
        if self.kind == LEAVES:
            _link, sender, receiver, entered_at, lost, changes = self.values
            how = f"lost: {why_lost(str(lost))}" if lost else "arrives"
            what = f"the frame of {entered_at:.6f} s {how}"
            return f"{_way(sender, receiver)}: {'; '.join([what, *_texts(changes)])}"
        values: dict[str, Any] = dict(zip(self.names(), self.values, strict=True))
        if "data" in {each.name for each in fields(_CLASSES[self.kind])}:
            values["data"] = self.data
        event: Any = _CLASSES[self.kind](at=self.at, **values)
        if isinstance(event, TcpMeasured):
            return f"{event.host} tcp {event.name} {event.value:g}"
        return describe(event)


class Journal:
    """An observer that hands on an entry for each thing that happens: `net.observe(Journal(fn))`.

    `take` is called with it at the very instant; `maker`: says who does what happens now.
    """

    def __init__(self, take: Callable[[Entry], object], maker: Callable[[], str] = str) -> None:
        self._take = take
        self._maker = maker

    def on_event(self, event: Event) -> None:
        """Take an event, but for frames, each of which is a passage as well."""
        if isinstance(event, FrameSeen):
            return
        kind = type(event).__name__
        values = tuple([getattr(event, name) for name in _NAMES[kind]])
        self._take(Entry(kind, event.at, values, getattr(event, "data", b""), self._maker()))

    def on_passage(self, passage: Passage) -> None:
        """Take a frame that enters a link, and what became of it."""
        where = (passage.place, passage.sender, passage.receiver)
        if passage.end in (UNDER_WAY, SEEN):
            frame = passage.frame
            values: tuple[object, ...] = (*where, frame.gso_bytes)
            entry = Entry(ENTERS, passage.entered_at, values, bytes(frame.data), self._maker())
        else:
            changes = tuple([what_changed(change) for change in passage.changes])
            lost = passage.lost if passage.end == LOST else ""
            values = (*where, passage.entered_at, lost, changes)
            at = passage.entered_at if passage.ended_at is None else passage.ended_at
            arrived = passage.arrived
            data = b"" if arrived is None or not changes else bytes(arrived.data)
            entry = Entry(LEAVES, at, values, data)
        self._take(entry)


class Digest:
    """A hash of all that happens: equal where two runs cannot be told apart by who looks on."""

    def __init__(self) -> None:
        self.entries = 0  # how many things have happened
        self._hash = hashlib.sha256()
        journal = Journal(self.add)
        self.on_event, self.on_passage = journal.on_event, journal.on_passage

    def add(self, entry: Entry) -> None:
        """Take an entry."""
        self.entries += 1
        # Its text is the same on each Python and machine: floats have the shortest that is exact.
        head = repr((entry.kind, entry.at, entry.values, len(entry.data)))
        self._hash.update(head.encode(errors="surrogatepass"))
        self._hash.update(entry.data)

    def hexdigest(self) -> str:
        """Return the SHA-256 of what has happened until now, in hexadecimal digits."""
        return self._hash.hexdigest()

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return f"<Digest {self.hexdigest()} of {self.entries} entries>"


def _way(sender: object, receiver: object) -> str:
    return f"{sender or '?'} > {receiver or '?'}"


def _texts(values: object) -> list[str]:
    return [str(value) for value in values] if isinstance(values, tuple) else []

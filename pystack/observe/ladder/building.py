"""How a ladder is made of a recording: what is looked at, what is folded, who stands where."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pystack.core.tcp_events import (
    TcpMeasured,
    TcpRepair,
    TcpRetransmitted,
    TcpSoftError,
    TcpStateChanged,
)
from pystack.observe.flows import FlowTable
from pystack.observe.ladder.folding import fold
from pystack.observe.ladder.frames import Look, label, look_at, other_end
from pystack.observe.ladder.model import Arrow, Diagram, End, Lifeline, Note
from pystack.observe.ladder.order import along_the_way
from pystack.observe.ladder.sight import Sight
from pystack.observe.ladder.windows import Windows
from pystack.observe.log import describe
from pystack.observe.observer import (
    Dropped,
    Event,
    FellBehind,
    LookUp,
    Milestone,
    NeighborChanged,
    RouteChosen,
)
from pystack.observe.passage import ARRIVED, LOST, SEEN, Passage
from pystack.observe.summary import summarize
from pystack.wire import tcp

_DIRECTIONS: Final = ("a_to_b", "b_to_a")  # where a drop is a link's, this is its "interface"
_OPTIONS: Final = re.compile(r", options \[[^\]]*\]")
_ADDRESS: Final = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b"
    # IPv6; what follows may be a colon, but no more of the address
    r"|(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?<=::))(?![0-9a-f]|:[0-9a-f:])"
)
_KEPT_PART: Final = 0.15  # of the way, where a frame never left the sender's queue
# What `FlowTable` calls segments that are worth a word
_OF_NOTE: Final = frozenset(
    {
        "out of order",
        "dup ack",
        "zero window",
        "window probe",
        "keep-alive",
        "keep-alive ack",
    }
)
_MASK: Final = 0xFFFFFFFF

Ends = tuple[End, End]


@dataclass(slots=True)
class Wanted:
    """What of a recording is to be shown."""

    names: Mapping[str, str]  # of nodes, by addresses
    between: Ends | None = None  # of this connection alone, whichever way; None: all
    begin: float | None = None  # instants; None: all
    until: float | None = None
    most: int = 200  # arrows, and as many notes
    last: int | None = None  # only so many frames and notes, the last ones; None: all
    notes: Collection[str] = ()
    infers: bool = False  # what is sent again is found out from the frames: no host has told

    def has(self, at: float) -> bool:
        """Tell whether an instant is in the part that is shown."""
        return (self.begin is None or at >= self.begin) and (self.until is None or at <= self.until)

    def is_between(self, ends: Ends | None) -> bool:
        """Tell whether a segment between these ends is wanted."""
        return self.between is None or ends in (self.between, self.between[::-1])

    def named(self, text: str) -> str:
        """Return a text with names for addresses."""
        names = self.names
        return _ADDRESS.sub(lambda match: names.get(match[0], match[0]), text) if names else text


@dataclass(slots=True)
class _Flows:
    """What is known of connections, from their frames: to say what a segment means."""

    first: dict[Ends, int] = field(default_factory=dict)  # what counts as 0 of this direction
    tls: set[Ends] = field(default_factory=set)
    opened: dict[Ends, tuple[int, int]] = field(default_factory=dict)  # numbers of the third ACK

    def look(self, look: Look) -> None:
        """Learn from a segment, and say more exactly what it is."""
        ends = look.ends
        if ends is None or not look.is_tcp:
            return
        back = ends[::-1]
        if look.flags & tcp.SYN or ends not in self.first:
            self.first[ends] = look.seq
        if look.flags & tcp.ACK and back not in self.first:
            self.first[back] = look.ack
        if look.flags & tcp.SYN and look.flags & tcp.ACK:
            self.opened[back] = (look.ack, look.seq + 1 & _MASK)
        if look.kind == "tls":
            self.tls.update((ends, back))
        elif look.kind == "data" and ends in self.tls:
            look.kind = "tls"
        elif look.kind == "ack" and self.opened.get(ends) == (look.seq, look.ack):
            look.kind = "handshake"

    def label(self, sight: Sight, line: str) -> str:
        """Return a few words for an arrow."""
        look = sight.look
        ends = look.ends
        if ends is None:
            return label(look, line, 0, 0)
        return label(look, line, self.first.get(ends, 0), self.first.get(ends[::-1], 0))


@dataclass(slots=True)
class _Again:
    """Which frames are retransmissions: hosts tell so at the instant of sending."""

    told: dict[tuple[str, Ends, int], str] = field(default_factory=dict)  # that are to come
    last: dict[tuple[str, Ends, int], Sight] = field(default_factory=dict)  # sent just now
    headers: dict[bytes, str] = field(default_factory=dict)  # of those sent again, by their reason

    def sent(self, sight: Sight) -> None:
        """See whether it was told of; on further hops, it is the same segment."""
        ends = sight.look.ends
        if ends is None or not sight.look.is_tcp:
            return
        key = (sight.sender, ends, sight.look.seq)
        reason = self.told.pop(key, "") or self.headers.get(sight.look.header, "")
        if reason:
            self._mark(sight, reason)
        self.last[key] = sight

    def tell(self, event: TcpRetransmitted) -> None:
        """Take what a host tells: before it sends, or just after."""
        key = (event.host, (event.local, event.remote), event.seq & _MASK)
        sight = self.last.get(key)
        if sight is not None and sight.at == event.at and not sight.again:
            self._mark(sight, event.reason)
        else:
            self.told[key] = event.reason

    def _mark(self, sight: Sight, reason: str) -> None:
        sight.again = reason
        self.headers[sight.look.header] = reason


def build(
    diagram: Diagram, items: Iterable[Passage | Event], order: Sequence[str], want: Wanted
) -> None:
    """Fill a diagram with what is wanted of the items."""
    flows, again, windows = _Flows(), _Again(), Windows(want.between)
    sights: list[Sight] = []
    notes: list[Note] = []
    refused: set[tuple[str, float | None, str]] = set()
    table = FlowTable() if want.infers else None
    for item in items:
        if isinstance(item, Passage):
            sight = _sight(item, want.names)
            flows.look(sight.look)
            again.sent(sight)
            if table is not None:
                _infer(sight, table)
            windows.passed(sight)
            if want.has(sight.at) and want.is_between(sight.look.ends):
                sights.append(sight)
                if item.refused:
                    refused.add((sight.receiver, item.ended_at, item.refused))
            continue
        if isinstance(item, TcpRetransmitted):
            again.tell(item)
        elif isinstance(item, TcpMeasured | TcpRepair):
            windows.measured(item)
        if isinstance(item, Dropped) and (item.host, item.at, item.reason) in refused:
            continue  # it is told at its arrow
        note = _note(item, want)
        if note is not None:
            notes.append(note)
    if want.last is not None:
        _keep_last(sights, notes, want.last)
    diagram.passages = len(sights)
    folded, diagram.left_out = fold(sights, want.most)
    diagram.arrows = [_arrow(group, flows, want) for group in folded]
    _keep_notes(diagram, notes, want.most)
    diagram.window = windows.chosen()
    if diagram.window is not None:
        _cut_window(diagram)
    diagram.lifelines = [Lifeline(name) for name in _order(diagram, order)]


def _infer(sight: Sight, table: FlowTable) -> None:
    """Find out from the frames alone what a segment is, and why it was sent again."""
    passage = sight.passage
    seen = table.feed(passage.entered_at, passage.frame.data, place=passage.place)
    if seen is None:
        return
    if seen.kind in ("retransmission", "spurious"):
        sight.again = seen.reason or ("for nothing" if seen.kind == "spurious" else "unknown why")
    elif seen.kind in _OF_NOTE:
        sight.seen_as = seen.kind


def _keep_last(sights: list[Sight], notes: list[Note], last: int) -> None:
    """Leave out what is not among the last rows."""
    instants = sorted([sight.at for sight in sights] + [note.at for note in notes])
    if len(instants) > last:
        since = instants[-last]
        sights[:] = [sight for sight in sights if sight.at >= since][-last:]
        notes[:] = [note for note in notes if note.at >= since]
        del notes[: max(len(sights) + len(notes) - last, 0)]


def _sight(passage: Passage, names: Mapping[str, str]) -> Sight:
    look = look_at(passage.frame)
    sender, receiver = passage.sender, passage.receiver
    if not sender:
        address = other_end(passage.frame, look, of_sender=True)
        sender = names.get(address, address)
    if not receiver and passage.end == SEEN:
        address = other_end(passage.frame, look, of_sender=False)
        receiver = names.get(address, address)
    return Sight(passage, look, sender, receiver, passage.entered_at)


def _arrow(group: Sequence[Sight], flows: _Flows, want: Wanted) -> Arrow:
    first, last = group[0], group[-1]
    passage, look = first.passage, first.look
    line = _OPTIONS.sub("", summarize(passage.frame))
    arrow = Arrow(
        first.sender,
        first.receiver,
        first.at,
        _arrived(last.passage),
        "again" if first.again else look.kind,
        want.named(flows.label(first, line)),
        want.named(line.removeprefix("IP ").removeprefix("IP6 ")),
        passage.number,
        _marks(first),
        lost=passage.lost if passage.end == LOST else "",
        count=len(group),
    )
    if passage.end == LOST:
        arrow.lost = passage.lost or "lost"
        arrow.lost_at, arrow.lost_part = passage.ended_at, _lost_part(passage)
    if len(group) > 1:
        size = sum(each.look.payload_bytes for each in group)
        what = {"ack": "ACKs", "udp": "datagrams", "dns": "messages"}.get(look.kind, "segments")
        arrow.label = f"{len(group):,} {what}" + (f", {size:,} bytes" if size else "")
        if look.kind == "ack":
            arrow.label += f" up to {flows.label(last, line).removeprefix('ACK ')}"
        ends = want.named(arrow.text.partition(": ")[0])
        arrow.text = f"{ends}: {arrow.label}"
    elif passage.frame.gso_bytes:
        pieces = -(-look.payload_bytes // passage.frame.gso_bytes)
        arrow.label += f" in {pieces} {'segments' if look.is_tcp else 'datagrams'}"
    return arrow


def _arrived(passage: Passage) -> float | None:
    if passage.end == SEEN:
        return passage.entered_at
    return passage.arrives_at if passage.end == ARRIVED else None


def _lost_part(passage: Passage) -> float:
    """Return at which part of the way it was lost."""
    if passage.sent_at is None:
        # netem loses a frame before its queue, but means the line.
        return 0.5 if passage.lost.startswith(("loss", "partition")) else _KEPT_PART
    if passage.arrives_at is None or passage.ended_at is None:
        return 0.5
    whole = passage.arrives_at - passage.entered_at
    part = (passage.ended_at - passage.entered_at) / whole if whole > 0 else 0.5
    return min(max(part, _KEPT_PART), 0.9)


def _marks(sight: Sight) -> tuple[str, ...]:
    passage = sight.passage
    marks = [f"again: {sight.again}"] if sight.again else []
    marks += [sight.seen_as] if sight.seen_as else []
    if passage.copy_of is not None:
        marks.append("copy")
    marks += [
        change.what + (f" ({change.detail})" if change.detail else "")
        for change in passage.changes
        if not (change.what == "duplicate" and passage.copy_of is not None)
    ]
    if passage.refused:
        marks.append(f"refused: {passage.refused}")
    return tuple(marks)


def _note(event: Event, want: Wanted) -> Note | None:
    """Return what is written at a node, if that is wanted."""
    kind = _note_kind(event)
    if kind not in want.notes or not want.has(event.at):
        return None
    if want.between is not None and not want.is_between(_ends(event)):
        return None
    if isinstance(event, TcpStateChanged):
        text = f"port {event.local[1]}: {event.new}"
    else:
        text = describe(event).removeprefix(f"{event.host} ")  # type: ignore[arg-type]
    return Note(event.at, event.host, want.named(text), kind)


def _ends(event: Event) -> Ends | None:
    match event:
        case TcpStateChanged() | TcpRepair() | TcpSoftError():
            return event.local, event.remote
        case Milestone(local=(_, _) as local, remote=(_, _) as remote):
            return local, remote
        case _:
            return None


def _note_kind(event: Event) -> str:
    match event:
        case Dropped():
            # What a link drops is seen at its frame; what a switch does not pass on is its work.
            own = event.interface in _DIRECTIONS or event.reason.startswith("switch_")
            return "" if own else "drop"
        case TcpStateChanged():
            return "state"
        case TcpRepair() | TcpSoftError():
            return "repair"
        case Milestone():
            return "milestone"
        case LookUp():
            return "name"
        case RouteChosen():
            return "route"
        case NeighborChanged():
            return "neighbor"
        case FellBehind():
            return "late"
        case _:
            return ""  # frames; what was sent again is marked at its arrow


def _keep_notes(diagram: Diagram, notes: list[Note], most: int) -> None:
    kept = notes
    if diagram.left_out and diagram.arrows:
        since = diagram.arrows[0].sent_at
        kept = [note for note in notes if note.at >= since]
    diagram.notes = kept[max(len(kept) - most, 0) :]
    diagram.notes_left_out = len(notes) - len(diagram.notes)


def _cut_window(diagram: Diagram) -> None:
    """Leave out what was before the first row and after the last one."""
    rows = diagram.rows()
    window = diagram.window
    if window is None or not rows:
        diagram.window = None
        return
    begin = rows[0].sent_at if isinstance(rows[0], Arrow) else rows[0].at
    end = max(row.ends_at if isinstance(row, Arrow) else row.at for row in rows)
    for series in (window.cwnd, window.flight):
        before = [each for each in series if each[0] < begin]
        inside = [each for each in series if begin <= each[0] <= end]
        series[:] = [*((begin, before[-1][1]) for _ in before[:1]), *inside]
    if not window.flight:
        diagram.window = None


def _order(diagram: Diagram, order: Sequence[str]) -> list[str]:
    """Return the names of all lifelines: in the order given, or along the way of the frames."""
    pairs = [(arrow.sender, arrow.receiver) for arrow in diagram.arrows]
    seen = dict.fromkeys(name for pair in pairs for name in pair if name)
    seen.update(dict.fromkeys(note.node for note in diagram.notes if note.node))
    if order:
        return [*(name for name in order if name in seen), *(n for n in seen if n not in order)]
    return along_the_way(list(seen), pairs)

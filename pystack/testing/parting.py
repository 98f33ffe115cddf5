"""Where two runs with different seeds part: in what travels, not in what chance calls it.

Sequence numbers, ports and instants differ from the first frame on, and mean nothing. So for each
direction of each link the frames are compared by what they are to their conversation, and by what
befell them. Only where all of that is the same do instants count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pystack.observe.captures.fate import why_lost
from pystack.observe.flows import FlowTable
from pystack.observe.journal import ENTERS, LEAVES, Entry
from pystack.observe.reading import read
from pystack.observe.summary import summarize
from pystack.wire.frame import Frame

MOST_FRAMES: Final = 100_000  # of a run that are compared
_BEFORE: Final = 4  # frames on that link that are shown
_SHOWN_BYTES: Final = 160  # of a frame, for its line
_LOST: Final = 6  # and of those that were lost
_FIRST_EPHEMERAL: Final = 32768  # ports from here on are drawn

Direction = tuple[str, str]  # a link's name, and the sender


@dataclass(slots=True)
class _Sent:
    """A frame on a link."""

    at: float
    shape: tuple[object, ...]  # what it is, whatever the seed
    data: bytes
    fate: tuple[str, ...] = ()  # why it was lost, how it was changed
    is_over: bool = False


@dataclass(slots=True)
class _Way:
    """All that was sent in one direction of a link."""

    receiver: str
    sent: list[_Sent] = field(default_factory=list)
    open: list[_Sent] = field(default_factory=list)  # under way, in order


def where_they_part(
    one: Iterable[Entry], other: Iterable[Entry], names: tuple[str, str]
) -> list[str]:
    """Return where two runs part, in lines; `names`: what they are called."""
    first, second = _ways(one), _ways(other)
    parting = min(_partings(first, second, by_time=False), default=None)
    what = "in what is sent, or what befalls it"
    if parting is None:
        parting = min(_partings(first, second, by_time=True), default=None)
        what = "in when it is sent alone"
    if parting is None:
        return ["no frame differs, nor its instant: what differs is inside of the programs"]
    at, (link, sender), number = parting
    way = first.get((link, sender)) or second[link, sender]
    lines = [
        f"they part {what}: at {at:.6f} s, on {link}, with frame {number + 1:,} from {sender} to "
        f"{way.receiver}"
    ]
    before = way.sent[max(0, number - _BEFORE) : number]
    if before:
        lines += [f"the same in both (the last {len(before)}):", *(f"  {_line(s)}" for s in before)]
    both = tuple(zip(names, (first, second), strict=True))
    for name, ways in both:
        there = ways.get((link, sender))
        sent = there.sent[number] if there is not None and number < len(there.sent) else None
        lines += [f"{name}:", f"  {'nothing more is sent there' if sent is None else _line(sent)}"]
    for name, ways in both:
        if lost := _lost(ways, at):
            lines += [f"what befell frames from there on, with {name}:", *lost]
    return lines


def _lost(ways: dict[Direction, _Way], since: float) -> list[str]:
    """Return the first of those frames that did not get through as they were."""
    struck = [sent for way in ways.values() for sent in way.sent if sent.fate and sent.at >= since]
    struck.sort(key=lambda sent: sent.at)
    lines = [f"  {_line(sent)}" for sent in struck[:_LOST]]
    return [*lines, f"  and {len(struck) - _LOST} more"] if len(struck) > _LOST else lines


def _partings(
    first: dict[Direction, _Way], second: dict[Direction, _Way], *, by_time: bool
) -> Iterator[tuple[float, Direction, int]]:
    """Yield where each direction differs first."""
    for direction in {**first, **second}:
        one = first[direction].sent if direction in first else []
        other = second[direction].sent if direction in second else []
        for number, (left, right) in enumerate(zip(one, other, strict=False)):
            differs = (
                left.at != right.at
                if by_time
                else (left.shape, left.fate) != (right.shape, right.fate)
            )
            if differs:
                yield min(left.at, right.at), direction, number
                break
        else:
            if len(one) != len(other):
                number = min(len(one), len(other))
                yield max(one, other, key=len)[number].at, direction, number


def _ways(entries: Iterable[Entry]) -> dict[Direction, _Way]:
    ways: dict[Direction, _Way] = {}
    flows = FlowTable()
    frames = 0
    for entry in entries:
        if entry.kind == ENTERS:
            frames += 1
            if frames > MOST_FRAMES:
                break
            link, sender, receiver, _gso = map(str, entry.values)
            way = ways.setdefault((link, sender), _Way(receiver))
            sent = _Sent(entry.at, _shape(flows, entry, link), entry.data[:_SHOWN_BYTES])
            way.sent.append(sent)
            way.open.append(sent)
        elif entry.kind == LEAVES:
            _take_end(ways, entry)
    return ways


def _take_end(ways: dict[Direction, _Way], entry: Entry) -> None:
    link, sender, _receiver, entered_at, lost, changes = entry.values
    way = ways.get((str(link), str(sender)))
    if way is None:
        return
    # What is lost as it enters is the last that did so; else they come in order.
    order = reversed(way.open) if entry.at == entered_at else way.open
    sent = next((each for each in order if each.at == entered_at), None)
    if sent is None:  # a copy, of one that has ended
        return
    way.open.remove(sent)
    changed = changes if isinstance(changes, tuple) else ()
    sent.fate = (*((str(lost),) if lost else ()), *(_kind(str(change)) for change in changed))


def _kind(change: str) -> str:
    """Return what was done to a frame, without where: "bit 7 of byte 41 turned" has numbers."""
    return "".join(sign for sign in change if not sign.isdigit())


def _shape(flows: FlowTable, entry: Entry, link: str) -> tuple[object, ...]:
    found = read(entry.data)
    ports = tuple(
        port if port < _FIRST_EPHEMERAL else 0 for port in (found.src_port, found.dst_port)
    )
    seen = flows.feed(entry.at, entry.data, place=link)
    if seen is not None and found.transport:
        return (found.transport, *ports, seen.kind, seen.seq, seen.ack, seen.text_bytes)
    return (found.ethertype, found.body_bytes, bytes(found.body[:2]))


def _line(sent: _Sent) -> str:
    fate = "; ".join(why_lost(word) for word in sent.fate)
    # Without TCP's options, which differ with each seed
    summary = re.sub(r", options \[[^]]*\]", "", summarize(Frame(sent.data)))
    return f"{sent.at:.6f}  {summary}{f' ({fate})' if fate else ''}"

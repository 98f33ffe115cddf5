"""Items of the tape as JSON: a frame in a line and in numbers, an event in a line."""

from __future__ import annotations

from typing import Final

from pystack.apps.live.tape import Kept
from pystack.core.tcp_events import TcpEvent, TcpMeasured, TcpRetransmitted, TcpStateChanged
from pystack.observe.log import describe
from pystack.observe.observer import Dropped, FrameSeen
from pystack.observe.passage import Passage
from pystack.observe.reading import read
from pystack.observe.summary import summarize

_LINE_CHARS: Final = 300

Values = dict[str, object]


def item_json(kept: Kept) -> Values:
    """Return what is told of an item when it is new."""
    item = kept.item
    if isinstance(item, Passage):
        return _frame_json(kept, item)
    assert not isinstance(item, FrameSeen | TcpMeasured)
    value: Values = {
        "n": kept.number,
        "at": item.at,
        "event": _kind(type(item).__name__),
        "host": item.host,
        "line": describe(item)[:_LINE_CHARS],
    }
    if isinstance(item, TcpEvent):
        value["local"], value["remote"] = list(item.local), list(item.remote)
    if isinstance(item, TcpStateChanged):
        value["old"], value["new"] = item.old, item.new
    elif isinstance(item, TcpRetransmitted):
        value["reason"], value["seq"] = item.reason, item.seq
    elif isinstance(item, Dropped):
        value["reason"] = item.reason
    return value


def ended_json(kept: Kept) -> Values:
    """Return what is told of a frame whose passage has ended since."""
    passage = kept.item
    assert isinstance(passage, Passage)
    return {"n": kept.number, **_fate(passage)}


def _frame_json(kept: Kept, passage: Passage) -> Values:
    seen = read(passage.frame.data)
    source, destination = seen.ends
    kept.ends = frozenset((source, destination))
    value: Values = {
        "n": kept.number,
        "at": passage.entered_at,
        "place": passage.place,
        "from": passage.sender,
        "to": passage.receiver,
        "bytes": kept.wire_bytes,
        "line": (kept.line or summarize(passage.frame))[:_LINE_CHARS],
        "protocol": seen.protocol,
        "ends": [*source, *destination],
        **_fate(passage),
    }
    if seen.transport == "tcp":
        value["tcp"] = [seen.seq, seen.ack, seen.flags, seen.wnd, seen.text_bytes]
        if seen.options is not None and seen.options.sack_blocks:
            value["sack"] = [list(block) for block in seen.options.sack_blocks]
    return value


def _fate(passage: Passage) -> Values:
    """Return what is known of how it went on."""
    value: Values = {"end": passage.end}
    for name, at in (
        ("begins", passage.begins_at),
        ("sent", passage.sent_at),
        ("arrives", passage.arrives_at),
        ("ended", passage.ended_at),
    ):
        if at is not None:
            value[name] = at
    if passage.lost:
        value["lost"] = passage.lost
    if passage.refused:
        value["refused"] = passage.refused
    if passage.changes:
        value["changes"] = [f"{each.what} {each.detail}".strip() for each in passage.changes]
    return value


def _kind(name: str) -> str:
    """Return the name of a class as words: "TcpStateChanged" is "tcp state changed"."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()

"""Where the time went: spans, one behind the other, that add up to the total to the nanosecond.

The phases follow one another without gap or overlap: each begins where the one before ends. What
each was spent on comes from the critical path (`ledger.py`): propagation, serialization, queueing,
waits for repairs (retransmission), and the hosts' own time. Instants are rounded to nanoseconds
once, before anything is subtracted, so that sums are exact.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pystack.observe.amounts import duration, size
from pystack.observe.explain.conversation import Conversation
from pystack.observe.explain.kept import Turn
from pystack.observe.explain.ledger import (
    HOST,
    PROPAGATION,
    QUEUEING,
    REPAIR,
    SERIALIZATION,
    Piece,
)
from pystack.observe.explain.said import said
from pystack.observe.explain.seen import DNS_PORT, Exchange, Seen
from pystack.observe.explain.story import Span, Story

PARTS: Final = (PROPAGATION, SERIALIZATION, QUEUEING, REPAIR, HOST)
RULE: Final = (
    "Followed back from the last arrival: whatever each packet had to wait for is on the critical "
    "path, and all else is not counted. A wait for a repair is the time from the first sending of "
    "something to the sending that arrived."
)
_NS: Final = 1e9
_JOINED: Final = ("dns", "tls", "neighbor")  # several behind one another are one


@dataclass(slots=True)
class _Phase:
    """It is about this, from here to there; where several are under way, the last that began."""

    name: str
    begin: float
    end: float
    text: str = ""


def fill(story: Story, seen: Seen) -> None:
    """Give a story its waterfall and its facts."""
    phases = _phases(seen)
    begins = [phase.begin for phase in phases]
    if not begins:
        begins = [story.steps[0].at] if story.steps else [story.began_at]
    began = min(begins)
    ended = max(seen.ended_at, began)
    # A program may still have waited when nothing came any more.
    ended = max([ended, *(each.at for each in seen.milestones), *(each.end for each in phases)])
    story.began_at, story.ended_at = began, ended
    path: list[Piece] = []
    knows = seen.about.knows_inside or not seen.one_place
    if seen.end is not None and not seen.ledger.full and knows:
        path = seen.ledger.way_back(seen.end[0], ended, began)
    elif seen.ledger.full:
        story.unknown.append("The run is so long that its critical path was not kept.")
    story.waterfall = _spans(phases, path, began, ended)
    story.facts |= _facts(story, seen, path)


def _phases(seen: Seen) -> list[_Phase]:
    """Return what was going on, and when."""
    phases: list[_Phase] = []
    asked: dict[tuple[str, str, str], float] = {}
    for event in seen.look_ups:
        key = (event.host, event.name, event.kind)
        if event.what == "asked":
            asked.setdefault(key, event.at)
        elif event.what in ("answered", "failed") and key in asked:
            phases.append(_Phase("dns", asked.pop(key), event.at, event.name))
    phases += [_Phase("dns", at, at, key[1]) for key, at in asked.items()]
    for exchange in seen.exchanges.values():
        if DNS_PORT not in exchange.ends:
            phases += _of_datagrams(exchange)
        elif not seen.look_ups:
            phases.append(_Phase("dns", exchange.datagrams[0].at, exchange.last_at))
    clients = {conversation.sides[0].node for conversation in seen.conversations.values()}
    clients |= {exchange.nodes[0] for exchange in seen.exchanges.values()}
    for conversation in seen.conversations.values():
        phases += _of_connection(conversation, seen)
    first = min((phase.begin for phase in phases), default=0.0)
    last = max((phase.end for phase in phases), default=0.0)
    for asking in seen.askings:
        at, answered_at = asking.kept.passage.entered_at, asking.answered_at
        if asking.node in clients and answered_at is not None and first - 1.0 <= at <= last:
            phases.append(_Phase("neighbor", at, answered_at, asking.target))
    return phases


def _of_datagrams(exchange: Exchange) -> list[_Phase]:
    """A question waits until its answer is there."""
    phases: list[_Phase] = []
    asked_at: float | None = None
    for datagram in exchange.datagrams:
        asks = datagram.kept.read.src == exchange.ends[0]
        if asks and asked_at is None:
            asked_at = datagram.at
        elif not asks and datagram.arrived_at is not None and asked_at is not None:
            phases.append(_Phase("waiting", asked_at, datagram.arrived_at, "an answer"))
            asked_at = None
    if asked_at is not None:
        phases.append(_Phase("waiting", asked_at, exchange.last_at, "an answer"))
    return phases


def _of_connection(conversation: Conversation, seen: Seen) -> list[_Phase]:
    client = conversation.sides[0]
    phases: list[_Phase] = []
    if client.syn is not None:
        stands = conversation.established
        until = conversation.ended_at if stands is None else stands.passage.entered_at
        phases.append(_Phase("connect", client.syn_at, until))
    turns = conversation.turns
    for index, turn in enumerate(turns):
        spoken = said(conversation, index)
        kind = spoken.kind
        after = turns[index + 1] if index + 1 < len(turns) else None
        if kind.startswith("tls"):
            is_clients = kind == "tls_finished" and turn.side == 0
            end = turn.last_at if is_clients else turn.there_at
            if phases and phases[-1].name == "tls":
                phases[-1].end = end  # what the programs reckoned meanwhile is part of it
            else:
                phases.append(_Phase("tls", turn.first_at, end))
            if (
                (is_clients and not conversation.asked)
                and (after is not None and after.arrived_at is not None)
                and not said(conversation, index + 1).kind.startswith("tls")
            ):
                # Nobody has said where the request begins: a client sends it with its Finished.
                phases.append(_Phase("waiting", end, after.arrived_at, "encrypted"))
        elif kind == "message" and conversation.asked:
            continue  # of TLS or HTTP/2 themselves: nobody waits for it
        elif turn.side == 0:
            phases.append(_Phase("request", turn.first_at, turn.last_at, spoken.what))
            arrived = None if after is None or after.side == 0 else after.arrived_at
            end = arrived or turn.there_at
            phases.append(_Phase("waiting", turn.last_at, end, spoken.what))
        elif turn.arrived_at is not None:
            # Beside its sender, a capture does not show when it was there: not before its repairs.
            end = max([turn.there_at, *(_repairs(conversation, turn) if seen.one_place else ())])
            phases.append(_Phase("transfer", turn.arrived_at, end))
    fins = [side.fin.passage.entered_at for side in conversation.sides if side.fin is not None]
    if turns and turns[0].side == 1 and turns[0].arrived_at and phases:
        phases.append(_Phase("waiting", phases[0].end, turns[0].arrived_at, "the greeting"))
    if fins:
        said_last = [phase.end for phase in phases if phase.name == "transfer"]
        begin = max([min(fins), *said_last])
        phases.append(_Phase("close", begin, conversation.ended_at))
    return phases


def _repairs(conversation: Conversation, turn: Turn) -> list[float]:
    """Return when bytes of it were sent again."""
    return [
        again.at
        for again in conversation.agains
        if again.side == turn.side
        and again.was_lost is not False
        and turn.begin <= again.begin < turn.end
    ]


def _spans(phases: list[_Phase], path: list[Piece], began: float, ended: float) -> list[Span]:
    """Cut the whole time where a phase begins or ends; each cut is about one phase."""
    edges = {0, _ns(ended, began)}
    for phase in phases:
        edges |= {_ns(phase.begin, began), _ns(phase.end, began)}
    cuts = sorted(edge for edge in edges if 0 <= edge <= _ns(ended, began))
    found: list[tuple[_Phase, int, int]] = []
    for begin, end in pairwise(cuts):
        here = [p for p in phases if _ns(p.begin, began) <= begin and end <= _ns(p.end, began)]
        if here:
            phase = max(here, key=lambda p: (p.name == "neighbor", p.begin))
        else:
            phase = (
                found[-1][0]
                if found and found[-1][0].name == "between"
                else _Phase("between", 0.0, 0.0)
            )
        if found and (
            found[-1][0] is phase or (found[-1][0].name == phase.name and phase.name in _JOINED)
        ):
            found[-1] = (phase, found[-1][1], end)
        else:
            found.append((phase, begin, end))
    edges_ns = [_ns(piece.begin, began) for piece in path]
    return [_span(phase, begin, end, path, edges_ns, began) for phase, begin, end in found]


_TEXTS: Final = {
    "dns": "the name was looked up",
    "neighbor": "the next hop's MAC address was asked for",
    "connect": "TCP's handshake",
    "tls": "the TLS handshake",
    "request": "the request was sent, from its first segment to its last",
    "waiting": "nothing of the answer was there yet",
    "transfer": "the answer came, from its first segment to its last byte",
    "close": "FINs and their ACKs",
    "between": "the programs had it in their hands",
}


def _span(
    cut: _Phase, begin: int, end: int, path: list[Piece], edges: list[int], began: float
) -> Span:
    parts = []
    spent: dict[str, int] = {}
    first: dict[str, tuple[int, int]] = {}
    at = max(bisect_right(edges, begin) - 1, 0)
    for piece in path[at:]:
        from_, to = max(_ns(piece.begin, began), begin), min(_ns(piece.end, began), end)
        if from_ >= end:
            break
        if to > from_:
            spent[piece.what] = spent.get(piece.what, 0) + to - from_
            first[piece.what] = (first.get(piece.what, (from_, to))[0], to)
    for what in PARTS:
        if what in spent:
            from_, to = first[what]
            parts.append(Span(what, began + from_ / _NS, began + to / _NS, spent[what] / _NS))
    text = _TEXTS[cut.name] + (f" ({cut.text})" if cut.text else "")
    seconds = (end - begin) / _NS
    return Span(cut.name, began + begin / _NS, began + end / _NS, seconds, parts, text)


def _ns(at: float, began: float) -> int:
    return round((at - began) * _NS)


def _facts(story: Story, seen: Seen, path: list[Piece]) -> dict[str, str]:
    totals = seen.totals
    facts = {"total": duration(story.ended_at - story.began_at)}
    conversations = list(seen.conversations.values())
    if path:
        facts["round trips"] = str(_round_trips(path, seen))
    facts["connections"] = str(len(conversations) + bool(seen.more_conversations))
    if conversations:
        facts["segments"] = str(sum(s.segments for c in conversations for s in c.sides))
        facts["sent again"] = str(sum(s.again for c in conversations for s in c.sides))
    where = "on links" if seen.about.knows_inside else "seen"
    facts[f"frames {where}"] = f"{totals.frames:,}"
    facts["frames lost"] = str(totals.lost)
    facts[f"bytes {where}"] = size(totals.frame_bytes)
    facts["of these application"] = size(totals.application_bytes)
    facts["of these transport headers"] = size(totals.transport_bytes)
    facts["of these IP headers"] = size(totals.ip_bytes)
    facts["of these link headers"] = size(totals.link_bytes)
    facts["of these ARP, ND, ICMP"] = size(totals.other_bytes)
    if totals.frame_bytes:
        part = 1 - totals.application_bytes / totals.frame_bytes
        facts["overhead"] = f"{part:.1%}"
    if path:
        facts["critical path"] = RULE
    return facts


def _round_trips(path: list[Piece], seen: Seen) -> int:
    """Count how often the critical path comes back to the client."""
    clients = {conversation.sides[0].node for conversation in seen.conversations.values()}
    clients |= {exchange.nodes[0] for exchange in seen.exchanges.values()}
    clients = {seen.about.client} if seen.about.client else clients
    number = 0
    for before, piece in zip([None, *path], path, strict=False):
        came = before is not None and before.what in (PROPAGATION, SERIALIZATION)
        ends_at = before.where.rpartition(" to ")[2] if came and before is not None else ""
        if ends_at in clients and piece.where != (before.where if before else ""):
            number += 1
    if path and path[-1].what in (PROPAGATION, SERIALIZATION):
        number += path[-1].where.rpartition(" to ")[2] in clients
    return number

"""How it ends: FIN in both directions, TIME-WAIT; or a reset, errors of ICMP, nothing at all."""

from __future__ import annotations

from collections.abc import Iterator

from pystack.observe.amounts import count, duration, size
from pystack.observe.explain.conversation import Conversation
from pystack.observe.explain.kept import Kept
from pystack.observe.explain.seen import Seen
from pystack.observe.explain.story import Step
from pystack.observe.explain.words import Words


def steps(conversation: Conversation, seen: Seen, words: Words) -> Iterator[Step]:
    """Yield the steps of the end."""
    yield from _errors(conversation, seen, words)
    if any(side.fin is not None for side in conversation.sides):
        yield _close(conversation, words)
    for number, side in enumerate(conversation.sides):
        if side.rst is not None and conversation.sides[1].syn is not None:
            yield _reset(conversation, number, words)
        yield from _time_wait(conversation, number, words)


def _close(conversation: Conversation, words: Words) -> Step:
    fins = sorted(
        (
            (side.fin.passage.entered_at, number)
            for number, side in enumerate(conversation.sides)
            if side.fin is not None
        ),
    )
    at, first = fins[0]
    closer, other = conversation.sides[first], conversation.sides[1 - first]
    frames = [each for each in (closer.fin, closer.fin_acked, other.fin, other.fin_acked) if each]
    unique: list[Kept] = []
    for kept in frames:
        if all(kept.passage is not each.passage for each in unique):
            unique.append(kept)
    until = max(kept.there_at for kept in unique)
    text = (
        f"{closer.node} has nothing more to say: its FIN stands behind its last byte and takes a "
        f"sequence number of its own, so that it is acknowledged, and repeated if it is lost. "
    )
    crossed = _crossed(conversation)
    if other.fin is None:
        text += f"{other.node} has not closed its side: the connection stays half open."
        title = f"FIN: {closer.node} closes its side"
    else:
        text += _second(other.node, other.fin.passage.entered_at - at, crossed=crossed)
        text += (
            f"{count(len(unique), 'segment')} did it"
            + (", for ACK and FIN went together" if len(unique) < 4 else "")
            + f", in {duration(until - at)}."
        )
        title = f"FIN: {closer.node} closes first, {other.node} follows"
        if crossed:
            title = f"FIN: {closer.node} and {other.node} close at the same time"
        title += f"; done in {duration(until - at)}"
    return words.step(
        "close",
        at,
        until,
        title,
        text,
        actors=(closer.node, other.node),
        details=[
            (f"FIN of {side.node}", f"after {size(side.text_bytes)}", "all of them acknowledged")
            for side in (closer, other)
            if side.fin is not None and side.fin_acked is not None
        ],
        frames=sorted(unique, key=lambda kept: kept.passage.entered_at),
        states=words.states(conversation, until),
        values=words.values(conversation),
        trouble=other.fin is None and other.rst is None,
    )


def _second(node: str, gap_s: float, *, crossed: bool) -> str:
    """Say how the other side closed, so long after the first."""
    first = f"{node} sends its own FIN {duration(gap_s)} after the first"
    if crossed:
        return f"{first}, before that one is there: the two cross (a simultaneous close). "
    return (
        f"{first}; until then it could have gone on sending, for each direction is closed by "
        "itself. "
    )


def _crossed(conversation: Conversation) -> bool:
    """Tell whether each end sent its FIN before it had the other's."""
    if all(side.states for side in conversation.sides):  # who knew of it goes to CLOSE-WAIT
        return all(
            any(state.replace("_", "-") == "FIN-WAIT-1" for _, state in side.states)
            for side in conversation.sides
        )
    one, other = (side.fin for side in conversation.sides)
    if one is None or other is None or one.lost or other.lost:
        return False
    first, second = sorted((one, other), key=lambda kept: kept.passage.entered_at)
    return second.passage.entered_at < first.there_at


def _time_wait(conversation: Conversation, number: int, words: Words) -> Iterator[Step]:
    side, other = conversation.sides[number], conversation.sides[1 - number]
    for index, (at, state) in enumerate(side.states):
        if state.replace("_", "-") != "TIME-WAIT":
            continue
        ends = [when for when, _ in side.states[index + 1 :]]
        until = ends[0] if ends else at
        long = duration(until - at) if ends else "some time"
        why = (
            f"The FINs of {side.node} and {other.node} crossed: {side.node} closed without knowing "
            "that the other did"
            if _crossed(conversation)
            else f"{side.node} closed first"
        )
        yield words.step(
            "time_wait",
            at,
            until,
            f"TIME-WAIT: {side.node} remembers the connection for {long}",
            f"{why}, so it keeps the pair of sockets for {long}, twice the "
            "longest that a segment may live. Should its last ACK be lost, the FIN of "
            f"{other.node} comes again and must be answered; and a late segment of this "
            "connection must not be taken for one of the next between the same ports. No packet is "
            f"sent, no program waits; only port {side.port} to {other.address}:{other.port} is "
            "taken. Linux has 60 s.",
            actors=(side.node,),
            details=[
                ("length", long, "2 MSL"),
                ("who", side.node, "whoever closes first: for a busy client ports may run out"),
            ],
            states=[(side.node, state), (other.node, conversation.state_at(1 - number, at))],
            values=words.values(conversation),
        )
        return


def _reset(conversation: Conversation, number: int, words: Words) -> Step:
    side, other = conversation.sides[number], conversation.sides[1 - number]
    kept = side.rst
    assert kept is not None
    at = kept.passage.entered_at
    until = kept.there_at
    after_fin = other.fin is not None and other.fin.passage.entered_at <= at
    why = (
        f"{other.node} had closed already, and what came for it finds nobody"
        if after_fin
        else "a program closed with data unread, or gave up, or the other end knows nothing of it"
    )
    return words.step(
        "reset",
        at,
        until,
        f"RST: {side.node} throws the connection away",
        f"RST ends both directions at once: {why}. What was on its way is lost; the program at "
        f"{other.node} gets ECONNRESET if it reads, EPIPE if it writes.",
        actors=(side.node, other.node),
        frames=[kept],
        states=words.states(conversation, until),
        values=words.values(conversation),
        trouble=True,
    )


def _errors(conversation: Conversation, seen: Seen, words: Words) -> Iterator[Step]:
    told: set[tuple[str, str, int]] = set()
    for kept in conversation.errors:
        frame, at = kept.read, kept.passage.entered_at
        key = (frame.op, frame.src, frame.mtu_bytes)
        if key in told:
            continue
        told.add(key)
        who = seen.named(frame.src)
        mtu = f": the next link takes {size(frame.mtu_bytes)}" if frame.mtu_bytes else ""
        what = (
            "The sender makes its segments smaller and sends again what was too large: that is "
            "path MTU discovery."
            if frame.mtu_bytes
            else "The kernel hands it to the connection: while it stands, as a soft error that "
            "does not end it; while it is being opened, as the reason why it fails."
        )
        yield words.step(
            "icmp",
            at,
            kept.there_at,
            f"ICMP: {who} says {frame.op}{mtu}",
            f"{who} could not pass a packet for {frame.target} on and tells its sender: {frame.op}"
            f"{mtu}. The message quotes the beginning of that packet, so that the sender knows "
            f"which connection it is about. {what}",
            actors=(seen.who(frame.src), seen.who(frame.dst)),
            frames=[kept],
            values=words.values(conversation),
            trouble=True,
        )

"""Losses and their repair: where something was lost, who noticed, by what, and why just then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pystack.core.tcp_events import TcpRetransmitted
from pystack.observe.amounts import count, duration, listed, size
from pystack.observe.explain.conversation import Conversation
from pystack.observe.explain.kept import Again, Loss
from pystack.observe.explain.seen import Seen
from pystack.observe.explain.story import Step
from pystack.observe.explain.words import Detail, Words, why_lost

_MOST_STEPS = 40  # of losses, and of repairs: the others are counted
_SAME_BURST_S = 1e-3
LEAST_VARIANCE_S = 0.2  # Linux' TCP_RTO_MIN, which ours keeps too


@dataclass(slots=True)
class Burst:
    """Losses, or repairs, that belong together."""

    losses: list[Loss] = field(default_factory=list)
    agains: list[Again] = field(default_factory=list)


def steps(conversation: Conversation, seen: Seen, words: Words) -> Iterator[Step]:
    """Yield the steps about losses and repairs."""
    _explain(conversation)
    losses = _bursts(conversation)
    for burst in losses[:_MOST_STEPS]:
        yield _loss(conversation, burst.losses, words)
    repairs = _episodes(conversation)
    for burst in repairs[:_MOST_STEPS]:
        yield _repair(conversation, burst.agains, words)
    if len(repairs) > _MOST_STEPS:
        rest = [again for burst in repairs[_MOST_STEPS:] for again in burst.agains]
        yield _and_so_on(conversation, rest, words)
    for repair in conversation.repairs:
        if repair.what == "undo":
            yield _undone(conversation, repair.at, repair.host, words)


def _explain(conversation: Conversation) -> None:
    """Bring retransmissions together with what their senders have told."""
    for again in conversation.agains:
        node = conversation.sides[again.side].node
        key = (node, again.kept.read.seq, round(again.at * 1e9))
        again.event = conversation.events.get(key)
        if again.event is not None:
            again.reason = again.event.reason
            if again.reason == "rto" and _too_big(conversation, again, node):
                again.reason = "mtu"
        elif again.kept.guess and _was_too_big(conversation, again):
            again.reason = "mtu"


def _was_too_big(conversation: Conversation, again: Again) -> bool:
    """Tell from frames alone whether it was sent, called too large, and sent again at once."""
    first_at = again.first_at
    return first_at is not None and any(
        first_at <= error.there_at <= again.at < error.there_at + LEAST_VARIANCE_S
        and again.kept.read.size < error.read.mtu_bytes
        for error in conversation.errors
    )


def _too_big(conversation: Conversation, again: Again, node: str) -> bool:
    """Tell whether a router's word that packets are too large is what had it sent again."""
    told = [
        error.there_at
        for error in conversation.errors
        if error.read.mtu_bytes and error.there_at <= again.at
    ]
    timeouts = [
        each.at
        for each in conversation.repairs
        if each.what == "timeout" and each.host == node and each.at <= again.at
    ]
    return bool(told) and max(told) >= max(timeouts, default=0.0)


def _bursts(conversation: Conversation) -> list[Burst]:
    found: list[Burst] = []
    for loss in sorted(conversation.losses, key=lambda each: each.at):
        last = found[-1].losses[-1] if found else None
        if (
            last is not None
            and (last.side, last.reason) == (loss.side, loss.reason)
            and last.kept.passage.place == loss.kept.passage.place
            and (loss.begin == loss.end) == (last.begin == last.end)
            and not any(last.at < again.at <= loss.at for again in conversation.agains)
        ):
            found[-1].losses.append(loss)
        else:
            found.append(Burst(losses=[loss]))
    return found


def _episodes(conversation: Conversation) -> list[Burst]:
    """Put together what one finding of loss had sent again."""
    found: list[Burst] = []
    for again in conversation.agains:
        last = found[-1].agains[-1] if found else None
        if last is not None and _belong_together(conversation, last, again):
            found[-1].agains.append(again)
        else:
            found.append(Burst(agains=[again]))
    return found


def _belong_together(conversation: Conversation, last: Again, again: Again) -> bool:
    reason = again.reason
    if last.side != again.side or reason != last.reason or again.end == 0:
        return False
    node = conversation.sides[again.side].node
    parting = ("timeout",) if reason == "rto" else ("recovered", "undo", "timeout")
    if any(
        last.at < each.at <= again.at and each.host == node and each.what in parting
        for each in conversation.repairs
    ):
        return False
    if _guessed(again) != _guessed(last):
        return False
    if not reason and _guessed(again) in ("fast", "rto"):
        return again.at - last.at < LEAST_VARIANCE_S  # shorter than any time-out: one repair
    return reason not in ("tlp", "") or again.at - last.at < _SAME_BURST_S


def _what(each: Again | Loss) -> str:
    """Return what a segment carried, by the numbers of its bytes."""
    if each.end == 0 and each.begin < 0:
        return "the SYN-ACK" if each.side else "the SYN"
    size = each.kept.read.size
    if not size:
        return "the FIN" if each.end > each.begin else "an ACK without data"
    first = each.begin + 1
    text = f"bytes {first:,} to {first + size - 1:,}"
    return f"{text} and the FIN" if each.end - each.begin > size else text


def _loss(conversation: Conversation, losses: list[Loss], words: Words) -> Step:
    first = losses[0]
    sender = conversation.sides[first.side]
    passage = first.kept.passage
    link = f"{passage.sender} to {passage.receiver}"
    number = len(losses)
    ack_only = first.begin == first.end
    is_syn = first.end == 0 and not ack_only
    if is_syn:
        name = "SYN-ACK" if first.side else "SYN"
        what = f"a {name}"
    else:
        noun = "ACK" if ack_only else "segment"
        what = f"{count(number, noun)} of {sender.node}"
    cause = passage.refused if passage.refused and not passage.lost else ""
    how = (
        f"it arrived damaged and {passage.receiver} refused it ({cause})"
        if cause
        else why_lost(first.reason)
    )
    others = f", and {number - 1:,} more the same way" if number > 1 else ""
    text = f"On the link from {link}: {how}{others}. Nobody is told: the sender learns of it only "
    text += (
        "if it matters, and it does not: the next ACK says the same and more."
        if ack_only
        else "by what does not come back."
    )
    repaired = [loss.repaired_at for loss in losses if loss.repaired_at is not None]
    if repaired and not ack_only:
        text += (
            f" It takes {duration(max(repaired) - first.at)} until all of it is there after all."
        )
    rows: list[Detail] = [
        (_what(loss), loss.reason, f"frame {loss.kept.passage.number}") for loss in losses[:12]
    ]
    return words.step(
        "loss",
        first.at,
        losses[-1].at,
        f"Lost on {link}: {what} ({first.reason})",
        text,
        actors=(passage.sender, passage.receiver),
        details=rows,
        frames=[loss.kept for loss in losses],
        values={**words.values(conversation), "node": passage.sender},
        trouble=True,
    )


def _repair(conversation: Conversation, agains: list[Again], words: Words) -> Step:
    first = agains[0]
    side, other = conversation.sides[first.side], conversation.sides[1 - first.side]
    reason = first.reason
    ranges = listed([_what(again) for again in agains[:4]])
    if len(agains) > 4:
        ranges += f" and {count(len(agains) - 4, 'more segment')}"
    waited = None if first.first_at is None else first.at - first.first_at
    needless = [again for again in agains if again.was_lost is False]
    why, rows = _why(conversation, first, waited, words)
    text = f"{side.node} sends {ranges} again"
    text += f", {duration(waited)} after the first time. " if waited is not None else ". "
    text += why
    if reason == "mtu":
        needless = []
    if needless:
        text += (
            f" {'It was' if len(agains) == 1 else f'{len(needless)} of them were'} not lost, as we "
            "see from outside: it was only late, or its ACK was lost. The copy is thrown away by "
            f"{other.node}."
        )
    guess = "" if reason or words.seen.about.knows_inside else _guessed(first)
    title = _TITLES.get(reason, "Sent again{likely}: {what} of {node}").format(
        what=ranges,
        node=side.node,
        timer=duration(first.event.timer_s if first.event else 0.0),
        likely=f" ({_LIKELY[guess]}, most likely)" if guess else "",
    )
    until = max(again.kept.there_at for again in agains)
    return words.step(
        "spurious"
        if needless and len(needless) == len(agains)
        else _KINDS.get(reason or guess, "repair"),
        first.at,
        until,
        title,
        text,
        actors=(side.node, other.node),
        details=rows,
        frames=[again.kept for again in agains],
        states=words.states(conversation, first.at),
        values=words.values(conversation),
        trouble=True,
    )


_KINDS: Final = {each: f"repair_{each}" for each in ("rto", "rack", "tlp", "sack", "dupack", "mtu")}
_TITLES: Final = {
    "rto": "Time-out after {timer}: {node} sends {what} again",
    "rack": "RACK: {node} takes {what} for lost and sends again",
    "tlp": "Tail loss probe after {timer}: {node} sends {what} again",
    "sack": "SACK shows a gap: {node} sends {what} again",
    "dupack": "Three duplicate ACKs: {node} sends {what} again",
    "mtu": "Too large for the path: {node} sends {what} again, in smaller segments",
    "syn": "{node} answers a repeated SYN once more",
}
_LIKELY: Final = {  # of what a capture shows, as Linux and this stack do it
    "rto": "time-out",
    "fast": "fast retransmission",
    "tlp": "tail loss probe",
    "syn": "the SYN came again",
}


def _why(
    conversation: Conversation, again: Again, waited: float | None, words: Words
) -> tuple[str, list[Detail]]:
    """Say why just then, with the numbers that it came from."""
    event = again.event
    rows: list[Detail] = []
    if event is not None and event.srtt_s:
        rows.append(("SRTT", duration(event.srtt_s), "the smoothed round-trip time"))
        rows.append(("RTTVAR", duration(event.rttvar_s), "how much it varies"))
    if again.reason == "mtu":
        return (
            "A router has said that packets of this size do not fit the next link, and how large "
            "they may be. Nothing was lost to congestion, so the window stays as it is; the same "
            "bytes go out at once, cut anew.",
            rows,
        )
    if event is None:
        return _guess(again, waited, words), []
    if event.reason == "rto":
        return _rto(conversation, again, rows)
    if event.reason == "rack":
        return _rack(event, rows)
    if event.reason == "tlp":
        rows.append(("probe time-out", duration(event.timer_s), "PTO"))
        single = event.timer_s > 2 * event.srtt_s + 0.1
        return (
            "The end of a flight has nothing behind it that could reveal the gap, so no ACK comes. "
            f"After {duration(event.timer_s)} without a word (PTO: 2 SRTT = "
            f"{duration(2 * event.srtt_s)}"
            f"{', and as much as a delayed ACK for a single segment may take' if single else ''}) "
            "the last segment is sent again, to get an ACK that tells more. That is earlier than "
            "the retransmission time-out, and does not reset the window.",
            rows,
        )
    if event.reason == "sack":
        return (
            "The ACKs keep naming the same byte, and their SACK blocks name what came behind it: "
            "so much is there behind the gap that it counts as lost (RFC 6675). Only the gap is "
            "sent again; the window is halved, not reset.",
            rows,
        )
    if event.reason == "dupack":
        return (
            "Three ACKs in a row named the same byte: something arrives behind a gap. Without SACK "
            "they do not say what, so the one segment that is asked for is sent again (fast "
            "retransmit), and what else is missing shows a round trip later.",
            rows,
        )
    return "The peer's SYN came again: the answer to it seems to be lost.", rows


def _rack(event: TcpRetransmitted, rows: list[Detail]) -> tuple[str, list[Detail]]:
    rows.append(("reordering window", duration(event.reo_wnd_s), "how late is late"))
    none = (
        "none here, for enough has come behind it and no reordering was ever seen"
        if not event.reo_wnd_s
        else duration(event.reo_wnd_s)
    )
    return (
        "A segment that was sent later has been acknowledged (the SACK blocks say so), so this "
        "one was overtaken. RACK waits one round trip from its sending, here about "
        f"{duration(event.srtt_s)}, and the reordering window ({none}), for it might only be "
        "late; then it counts as lost. No retransmission time-out had to run out, and the "
        "congestion window is reduced once for the whole round trip.",
        rows,
    )


def _rto(conversation: Conversation, again: Again, rows: list[Detail]) -> tuple[str, list[Detail]]:
    event = again.event
    assert event is not None
    rows.append(("RTO", duration(event.timer_s), "the time-out that ran out"))
    if not event.srtt_s:
        times = round(event.timer_s).bit_length() if event.timer_s >= 1 else 1
        doubled = ", doubled with each attempt" if times > 1 else ""
        return (
            "No ACK came, and no round trip was measured yet, so nobody knows how long one takes: "
            f"the time-out is the initial one{doubled}: {duration(event.timer_s)}. It is twice as "
            "long the next time.",
            rows,
        )
    base = event.srtt_s + max(4 * event.rttvar_s, LEAST_VARIANCE_S)
    backed_off = event.timer_s > base * 1.5
    floor = " (kept at 200 ms at least)" if 4 * event.rttvar_s < LEAST_VARIANCE_S else ""
    text = (
        f"No ACK came for {duration(event.timer_s)}, the retransmission time-out. It is SRTT + 4 "
        f"RTTVAR: {duration(event.srtt_s)} + 4 x {duration(event.rttvar_s)}{floor} = "
        f"{duration(base)}"
    )
    text += f", doubled by back-off to {duration(event.timer_s)}. " if backed_off else ". "
    text += (
        "It runs from the last ACK that brought something new. That is the last resort: all that "
        "is in flight counts as lost, and the congestion window starts again from one segment."
    )
    return text, rows


def _guess(again: Again, waited: float | None, words: Words) -> str:
    guess = _guessed(again)
    if words.seen.about.knows_inside or not guess:
        return "Why just then, its sender has not told."
    texts = {
        "rto": "no ACK had come for it, and its time-out had run out.",
        "fast": "ACKs had shown a gap (they repeat a number, or have SACK blocks), and no timer "
        "had to run out: fast retransmission.",
        "tlp": "it was the last of its flight, there was no ACK, and this is a tail loss probe.",
        "syn": "the SYN had come again, and this answers it.",
    }
    before = (
        "The first one did not come by here: it was lost before. "
        if again.kept.is_first and waited is None
        else ""
    )
    after = "Most" if waited is None else f"After {duration(waited)}: most"
    return f"{before}The capture does not say why. {after} likely {texts[guess]}"


def _guessed(again: Again) -> str:
    """Return what most likely had it sent again, as its conversation shows; "": no idea."""
    guess, first_at = again.kept.guess, again.first_at
    if guess == "rto" and first_at is not None and again.at - first_at < LEAST_VARIANCE_S:
        return "fast"  # no time-out is as short as that
    return guess


def _undone(conversation: Conversation, at: float, host: str, words: Words) -> Step:
    return words.step(
        "undone",
        at,
        at,
        f"False alarm: {host} takes the reduction of its window back",
        f"ACKs (their timestamps, or D-SACK blocks) show that what was sent again had arrived the "
        f"first time: it was late, not lost. {host} sets its congestion window to what it was.",
        actors=(host,),
        values=words.values(conversation),
        trouble=True,
    )


def _and_so_on(conversation: Conversation, rest: list[Again], words: Words) -> Step:
    side = conversation.sides[rest[0].side]
    total = sum(again.end - again.begin for again in rest)
    return words.step(
        "repair",
        rest[0].at,
        rest[-1].at,
        f"{count(len(rest), 'more segment')} sent again like these",
        f"{size(total)} more were sent again; they are not told one by one.",
        actors=(side.node,),
        values=words.values(conversation),
        trouble=True,
    )

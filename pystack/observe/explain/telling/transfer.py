"""What the two sides say, and how TCP carries it: segments, acknowledgements, windows, queues."""

from __future__ import annotations

from collections.abc import Iterator

from pystack.observe.amounts import count, duration, listed, rate, size
from pystack.observe.explain.conversation import Conversation
from pystack.observe.explain.kept import MOST_SIZES, Round, Turn, Window
from pystack.observe.explain.said import METHODS, Said, protocol_of, said
from pystack.observe.explain.seen import Seen
from pystack.observe.explain.story import Step
from pystack.observe.explain.words import Detail, Words

_A_WAIT_S = 1e-6  # shorter ones are not worth a word
_A_QUEUE_S = 1e-4
_MOST_ROWS = 12


def steps(conversation: Conversation, seen: Seen, words: Words) -> Iterator[Step]:
    """Yield the steps about what is said and carried."""
    for index, turn in enumerate(conversation.turns):
        spoken = said(conversation, index)
        yield _turn(conversation, index, spoken, words)
        if turn.segments > 1 and _is_cut(conversation, turn):
            yield _segments(conversation, turn, spoken, words)
        if turn.segments > 1 and turn.ack_count:
            yield _acks(conversation, turn, words)
        rounds = _undisturbed(conversation, turn) if turn.rounds else []
        if len(rounds) > 1:
            yield _slow_start(conversation, turn, rounds, words)
        if turn.queued_s > _A_QUEUE_S and turn.queued is not None:
            yield _queueing(conversation, turn, words)
    for window in conversation.windows:
        yield _zero_window(conversation, window, words)
    if conversation.more_turns:
        last = conversation.turns[-1]
        yield words.step(
            "request",
            last.first_at,
            last.last_at,
            f"{conversation.more_turns:,} more turns follow like these",
            "They are not told one by one.",
            actors=(conversation.sides[0].node, conversation.sides[1].node),
            values=words.values(conversation),
        )


def _is_cut(conversation: Conversation, turn: Turn) -> bool:
    """Tell whether TCP had to cut: several small segments are several writes of the program."""
    largest = _mss(conversation)
    return largest is None or max(length for _, length in turn.sizes) >= largest // 2


def _is_uncut(conversation: Conversation, turn: Turn) -> bool:
    """Tell whether it was seen before a card cut it, or after one had joined it again."""
    largest = _mss(conversation)
    return largest is not None and max(length for _, length in turn.sizes) > largest


def _mss(conversation: Conversation) -> int | None:
    """Return the most bytes of a segment, as both ends have agreed; None: nobody knows."""
    offers = [side.syn.read.options for side in conversation.sides if side.syn is not None]
    if len(offers) < 2:
        return None
    stamps = all(offer.timestamps is not None for offer in offers)
    return min(offer.mss or 536 for offer in offers) - (12 if stamps else 0)


def _turn(conversation: Conversation, index: int, spoken: Said, words: Words) -> Step:
    turn = conversation.turns[index]
    speaker, hearer = conversation.sides[turn.side], conversation.sides[1 - turn.side]
    until = turn.delivered_at if turn.delivered_at is not None else turn.last_at
    details = list(spoken.details)
    text = (
        f"{speaker.node} writes {size(turn.size)}. TCP knows no messages: to it they are the bytes "
        f"{turn.begin + 1:,} to {turn.end:,} of this direction, sent in "
        f"{count(turn.segments, 'segment')}."
    )
    if turn.delivered_at is not None and words.seen.about.knows_inside:
        took = duration(turn.delivered_at - turn.first_at)
        text += f" {hearer.node} has all of them, in order, {took} after the first was sent."
        if turn.delivered_at > turn.first_at and turn.segments > 8:
            bits = turn.size * 8 / (turn.delivered_at - turn.first_at)
            text += f" That is {rate(bits)}."
    before = _waited(conversation, index) if words.seen.about.knows_inside else ""
    if spoken.text:
        text += f" {spoken.text}"
    if before:
        text += f" {before}"
    is_again = _is_reuse(conversation, index, spoken)
    if is_again:
        text += (
            " The connection is the one from before, kept alive: no look-up, no handshake, and "
            "congestion control still knows the path."
        )
    return words.step(
        "reuse" if is_again else spoken.kind,
        turn.first_at,
        until,
        f"{speaker.node}: {spoken.what}"
        + ("" if "byte" in spoken.what else f", {size(turn.size)}"),
        text,
        actors=(speaker.node, hearer.node),
        details=details,
        frames=turn.kept,
        states=words.states(conversation, until),
        values=words.values(conversation),
        trouble=turn.delivered_at is None and words.seen.about.knows_inside,
        protocol=spoken.protocol or protocol_of(conversation),
    )


def _waited(conversation: Conversation, index: int) -> str:
    """Say how long the speaker took to answer."""
    turn = conversation.turns[index]
    before = conversation.turns[index - 1] if index else None
    if before is None or before.side == turn.side or before.delivered_at is None:
        return ""
    waited = turn.first_at - before.delivered_at
    node = conversation.sides[turn.side].node
    if waited < 0:
        return f"{node} began before it had all that the other side said."
    if waited < _A_WAIT_S:
        return f"{node} answered at the instant at which it had all."
    return f"{node} took {duration(waited)} for it, from the last byte that it waited for."


def _is_reuse(conversation: Conversation, index: int, spoken: Said) -> bool:
    """Tell whether another request goes over the same connection."""
    if spoken.kind != "request" or not spoken.what.startswith(METHODS):
        return False
    before = conversation.turns[:index]
    answers = [number for number, each in enumerate(before) if each.side == 1]
    return any(said(conversation, number).kind == "answer" for number in answers)


def _segments(conversation: Conversation, turn: Turn, spoken: Said, words: Words) -> Step:
    speaker, hearer = conversation.sides[turn.side], conversation.sides[1 - turn.side]
    largest = max(length for _, length in turn.sizes)
    rows: list[Detail] = []
    for number, (start, length) in enumerate(turn.sizes[:_MOST_ROWS], 1):
        rows.append(
            (f"segment {number}", f"bytes {start + 1:,} to {start + length:,}", size(length))
        )
    if turn.segments > _MOST_ROWS:
        rows.append(("...", count(turn.segments - _MOST_ROWS, "more segment"), ""))
    known = len(turn.sizes) < MOST_SIZES
    last = turn.sizes[-1][1] if known else 0
    text = (
        f"The {size(turn.size)} do not fit into one packet: TCP cuts them into "
        f"{count(turn.segments, 'segment')} of {largest:,} bytes at most"
        f"{f', the last one of {last:,}' if known and last != largest else ''}. "
        "Where a cut falls means nothing to the program, which reads a stream and may get the "
        "bytes in other pieces. "
    )
    if _is_uncut(conversation, turn):
        text += (
            f"On the link none has more than {_mss(conversation):,} bytes: these were seen before "
            "the card cut them, or after one had joined them again (segmentation offload)."
        )
    else:
        text += "On a real machine the kernel often hands 64 KB to the card, which cuts."
    return words.step(
        "segments",
        turn.first_at,
        turn.last_at,
        f"{size(turn.size)} become {count(turn.segments, 'segment')} of up to {largest:,} bytes",
        text,
        actors=(speaker.node, hearer.node),
        details=rows,
        frames=turn.kept,
        values=words.values(conversation),
    )


def _acks(conversation: Conversation, turn: Turn, words: Words) -> Step:
    speaker, hearer = conversation.sides[turn.side], conversation.sides[1 - turn.side]
    text = (
        f"{hearer.node} acknowledges {count(turn.segments, 'segment')} with "
        f"{count(turn.ack_count, 'ACK')} that carry no data: an ACK names the next byte that it "
        "waits for, so one stands for all before it. "
    )
    if turn.ack_count < turn.segments:
        text += "At least every second full segment is acknowledged at once."
    else:
        text += "Each is acknowledged at once: a connection that has just begun delays none."
    delayed = turn.delayed if words.seen.about.knows_inside else []
    if delayed:
        waits = listed([duration(waited) for _, waited in delayed[:4]])
        text += (
            f" Some waited, hoping that data or a second segment would come: {waits} "
            "(delayed ACK; Linux waits 40 ms at least, the RFC allows 500 ms)."
        )
    rows: list[Detail] = [
        ("segments", str(turn.segments), f"from {speaker.node}"),
        ("ACKs without data", str(turn.ack_count), f"from {hearer.node}"),
    ]
    if delayed:
        rows.append(("longest delay of an ACK", duration(turn.ack_delay_s), "delayed ACK"))
    if turn.least_wnd is not None:
        rows.append(("smallest window offered", size(turn.least_wnd), "room left at the receiver"))
    first = turn.acks[0].passage.entered_at if turn.acks else turn.first_at
    return words.step(
        "acks",
        first,
        turn.acked_at if turn.acked_at is not None else max(first, turn.last_at),
        f"{hearer.node} acknowledges {count(turn.segments, 'segment')} with "
        f"{count(turn.ack_count, 'ACK')}",
        text,
        actors=(hearer.node, speaker.node),
        details=rows,
        frames=turn.acks,
        values=words.values(conversation),
    )


def _undisturbed(conversation: Conversation, turn: Turn) -> list[Round]:
    """Return the round trips that were over before anything was sent again."""
    repaired_at = min(
        (again.at for again in conversation.agains if again.side == turn.side and again.end > 0),
        default=float("inf"),
    )
    ends = [each.at for each in turn.rounds[1:]] + [turn.last_at]
    rounds = [each for each, end in zip(turn.rounds, ends, strict=True) if end < repaired_at]
    # A program that writes piece by piece makes rounds that look like some, but do not grow.
    grows = len(rounds) > 1 and rounds[1].segments > rounds[0].segments
    return rounds if grows and not _is_uncut(conversation, turn) else []


def _slow_start(conversation: Conversation, turn: Turn, rounds: list[Round], words: Words) -> Step:
    speaker, hearer = conversation.sides[turn.side], conversation.sides[1 - turn.side]
    rows: list[Detail] = []
    for number, each in enumerate(rounds[:_MOST_ROWS], 1):
        window = f"congestion window {size(each.cwnd_bytes)}" if each.cwnd_bytes else ""
        rows.append(
            (
                f"round trip {number}",
                f"{count(each.segments, 'segment')}, {size(each.size)}",
                window,
            )
        )
    if len(rounds) > _MOST_ROWS:
        rows.append(("...", count(len(rounds) - _MOST_ROWS, "more round trip"), ""))
    sizes = [each.segments for each in rounds[:6]]
    lost = len(rounds) < len(turn.rounds)
    text = (
        f"{speaker.node} does not know what the path can take. It sends "
        f"{count(rounds[0].segments, 'segment')} and waits for ACKs; for each segment acknowledged "
        "it may have one more in flight than before, so the number "
        "grows each round trip: "
        f"{listed([str(number) for number in sizes])}. That is slow start; this took "
        f"{count(len(rounds), 'round trip')}, and no rate of the line makes it fewer."
    )
    if lost:
        text += " A loss ended it: the window shrank, and grows slowly from there."
    return words.step(
        "slow_start",
        rounds[0].at,
        rounds[-1].at,
        f"Slow start: {', '.join(str(number) for number in sizes)} segments, a round trip each",
        text,
        actors=(speaker.node, hearer.node),
        details=rows,
        values=words.values(conversation),
    )


def _queueing(conversation: Conversation, turn: Turn, words: Words) -> Step:
    speaker = conversation.sides[turn.side]
    kept = turn.queued
    assert kept is not None
    passage = kept.passage
    at = passage.entered_at
    until = passage.begins_at if passage.begins_at is not None else at
    bits = kept.read.frame_bytes * 8
    took = passage.serialization_s or 0.0
    pace = f" The link sends {rate(bits / took)}." if took else ""
    marks = (
        f" The queue marked {count(turn.marked, 'packet')} (ECN) to say that it grows too long."
        if turn.marked
        else ""
    )
    return words.step(
        "queueing",
        at,
        until,
        f"Queue from {turn.queued_at}: up to {duration(turn.queued_s)} of waiting",
        f"Segments of {speaker.node} reach the link from {turn.queued_at} faster than it can send "
        f"them, so they stand in line; the longest wait was {duration(turn.queued_s)}.{pace} "
        "Waiting adds to the round trip of everybody who shares the queue: a full buffer "
        f"makes a fast line feel slow.{marks}",
        actors=(passage.sender, passage.receiver),
        details=[
            ("longest wait", duration(turn.queued_s), f"from {turn.queued_at}"),
            ("all waits of these segments", duration(turn.queued_sum_s), "added up"),
        ],
        frames=[kept],
        values={**words.values(conversation), "node": passage.sender},
    )


def _zero_window(conversation: Conversation, window: Window, words: Words) -> Step:
    side, other = conversation.sides[window.side], conversation.sides[1 - window.side]
    until = window.opened_at if window.opened_at is not None else window.at
    took = duration(until - window.at)
    opened = (
        f"After {took} there is room again, and an ACK says so."
        if window.opened_at is not None
        else "It did not open again in this recording."
    )
    probes = (
        f" Meanwhile {other.node} asks {count(window.probes, 'time')} whether it is still closed: "
        "the ACK that opens it might get lost."
        if window.probes
        else ""
    )
    return words.step(
        "zero_window",
        window.at,
        until,
        f"Zero window: {side.node} has no room{f' for {took}' if window.opened_at else ''}",
        f"The program at {side.node} does not read, its kernel's buffer is full, and the window "
        f"that it offers is 0: {other.node} has to stop. Nothing is lost, this is flow control: "
        f"the reader sets the pace. {opened}{probes}",
        actors=(side.node, other.node),
        frames=[window.kept],
        values=words.values(conversation),
        trouble=True,
    )

"""What the line and the windows did beside losing: overtaking, copies, marks, limits, silence."""

from __future__ import annotations

from collections.abc import Iterator

from pystack.observe.amounts import count, duration, size
from pystack.observe.explain.conversation import Conversation
from pystack.observe.explain.kept import Kept, Turn
from pystack.observe.explain.story import Step
from pystack.observe.explain.words import Words
from pystack.wire import tcp


def steps(conversation: Conversation, words: Words) -> Iterator[Step]:
    """Yield the steps about all that."""
    for what, odd in conversation.odd.items():
        if what in ("reorder", "late"):
            yield _overtaken(conversation, odd, words, is_late=what == "late")
        elif what == "copy":
            yield _copied(conversation, odd, words)
        else:
            yield _marked(conversation, odd, words)
    for turn in conversation.turns:
        if turn.limit is not None:
            yield _limited(conversation, turn, words)
    if conversation.keepalives:
        yield _kept_alive(conversation, words)
    yield from _given_up(conversation, words)


def _overtaken(conversation: Conversation, odd: list[Kept], words: Words, *, is_late: bool) -> Step:
    first = odd[0].passage
    what = count(len(odd), "segment")
    did = "came late, overtaken by others," if is_late else "overtook others"
    return words.step(
        "reordering",
        first.entered_at,
        odd[-1].passage.entered_at,
        f"{what} {did} from {first.sender} to {first.receiver}",
        "Packets of one connection need not arrive in the order in which they were sent. The "
        "receiver keeps what came too early and says by SACK what it has; sequence numbers put "
        "it in order. The sender may not take each gap for a loss at once, or it would send again "
        "what is merely late.",
        actors=(first.sender, first.receiver),
        frames=odd,
        values=words.values(conversation),
        trouble=True,
    )


def _copied(conversation: Conversation, odd: list[Kept], words: Words) -> Step:
    first = odd[0].passage
    return words.step(
        "duplicate",
        first.entered_at,
        odd[-1].passage.entered_at,
        f"{count(len(odd), 'copy', 'copies')} made on the line from {first.sender} to "
        f"{first.receiver}",
        "A packet came twice. The second has the same sequence numbers, so the receiver throws it "
        "away, and tells the sender with an ACK (and a D-SACK block) that it had it already.",
        actors=(first.sender, first.receiver),
        frames=odd,
        values=words.values(conversation),
        trouble=True,
    )


def _marked(conversation: Conversation, odd: list[Kept], words: Words) -> Step:
    first = odd[0].passage
    number = conversation.side_of(odd[0].read)
    sender = conversation.sides[number].node
    return words.step(
        "marked",
        first.entered_at,
        odd[-1].passage.entered_at,
        f"The queue from {first.sender} to {first.receiver} marked {count(len(odd), 'packet')}",
        "The queue grew, and since both ends agreed on ECN it wrote Congestion Experienced into "
        f"the IP header in place of dropping the packet. {_told_back(conversation, sender)}",
        actors=(first.sender, first.receiver),
        frames=odd,
        values={**words.values(conversation), "node": first.sender},
    )


def _told_back(conversation: Conversation, sender: str) -> str:
    syns = [side.syn for side in conversation.sides]
    if syns[0] is not None and syns[1] is not None:
        flags = [syn.read.flags for syn in syns if syn is not None]
        if tcp.ecn_agreed(*flags) == "accurate ECN":
            return (
                "The receiver counts the marks and tells the count in each ACK (in AE, CWR and ECE "
                f"modulo 8, in an option by bytes): {sender} makes its window smaller by as much "
                "as its congestion control finds right for so many."
            )
    return (
        f"The receiver tells it back with ECE in its ACKs, {sender} makes its window smaller once "
        "and says so with CWR: the effect of a loss without a loss."
    )


def _limited(conversation: Conversation, turn: Turn, words: Words) -> Step:
    speaker, hearer = conversation.sides[turn.side], conversation.sides[1 - turn.side]
    assert turn.limit is not None
    at, wnd, cwnd = turn.limit
    more = f", while the congestion window would allow {size(cwnd)}" if cwnd else ""
    return words.step(
        "window",
        at,
        at,
        f"{speaker.node} has as much in flight as {hearer.node} has room for: {size(wnd)}",
        f"{hearer.node} offers a window of {size(wnd)}{more}. {speaker.node} may have no more in "
        "flight than that, and waits for an ACK that opens it further. So at most one window gets "
        "through in a round trip: the receiver's buffer, not the line, sets the rate.",
        actors=(speaker.node, hearer.node),
        details=[
            ("window offered", size(wnd), f"by {hearer.node}"),
            *([("congestion window", size(cwnd), f"of {speaker.node}")] if cwnd else []),
        ],
        states=words.states(conversation, at),
        values=words.values(conversation),
    )


def _kept_alive(conversation: Conversation, words: Words) -> Step:
    first, last = conversation.keepalives[0], conversation.keepalives[-1]
    number = conversation.side_of(first.read)
    side, other = conversation.sides[number], conversation.sides[1 - number]
    return words.step(
        "keep_alive",
        first.passage.entered_at,
        last.there_at,
        f"{side.node} asks {count(len(conversation.keepalives), 'time')} whether {other.node} is "
        "still there",
        "A segment without data, with the number before the next one: whoever has the connection "
        "must answer it with an ACK. It finds out whether the peer has gone, or its window has "
        "opened, and keeps the memory of firewalls on the way fresh.",
        actors=(side.node, other.node),
        frames=conversation.keepalives,
        states=words.states(conversation, last.there_at),
        values=words.values(conversation),
    )


def _given_up(conversation: Conversation, words: Words) -> Iterator[Step]:
    """A side that ends without FIN or RST has heard nothing for too long."""
    if any(side.rst is not None for side in conversation.sides):
        return
    for number, side in enumerate(conversation.sides):
        before = side.states[-2:-1]
        if not before or side.states[-1][1] != "CLOSED":
            continue
        at, was = side.states[-1][0], before[0][1]
        if was not in ("SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1"):
            continue
        other = conversation.sides[1 - number]
        tried = [again for again in conversation.agains if again.side == number]
        since = side.syn_at if was.startswith("SYN") else (tried[0].at if tried else at)
        yield words.step(
            "give_up",
            at,
            at,
            f"{side.node} gives up after {duration(at - since)}: nothing came from {other.node}",
            f"{count(len(tried), 'segment')} sent again brought no answer. The kernel ends the "
            f"connection by itself, with ETIMEDOUT for the program"
            f"{' whose connect() still waits' if was == 'SYN-SENT' else ''}. It cannot tell "
            f"whether {other.node} is down, the line is cut, or a firewall drops in silence.",
            actors=(side.node, other.node),
            states=words.states(conversation, at),
            values=words.values(conversation),
            trouble=True,
        )

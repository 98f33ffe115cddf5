"""A connection is made: SYN, SYN-ACK, ACK with what is agreed on; or it is refused."""

from __future__ import annotations

from collections.abc import Iterator

from pystack.observe.amounts import count, duration, size
from pystack.observe.explain.conversation import Conversation
from pystack.observe.explain.kept import Kept
from pystack.observe.explain.said import protocol_of
from pystack.observe.explain.seen import Seen
from pystack.observe.explain.story import Step
from pystack.observe.explain.words import Detail, Words, why_lost
from pystack.wire import tcp

_MOST_SHIFT = 14  # RFC 7323 section 2.3


def steps(conversation: Conversation, seen: Seen, words: Words) -> Iterator[Step]:
    """Yield the steps of the handshake."""
    client, server = conversation.sides
    if client.syn is None:
        return
    yield _syn(conversation, seen, words)
    if server.syn is not None:
        yield _syn_ack(conversation, seen, words)
        if conversation.established is not None:
            yield _established(conversation, seen, words)
    elif server.rst is not None:
        yield _refused(conversation, words)


def _syn(conversation: Conversation, seen: Seen, words: Words) -> Step:
    client, server = conversation.sides
    kept = client.syn
    assert kept is not None
    read = kept.read
    at = kept.passage.entered_at
    until = kept.there_at
    again = [each for each in conversation.agains if each.side == 0 and each.end == 0]
    text = (
        f"{client.node} opens a connection from its port {client.port}, which the kernel chose, to "
        f"{seen.named(server.address)}, port {server.port}. The SYN carries no data: it says from "
        f"which number on the client's bytes are counted ({read.seq}, chosen so that nobody can "
        "guess it) and what the client can do. The server may use that only if it offers the same."
    )
    if _is_data_of_ftp(conversation, seen):
        text += (
            f" This is FTP's data connection: the server named port {server.port} in its reply, "
            "and the file goes over it, while commands stay on the first connection."
        )
    if kept.lost:
        text += f" This one does not arrive: {why_lost(kept.lost)}."
    if server.syn is None and server.rst is None:
        tried = f", after {count(len(again), 'repetition')}" if again else ""
        text += f" Nobody answers{tried}."
    if kept.read.size:
        text += f" It carries {size(kept.read.size)} already: TCP Fast Open (RFC 7413)."
    return words.step(
        "syn",
        at,
        until,
        f"SYN: {client.place} to {server.place}",
        text,
        actors=(client.node, server.node),
        details=[
            ("sequence number", str(read.seq), "the number before the client's first byte"),
            ("window", size(read.wnd), "what the client has room for, never scaled in a SYN"),
            *_offers(kept),
        ],
        frames=[kept],
        states=words.states(conversation, at),
        values=words.values(conversation),
        trouble=bool(kept.lost) or (server.syn is None),
    )


def _is_data_of_ftp(conversation: Conversation, seen: Seen) -> bool:
    """Tell whether a control connection of FTP was there first, between the same two."""
    ours = {side.address for side in conversation.sides}
    return any(
        before.number < conversation.number
        and {side.address for side in before.sides} == ours
        and protocol_of(before) == "ftp"
        for before in seen.conversations.values()
    )


def _offers(kept: Kept) -> list[Detail]:
    """What the options of a SYN say."""
    options, flags = kept.read.options, kept.read.flags
    rows: list[Detail] = []
    if options.mss is not None:
        rows.append(("MSS", str(options.mss), "the most bytes that it takes in one segment"))
    if options.wscale is not None:
        rows.append(
            (
                "window scale",
                str(options.wscale),
                f"its windows count in units of {1 << options.wscale}",
            )
        )
    if options.sack_permitted:
        rows.append(("SACK permitted", "yes", "it can say what it has behind a gap"))
    if options.timestamps is not None:
        rows.append(("timestamp", str(options.timestamps[0]), "its clock, echoed by the peer"))
    if flags & (tcp.AE | tcp.ECE | tcp.CWR):
        rows.append(_ecn_offer(flags))
    return rows


def _ecn_offer(flags: int) -> Detail:
    if not flags & tcp.ACK:
        meaning = "marks instead of losses"
        if tcp.ecn_asked(flags) == "accurate ECN":
            meaning += ", and each one counted (AE, CWR and ECE together: RFC 9768)"
        return "ECN", "offered", meaning
    if flags & (tcp.AE | tcp.CWR):
        meaning = "accurate ECN; which of AE, CWR and ECE are set tells the SYN's own ECN bits"
        return "ECN", "accepted", meaning
    return "ECN", "accepted", "marks instead of losses"


def _syn_ack(conversation: Conversation, seen: Seen, words: Words) -> Step:
    client, server = conversation.sides
    kept = server.syn
    assert kept is not None
    read = kept.read
    at = kept.passage.entered_at
    refuses = _missing(client.syn, kept)
    text = (
        f"{server.node} has a program that listens on port {server.port}: its kernel answers, the "
        f"program knows nothing of it yet. ACK {read.ack} says that the SYN is here; its own "
        f"bytes are counted from {read.seq} on. {refuses}"
    ).rstrip()
    if kept.lost:
        text += f" This one does not arrive: {why_lost(kept.lost)}."
    return words.step(
        "syn_ack",
        at,
        kept.there_at,
        f"SYN-ACK: {server.node} accepts, and says what it can do",
        text,
        actors=(server.node, client.node),
        details=[
            ("acknowledgement", str(read.ack), "the client's sequence number and one"),
            ("sequence number", str(read.seq), "the number before the server's first byte"),
            ("window", size(read.wnd), "what the server has room for"),
            *_offers(kept),
        ],
        frames=[kept],
        states=words.states(conversation, at),
        values=words.values(conversation),
        trouble=bool(kept.lost),
    )


def _missing(syn: Kept | None, syn_ack: Kept) -> str:
    if syn is None:
        return ""
    offered, answered = syn.read.options, syn_ack.read.options
    refused = [
        name
        for name, was, now in (
            ("window scaling", offered.wscale is not None, answered.wscale is not None),
            ("SACK", offered.sack_permitted, answered.sack_permitted),
            ("timestamps", offered.timestamps is not None, answered.timestamps is not None),
        )
        if was and not now
    ]
    if not refused:
        return "It offers all that the client did."
    return f"It does without {', '.join(refused)}: the client must do without, too."


def _established(conversation: Conversation, seen: Seen, words: Words) -> Step:
    client, server = conversation.sides
    kept = conversation.established
    assert kept is not None
    at = client.syn_at
    until = kept.passage.entered_at
    ready = duration(until - at)
    repeats = sum(each.end == 0 for each in conversation.agains)
    with_text = kept.read.size > 0
    text = (
        f"The client acknowledges the server's SYN. For the client the connection stands now, "
        f"{ready} after its SYN: one round trip{' and the waits for repairs' if repeats else ''}. "
        f"It does not wait until this ACK arrives, and may send at once"
        f"{', in this very segment' if with_text else ''}."
    )
    if kept.there_at > until:
        text += f" For the server it stands {duration(kept.there_at - until)} later."
    return words.step(
        "handshake",
        until,
        max(kept.there_at, until),
        f"ACK: the connection is established after {ready}",
        text,
        actors=(client.node, server.node),
        details=_agreed(conversation),
        frames=[kept],
        states=words.states(conversation, max(kept.there_at, until)),
        values=words.values(conversation),
    )


def _agreed(conversation: Conversation) -> list[Detail]:
    """What holds from now on, and what it means here."""
    client, server = conversation.sides
    assert client.syn is not None
    assert server.syn is not None
    ours, theirs = client.syn.read.options, server.syn.read.options
    ours_mss, theirs_mss = ours.mss or 536, theirs.mss or 536
    least = min(ours_mss, theirs_mss)
    rows: list[Detail] = []
    both = ours.timestamps is not None and theirs.timestamps is not None
    text = least - 12 if both else least
    rows.append(
        (
            "MSS",
            f"{ours_mss} and {theirs_mss}",
            f"a segment carries {text} bytes at most"
            + (", 12 of the MSS go to the timestamps" if both else ""),
        )
    )
    if ours.wscale is not None and theirs.wscale is not None:
        rows.append(
            (
                "window scale",
                f"{ours.wscale} and {theirs.wscale}",
                f"windows of up to {65535 << min(ours.wscale, _MOST_SHIFT):,} and "
                f"{65535 << min(theirs.wscale, _MOST_SHIFT):,} bytes, not just 65,535",
            )
        )
    else:
        rows.append(("window scale", "no", "no more than 65,535 bytes can be in flight"))
    sack = ours.sack_permitted and theirs.sack_permitted
    rows.append(
        (
            "SACK",
            "yes" if sack else "no",
            "after a loss only what is missing is sent again"
            if sack
            else "after a loss the sender has to guess what is missing: a hole in a round trip",
        )
    )
    rows.append(
        (
            "timestamps",
            "yes" if both else "no",
            "each ACK measures a round trip, also of what was sent again"
            if both
            else "one round trip is measured at a time, and none of what was sent again",
        )
    )
    return [*rows, _ecn(client.syn, server.syn)]


def _ecn(syn: Kept, syn_ack: Kept) -> Detail:
    agreed = tcp.ecn_agreed(syn.read.flags, syn_ack.read.flags)
    if not agreed:
        return "ECN", "no", "queues tell of congestion by dropping"
    meaning = "queues may mark a packet in place of dropping it"
    if agreed == "ECN":
        return "ECN", "yes", meaning
    return "ECN", "accurate", f"{meaning}, and the sender learns how many it was"


def _refused(conversation: Conversation, words: Words) -> Step:
    client, server = conversation.sides
    kept = server.rst
    assert kept is not None
    at = kept.passage.entered_at
    until = kept.there_at
    took = duration(until - client.syn_at)
    return words.step(
        "refused",
        at,
        until,
        f"RST: {server.node} refuses, nothing listens on port {server.port}",
        f"The SYN has reached {server.node}, but no program listens on port {server.port}. Its "
        f"kernel says so with RST, and the client knows after {took}: connect() fails with "
        "ECONNREFUSED. That is an answer, and a quick one; a firewall that drops the SYN would "
        "have let the client wait and repeat.",
        actors=(server.node, client.node),
        frames=[kept],
        states=words.states(conversation, until),
        values=words.values(conversation),
        trouble=True,
    )

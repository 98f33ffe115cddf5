"""UDP: datagrams as they are, and what is missing beside TCP; ICMP errors that are about them."""

from __future__ import annotations

from collections.abc import Iterator

from pystack.observe.amounts import count, duration, printable, size
from pystack.observe.explain.seen import DNS_PORT, Datagram, Exchange, Seen
from pystack.observe.explain.story import Step
from pystack.observe.explain.words import Words, why_lost

_MOST_TOLD = 24


def steps(seen: Seen, words: Words) -> Iterator[Step]:
    """Yield the steps about datagrams, but those of DNS."""
    for exchange in seen.exchanges.values():
        if DNS_PORT in exchange.ends:
            continue
        for number, datagram in enumerate(exchange.datagrams[:_MOST_TOLD]):
            yield _datagram(exchange, number, datagram, seen, words)
        if exchange.count > _MOST_TOLD:
            yield _rest(exchange, words)
    yield from _errors(seen, words)


def values(exchange: Exchange) -> dict[str, str]:
    """Return what commands about an exchange have to name."""
    client, client_port, server, port = exchange.ends
    return {
        "client": client,
        "client_port": str(client_port),
        "server": server,
        "port": str(port),
        "interface": "any",
    }


def _datagram(
    exchange: Exchange, number: int, datagram: Datagram, seen: Seen, words: Words
) -> Step:
    kept, frame = datagram.kept, datagram.kept.read
    is_question = (frame.src, frame.src_port) == exchange.ends[:2]
    sender, receiver = exchange.nodes if is_question else exchange.nodes[::-1]
    until = datagram.arrived_at if datagram.arrived_at is not None else datagram.at
    text = f"{sender} sends {size(frame.size)} to {seen.named(frame.dst)}, port {frame.dst_port}. "
    if number == 0:
        text += (
            "There is no handshake before it: the first packet carries data. UDP adds 8 bytes "
            "(ports, length, checksum) where TCP adds 20 and more. What TCP would do is missing, "
            "and the program's own business if it needs it: numbers, order, acknowledgements, "
            "repetition, a window, congestion control. "
        )
    if datagram.lost:
        text += f"It does not arrive: {why_lost(datagram.lost)}. Nobody notices but the program."
        title = f"{sender}: a datagram of {size(frame.size)}, lost"
    else:
        title = f"{sender}: a datagram of {size(frame.size)} to {receiver}"
        if datagram.arrived_at is not None and seen.about.knows_inside:
            took = duration(datagram.arrived_at - datagram.at)
            text += f"It is there after {took}, whole or not at all."
    if datagram.repeats is not None:
        gap = duration(datagram.at - datagram.repeats.at)
        text += f" It is the same as before: the program waited {gap} and tries again."
    return words.step(
        "datagram" if is_question else "datagram_answer",
        datagram.at,
        until,
        title,
        text,
        actors=(sender, receiver),
        details=[("begins with", printable(frame.data, 60), "")] if frame.data else [],
        frames=[kept],
        values=values(exchange),
        trouble=bool(datagram.lost) or datagram.repeats is not None,
    )


def _rest(exchange: Exchange, words: Words) -> Step:
    last = exchange.datagrams[-1]
    return words.step(
        "datagram",
        last.at,
        exchange.last_at,
        f"{count(exchange.count - _MOST_TOLD, 'more datagram')}",
        f"In all {exchange.nodes[0]} sent {count(exchange.sent[0], 'datagram')} with "
        f"{size(exchange.sizes[0])}, {exchange.nodes[1]} {count(exchange.sent[1], 'datagram')} "
        f"with {size(exchange.sizes[1])}; {count(exchange.lost, 'was', 'were')} lost.",
        actors=exchange.nodes,
        values=values(exchange),
        trouble=bool(exchange.lost),
    )


def _errors(seen: Seen, words: Words) -> Iterator[Step]:
    for kept in seen.icmps:
        frame = kept.read
        if frame.about is None:
            continue
        ends = frozenset((frame.about[:2], frame.about[2:]))
        exchange = seen.exchanges.get(ends)
        if exchange is None:
            continue
        at = kept.passage.entered_at
        refused = frame.op == "port unreachable"
        yield words.step(
            "icmp",
            at,
            kept.there_at,
            f"ICMP: {seen.named(frame.src)} says {frame.op}",
            f"{seen.named(frame.src)} tells {exchange.nodes[0]} that its datagram to "
            f"{frame.target} went nowhere: {frame.op}. "
            + (
                "No program has that port open. A connected UDP socket gets ECONNREFUSED with its "
                "next call; one that is not connected hears nothing."
                if refused
                else "The message quotes the beginning of the packet that it is about."
            ),
            actors=(seen.who(frame.src), exchange.nodes[0]),
            frames=[kept],
            values=values(exchange),
            trouble=True,
        )

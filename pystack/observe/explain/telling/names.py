"""Names and routes: a name resolved, an address chosen, the way to it looked up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pystack.core.errors import ConfigError, WireError
from pystack.observe.amounts import count, duration, listed, size
from pystack.observe.explain.seen import DNS_PORT, Datagram, Exchange, Seen
from pystack.observe.explain.story import Step
from pystack.observe.explain.words import Detail, Words
from pystack.observe.observer import LookUp, RouteChosen

if TYPE_CHECKING:
    from pystack.wire.dns import Message

_SILENCE = "no answer"  # how a look-up fails to which nobody says anything
_A_GOOD_PART = 0.1  # of a look-up
_ROOT = ("0.0.0.0/0", "::/0")


def steps(seen: Seen, words: Words) -> Iterator[Step]:
    """Yield the steps about names, addresses and routes."""
    told: set[int] = set()
    for name, events in _by_name(seen.look_ups).items():
        yield from _look_ups(name, events, seen, words, told)
    for exchange in seen.exchanges.values():
        if DNS_PORT in exchange.ends and id(exchange) not in told:
            yield from _seen_only(exchange, seen, words)
    yield from _routes(seen, words)


def _by_name(events: list[LookUp]) -> dict[tuple[str, str], list[LookUp]]:
    found: dict[tuple[str, str], list[LookUp]] = {}
    for event in events:
        found.setdefault((event.host, event.name), []).append(event)
    return found


def _look_ups(
    key: tuple[str, str], events: list[LookUp], seen: Seen, words: Words, told: set[int]
) -> Iterator[Step]:
    """One step for each time that a host wants to know a name."""
    host, name = key
    asked: list[LookUp] = []
    answered: list[LookUp] = []
    for event in events:
        if asked and (event.what in ("cached", "known") or _is_over(event, asked, answered)):
            yield _resolved(host, name, asked, answered, seen, words, told)
            asked, answered = [], []
        if event.what == "asked":
            asked.append(event)
        elif event.what in ("answered", "failed") and asked:
            answered.append(event)
        elif event.what in ("cached", "known", "failed"):
            yield _without_asking(host, name, event, words)
    if asked:
        yield _resolved(host, name, asked, answered, seen, words, told)
    addresses = list(dict.fromkeys(each for event in events for each in event.addresses))
    if len(addresses) > 1:
        yield from _choice(host, name, events, addresses, seen, words)


def _is_over(event: LookUp, asked: list[LookUp], answered: list[LookUp]) -> bool:
    """Tell whether a question begins another look-up of the name: all before it are answered."""
    return event.what == "asked" and len(answered) >= len({each.kind for each in asked})


def _resolved(
    host: str,
    name: str,
    asked: list[LookUp],
    answered: list[LookUp],
    seen: Seen,
    words: Words,
    told: set[int],
) -> Step:
    at, until = asked[0].at, answered[-1].at if answered else asked[-1].at
    servers = list(dict.fromkeys(event.server for event in asked if event.server))
    addresses = list(dict.fromkeys(each for event in answered for each in event.addresses))
    kinds = list(dict.fromkeys(event.kind for event in asked if event.kind))
    failed = [event for event in answered if event.what == "failed"]
    datagrams = _datagrams(name, at, until, seen, told)
    who = listed([seen.named(server) for server in servers])
    repeated = sum(each.repeats is not None for each in datagrams)
    took = duration(until - at)
    text = f"{host} does not know {name} yet and asks the name server {who} for {listed(kinds)}."
    details: list[Detail] = [(each.kind or "asked", name, f"of {each.server}") for each in asked]
    if addresses:
        title = (
            f"{name} is {listed(addresses)}: {servers[0] if servers else 'it'} said so in {took}"
        )
        text += f" The answer is here after {took}: {listed(addresses)}."
    elif failed and failed[-1].detail == _SILENCE:
        title = f"{name} stays unknown: {who} does not answer, and after {took} {host} gives up"
        text += f" Nothing has come back after {took}, and {host} gives up."
    elif failed:
        title = f"{name} is not known: {failed[-1].detail or 'no address'}"
        text += f" After {took}: {failed[-1].detail or 'no address'}."
    else:
        title = f"{host} asks {who} for {name}, and hears nothing"
        text += " No answer is in this recording."
    details += [
        (f"{event.kind or 'answer'} answered", listed(event.addresses) or event.what, event.detail)
        for event in answered
    ]
    lost = [each for each in datagrams if each.lost]
    text += _on_the_wire(datagrams, lost, repeated) + _held_up(at, until, seen)
    return words.step(
        "resolve",
        at,
        until,
        title,
        text,
        actors=(host, *(seen.who(server) for server in servers)),
        details=details,
        frames=[each.kept for each in datagrams],
        values={
            "name": name,
            "resolver": servers[0] if servers else "",
            "kind": kinds[0] if kinds else "A",
            "interface": words.interface(host, servers[0]) if servers else "any",
        },
        trouble=bool(failed) or not addresses or bool(lost),
    )


def _held_up(at: float, until: float, seen: Seen) -> str:
    """Say who had to ask for a MAC address meanwhile, if that took a good part of the time."""
    took = {
        asking.node: duration(asking.answered_at - asking.kept.passage.entered_at)
        for asking in seen.askings
        if asking.answered_at is not None
        and at <= asking.kept.passage.entered_at
        and asking.answered_at <= until
        and asking.answered_at - asking.kept.passage.entered_at > _A_GOOD_PART * (until - at)
    }
    if not took:
        return ""
    who = listed([f"{node} {span}" for node, span in took.items()])
    return (
        f" It took longer than a round trip, for somebody on the way had to ask for a MAC address "
        f"first ({who}). The next packet finds it known."
    )


def _on_the_wire(datagrams: list[Datagram], lost: list[Datagram], repeated: int) -> str:
    text = ""
    if lost:
        text = f" {count(len(lost), 'datagram')} of this got lost."
    if repeated:
        text += (
            f" The question was put again {count(repeated, 'time')}: UDP repairs nothing, so the "
            "resolver waits for a while and repeats what it asked."
        )
    if not datagrams:
        return text
    sizes = [each.kept.read.size for each in datagrams]
    asks = sum(each.kept.read.dst_port == DNS_PORT for each in datagrams)
    told = f"{count(asks, 'question')}, {count(len(datagrams) - asks, 'answer')}"
    return (
        f"{text} {count(len(datagrams), 'datagram')} of UDP, {size(sum(sizes))} of DNS in all: no "
        f"handshake, {told}."
    )


def _datagrams(name: str, at: float, until: float, seen: Seen, told: set[int]) -> list[Datagram]:
    """Return the datagrams of DNS that are about a name, at that time."""
    label = name.split(".")[0].encode().lower()
    found = []
    for exchange in seen.exchanges.values():
        if DNS_PORT not in exchange.ends:
            continue
        mine = [
            each
            for each in exchange.datagrams
            if at - 1e-9 <= each.at <= until + 1e-9 and label in each.kept.read.data.lower()
        ]
        if mine:
            told.add(id(exchange))
            found += mine
    return sorted(found, key=lambda each: each.at)


def _without_asking(host: str, name: str, event: LookUp, words: Words) -> Step:
    found = listed(event.addresses)
    if event.what == "cached":
        title = f"{name} is {found}: {host} still knows it from before"
        text = (
            f"{host} has asked for {name} before, and the answer still holds"
            f"{f' ({event.detail})' if event.detail else ''}: {found}. No packet is sent."
        )
        kind = "resolve_cached"
    elif event.what == "known":
        title = f"{name} is {found}: it stands in a table of {host}"
        text = (
            f"{host} finds {name} in a table of its own, as in /etc/hosts: {found}. No name server "
            "is asked, and no packet is sent."
        )
        kind = "resolve_cached"
    else:
        title = f"{name} is not known: {event.detail or 'no address'}"
        text = f"{host} cannot resolve {name}: {event.detail or 'there is no such name'}."
        kind = "resolve"
    return words.step(
        kind,
        event.at,
        event.at,
        title,
        text,
        actors=(host,),
        values={"name": name},
        trouble=event.what == "failed",
    )


def _choice(
    host: str, name: str, events: list[LookUp], addresses: list[str], seen: Seen, words: Words
) -> Iterator[Step]:
    """The name has several addresses: which one is tried first?"""
    ordered = [event for event in events if event.what == "ordered"]
    at = ordered[0].at if ordered else events[-1].at
    addresses = list(ordered[0].addresses) if ordered else addresses
    chosen = None
    for conversation in seen.conversations.values():
        if conversation.ends[2] in addresses and conversation.began_at >= at - 1e-9:
            chosen = conversation
            break
    if chosen is None:
        return
    address = chosen.ends[2]
    versions = sorted({"IPv6" if ":" in each else "IPv4" for each in addresses})
    why = next((event.detail for event in ordered if event.detail), "")
    source = next(
        (
            route.detail
            for route in seen.routes
            if route.host == host and route.destination == address and route.detail
        ),
        "",
    )
    text = f"{name} has {count(len(addresses), 'address', 'addresses')}: {listed(addresses)}. "
    if len(versions) == 2:
        text += (
            "IPv6 and IPv4 are both offered. The rules of RFC 6724 sort them: what is reachable "
            "first, then the same scope and label as the source, then precedence, by which IPv6 "
            "comes before IPv4. "
        )
    text += f"{host} tries {address} first, from {chosen.ends[0]}."
    yield words.step(
        "address",
        at,
        at,
        f"{host} chooses {address} of {len(addresses)} for {name}",
        text
        + (f" The rule that decided: {why}." if why else "")
        + (f" The source address: {source}." if source else ""),
        actors=(host,),
        details=[
            ("candidate", each, "tried first" if each == address else "kept in reserve")
            for each in addresses
        ],
        values={"name": name, "server": address},
    )


def _routes(seen: Seen, words: Words) -> Iterator[Step]:
    """A step for each route of whoever asks; one for all that others look up for a destination."""
    askers = {conversation.sides[0].node for conversation in seen.conversations.values()}
    askers |= {exchange.nodes[0] for exchange in seen.exchanges.values()}
    askers |= {seen.about.client} if seen.about.client else set()
    told: set[tuple[str, str, str]] = set()
    others: dict[str, list[RouteChosen]] = {}
    for event in seen.routes:
        key = (event.host, event.destination, event.next_hop)
        if key in told:
            continue
        told.add(key)
        if event.host in askers or not event.prefix:
            yield _route(event, seen, words)
        else:
            others.setdefault(event.destination, []).append(event)
    for number, (destination, events) in enumerate(others.items()):
        yield _others(destination, events, seen, words, is_first=not number)


def _others(
    destination: str, events: list[RouteChosen], seen: Seen, words: Words, *, is_first: bool
) -> Step:
    hosts = list(dict.fromkeys(event.host for event in events))
    first = events[0]
    does = "looks" if len(hosts) == 1 else "look"
    return words.step(
        "route",
        first.at,
        first.at,
        f"{listed(hosts)} {does} up the way to {seen.named(destination)}",
        "Every node on the way decides for itself, by its own table, and knows the next hop only: "
        "nobody knows the whole way. For one that answers it is the way back, which need not be "
        "the same."
        if is_first
        else f"The same for what goes to {destination}: each looks into its own table.",
        actors=hosts[:1],
        details=[
            (
                event.host,
                f"{event.prefix} via {event.next_hop}"
                if event.next_hop != event.destination
                else f"{event.prefix}, on the link",
                f"out by {event.interface}",
            )
            for event in events[:12]
        ],
        values={"server": destination, "interface": first.interface or "any"},
    )


def _route(event: RouteChosen, seen: Seen, words: Words) -> Step:
    destination = seen.named(event.destination)
    values = {"server": event.destination, "interface": event.interface or "any"}
    if not event.prefix:
        return words.step(
            "no_route",
            event.at,
            event.at,
            f"{event.host} has no route to {destination}",
            f"No entry of the routing table of {event.host} covers {event.destination}: nothing "
            "can be sent there. The program gets ENETUNREACH at once.",
            actors=(event.host,),
            values=values,
            trouble=True,
        )
    is_direct = event.next_hop == event.destination
    how = "the default route" if event.prefix in _ROOT else f"the route {event.prefix}"
    if is_direct:
        title = f"{event.host} reaches {destination} directly, on {event.interface}"
        text = (
            f"{event.destination} lies in {event.prefix}, a network that {event.interface} of "
            f"{event.host} is on itself: no router is needed, the next hop is the destination."
        )
    else:
        title = (
            f"{event.host} sends what is for {destination} to the router {event.next_hop}, "
            f"on {event.interface}"
        )
        text = (
            f"{event.destination} is in no network that {event.host} is on. Of the entries that "
            f"cover it the most specific wins: {how}, by {seen.named(event.next_hop)}. IP goes on "
            f"to name {event.destination}; only the frame will be addressed to the router."
        )
    if seen.who(event.source) == event.host:
        text += f" The packets go out with the source address {event.source}."
    return words.step(
        "route",
        event.at,
        event.at,
        title,
        text,
        actors=(event.host,),
        details=[
            ("destination", event.destination, ""),
            ("route", event.prefix, "the longest prefix that covers it"),
            ("next hop", event.next_hop, "on the link" if is_direct else "the gateway"),
            ("interface", event.interface, ""),
            ("source address", event.source, event.detail),
        ],
        values=values,
    )


def _seen_only(exchange: Exchange, seen: Seen, words: Words) -> Iterator[Step]:
    """DNS of which only the datagrams are known."""
    questions = [each for each in exchange.datagrams if each.kept.read.dst_port == DNS_PORT]
    answers = [each for each in exchange.datagrams if each.kept.read.src_port == DNS_PORT]
    if not questions:
        return
    first = questions[0]
    last = answers[-1] if answers else questions[-1]
    asked, said = _message(first), _message(answers[-1]) if answers else None
    name = asked.questions[0].name if asked is not None and asked.questions else "a name"
    until = last.arrived_at if last.arrived_at is not None else last.at
    client, server = exchange.nodes
    found = _answers(said)
    repeats = len(questions) - len({each.kept.read.data for each in questions})
    took = duration(until - first.at)
    if answers:
        title = (
            f"{name} is {listed(found)}: {server} said so in {took}"
            if found
            else (f"{server} has no address for {name}")
        )
    else:
        title = f"{client} asks {server} for {name}, and hears nothing"
    text = f"{client} asks the name server {seen.named(exchange.ends[2])} for {name}. "
    text += f"The answer takes {took}: {listed(found) or 'none'}." if answers else "No answer came."
    if repeats:
        text += f" The question was put again {count(repeats, 'time')}."
    yield words.step(
        "resolve",
        first.at,
        until,
        title,
        f"{text}{_on_the_wire(exchange.datagrams, [], 0)}",
        actors=exchange.nodes,
        frames=[each.kept for each in exchange.datagrams],
        values={"name": name, "resolver": exchange.ends[2], "kind": "A", "interface": "any"},
        trouble=not answers or bool(exchange.lost),
    )


def _message(datagram: Datagram) -> Message | None:
    try:
        from pystack.wire import dns

        return dns.parse_message(datagram.kept.read.data)
    except (ConfigError, WireError):
        return None


def _answers(message: Message | None) -> list[str]:
    if message is None:
        return []
    return [record.address or record.text for record in message.answers]

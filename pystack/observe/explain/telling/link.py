"""Below IP: MAC addresses asked for, and a packet's way over each link, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator

from pystack.observe.amounts import count, duration, listed, rate, size
from pystack.observe.explain.kept import Kept
from pystack.observe.explain.seen import Asking, Journey, Seen
from pystack.observe.explain.story import Step
from pystack.observe.explain.words import Detail, Words
from pystack.wire import tcp


def steps(seen: Seen, words: Words) -> Iterator[Step]:
    """Yield the steps about neighbours and frames."""
    checks = [asking for asking in seen.askings if _is_check(asking)]
    told = False
    for asking in seen.askings:
        if asking not in checks:
            yield _neighbor(asking, seen, words, is_first=not told)
            told = True
    if checks:
        yield _checks(checks, seen, words)
    for journey in seen.journeys:
        if len(journey.hops) > 1 or journey.hops[0].passage.sent_at is not None:
            yield _crossing(journey, seen, words)


def _is_check(asking: Asking) -> bool:
    """Tell whether a neighbour is asked by itself, whose MAC address is known: is it still so?"""
    return not int(asking.kept.read.dst_mac[:2] or "0", 16) & 1


def _checks(checks: list[Asking], seen: Seen, words: Words) -> Step:
    first, last = checks[0], checks[-1]
    at = first.kept.passage.entered_at
    silent = [asking for asking in checks if asking.answer is None]
    text = (
        "What the tables of neighbours hold grows old. An entry that was used again without a sign "
        "of life is checked after some seconds: the neighbour is asked once more, by its known MAC "
        "address and not by a broadcast. No packet waits for that."
    )
    if silent:
        text += f" {count(len(silent), 'neighbor')} did not answer."
    return words.step(
        "neighbor" if first.kept.read.version == 4 else "neighbor6",
        at,
        max(asking.answered_at or asking.last_at for asking in checks),
        f"{count(len(checks), 'neighbor')} checked: still there?"
        if len(checks) > 1
        else f"{first.node} checks whether {seen.named(first.target)} is still there",
        text,
        actors=(first.node, seen.who(first.target)),
        details=[
            (asking.node, seen.named(asking.target), "answered" if asking.answer else "silent")
            for asking in checks[:12]
        ],
        frames=[asking.kept for asking in checks],
        values={"neighbor": last.target, "interface": _interface(last, seen)},
        trouble=bool(silent),
    )


def _neighbor(asking: Asking, seen: Seen, words: Words, *, is_first: bool) -> Step:
    frame, at = asking.kept.read, asking.kept.passage.entered_at
    is_arp = frame.version == 4
    protocol = "ARP" if is_arp else "Neighbor Discovery"
    target = seen.named(asking.target)
    until = asking.answered_at if asking.answered_at is not None else asking.last_at
    details: list[Detail] = [
        ("asked for", asking.target, "the next hop's IP address"),
        ("asked by", frame.src_mac, asking.node),
        ("sent to", frame.dst_mac, "everybody on the link" if is_arp else "a multicast group"),
    ]
    to_whom = (
        f"a broadcast to {frame.dst_mac}, which every station on the link hears"
        if is_arp
        else f"a solicitation to the multicast group {frame.dst}, which only stations with such an "
        "address listen to"
    )
    text = (
        f"IP knows the next hop as {asking.target}; Ethernet needs a MAC address. {asking.node} "
        f"does not have it in its table, so it asks by {protocol}: {to_whom}. The packet waits."
        if is_first
        else f"The same on this link: {asking.node} does not have the MAC address of "
        f"{asking.target}, asks for it, and the packet waits."
    )
    frames = [asking.kept, *asking.more[:3]]
    if asking.answer is not None:
        mac = asking.answer.read.mac
        frames.append(asking.answer)
        took = duration(until - at)
        title = f"{asking.node} asks who has {asking.target}: {mac}, after {took}"
        text += (
            f" {seen.who(asking.target)} answers to {asking.node} alone: {mac}. That is kept for "
            "the packets that follow."
        )
        details.append(("MAC address", mac, f"of {target}"))
    else:
        title = f"{asking.node} asks who has {asking.target}, and nobody answers"
        text += " No answer came: the packets that waited cannot be sent."
    if asking.times > 1:
        text += (
            f" It took {asking.times} questions: with no answer for a second, the next one "
            "follows, and after three it is given up."
        )
    return words.step(
        "neighbor" if is_arp else "neighbor6",
        at,
        until,
        title,
        text,
        actors=(asking.node, seen.who(asking.target)),
        details=details,
        frames=frames,
        values={"neighbor": asking.target, "interface": _interface(asking, seen)},
        trouble=asking.answer is None or asking.times > 1,
    )


def _interface(asking: Asking, seen: Seen) -> str:
    for event in seen.neighbors_changed:
        if event.host == asking.node and event.address == asking.target:
            return event.interface
    for route in seen.routes:
        if route.host == asking.node and route.next_hop == asking.target:
            return route.interface
    return "any"


def _crossing(journey: Journey, seen: Seen, words: Words) -> Step:
    """A packet's way, link by link: what changes at each, and what does not."""
    first, last = journey.hops[0], journey.hops[-1]
    frame = first.read
    at = first.passage.entered_at
    until = last.passage.arrives_at or last.passage.entered_at
    what = _name_of(frame.kind, frame.flags)
    links = len(journey.hops)
    routers = [
        hop.passage.sender
        for before, hop in zip(journey.hops, journey.hops[1:], strict=False)
        if hop.read.ttl != before.read.ttl
    ]
    details: list[Detail] = []
    for hop in journey.hops:
        details += _hop(hop)
    word = "TTL" if frame.version == 4 else "hop limit"
    changes = (
        f"At each router ({listed(routers)}) the frame ends: it is unpacked to the IP packet, "
        f"which loses one from its {word} ({frame.ttl} to {last.read.ttl}) and gets a new frame "
        "with new MAC addresses. The IP addresses stay what they are from end to end. "
        if routers
        else "No router is between the two: the frame's MAC addresses are those of both ends. "
    )
    timing = _timing(journey)
    lost = last.passage.lost
    title = (
        f"The {what} crosses {count(links, 'link')} to {last.passage.receiver or frame.dst} in "
        f"{duration(until - at)}"
        if not lost
        else f"The {what} is lost on link {links}, from {last.passage.sender}"
    )
    return words.step(
        "hop",
        at,
        until,
        title,
        f"The card of {first.passage.sender} puts a frame of {size(frame.frame_bytes)} on the "
        f"link, bit by bit. {changes}{timing}",
        actors=[hop.passage.sender for hop in journey.hops] + [last.passage.receiver],
        details=details,
        frames=journey.hops,
        values={"interface": words.interface(first.passage.sender, frame.dst), "server": frame.dst},
        trouble=bool(lost),
        protocol="6" if ":" in frame.dst else "",
    )


def _name_of(kind: str, flags: int) -> str:
    if kind == "udp":
        return "first datagram"
    if flags & tcp.SYN:
        return "SYN"
    return "first segment"


def _hop(hop: Kept) -> list[Detail]:
    passage, frame = hop.passage, hop.read
    link = f"{passage.sender} to {passage.receiver}"
    rows = [(link, f"{frame.src_mac} to {frame.dst_mac}", "MAC addresses, new on each link")]
    if passage.queued_s:
        rows.append((link, duration(passage.queued_s), "waited in the queue"))
    if passage.serialization_s:
        bits = frame.frame_bytes * 8
        rows.append(
            (
                link,
                duration(passage.serialization_s),
                f"serialization: {bits:,} bits at {rate(bits / passage.serialization_s)}",
            )
        )
    if passage.propagation_s:
        rows.append((link, duration(passage.propagation_s), "propagation: the last bit's way"))
    return rows


def _timing(journey: Journey) -> str:
    passages = [hop.passage for hop in journey.hops]
    propagation = sum(passage.propagation_s or 0.0 for passage in passages)
    serialization = sum(passage.serialization_s or 0.0 for passage in passages)
    queued = sum(passage.queued_s or 0.0 for passage in passages)
    if not propagation + serialization + queued:
        return "The link takes no time: it is one in software."
    words = [f"{duration(propagation)} of propagation, which no rate makes shorter"]
    words.append(f"{duration(serialization)} of serialization (its bits, at the links' rates)")
    words.append(f"{duration(queued)} in queues")
    return f"Its time: {listed(words)}."

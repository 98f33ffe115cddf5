"""What a conversation needed before it could begin: names asked for, and stations found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pystack.core.addresses import format_ip, format_ip4, unpack_ip6
from pystack.core.errors import ConfigError, WireError
from pystack.observe.captures import link_types
from pystack.observe.captures.capture_file import CapturedFrame
from pystack.observe.reading import read
from pystack.wire import arp, ethernet, icmpv6, nd

MOST_NAMES: Final = 4096


def note_station(stations: dict[bytes, set[str]], frame: CapturedFrame) -> None:
    told = told_of(frame)
    if told is not None and len(stations) < MOST_NAMES:
        stations.setdefault(told[2], set()).add(told[0])


def told_of(frame: CapturedFrame) -> tuple[str, str, bytes] | None:
    """Return who says something by ARP or ND, about which address, and its station."""
    found = read(frame.data, frame.link_type)
    body = found.body
    if found.ethertype == ethernet.ARP:
        try:
            packet = arp.parse(found.payload)
        except WireError:
            return None
        return format_ip4(packet.spa), format_ip4(packet.tpa), packet.sha
    if found.protocol != "icmp6" or len(body) < nd.TARGET.stop:
        return None
    mac = link_types.sender_mac(frame.data, frame.link_type)
    target = format_ip(unpack_ip6(body[nd.TARGET]))
    if body[0] == icmpv6.NEIGHBOR_ADVERTISEMENT:
        return target, format_ip(found.dst), mac
    return (format_ip(found.src), target, mac) if body[0] == icmpv6.NEIGHBOR_SOLICITATION else None


def is_to_many(frame: CapturedFrame) -> bool:
    return bool(link_types.as_ethernet(frame.data, frame.link_type)[0] & 1)


def _parsed(frame: CapturedFrame, use: Callable[[object], None]) -> None:
    try:
        from pystack.wire import dns  # 50 ms, and an extra

        use(dns.parse_message(bytes(read(frame.data, frame.link_type).text)))
    except (ConfigError, WireError):
        pass


def note_answers(answers: dict[str, str], frame: CapturedFrame) -> None:
    """Note under which name an address was asked for."""
    if len(answers) >= MOST_NAMES:
        return

    def note(message: object) -> None:
        questions, records = message.questions, message.answers  # type: ignore[attr-defined]
        for record in records:
            if questions and record.address is not None:
                answers.setdefault(record.address, questions[0].name)

    _parsed(frame, note)


def names_in(frame: CapturedFrame) -> set[str]:
    names: set[str] = set()

    def note(message: object) -> None:
        names.update(each.name for each in message.questions)  # type: ignore[attr-defined]

    _parsed(frame, note)
    return names

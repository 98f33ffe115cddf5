"""A packet that the host sent held against the line that expects it."""

from __future__ import annotations

import struct
from dataclasses import replace

from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.flow import Flow
from pystack.testing.packetdrill.icmp_words import on_the_wire
from pystack.testing.packetdrill.inject import pattern
from pystack.testing.packetdrill.parse_options import describe
from pystack.testing.packetdrill.script import (
    EcnCheck,
    IcmpPart,
    IpPart,
    Packet,
    TcpOption,
    TcpPart,
    UdpPart,
)
from pystack.testing.packetdrill.seen import Seen
from pystack.testing.packetdrill.settings import Settings
from pystack.wire import ecn, tcp, tcp_options


def compare(line: Packet, actual: Seen, flow: Flow, settings: Settings, *, patterned: bool) -> None:
    """Raise MismatchError, with what differs, where the packet is not what the line says."""
    differences = _ip(line.ip, actual)
    match line.part, actual.part:
        case TcpPart() as wanted, TcpPart() as part:
            ignored = tcp.PSH if actual.joined and not settings.strict else 0
            differences += _segment(wanted, part, flow, settings, ignored)
            if patterned and not differences:
                differences += _payload(part, actual.payload)
        case UdpPart() as wanted, UdpPart() as part:
            if wanted.size != part.size:
                differences.append(f"payload: {wanted.size} bytes expected, {part.size} came")
        case IcmpPart() as wanted, IcmpPart() as part:
            kind, code = on_the_wire(wanted.kind, wanted.code, is_v6=flow.is_v6)
            if (kind, code) != (part.kind, part.code):
                differences.append(
                    f"type and code: {kind}, {code} expected, {part.kind}, {part.code} came"
                )
        case _:
            differences.append("another protocol came")
    if differences:
        raise MismatchError("; ".join(differences))


def belongs_together(first: Seen, following: Seen) -> bool:
    """Tell whether a segment goes on where another ended, so that a line may tell both as one."""
    before, after = first.part, following.part
    if not isinstance(before, TcpPart) or not isinstance(after, TcpPart):
        return False
    only_here = tcp.FIN | tcp.PSH | tcp.CWR
    return (
        after.seq == before.seq + before.size & 0xFFFFFFFF
        and (before.flags ^ after.flags) & ~only_here == 0
        and not before.flags & tcp.FIN
        and before.ack == after.ack
        and first.tos == following.tos
        and _kinds(before.options) == _kinds(after.options)
    )


def joined(first: Seen, following: Seen) -> Seen:
    """Return two segments in a row as one: what the first begins with, what the last ends with."""
    before, after = first.part, following.part
    assert isinstance(before, TcpPart)
    assert isinstance(after, TcpPart)
    part = replace(
        before,
        flags=before.flags | after.flags & (tcp.FIN | tcp.PSH),
        size=before.size + after.size,
    )
    payload = first.payload + following.payload
    return replace(first, part=part, payload=payload, joined=True)


def _kinds(options: tuple[TcpOption, ...] | None) -> list[int]:
    return [option.kind for option in options or ()]


def _ip(wanted: IpPart, actual: Seen) -> list[str]:
    differences = []
    bits = actual.tos & 3
    if wanted.check is EcnCheck.ECN and bits != wanted.tos:
        differences.append(f"ECN: {wanted.tos:#04b} expected, {bits:#04b} came")
    elif wanted.check is EcnCheck.ECT_EITHER and bits not in (ecn.ECT_0, ecn.ECT_1):
        differences.append(f"ECN: ECT(0) or ECT(1) expected, {bits:#04b} came")
    elif wanted.check is EcnCheck.TOS and actual.tos != wanted.tos:
        differences.append(f"tos: {wanted.tos:#04x} expected, {actual.tos:#04x} came")
    if wanted.ttl is not None and wanted.ttl != actual.ttl:
        differences.append(f"ttl: {wanted.ttl} expected, {actual.ttl} came")
    return differences


def _segment(
    wanted: TcpPart, part: TcpPart, flow: Flow, settings: Settings, ignored_flags: int
) -> list[str]:
    differences = []
    if (wanted.flags ^ part.flags) & ~ignored_flags:
        differences.append(
            f"flags: {tcp.flag_names(wanted.flags)} expected, {tcp.flag_names(part.flags)} came"
        )
    for name, one, other in (
        ("sequence number", wanted.seq, part.seq),
        ("payload", wanted.size, part.size),
        ("urgent pointer", wanted.urgent, part.urgent),
    ):
        if one != other:
            differences.append(f"{name}: {one} expected, {other} came")
    if part.flags & wanted.flags & tcp.ACK and (wanted.ack or 0) != part.ack:
        differences.append(f"ack: {wanted.ack or 0} expected, {part.ack} came")
    if wanted.win is not None and wanted.win != part.win:
        differences.append(f"win: {wanted.win} expected, {part.win} came")
    return differences + _options(wanted.options, part.options or (), flow, settings)


def _options(
    wanted: tuple[TcpOption, ...] | None,
    actual: tuple[TcpOption, ...],
    flow: Flow,
    settings: Settings,
) -> list[str]:
    _learn_timestamp(wanted, actual, flow)
    if wanted is None:
        return []
    shown = f"options: <{describe(wanted)}> expected, <{describe(actual)}> came"
    if _kinds(wanted) != _kinds(actual):
        return [shown]
    for one, other in zip(wanted, actual, strict=True):
        if one.kind == tcp_options.TIMESTAMPS:
            if settings.ts_tick_s and not _timestamps_agree(one, other, flow, settings):
                return [shown]
        elif one.data != other.data:
            return [shown]
    return []


def _timestamp(options: tuple[TcpOption, ...] | None) -> tuple[int, int] | None:
    for option in options or ():
        if option.kind == tcp_options.TIMESTAMPS and option.data and len(option.data) == 8:
            value, echo = struct.unpack("!II", option.data)
            return value, echo
    return None


def _learn_timestamp(
    wanted: tuple[TcpOption, ...] | None, actual: tuple[TcpOption, ...], flow: Flow
) -> None:
    one, other = _timestamp(wanted), _timestamp(actual)
    if one is not None and other is not None:
        flow.note_timestamp(one[0], other[0])


def _timestamps_agree(one: TcpOption, other: TcpOption, flow: Flow, settings: Settings) -> bool:
    wanted, actual = _timestamp((one,)), _timestamp((other,))
    if wanted is None or actual is None or flow.ts_base is None:
        return one.data == other.data
    as_script = (actual[0] - flow.ts_base[1] + flow.ts_base[0]) & 0xFFFFFFFF
    off_by = (as_script - wanted[0] + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
    return abs(off_by) * settings.ts_tick_s <= settings.tolerance_s and wanted[1] == actual[1]


def _payload(part: TcpPart, payload: bytes) -> list[str]:
    offset = 0 if part.flags & tcp.SYN else part.seq - 1
    if not payload or payload == pattern(offset, len(payload)):
        return []
    return ["payload: not the bytes that were written for these sequence numbers"]

"""Lines with a packet: direction, IP part, then TCP, UDP or ICMP."""

from __future__ import annotations

from typing import Final

from pystack.testing.packetdrill import icmp_words
from pystack.testing.packetdrill.lexer import Cursor, Kind
from pystack.testing.packetdrill.parse_options import parse_options
from pystack.testing.packetdrill.script import (
    EcnCheck,
    IcmpPart,
    IpPart,
    Packet,
    TcpPart,
    UdpPart,
)
from pystack.wire import ecn, ipv4, tcp

_FLAGS: Final = {
    ".": tcp.ACK,
    "F": tcp.FIN,
    "S": tcp.SYN,
    "R": tcp.RST,
    "P": tcp.PSH,
    "U": tcp.URG,
    "E": tcp.ECE,
    "W": tcp.CWR,
    "C": tcp.CWR,  # as scripts of the language's first years have it
    "A": tcp.AE,
}
_ECN: Final = {"noecn": ecn.NOT_ECT, "ect0": ecn.ECT_0, "ect1": ecn.ECT_1, "ce": ecn.CE}
_ACE_DIGITS: Final = "01234567"


def parse_packet(cursor: Cursor) -> Packet:
    """Read a packet, from its direction on."""
    inbound = cursor.take().text == "<"
    token = cursor.here
    if cursor.is_word("ipv4", "ipv6", "gre", "GREv0", "mpls") and cursor.ahead().text != ":":
        raise cursor.fault(f"packets inside of {token.text} packets are not supported")
    ip = _ip_part(cursor)
    if ip.check is EcnCheck.ECT_EITHER and inbound:
        raise cursor.fault("[ect01] is for packets that the host sends", token)
    if cursor.accept_word("udp"):
        ports = _ports(cursor)
        cursor.expect("(", "after udp")
        size = cursor.integer("the size of a datagram's payload", 0xFFFF)
        cursor.expect(")", "after the size")
        return Packet(inbound, ip, ports, UdpPart(size))
    if cursor.accept_word("icmp"):
        return Packet(inbound, ip, None, _icmp(cursor))
    ports = _ports(cursor)
    return Packet(inbound, ip, ports, _tcp(cursor, inbound=inbound))


def _ports(cursor: Cursor) -> tuple[int, int] | None:
    if cursor.here.kind is not Kind.INTEGER or cursor.ahead().text != ">":
        return None
    source = cursor.integer("the source port", 0xFFFF)
    cursor.take()
    return source, cursor.integer("the destination port", 0xFFFF)


def _ip_part(cursor: Cursor) -> IpPart:
    if not cursor.is_symbol("[", "("):
        return IpPart()
    closing = "]" if cursor.take().text == "[" else ")"
    check, tos, ttl = EcnCheck.NOTHING, 0, None
    while True:
        token = cursor.take()
        if token.text in _ECN:
            check, tos = EcnCheck.ECN, _ECN[token.text]
        elif token.text == "ect01":
            check = EcnCheck.ECT_EITHER
        elif token.text == "tos":
            check, tos = EcnCheck.TOS, cursor.integer("tos", 0xFF)
        elif token.text == "ttl":
            ttl = cursor.integer("ttl", 0xFF)
        elif token.text == "flowlabel":
            cursor.integer("flowlabel", 0xFFFFF)  # IPv6 has them
        else:
            raise cursor.fault(f"{token} is none of ect0 ect1 ect01 ce noecn tos ttl", token)
        if cursor.accept(closing):
            return IpPart(check, tos, ttl)
        cursor.expect(",", f"or '{closing}'")


def _tcp(cursor: Cursor, *, inbound: bool) -> TcpPart:
    flags, ace = _flags(cursor)
    seq, size = _sequence(cursor)
    ack = win = None
    urgent = 0
    if cursor.accept_word("ack"):
        ack = cursor.integer("the acknowledgment number")
    if cursor.accept_word("win"):
        win = cursor.integer("the window", 0xFFFF)
    if cursor.accept_word("urg"):
        urgent = cursor.integer("the urgent pointer", 0xFFFF)
    options = parse_options(cursor, inbound=inbound)
    if cursor.is_symbol("{"):
        raise cursor.fault("mutations of packets, {mut ...}, are not supported")
    return TcpPart(flags, ace, seq, size, ack, win, urgent, options)


def _flags(cursor: Cursor) -> tuple[int, int | None]:
    """Read `S`, `P.`, `-`, `SEW`, or with the bits of accurate ECN as a number: `P.5`."""
    start = cursor.here
    letters = ""
    if cursor.here.kind is Kind.WORD:
        letters = cursor.take().text
    if cursor.accept("."):
        letters += "."
    elif cursor.here.kind is Kind.FLOAT and cursor.here.text.startswith("."):
        letters += cursor.take().text
    elif not letters and not cursor.accept("-"):
        raise cursor.fault(f"a segment's flags are missing (S . P F R U E W A, or -): {start}")
    flags, ace = 0, None
    for letter in letters:
        if letter in _ACE_DIGITS and ace is None and not flags & (tcp.ECE | tcp.CWR | tcp.AE):
            ace = int(letter)
        elif letter in _FLAGS:
            flags |= _FLAGS[letter]
        else:
            raise cursor.fault(f"'{letter}' is not a TCP flag here", start)
    if ace is not None:
        if flags & (tcp.ECE | tcp.CWR | tcp.AE):
            raise cursor.fault("ECN is told as flags or as a number, not both", start)
        flags |= (tcp.ECE if ace & 1 else 0) | (tcp.CWR if ace & 2 else 0)
        flags |= tcp.AE if ace & 4 else 0
    return flags, ace


def _sequence(cursor: Cursor) -> tuple[int, int]:
    start = cursor.here
    seq = cursor.integer("the first sequence number")
    cursor.expect(":", "between sequence numbers, first:end(size)")
    end = cursor.integer("the sequence number of the end")
    cursor.expect("(", "before the size, first:end(size)")
    size = cursor.integer("the size", 0xFFFF)
    cursor.expect(")", "after the size")
    if end != (seq + size) & 0xFFFFFFFF:
        raise cursor.fault(f"{seq} and {size} bytes make {seq + size}, not {end}", start)
    return seq, size


def _icmp(cursor: Cursor) -> IcmpPart:
    token = cursor.take()
    named = icmp_words.type_named(token.text)
    if named is None:
        known = ", ".join(icmp_words.TYPES)
        raise cursor.fault(f"{token} is none of the ICMP types {known}", token)
    kind, code = named
    mtu_bytes, ident = None, 0
    if cursor.here.kind is Kind.WORD and cursor.here.text not in ("mtu", "id"):
        name = cursor.take()
        said = icmp_words.code_named(kind, name.text)
        if said is None:
            raise cursor.fault(f"{name} is not a code of {token.text}", name)
        code = said
    if cursor.accept_word("mtu"):
        mtu_bytes = cursor.integer("the MTU", 0xFFFF)
    if cursor.accept_word("id"):
        ident = cursor.integer("the identifier", 0xFFFF)
    proto, seq, size = ipv4.TCP, 0, 0
    if cursor.accept("["):
        if cursor.accept_word("udp"):
            proto = ipv4.UDP
            cursor.expect("(", "after udp")
            size = cursor.integer("the size", 0xFFFF)
            cursor.expect(")", "after the size")
        elif cursor.is_word("raw"):
            raise cursor.fault("ICMP messages about raw packets are not supported")
        else:
            seq, size = _sequence(cursor)
        cursor.expect("]", "after the packet that the message is about")
    return IcmpPart(kind, code, mtu_bytes, ident, proto, seq, size)

"""What a ladder looks at in a frame: its kind, whose it is, and a label in a few words.

Hostile bytes have a kind too: "other". Nothing here raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import format_ip, format_ip4, format_mac
from pystack.core.errors import WireError
from pystack.observe.ladder.model import End, Kind
from pystack.observe.reading import Read, read
from pystack.wire import arp, dns_framing, ethernet, ipv4, ipv6, tcp
from pystack.wire.frame import Frame

_NEIGHBOR_TYPES: Final = range(133, 138)  # of ICMPv6, RFC 4861
_LONGEST_START: Final = 28  # characters of a first line
_HTTP_STARTS: Final = (
    b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"TRACE ", b"CONNECT ",
    b"PATCH ", b"HTTP/",
)  # fmt: skip
_TLS_TYPES: Final = {
    20: "change cipher spec", 21: "alert", 22: "handshake", 23: "application data",
}  # fmt: skip
_TLS_DATA: Final = 23
_TLS_HELLOS: Final = {1: "ClientHello", 2: "ServerHello"}


@dataclass(slots=True)
class Look:
    """What is seen at the first look."""

    kind: Kind
    src: str = ""  # addresses of IP, or of ARP; "": there are none
    dst: str = ""
    ports: tuple[int, int] | None = None  # None: none
    flags: int = 0  # TCP's
    seq: int = 0
    ack: int = 0
    payload_bytes: int = 0
    start: bytes = b""  # of the payload, as far as it was looked at
    header: bytes = b""  # TCP's: what tells a segment from the same one sent again
    is_tcp: bool = False

    @property
    def starts_something(self) -> bool:
        """Tell whether a request, a response, or a handshake of TLS begins here."""
        start = self.start
        return start.startswith(_HTTP_STARTS) or (is_tls(start) and start[0] != _TLS_DATA)

    @property
    def ends(self) -> tuple[End, End] | None:
        """Sender and receiver of the segment or datagram; None: it is none."""
        return (
            None if self.ports is None else ((self.src, self.ports[0]), (self.dst, self.ports[1]))
        )


def look_at(frame: Frame) -> Look:
    """Return what a frame is. Never raises."""
    found = read(frame.head, beyond=len(frame) - len(frame.head))
    if found.ethertype == ethernet.ARP:
        try:
            said = arp.parse(found.payload)
        except WireError:
            return Look("other")
        return Look("neighbor", format_ip4(said.spa), format_ip4(said.tpa))
    packet, body = found.packet, found.body
    if packet is None:
        return Look("other")
    look = Look("other", format_ip(found.src), format_ip(found.dst))
    if found.transport:
        look.ports = found.src_port, found.dst_port
        look.payload_bytes = found.text_bytes
        look.start = bytes(found.text[:64])
        if found.transport == "tcp":
            _segment(look, found)
        else:
            look.kind = "udp" if dns_framing.PORTS.isdisjoint(look.ports) else "dns"
    elif packet.proto in (ipv4.ICMP, ipv6.ICMPV6) and not packet.fragment_offset_bytes:
        is_neighbor = packet.proto == ipv6.ICMPV6 and len(body) and body[0] in _NEIGHBOR_TYPES
        look.kind = "neighbor" if is_neighbor else "icmp"
    return look


def _segment(look: Look, found: Read) -> None:
    look.is_tcp = True
    look.seq, look.ack, look.flags = found.seq, found.ack, found.flags
    look.header = bytes(found.body[: len(found.body) - len(found.text)])
    if look.flags & tcp.RST:
        look.kind = "rst"
    elif look.flags & tcp.SYN:
        look.kind = "handshake"
    elif look.flags & tcp.FIN:
        look.kind = "fin"
    elif look.payload_bytes:
        look.kind = "tls" if is_tls(look.start) else "data"
        if not dns_framing.PORTS.isdisjoint(look.ports or ()):
            look.kind = "dns"
    else:
        look.kind = "ack"


def is_tls(start: bytes) -> bool:
    """Tell whether a payload begins like a record of TLS."""
    return len(start) >= 5 and start[0] in _TLS_TYPES and start[1] == 3 and start[2] <= 4


def label(look: Look, line: str, first_seq: int, first_ack: int) -> str:
    """Return a few words. `line`: its summary; `first_seq`, `first_ack`: what counts as 0."""
    if look.kind == "neighbor" or not look.is_tcp:
        return _short(line, look)
    seq = look.seq - first_seq & 0xFFFFFFFF
    ack = look.ack - first_ack & 0xFFFFFFFF
    words = [name for bit, name in _FLAG_WORDS if look.flags & bit]
    if look.flags & tcp.ACK and (words or not look.payload_bytes):
        words.append("ACK")
    named = " ".join(words)
    if look.payload_bytes:
        size = f"{look.payload_bytes:,} bytes"
        what = _first_line(look.start) or _record(look) or f"seq {seq}"
        return ", ".join(part for part in (named, what, size) if part)
    if named == "ACK":
        return f"ACK {ack}"
    return named or "TCP"


_FLAG_WORDS: Final = ((tcp.SYN, "SYN"), (tcp.FIN, "FIN"), (tcp.RST, "RST"))


def _first_line(start: bytes) -> str:
    if not start.startswith(_HTTP_STARTS):
        return ""
    line = start.partition(b"\n")[0].rstrip(b"\r").decode("ascii", "replace")
    return line if len(line) <= _LONGEST_START else line[: _LONGEST_START - 1] + "\u2026"


def _record(look: Look) -> str:
    if not is_tls(look.start):
        return ""
    if look.start[0] == 22 and len(look.start) > 5 and look.start[5] in _TLS_HELLOS:
        return _TLS_HELLOS[look.start[5]]
    return f"TLS {_TLS_TYPES[look.start[0]]}"


def _short(line: str, look: Look) -> str:
    text = line.removeprefix("IP6 ").removeprefix("IP ").removeprefix("ARP, ")
    if look.src and f"> {look.dst}" in text and ": " in text:
        text = text.partition(": ")[2] if "." in look.src else text.split(": ", 1)[1]
    return text.partition(", length")[0] if look.kind != "udp" else text


def other_end(frame: Frame, look: Look, *, of_sender: bool) -> str:
    """Return what to call an end that has no name: by its IP address, or its station's."""
    address = look.src if of_sender else look.dst
    if address:
        return address
    data = frame.head
    if len(data) < ethernet.HEADER_BYTES:
        return "?"
    return format_mac(bytes(data[6:12] if of_sender else data[:6]))

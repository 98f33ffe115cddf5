"""A frame in one line, in tcpdump's manner (`tcpdump -n -t -S`): what -vv and the tools print.

It looks at headers only and never verifies a checksum, as tcpdump does without -v. Every sequence
of bytes has a line: what is cut off is shown as `[|tcp]`, what is malformed by its reason.
"""

import struct
from typing import Final

from pystack.core.addresses import UNSPECIFIED, format_ip4, format_mac
from pystack.core.errors import ConfigError, WireError
from pystack.observe.summary import icmp, ip6
from pystack.wire import arp, dns_framing, ethernet, ipv4, tcp, tcp_options, udp
from pystack.wire.frame import Frame
from pystack.wire.options import END, walk
from pystack.wire.packet import Packet

_TOTAL_LENGTH: Final = struct.Struct("!2xH")
_UDP: Final = struct.Struct("!HHH")
_PORTS: Final = struct.Struct("!HH")

# tcpdump's letters, in the order in which it prints them; for AE only newer ones have one.
_TCP_FLAGS: Final = (
    (tcp.FIN, "F"),
    (tcp.SYN, "S"),
    (tcp.RST, "R"),
    (tcp.PSH, "P"),
    (tcp.ACK, "."),
    (tcp.URG, "U"),
    (tcp.ECE, "E"),
    (tcp.CWR, "W"),
    (tcp.AE, "e"),
)
_DHCP_PORTS: Final = frozenset({67, 68})
_HTTP_PORTS: Final = frozenset({80, 8080, 3128})
_HTTP_STARTS: Final = (
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"TRACE ",
    b"CONNECT ",
    b"HTTP/",
)
_FAST_OPEN: Final = 34  # RFC 7413
_EXPERIMENTS: Final = (253, 254)  # RFC 6994


def summarize(frame: Frame | bytes) -> str:
    """Return the line of one Ethernet frame, without a time. Never raises."""
    data = memoryview(frame.data if isinstance(frame, Frame) else frame)
    if len(data) < ethernet.HEADER_BYTES:
        return "[|ether]"
    dst, src, ethertype = ethernet.HEADER.unpack_from(data)
    payload = data[ethernet.HEADER_BYTES :]
    while ethertype == ethernet.VLAN and len(payload) >= 4:
        ethertype = payload[2] << 8 | payload[3]
        payload = payload[4:]
    if ethertype == ethernet.IPV4:
        return f"IP {_ip4(payload)}"
    if ethertype == ethernet.ARP:
        return f"ARP, {_arp(payload)}"
    if ethertype == ethernet.IPV6:
        return f"IP6 {ip6.describe(payload, _transport)}"
    what = f"ethertype Unknown (0x{ethertype:04x})"
    if ethertype < ethernet.MIN_ETHERTYPE:
        what = "802.3"
    return f"{format_mac(src)} > {format_mac(dst)}, {what}, length {len(data)}"


def _transport(proto: int, ends: tuple[str, str] | None, data: memoryview, fragment: bool) -> str:
    """Return what TCP or UDP say, with the addresses and ports in front; of None without them.

    `fragment`: less than the whole of a datagram is here.
    """
    if len(data) < _PORTS.size:
        cut_off = f"[|{'tcp' if proto == ipv4.TCP else 'udp'}]"
        return cut_off if ends is None else f"{ends[0]} > {ends[1]}: {cut_off}"
    src_port, dst_port = _PORTS.unpack_from(data)
    src, dst = ("", "") if ends is None else (f"{ends[0]}.", f"{ends[1]}.")
    ports = f"{src}{src_port} > {dst}{dst_port}: "
    if proto == ipv4.TCP:
        return ports + _tcp(data)
    return ports + (_known_udp(src_port, dst_port, data) or _udp(data, fragment))


def _known_udp(src_port: int, dst_port: int, data: memoryview) -> str | None:
    """Return what a DNS or DHCP message says; None where it is neither, or not whole."""
    ports = {src_port, dst_port}
    payload = data[udp.HEADER_BYTES :]
    try:
        if not dns_framing.PORTS.isdisjoint(ports):
            return _dns(payload)
        if not _DHCP_PORTS.isdisjoint(ports):
            return _dhcp(payload)
    except WireError:
        pass
    return None


def _dns(payload: memoryview) -> str:
    try:
        from pystack.observe.summary import dns  # 50 ms, and an extra
    except ConfigError:
        return f"DNS, length {len(payload)} (what it says: pip install 'pystack-net[dns]')"
    return dns.describe(bytes(payload))


def _dhcp(payload: memoryview) -> str:
    try:
        from pystack.wire import slow  # here, for it brings all of dpkt: 25 ms, and an extra
    except ConfigError:
        return (
            f"BOOTP/DHCP, length {len(payload)} (what it says: pip install 'pystack-net[observe]')"
        )
    return slow.describe_dhcp(payload)


def _arp(data: memoryview) -> str:
    try:
        packet = arp.parse(data)
    except WireError as error:
        return f"[{error.reason}], length {len(data)}"
    sender, target = format_ip4(packet.spa), format_ip4(packet.tpa)
    if packet.op == arp.REPLY:
        return f"Reply {sender} is-at {format_mac(packet.sha)}, length {len(data)}"
    known = f" ({format_mac(packet.tha)})" if any(packet.tha) else ""
    return f"Request who-has {target}{known} tell {sender}, length {len(data)}"


def _ip4(data: memoryview) -> str:
    if len(data) < ipv4.HEADER_BYTES:
        return "[|ip]"
    version, header_bytes = data[0] >> 4, (data[0] & 0xF) * 4
    (total_length,) = _TOTAL_LENGTH.unpack_from(data)
    if version != 4:
        return f"bad version {version}"
    if header_bytes < ipv4.HEADER_BYTES:
        return f"bad-hlen {header_bytes}"
    if total_length < header_bytes:
        return f"bad-len {total_length}"
    if len(data) < header_bytes:
        return "[|ip]"
    # parse_quoted, for it takes packets that are cut off and looks at no checksum.
    packet = ipv4.parse_quoted(data[:total_length])
    missing = max(total_length - len(data), 0)
    src, dst = format_ip4(packet.src), format_ip4(packet.dst)
    truncated = f"truncated-ip - {missing} bytes missing! " if missing else ""
    payload = packet.raw[packet.header_bytes :]
    if packet.fragment_offset_bytes:
        return f"{truncated}{src} > {dst}: ip-proto-{packet.proto}"
    if packet.proto in (ipv4.TCP, ipv4.UDP):
        fragment = packet.more_fragments or missing > 0
        return truncated + _transport(packet.proto, (src, dst), payload, fragment)
    if packet.proto == ipv4.ICMP:
        return f"{truncated}{src} > {dst}: {icmp.describe(payload)}"
    return f"{truncated}{src} > {dst}: ip-proto-{packet.proto} {len(payload)}"


def _udp(data: memoryview, fragment: bool) -> str:
    if len(data) < udp.HEADER_BYTES:
        return "[|udp]"
    length = _UDP.unpack_from(data)[2] - udp.HEADER_BYTES
    if length < 0:
        return f"truncated-udplength {length + udp.HEADER_BYTES}"
    if length > len(data) - udp.HEADER_BYTES and not fragment:
        return f"UDP, bad length {length} > {len(data) - udp.HEADER_BYTES}"
    return f"UDP, length {length}"


def _tcp(data: memoryview) -> str:
    packet = Packet(4, UNSPECIFIED, UNSPECIFIED, ipv4.TCP, data, 0, checksum_good=True)
    try:
        segment = tcp.parse(packet)
    except WireError as error:
        return "[|tcp]" if error.reason == "tcp_truncated" else f"[{error.reason}]"
    flags, length = segment.flags, len(segment.payload)
    words = ["Flags [" + ("".join(c for bit, c in _TCP_FLAGS if flags & bit) or "none") + "]"]
    if length:
        words.append(f"seq {segment.seq}:{segment.seq + length & 0xFFFFFFFF}")
    elif flags & (tcp.SYN | tcp.FIN | tcp.RST):
        words.append(f"seq {segment.seq}")
    if flags & tcp.ACK:
        words.append(f"ack {segment.ack}")
    words.append(f"win {segment.wnd}")
    if flags & tcp.URG:
        words.append(f"urg {segment.up}")
    if len(segment.options):
        words.append(f"options [{_tcp_options(memoryview(segment.options))}]")
    words.append(f"length {length}")
    line = ", ".join(words)
    if length and not _HTTP_PORTS.isdisjoint((segment.src_port, segment.dst_port)):
        line += _http(bytes(segment.payload[:512]))
    return line


def _tcp_options(data: memoryview) -> str:
    words: list[str] = []
    end = 0
    for kind, at, length in walk(data):
        end = at + length
        if length == 1:
            words.append("eol" if kind == END else "nop")
        else:
            words.append(_tcp_option(kind, data[at:end]))
    if end < len(data) and words[-1:] != ["eol"]:
        words.append("[bad opt]")
    return ",".join(words)


def _tcp_option(kind: int, data: memoryview) -> str:
    # One option at a time through the stack's own parser: what it steps over, we call unknown.
    read = tcp_options.parse(data)
    body = bytes(data[2:])
    if read.mss is not None:
        return f"mss {read.mss}"
    if read.wscale is not None:
        return f"wscale {read.wscale}"
    if read.sack_permitted:
        return "sackOK"
    if read.timestamps is not None:
        return f"TS val {read.timestamps[0]} ecr {read.timestamps[1]}"
    if read.sack_blocks:
        blocks = "".join(f"{{{left}:{right}}}" for left, right in read.sack_blocks)
        return f"sack {len(read.sack_blocks)} {blocks}"
    if read.accurate_ecn is not None:
        return tcp_options.describe_accurate_ecn(read.accurate_ecn)
    if kind == _FAST_OPEN:
        return f"tfo  cookie {body.hex()}" if body else "tfo  cookiereq"
    if kind in _EXPERIMENTS and len(body) >= 2:
        return f"exp-{body[:2].hex()}" + (f" 0x{body[2:].hex()}" if body[2:] else "")
    return f"unknown-{kind}" + (f" 0x{body.hex()}" if body else "")


def _http(payload: bytes) -> str:
    if not payload.startswith(_HTTP_STARTS):
        return ": HTTP"
    # What a stranger wrote goes to a terminal: printable characters only.
    line = payload.split(b"\r\n", 1)[0].split(b"\n", 1)[0]
    return ": HTTP: " + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)

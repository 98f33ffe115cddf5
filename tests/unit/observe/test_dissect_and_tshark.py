"""Fields of frames of ours: the same values at the same places as tshark finds them."""

import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sample_frames as four
import sample_frames6 as six

from pystack.apps.explain.record import record
from pystack.observe.dissect import dissect
from pystack.wire.frame import completed

TSHARK = shutil.which("tshark")
# Our box (the beginning of its title) and field -> tshark's field
FIELDS = {
    ("Ethernet frame", "Destination"): "eth.dst",
    ("Ethernet frame", "Source"): "eth.src",
    ("Ethernet frame", "Type"): "eth.type",
    ("ARP message", "Operation"): "arp.opcode",
    ("ARP message", "Sender hardware address"): "arp.src.hw_mac",
    ("ARP message", "Sender protocol address"): "arp.src.proto_ipv4",
    ("ARP message", "Target hardware address"): "arp.dst.hw_mac",
    ("ARP message", "Target protocol address"): "arp.dst.proto_ipv4",
    ("IPv4 packet", "Version"): "ip.version",
    ("IPv4 packet", "DSCP"): "ip.dsfield.dscp",
    ("IPv4 packet", "ECN"): "ip.dsfield.ecn",
    ("IPv4 packet", "Total Length"): "ip.len",
    ("IPv4 packet", "Identification"): "ip.id",
    ("IPv4 packet", "DF"): "ip.flags.df",
    ("IPv4 packet", "MF"): "ip.flags.mf",
    ("IPv4 packet", "TTL"): "ip.ttl",
    ("IPv4 packet", "Protocol"): "ip.proto",
    ("IPv4 packet", "Header Checksum"): "ip.checksum",
    ("IPv4 packet", "Source Address"): "ip.src",
    ("IPv4 packet", "Destination Address"): "ip.dst",
    ("IPv6 packet", "Flow Label"): "ipv6.flow",
    ("IPv6 packet", "Payload Length"): "ipv6.plen",
    ("IPv6 packet", "Next Header"): "ipv6.nxt",
    ("IPv6 packet", "Hop Limit"): "ipv6.hlim",
    ("IPv6 packet", "Source Address"): "ipv6.src",
    ("IPv6 packet", "Destination Address"): "ipv6.dst",
    ("Fragment header", "Fragment Offset"): "ipv6.fraghdr.offset",
    ("Fragment header", "Identification"): "ipv6.fraghdr.ident",
    ("ICMP message", "Type"): "icmp.type",
    ("ICMP message", "Code"): "icmp.code",
    ("ICMP message", "Checksum"): "icmp.checksum",
    ("ICMP message", "Next-Hop MTU"): "icmp.mtu",
    ("ICMPv6 message", "Type"): "icmpv6.type",
    ("ICMPv6 message", "Code"): "icmpv6.code",
    ("ICMPv6 message", "Checksum"): "icmpv6.checksum",
    ("ICMPv6 message", "Cur Hop Limit"): "icmpv6.nd.ra.cur_hop_limit",
    ("ICMPv6 message", "Router Lifetime"): "icmpv6.nd.ra.router_lifetime",
    ("ICMPv6 message", "Valid Lifetime"): "icmpv6.opt.prefix.valid_lifetime",
    ("ICMPv6 message", "Prefix"): "icmpv6.opt.prefix",
    ("ICMPv6 message", "Nr of Mcast Address Records"): "icmpv6.mldr.nb_mcast_records",
    ("ICMPv6 message", "Record Type"): "icmpv6.mldr.mar.record_type",
    ("IGMP message", "Type"): "igmp.type",
    ("UDP datagram", "Source Port"): "udp.srcport",
    ("UDP datagram", "Destination Port"): "udp.dstport",
    ("UDP datagram", "Length"): "udp.length",
    ("UDP datagram", "Checksum"): "udp.checksum",
    ("TCP segment", "Source Port"): "tcp.srcport",
    ("TCP segment", "Destination Port"): "tcp.dstport",
    ("TCP segment", "Sequence Number"): "tcp.seq_raw",
    ("TCP segment", "Acknowledgment Number"): "tcp.ack_raw",
    ("TCP segment", "CWR"): "tcp.flags.cwr",
    ("TCP segment", "URG"): "tcp.flags.urg",
    ("TCP segment", "ACK"): "tcp.flags.ack",
    ("TCP segment", "PSH"): "tcp.flags.push",
    ("TCP segment", "RST"): "tcp.flags.reset",
    ("TCP segment", "SYN"): "tcp.flags.syn",
    ("TCP segment", "FIN"): "tcp.flags.fin",
    ("TCP segment", "Window"): "tcp.window_size_value",
    ("TCP segment", "Checksum"): "tcp.checksum",
    ("TCP segment", "Urgent Pointer"): "tcp.urgent_pointer",
    ("TCP segment", "Maximum Segment Size"): "tcp.options.mss_val",
    ("TCP segment", "shift.cnt"): "tcp.options.wscale.shift",
    ("TCP segment", "TSval"): "tcp.options.timestamp.tsval",
    ("TCP segment", "TSecr"): "tcp.options.timestamp.tsecr",
    ("DNS", "ID"): "dns.id",
    ("DNS", "QR"): "dns.flags.response",
    ("DNS", "RD"): "dns.flags.recdesired",
    ("DNS", "QDCOUNT"): "dns.count.queries",
    ("DNS", "ANCOUNT"): "dns.count.answers",
    ("DNS", "QNAME"): "dns.qry.name",
    ("DNS", "QTYPE"): "dns.qry.type",
    ("DNS", "TTL"): "dns.resp.ttl",
    ("HTTP request", "method"): "http.request.method",
    ("HTTP request", "request-target"): "http.request.uri",
    ("HTTP request", "HTTP-version"): "http.request.version",
    ("HTTP response", "status-code"): "http.response.code",
    ("TLS record", "type"): "tls.record.content_type",
    ("TLS record", "legacy_record_version"): "tls.record.version",
    ("TLS record", "length"): "tls.record.length",
    ("TLS handshake", "msg_type"): "tls.handshake.type",
    ("TLS handshake", "random"): "tls.handshake.random",
    ("TLS handshake", "cipher_suite"): "tls.handshake.ciphersuite",
    ("TLS handshake", "extension_type"): "tls.handshake.extension.type",
    ("TLS handshake", "group"): "tls.handshake.extensions_supported_group",
    ("TLS handshake", "signature_scheme"): "tls.handshake.sig_hash_alg",
    ("TLS handshake", "host_name"): "tls.handshake.extensions_server_name",
    ("WebSocket frame", "FIN"): "websocket.fin",
    ("WebSocket frame", "opcode"): "websocket.opcode",
    ("WebSocket frame", "MASK"): "websocket.mask",
    ("SMTP command", "command"): "smtp.req.command",
    ("FTP command", "command"): "ftp.request.command",
}
# tshark shows these as text, or in its own units: places are compared alone.
PLACES_ALONE = {
    "tls.handshake.random",  # shown in full; ours is cut
    "ipv6.fraghdr.offset",  # in bytes
    "icmpv6.opt.prefix",
}
# Names that other fields of ours have too, which tshark calls otherwise: options of ND, what is in
# the records of TLS 1.3, shares of keys
OTHERS_TOO = {
    "icmpv6.type",
    "tls.record.content_type",
    "tls.handshake.extensions_supported_group",
}
# By tshark in a file without the connections' beginnings at hand
NOT_SEEN = {"websocket.fin", "websocket.opcode", "websocket.mask", "igmp.type"}
URLS = (
    "http://server/",
    "https://server/",
    "ws://server/ws/echo",
    "smtp://server/",
    "ftp://server/",
    "dns:server",
    "udp://server/hello",
)
Found = dict[str, list[tuple[int, str]]]


def frames() -> list[bytes]:
    """Return what our own stack says, in many protocols, and frames of every kind."""
    found = [*four.ordinary_frames(), *six.ordinary_frames6(), *four.icmp_frames()]
    for url in URLS:
        for version in (4, 6):
            recording = record(url, {"loss": "1%"}, version=version, size_bytes=4000)
            found += [completed(each.frame).data for each in recording.passages()]
    return found


def plain(text: str) -> str:
    """Return a value in one form: numbers as numbers, names without their last dot."""
    text = {"True": "1", "False": "0"}.get(text, text)
    try:
        return str(int(text, 0))
    except ValueError:
        return text.rstrip(".").lower()


def ours(data: bytes) -> Found:
    found: Found = {}
    for box in dissect(data):
        for each in box.headers:
            for (title, name), field in FIELDS.items():
                if name == each.name and box.title.startswith(title):
                    value = "" if field in PLACES_ALONE else plain(each.value)
                    found.setdefault(field, []).append((each.start_bit // 8, value))
    return found


def theirs(packet: ElementTree.Element) -> Found:
    found: Found = {}
    for proto in packet.findall("proto"):
        for each in proto.iter("field"):
            name = each.get("name", "")
            if name in FIELDS.values():
                value = "" if name in PLACES_ALONE else plain(each.get("show", ""))
                found.setdefault(name, []).append((int(each.get("pos", "0")), value))
    return found


@pytest.mark.skipif(TSHARK is None, reason="no tshark here")
def test_values_and_places_are_those_of_tshark(tmp_path: Path) -> None:
    assert TSHARK is not None
    every = frames()
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    for number, data in enumerate(every):
        out += struct.pack("<IIII", number, 0, len(data), len(data)) + data
    path = tmp_path / "x.pcap"
    path.write_bytes(out)
    command = [TSHARK, "-n", "-r", str(path), "-T", "pdml", "-o", "tcp.desegment_tcp_streams:FALSE"]
    command += ["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    compared: Counter[str] = Counter()
    wrong: list[str] = []
    for number, packet in enumerate(ElementTree.fromstring(done.stdout).findall("packet")):
        mine, real = ours(every[number]), theirs(packet)
        for name in mine.keys() & real.keys():
            compared[name] += 1
            most = len(real[name]) if name in OTHERS_TOO else len(mine[name])
            if mine[name][:most] != real[name][: len(mine[name])]:
                wrong.append(f"{number + 1} {name}: ours {mine[name]}, theirs {real[name]}")
    print(len(every), "frames,", sum(compared.values()), "fields compared;", compared)
    assert wrong == []
    assert set(FIELDS.values()) - compared.keys() <= NOT_SEEN

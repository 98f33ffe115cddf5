"""Frames down to their bits: every bit in one field, whatever the bytes; values and meanings."""

import itertools
import struct
from collections.abc import Sequence

import pytest
import sample_frames as four
import sample_frames6 as six
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.observe.captures import link_types
from pystack.observe.dissect import PROTOCOLS, dissect, dissect_stream
from pystack.observe.dissect.layout import MOST_FIELDS
from pystack.observe.explain.story import Box, Header
from pystack.wire import ethernet, icmp, ipv4, tcp

ORDINARY = [*four.ordinary_frames(), *six.ordinary_frames6(), *four.icmp_frames(), *six.errors6()]
LINK_TYPES = [*link_types.NAMES, 147]


def holes(boxes: Sequence[Box], size: int) -> list[str]:
    """Return what is wrong with how fields cover a frame: gaps, and bits that are in two."""
    fields = sorted((each.start_bit, each.bits, each.name) for box in boxes for each in box.headers)
    at, found = 0, []
    for start, bits, name in fields:
        if start != at or bits <= 0:
            found.append(f"{name}: bit {start}, expected at {at}")
        at = start + bits
    if at != size * 8:
        found.append(f"ends at bit {at} of {size * 8}")
    return found


def fields_of(boxes: Sequence[Box], title: str) -> dict[str, Header]:
    """Return the fields of the first box of that title, by name; the first of each."""
    box = next(each for each in boxes if each.title == title)
    return {each.name: each for each in reversed(box.headers)}


@pytest.mark.parametrize("number", range(len(ORDINARY)))
def test_every_bit_of_a_frame_is_in_one_field(number: int) -> None:
    data = ORDINARY[number]
    for frame in (data, data + bytes(4), data.ljust(60, b"\0")):
        assert holes(dissect(frame), len(frame)) == []


@settings(max_examples=400)
@given(
    st.integers(0, len(ORDINARY) - 1),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
    st.integers(0, 1600),
    st.binary(max_size=40),
)
def test_whatever_befalls_a_frame_its_bits_are_in_one_field_each(
    number: int, changes: list[tuple[int, int]], cut: int, more: bytes
) -> None:
    data = bytearray(ORDINARY[number] + more)
    for at, value in changes:
        data[at % len(data)] = value
    frame = bytes(data[:cut])
    assert holes(dissect(frame), len(frame)) == []


@given(st.binary(max_size=300), st.sampled_from(LINK_TYPES))
def test_garbage_of_any_link_type_is_covered(data: bytes, link_type: int) -> None:
    assert holes(dissect(data, link_type), len(data)) == []


@given(st.sampled_from(["", *PROTOCOLS]), st.sampled_from([80, 443, 25, 21, 53]), st.binary())
def test_garbage_of_any_protocol_is_covered(protocol: str, port: int, noise: bytes) -> None:
    starts = {
        "dns": bytes(12),
        "http": b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "http2": b"\0\0\6\4\0\0\0\0\0",
        "tls": b"\x16\3\1\0\x90\1\0\0\x8c\3\3" + bytes(32),
        "websocket": b"\x81\x85",
        "smtp": b"250 ",
        "ftp": b"USER ",
        "": b"",
    }
    text = starts[protocol] + noise
    frame = four.tcp_frame(tcp.ACK, text, ports=(40000, port))
    assert holes(dissect(frame), len(frame)) == []
    by_udp = four.udp_frame(noise)
    assert holes(dissect(by_udp), len(by_udp)) == []
    if protocol:
        assert holes(dissect_stream(text, protocol), len(text)) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_hostile_text_makes_no_more_fields_than_anybody_reads(protocol: str) -> None:
    pieces = {
        "http": b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 12000,
        "http2": b"\0\0\0\4\0\0\0\0\0" * 7000,
        "websocket": b"\x81\0" * 30000,
        "tls": b"\x15\3\3\0\2\1\0" * 9000,
        "dns": b"\0\0" * 30000,
        "smtp": b"NOOP\r\n" * 10000,
        "ftp": b"200 a\r\n" * 10000,
    }
    boxes = dissect_stream(pieces[protocol], protocol)
    assert sum(len(box.headers) for box in boxes) <= MOST_FIELDS + 30
    assert holes(boxes, len(pieces[protocol])) == []


def test_a_syn_with_its_options() -> None:
    options = bytes.fromhex("020405b40402080a000000010000000001030307")
    data = four.tcp_frame(tcp.SYN, b"", options)
    boxes = dissect(data)
    assert [
        (box.layer5, box.title, box.start, box.header_bytes, box.payload_bytes) for box in boxes
    ] == [
        ("data link", "Ethernet frame", 0, 14, 60),
        ("network", "IPv4 packet", 14, 20, 40),
        ("transport", "TCP segment", 34, 40, 0),
    ]
    found = fields_of(boxes, "TCP segment")
    syn = found["SYN"]
    assert (syn.value, syn.start_bit, syn.bits) == ("1", 34 * 8 + 13 * 8 + 6, 1)
    assert found["Source Port"].meaning == "ephemeral: chosen by the system"
    assert found["Destination Port"].meaning == "http"
    assert found["Checksum"].meaning == "right"
    assert found["Maximum Segment Size"].value == "1460"
    assert found["shift.cnt"].meaning == "its windows count in units of 128"
    assert (found["TSval"].value, found["TSval"].start_bit) == ("1", (54 + 4 + 2 + 2) * 8)


def test_a_wrong_checksum_is_told_from_one_that_the_card_fills_in() -> None:
    data = bytearray(four.tcp_frame(tcp.SYN))
    right = int.from_bytes(data[50:52], "big")
    data[50:52] = b"\x12\x34"
    meaning = fields_of(dissect(bytes(data)), "TCP segment")["Checksum"].meaning
    assert meaning.startswith(f"wrong: it should be 0x{right:04x}")
    segment = tcp.Segment(40000, 80, 1, 0, tcp.SYN, 100)
    header = tcp.pack_header(segment, four.A, four.B, partial=True)
    partial = four.ip_frame(ipv4.TCP, header)
    meaning = fields_of(dissect(partial), "TCP segment")["Checksum"].meaning
    assert meaning.startswith("of addresses alone: the sender's card may fill it in")


def test_padding_behind_a_short_packet_is_ethernets() -> None:
    data = four.arp_frame(1, four.B).ljust(60, b"\0")
    (outer, message) = dissect(data)
    assert (outer.header_bytes, outer.payload_bytes) == (14 + 18, 28)
    assert outer.headers[-1].name == "Padding"
    assert fields_of([message], "ARP message")["Operation"].meaning.startswith("request")


def test_an_envelope_and_what_is_inside_fill_their_place() -> None:
    """What a layer has put around its content, and the content, are what the layer outside has."""
    for data in ORDINARY:
        boxes = [box for box in dissect(data) if not box.title.startswith("quoted")]
        for outer, inner in itertools.pairwise(boxes):
            if inner.start >= outer.start + outer.header_bytes and inner.title != "Data":
                assert inner.header_bytes + inner.payload_bytes <= outer.payload_bytes
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    box = dissect(four.tcp_frame(tcp.ACK, text))[-1]
    assert (box.title, box.header_bytes, box.payload_bytes) == ("HTTP body", 0, 5)


def test_tags_of_virtual_lans_nest() -> None:
    data = four.tcp_frame(tcp.SYN)
    tagged = data[:12] + bytes.fromhex("88a80064 8100600a".replace(" ", "")) + data[12:]
    boxes = dissect(tagged)
    assert [box.title for box in boxes[:4]] == [
        "Ethernet frame",
        "VLAN tag",
        "VLAN tag",
        "IPv4 packet",
    ]
    second = {each.name: each.value for each in boxes[2].headers}
    assert (second["PCP"], second["VID"], second["Type"]) == ("3", "10", "0x0800")
    assert holes(boxes, len(tagged)) == []


def test_an_error_quotes_the_packet_that_it_is_about() -> None:
    inner = four.tcp_frame(tcp.SYN)[14:42]
    data = four.icmp_frame(icmp.DESTINATION_UNREACHABLE, 4, 1400, inner)
    boxes = dissect(data)
    assert [box.title for box in boxes[2:]] == [
        "ICMP message",
        "quoted: IPv4 packet",
        "quoted: TCP segment",
    ]
    assert fields_of(boxes, "ICMP message")["Next-Hop MTU"].value == "1400"
    assert fields_of(boxes, "ICMP message")["Code"].meaning.startswith("too large")
    assert holes(boxes, len(data)) == []


def test_packets_in_packets_end() -> None:
    packet = four.tcp_frame(tcp.SYN)[14:]
    for _ in range(20):
        packet = ipv4.pack_header(four.A, four.B, 4, len(packet)) + packet
    data = ethernet.pack(four.MAC_B, four.MAC_A, ethernet.IPV4, packet)
    boxes = dissect(data)
    assert boxes[-1].headers[0].meaning == "too many packets in packets"
    assert holes(boxes, len(data)) == []


def test_a_request_and_its_answer() -> None:
    text = b"GET /a?b HTTP/1.1\r\nHost: server\r\nAccept: */*\r\n\r\n"
    boxes = dissect(four.tcp_frame(tcp.ACK | tcp.PSH, text))
    box = boxes[-1]
    assert (box.title, box.layer7, box.payload_bytes) == ("HTTP request", (7,), 0)
    assert [(each.name, each.value) for each in box.headers] == [
        ("method", "GET"),
        ("request-target", "/a?b"),
        ("HTTP-version", "HTTP/1.1"),
        ("Host", "server"),
        ("Accept", "*/*"),
        ("CRLF", ""),
    ]
    answers = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\n\r\n"
    )
    titles = [box.title for box in dissect_stream(answers, "http")]
    assert titles == [
        "HTTP response",
        "HTTP body",
        "HTTP response",
        "HTTP body",
        "HTTP response",
    ]


def test_a_server_name_is_seen_and_what_is_encrypted_is_said() -> None:
    name = b"example.test"
    sni = struct.pack("!HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
    alpn = struct.pack("!HHH", 16, 5, 3) + b"\2h2"
    versions = struct.pack("!HHB", 43, 3, 2) + b"\3\4"
    extensions = sni + alpn + versions
    body = b"\3\3" + bytes(32) + b"\0" + struct.pack("!HHH", 4, 0x1301, 0x0A0A) + b"\1\0"
    body += struct.pack("!H", len(extensions)) + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    text = b"\x16\3\1" + struct.pack("!H", len(message)) + message
    text += b"\x17\3\3\0\x20" + bytes(range(32))
    boxes = dissect(four.tcp_frame(tcp.ACK, text, ports=(40000, 443)))
    assert [box.title for box in boxes[3:]] == [
        "TLS record: handshake",
        "TLS handshake: client_hello",
        "TLS record: application_data",
    ]
    hello = boxes[4]
    values = {each.name: each.value for each in hello.headers}
    assert (values["host_name"], values["ProtocolName"], values["version"]) == (
        "example.test",
        "h2",
        "0x0304",
    )
    ciphers = [each.meaning for each in hello.headers if each.name == "cipher_suite"]
    assert ciphers == ["TLS_AES_128_GCM_SHA256", "GREASE: to be passed over"]
    assert boxes[5].headers[-1].meaning.startswith("encrypted:")
    assert (boxes[5].header_bytes, boxes[5].payload_bytes) == (5, 32)


def test_a_masked_frame_of_websocket_is_shown_without_its_mask() -> None:
    mask, text = b"\1\2\3\4", b"hello"
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    boxes = dissect(four.tcp_frame(tcp.ACK, b"\x81\x85" + mask + masked))
    found = fields_of(boxes, "WebSocket frame: text")
    assert found["Payload data"].value == "5 bytes: hello"
    assert found["MASK"].meaning.startswith("masked")


def test_lines_of_mail_and_files() -> None:
    boxes = dissect(
        four.tcp_frame(tcp.ACK, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", ports=(40000, 25))
    )
    assert [(box.title, box.headers[0].value, box.headers[1].value) for box in boxes[3:]] == [
        ("SMTP command", "MAIL", "FROM:<a@b>"),
        ("SMTP command", "RCPT", "TO:<c@d>"),
    ]
    (reply,) = dissect_stream(b"227 Entering Passive Mode\r\n", "ftp")
    assert reply.headers[0].meaning == "done"


def test_a_message_of_dns_with_its_records() -> None:
    dns = pytest.importorskip("pystack.wire.dns")
    message = dns.Message(
        ident=7,
        is_response=True,
        questions=(dns.Question("server.test", dns.A),),
        answers=(
            dns.record("server.test", dns.CNAME, 60, "www.server.test."),
            dns.record("www.server.test", dns.A, 60, "10.0.0.9"),
        ),
        edns=dns.Edns(),
    )
    packed = dns.pack_message(message)
    for boxes in (dissect_stream(dns.frame(packed), "dns"),):
        found = boxes[0].headers
        values = {each.name: each.value for each in found}
        assert values["QNAME"] == "server.test."
        assert [each.value for each in found if each.name == "RDATA"] == [
            "www.server.test.",
            "10.0.0.9",
        ]
        assert values["UDP payload size"] == "1232"
        assert holes(boxes, len(packed) + 2) == []


def test_a_raw_packet_has_no_box_of_a_link() -> None:
    packet = four.tcp_frame(tcp.SYN)[14:]
    assert [box.title for box in dissect(packet, link_types.RAW)] == ["IPv4 packet", "TCP segment"]
    cooked = bytes(14) + b"\x08\x00" + packet
    assert dissect(cooked, link_types.LINUX_SLL)[0].title == "Linux cooked header"

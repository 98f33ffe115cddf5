"""What those who look on read of a frame: the parsers' numbers, and nothing that breaks it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import parse_ip
from pystack.observe.explain.telling import tell
from pystack.observe.flows import FlowTable
from pystack.observe.passage import SEEN, Passage
from pystack.observe.reading import read
from pystack.observe.recording import Recording
from pystack.wire import tcp
from pystack.wire.frame import Frame
from pystack.wire.ipv4 import pack_header

MACS = bytes(range(12))
SACK = bytes([1, 1, 5, 10]) + (2**32 - 8).to_bytes(4, "big") + (8).to_bytes(4, "big")


def frame4(options: bytes = b"", payload: bytes = b"", *, flags_offset: int = 0) -> bytes:
    src, dst = parse_ip("10.0.0.1"), parse_ip("10.0.0.2")
    segment = tcp.Segment(5000, 80, 2**32 - 1, 7, tcp.ACK | tcp.PSH, 500, options, payload)
    body = tcp.pack_header(segment, src, dst) + payload
    return (
        MACS + b"\x08\x00" + pack_header(src, dst, 6, len(body), flags_offset=flags_offset) + body
    )


def test_a_segment_with_its_numbers() -> None:
    seen = read(frame4(SACK, b"hello"))
    assert (seen.protocol, seen.transport) == ("tcp", "tcp")
    assert seen.ends == (("10.0.0.1", 5000), ("10.0.0.2", 80))
    assert (seen.flags, seen.seq, seen.ack, seen.wnd) == (0x18, 2**32 - 1, 7, 500)
    assert seen.options is not None
    assert seen.options.sack_blocks == ((2**32 - 8, 8),)
    assert (bytes(seen.text), seen.text_bytes) == (b"hello", 5)


def test_of_one_that_was_cut_short_the_size_is_what_ip_says() -> None:
    assert read(frame4(payload=bytes(1000))[:80]).text_bytes == 1000


def test_padding_is_no_text() -> None:
    assert read(frame4() + bytes(6)).text_bytes == 0
    padded = FlowTable().feed(0.0, frame4() + bytes(6))
    assert padded is not None
    assert (padded.kind, padded.text_bytes) == ("ack", 0)


def test_a_later_fragment_has_no_ports() -> None:
    seen = read(frame4(payload=b"x" * 8, flags_offset=185))
    assert (seen.protocol, seen.src_port, seen.transport) == ("tcp", 0, "")


def test_behind_a_vlan_tag() -> None:
    plain = frame4()
    for tag in (b"\x81\x00\x00\x05", b"\x88\xa8\x00\x05\x81\x00\x00\x06"):
        seen = read(plain[:12] + tag + plain[12:])
        assert (seen.ends, seen.seq) == (read(plain).ends, 2**32 - 1)


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        (b"", "ethernet"),
        (MACS + b"\x08\x06" + bytes(28), "arp"),
        (MACS + b"\x08\x00", "ip"),
        (MACS + b"\x86\xdd" + bytes(39), "ip"),
        (MACS + b"\x88\xcc" + bytes(50), "ethernet"),
    ],
)
def test_what_says_no_more(data: bytes, protocol: str) -> None:
    seen = read(data)
    assert (seen.protocol, seen.transport, seen.ends) == (protocol, "", (("", 0), ("", 0)))


def test_ipv6() -> None:
    header = bytes([0x60, 0, 0, 0, 0, 20, 6, 64])
    ends = bytes.fromhex("fd" + "00" * 14 + "01") + bytes.fromhex("fd" + "00" * 14 + "02")
    segment = frame4()[34:54]
    seen = read(MACS + b"\x86\xdd" + header + ends + segment)
    assert seen.ends == (("fd00::1", 5000), ("fd00::2", 80))
    assert (seen.flags, seen.text_bytes) == (0x18, 0)


@pytest.mark.parametrize(("flags", "opener"), [(tcp.ACK, 0), (tcp.SYN | tcp.ACK, 0), (tcp.SYN, 1)])
def test_flows_and_stories_agree_on_who_began(flags: int, opener: int) -> None:
    src, dst = parse_ip("10.0.0.1"), parse_ip("10.0.0.2")
    body = tcp.pack_header(tcp.Segment(8080, 40000, 100, 7, flags, 500), src, dst)
    data = MACS + b"\x08\x00" + pack_header(src, dst, 6, len(body)) + body
    seen = FlowTable().feed(0.0, data)
    passage = Passage("", "10.0.0.1", "10.0.0.2", Frame(data), 0.0, 1, end=SEEN, ended_at=0.0)
    told = tell([passage], Recording(knows_inside=False))
    began = ("10.0.0.2", "10.0.0.1")[opener]
    assert seen is not None
    assert (seen.flow.a[0], told.places[0]) == (began, began)


@given(
    st.binary(max_size=120), st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x00\x01"])
)
def test_nothing_breaks_it(data: bytes, kind: bytes) -> None:
    seen = read(MACS + kind + data)
    assert seen.text_bytes >= 0
    assert read(data).text_bytes >= 0


@given(st.integers(0, 80), st.binary(max_size=40).filter(lambda data: len(data) % 4 == 0))
def test_a_cut_anywhere_breaks_nothing(end: int, options: bytes) -> None:
    read(frame4(options, b"text")[:end])

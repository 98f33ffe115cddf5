"""The one reader of plain frames sees what the layers do, or says None; for both IP versions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import Ip, Mac, parse_ip, with_zone, without_zone
from pystack.core.errors import WireError
from pystack.wire import ethernet, headers, ip, ipv4, ipv6
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame, SuperFrame
from pystack.wire.packet import Packet

HERE, THERE = Mac(b"\x02\0\0\0\0\x01"), Mac(b"\x02\0\0\0\0\x02")
PAIRS = (
    (parse_ip("10.77.0.1"), parse_ip("10.77.0.2")),
    (parse_ip("fd77::1"), parse_ip("2001:db8::2")),
)

pairs = st.sampled_from(PAIRS)
payloads = st.binary(min_size=4, max_size=100)


def packed(
    pair: tuple[Ip, Ip],
    payload: bytes,
    *,
    proto: int = ipv4.TCP,
    tos: int = 0,
    ttl: int = 64,
    ident: int = 0,
    label: int = 0,
) -> bytes:
    template = headers.template(THERE, *pair, label)
    return HERE + template.pack(proto, len(payload), tos, ttl, ident) + payload


def by_the_layers(data: bytes) -> Packet | None:
    """Return the packet of a frame that is plain; None where a layer would not take it so."""
    dst, src, _ = ethernet.HEADER.unpack_from(data)
    if dst != HERE or src[0] & 1:
        return None
    try:
        packet = ip.packet_of(data)
    except WireError:
        return None
    plain_bytes = 20 if packet.version == 4 else 40
    if packet.is_fragment or packet.header_bytes != plain_bytes or packet.chain is not None:
        return None
    return packet


@given(pairs, payloads, st.integers(0, 255), st.integers(0, 255), st.integers(0, 0xFFFF))
def test_a_template_writes_what_the_layers_write(
    pair: tuple[Ip, Ip], payload: bytes, tos: int, ttl: int, number: int
) -> None:
    (src, dst), size = pair, len(payload)
    if dst >> 32:
        header = ipv6.pack_header(src, dst, 17, size, ttl=ttl, tos=tos, flow_label=number)
    else:
        header = ipv4.pack_header(src, dst, 17, size, ttl=ttl, tos=tos, ident=number)
    kind = ethernet.IPV6 if dst >> 32 else ethernet.IPV4
    data = packed(pair, payload, proto=17, tos=tos, ttl=ttl, ident=number, label=number)
    assert data == ethernet.pack(HERE, THERE, kind, header + payload)


@given(pairs, payloads, st.integers(0, 255), st.integers(0, 255))
def test_what_was_written_is_read_back(
    pair: tuple[Ip, Ip], payload: bytes, tos: int, ttl: int
) -> None:
    data = packed(pair, payload, tos=tos, ttl=ttl)
    found = headers.read(Frame(data + b"padding"), HERE)
    assert found is not None
    proto, ends, *fields, start, end = found
    assert (proto, fields, data[start:end]) == (ipv4.TCP, [tos, ttl], payload)
    ports = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:4], "big")
    assert ends == headers.pack_ends(*pair, *ports)
    assert ends == data[headers.ENDS6 if pair[1] >> 32 else headers.ENDS4]
    assert headers.unpack_pair(ends[:-4]) == pair


@given(
    pairs,
    payloads,
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=3),
    st.integers(-60, 8),
)
def test_a_damaged_frame_is_read_as_the_layers_read_it_or_left_to_them(
    pair: tuple[Ip, Ip], payload: bytes, damage: list[tuple[int, int]], more: int
) -> None:
    raw = bytearray(packed(pair, payload))
    for at, value in damage:
        raw[at % len(raw)] = value
    data = bytes(raw + bytes(more) if more >= 0 else raw[:more])
    found = headers.read(Frame(data), HERE)
    if found is not None:
        packet = by_the_layers(data)
        assert packet is not None
        proto, ends, tos, ttl, start, end = found
        assert (proto, tos, ttl) == (packet.proto, packet.tos, packet.ttl)
        assert headers.unpack_pair(ends[:-4]) == (packet.src, packet.dst)
        assert data[start:end] == packet.payload


@pytest.mark.parametrize("pair", PAIRS)
def test_what_is_whole_is_left_to_nobody(pair: tuple[Ip, Ip]) -> None:
    data = packed(pair, b"text")
    assert headers.read(Frame(data), HERE) is not None
    assert headers.read(Frame(data), THERE) is None
    for size in range(len(data)):
        assert headers.read(Frame(data[:size]), HERE) is None


@pytest.mark.parametrize("pair", PAIRS)
def test_what_has_no_room_for_ports_is_left_to_the_layers(pair: tuple[Ip, Ip]) -> None:
    for size in range(4):
        assert headers.read(Frame(packed(pair, bytes(size))), HERE) is None


@pytest.mark.parametrize("pair", PAIRS)
def test_the_text_of_a_super_frame_may_lie_apart(pair: tuple[Ip, Ip]) -> None:
    head = packed(pair, bytes(20) + bytes(3000))[:-3000]
    found = headers.read(SuperFrame(head, bytes(3000), CHECKSUM_PARTIAL, 1000), HERE)
    assert found is not None
    assert found[-1] == len(head) + 3000
    assert headers.read(SuperFrame(head, bytes(2999), CHECKSUM_PARTIAL, 1000), HERE) is None


@given(pairs, payloads, st.integers(2, 255), st.integers(0, 255))
def test_one_hop_on_the_headers_are_still_right(
    pair: tuple[Ip, Ip], payload: bytes, ttl: int, tos: int
) -> None:
    data = packed(pair, payload, ttl=ttl, tos=tos)
    *_, start, end = headers.read(Frame(data), HERE) or (0, 0)
    aged = b"".join((HERE, THERE, *headers.aged(data + b"pad", start, end)))
    assert aged == packed(pair, payload, ttl=ttl - 1, tos=tos)


def test_of_link_local_ends_the_zone_tells_links_apart() -> None:
    src, dst = parse_ip("fe80::1"), parse_ip("fe80::2")
    first, second = (
        headers.pack_ends(with_zone(src, zone), with_zone(dst, zone), 1, 2) for zone in (2, 3)
    )
    assert first != second
    assert first[:36] == second[:36] == headers.pack_ends(src, dst, 1, 2)
    assert headers.pack_pair(with_zone(src, 2), without_zone(dst)) == first[:32]

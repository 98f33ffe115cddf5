"""What a rule sees of a frame; whatever the bytes are, it sees something and nothing is raised."""

from hypothesis import given
from hypothesis import strategies as st
from packets6 import A, B, Header, destination, fragment, hop_by_hop, packet6
from pipe_bench import tcp_frame, udp_frame

from pystack.link.impair.packet import Packet
from pystack.wire import arp, ethernet, ipv4, ipv6, tcp, udp
from pystack.wire.frame import Frame


def test_a_segment() -> None:
    packet = Packet(tcp_frame(tcp.SYN | tcp.ACK, b"hi", seq=77))
    assert (packet.proto, packet.src, packet.dst) == ("TCP", "10.0.0.1", "10.0.0.2")
    assert (packet.src_port, packet.dst_port, packet.flags) == (40000, 80, "SYN ACK")
    assert (packet.seq, packet.ack, packet.payload) == (77, 1, b"hi")
    assert (packet.length, packet.ttl, packet.tos, packet.fragment) == (56, 64, 0, False)
    assert packet.version == 4


def test_a_datagram() -> None:
    packet = Packet(udp_frame(b"query"))
    assert (packet.proto, packet.src_port, packet.dst_port) == ("UDP", 5000, 53)
    assert (packet.payload, packet.flags) == (b"query", "")


def test_an_arp_request() -> None:
    data = arp.pack(arp.REQUEST, b"\2\0\0\0\0\1", 0x0A000001, 0x0A000002)
    packet = Packet(Frame(ethernet.pack(b"\xff" * 6, b"\2\0\0\0\0\1", ethernet.ARP, data)))
    assert (packet.proto, packet.src, packet.dst) == ("ARP", "10.0.0.1", "10.0.0.2")
    assert packet.version is None


def test_a_ping_and_a_protocol_that_is_neither() -> None:
    def wrapped(proto: int) -> Packet:
        packet = ipv4.pack_header(1, 2, proto, 9) + b"\x08" + bytes(8)
        return Packet(Frame(ethernet.pack(b"\2" * 6, b"\2" * 6, ethernet.IPV4, packet)))

    ping, other = wrapped(ipv4.ICMP), wrapped(47)
    assert (ping.proto, ping.type, ping.payload) == ("ICMP", 8, b"\0")
    assert (other.proto, other.src_port) == ("IPv4", None)


def test_a_later_fragment_has_no_ports() -> None:
    packet = ipv4.pack_header(1, 2, ipv4.UDP, 8, flags_offset=100) + bytes(8)
    seen = Packet(Frame(ethernet.pack(b"\2" * 6, b"\2" * 6, ethernet.IPV4, packet)))
    assert (seen.proto, seen.fragment, seen.src_port) == ("UDP", True, None)


def test_ipv6_looks_the_same_whatever_headers_come_first() -> None:
    def seen(headers: list[Header], proto: int, payload: bytes) -> Packet:
        packet = packet6(headers, proto, payload, src=A, dst=B, ttl=9, tos=0xB8)
        return Packet(Frame(ethernet.pack(b"\2" * 6, b"\2" * 6, ethernet.IPV6, packet)))

    for headers in ([], [destination()], [hop_by_hop(), destination()]):
        datagram = seen(headers, ipv4.UDP, udp.pack(A, B, 5000, 53, b"query"))
        assert (datagram.proto, datagram.src, datagram.dst) == ("UDP", "fe80::a", "fe80::b")
        assert (datagram.src_port, datagram.dst_port, datagram.payload) == (5000, 53, b"query")
        assert (datagram.ttl, datagram.tos, datagram.fragment) == (9, 0xB8, False)
    ping = seen([], ipv6.ICMPV6, b"\x80" + bytes(8))
    assert (ping.proto, ping.type, ping.payload) == ("ICMPv6", 128, b"\0")
    assert seen([], 47, bytes(8)).proto == "IPv6"
    later = seen([fragment(5, more=True)], ipv4.UDP, bytes(8))
    assert (later.proto, later.fragment, later.src_port) == ("UDP", True, None)


@given(st.binary(max_size=120), st.sampled_from([b"", b"\x08\x00\x45", b"\x08\x06", b"\x86\xdd"]))
def test_any_bytes_are_a_packet(data: bytes, after_macs: bytes) -> None:
    packet = Packet(Frame(data[:12] + after_macs + data[12:]))
    assert packet.length == len(data) + len(after_macs)
    assert isinstance(repr(packet), str)


@given(st.binary(max_size=60), st.integers(0, 53))
def test_a_segment_with_bytes_changed_is_still_a_packet(noise: bytes, at: int) -> None:
    data = tcp_frame(payload=b"hello").data
    Packet(Frame(data[:at] + noise + data[at + len(noise) :]))

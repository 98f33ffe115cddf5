"""The way in: every reason to drop a frame has its name, and a frame that shows it."""

import pytest
from stack_bench import (
    FAR,
    GROUP,
    HERE,
    HERE_MAC,
    OTHER_MAC,
    PEER,
    SUBNET_BROADCAST,
    Bench,
    arp_frame,
    echo_frame,
    frame_of,
    ip_packet,
    udp_frame,
)

from pystack.core.addresses import (
    BROADCAST_MAC,
    LIMITED_BROADCAST,
    LOOPBACK,
    UNSPECIFIED,
    parse_ip6,
)
from pystack.observe.observer import Dropped, FrameSeen
from pystack.wire import arp, ethernet, ipv4, ipv6, udp
from pystack.wire.checksum import checksum
from pystack.wire.frame import Frame

PEER6, FAR6, GROUP6 = (parse_ip6(text) for text in ("fd00::2", "fd00:1::9", "ff02::99"))
GROUP_MAC = bytes.fromhex("01005e0000fb")
GOOD_IP = ip_packet(b"data", proto=253)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.know_peer()
    return bench


def with_byte(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


FRAMES_AND_REASONS = {
    "empty": (b"", "eth_runt"),
    "13 bytes": (bytes(13), "eth_runt"),
    "for another station": (frame_of(GOOD_IP, dst=OTHER_MAC), "eth_for_others"),
    "from a group": (frame_of(GOOD_IP, src=GROUP_MAC), "eth_bad_source"),
    "from everyone": (frame_of(GOOD_IP, src=BROADCAST_MAC), "eth_bad_source"),
    "unknown type": (frame_of(b"", ethertype=0x88CC), "eth_unknown_type"),
    "802.3 length": (frame_of(bytes(46), ethertype=46), "eth_802_3_length"),
    "highest length": (frame_of(bytes(46), ethertype=0x05FF), "eth_802_3_length"),
    "IPv6 version": (frame_of(bytes(40), ethertype=ethernet.IPV6), "ip6_bad_version"),
    "IPv6 for others": (
        frame_of(ipv6.pack_header(PEER6, FAR6, ipv4.UDP, 0), ethertype=ethernet.IPV6),
        "ip_for_others",
    ),
    "IPv6 to a group": (
        frame_of(
            ipv6.pack_header(PEER6, GROUP6, ipv4.UDP, 0),
            dst=bytes.fromhex("333300000099"),
            ethertype=ethernet.IPV6,
        ),
        "ip_group_not_joined",
    ),
    "header only": (frame_of(b""), "ip_truncated"),
    "IP cut short": (frame_of(GOOD_IP[:19]), "ip_truncated"),
    "IP version": (frame_of(with_byte(GOOD_IP, 0, 0x65)), "ip_bad_version"),
    "IP header length": (frame_of(with_byte(GOOD_IP, 0, 0x44)), "ip_bad_header_length"),
    "IP total length": (frame_of(with_byte(GOOD_IP, 3, 0xFF)), "ip_bad_total_length"),
    "IP checksum": (frame_of(with_byte(GOOD_IP, 8, 0x01)), "ip_bad_checksum"),
    "IP for others": (frame_of(ip_packet(b"", dst=PEER)), "ip_for_others"),
    "from an IP group": (frame_of(ip_packet(b"", src=GROUP)), "ip_bad_source"),
    "from IP broadcast": (frame_of(ip_packet(b"", src=LIMITED_BROADCAST)), "ip_bad_source"),
    "from the subnet's broadcast": (
        frame_of(ip_packet(b"", src=SUBNET_BROADCAST)),
        "ip_bad_source",
    ),
    "from nobody": (frame_of(ip_packet(b"", src=UNSPECIFIED)), "ip_bad_source"),
    "from the loopback": (frame_of(ip_packet(b"", src=LOOPBACK)), "ip_martian"),
    "to the loopback": (frame_of(ip_packet(b"", dst=LOOPBACK)), "ip_martian"),
    "from ourselves": (udp_frame(b"", src=HERE, src_port=7), "ip_martian"),
    "unknown protocol": (frame_of(GOOD_IP), "ip_unknown_protocol"),
    "UDP cut short": (frame_of(ip_packet(bytes(7))), "udp_truncated"),
    "TCP cut short": (frame_of(ip_packet(bytes(19), ipv4.TCP)), "tcp_truncated"),
    "ICMP cut short": (frame_of(ip_packet(bytes(7), ipv4.ICMP)), "icmp_truncated"),
    "ARP cut short": (frame_of(bytes(27), ethertype=ethernet.ARP), "arp_truncated"),
    "no port": (udp_frame(b""), "udp_no_port"),
    "for us alone, to all": (udp_frame(b"", dst_mac=BROADCAST_MAC), "ip_unicast_to_many"),
    "for us alone, to a group": (udp_frame(b"", dst_mac=GROUP_MAC), "ip_unicast_to_many"),
    "to a group of others": (udp_frame(b"", dst=GROUP, dst_mac=GROUP_MAC), "ip_group_not_joined"),
}


@pytest.mark.parametrize(("frame", "reason"), FRAMES_AND_REASONS.values(), ids=FRAMES_AND_REASONS)
def test_a_dropped_frame_is_counted_and_shown_under_its_reason(
    bench: Bench, frame: bytes, reason: str
) -> None:
    before = dict(bench.counters)
    bench.arrive(frame)
    assert bench.drops() == [reason]
    assert bench.counters[reason] == before.get(reason, 0) + 1
    assert bench.counters["frames_in"] == before["frames_in"] + 1


def test_a_drop_is_shown_with_the_frame_and_the_interface(bench: Bench) -> None:
    frame = frame_of(GOOD_IP, dst=OTHER_MAC)
    bench.arrive(frame, at=1.5)
    assert bench.events[-1] == Dropped(1.5, "here", "eth0", "eth_for_others", frame)


def test_every_frame_is_seen_even_a_dropped_one(bench: Bench) -> None:
    bench.events.clear()
    bench.arrive(b"runt", at=2.0)
    (seen, _) = bench.events
    assert isinstance(seen, FrameSeen)
    assert (seen.at, seen.host, seen.interface, seen.sent) == (2.0, "here", "eth0", False)
    assert seen.frame.data == b"runt"


def test_padding_is_no_part_of_the_packet(bench: Bench) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    bench.arrive(udp_frame(b"hello").ljust(60, b"\xaa"))
    assert socket.receive() == (b"hello", PEER, 5000)


def test_frames_to_all_and_to_groups_are_taken(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 7)
    bench.arrive(udp_frame(b"1", dst=LIMITED_BROADCAST, dst_mac=BROADCAST_MAC))
    bench.arrive(udp_frame(b"2", dst=SUBNET_BROADCAST, dst_mac=BROADCAST_MAC))
    bench.join(GROUP)
    bench.arrive(udp_frame(b"3", dst=GROUP, dst_mac=GROUP_MAC))
    found = [socket.receive() for _ in range(3)]
    assert [datagram and datagram[0] for datagram in found] == [b"1", b"2", b"3"]


def test_a_packet_without_options_and_one_with_them_arrive_alike(bench: Bench) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    plain = ip_packet(udp.pack(PEER, HERE, 1, 7, b"data"))
    header = bytearray(plain[:20] + bytes([1, 1, 1, 0]))
    header[0], header[3], header[10:12] = 0x46, header[3] + 4, b"\0\0"
    header[10:12] = checksum(header).to_bytes(2, "big")
    bench.arrive(frame_of(bytes(header) + plain[20:]))
    assert socket.receive() == (b"data", PEER, 1)


def test_arp_on_the_loopback_is_an_unknown_type(bench: Bench) -> None:
    loopback = bench.host.interfaces[0]
    frame = arp_frame(arp.REQUEST, OTHER_MAC, PEER, LOOPBACK)
    loopback.port.send(Frame(frame), 0.0)
    bench.run(0.0)
    assert bench.drops() == ["eth_unknown_type"]


def test_a_host_talks_to_itself_over_the_loopback_alone(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 7)
    socket.send_to(b"to my address", HERE, 7, 0.0)
    socket.send_to(b"to localhost", LOOPBACK, 7, 0.0)
    bench.run(0.0)
    assert socket.receive() == (b"to my address", HERE, 7)
    assert socket.receive() == (b"to localhost", LOOPBACK, 7)
    assert bench.taken() == []


def test_an_echo_from_behind_a_router_is_answered_by_way_of_the_router() -> None:
    bench = Bench()
    bench.host.set_gateway(PEER)
    bench.know_peer()
    data = bytearray(echo_frame())
    bench.arrive(frame_of(ip_packet(bytes(data[34:]), ipv4.ICMP, src=FAR)))
    (frame,) = bench.taken()
    assert frame.data[:12] == bytes.fromhex("02000000000b") + HERE_MAC
    assert frame.data[30:34] == FAR.to_bytes(4, "big")

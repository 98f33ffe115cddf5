"""Multicast groups: joined and left by count, reported as RFC 2236 asks; no other is heard."""

import errno

import pytest
from stack_bench import GROUP, HERE, HERE_MAC, PEER, PEER_MAC, Bench, frame_of, udp_frame

from pystack.core.addresses import ALL_HOSTS, ALL_NODES6, ALL_ROUTERS, UNSPECIFIED, Ip4, parse_ip4
from pystack.stack.udp_socket import UdpSocket
from pystack.wire import igmp, ipv4

SSDP = parse_ip4("239.255.255.250")
SSDP_MAC = bytes.fromhex("01005e7ffffa")
ALL_HOSTS_MAC = bytes.fromhex("01005e000001")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def socket(bench: Bench) -> UdpSocket:
    return bench.host.udp.bind(UNSPECIFIED, 1900)


def notify(bench: Bench, group: Ip4 = SSDP, mac: bytes = SSDP_MAC) -> None:
    bench.arrive(udp_frame(b"NOTIFY", dst=group, dst_port=1900, dst_mac=mac))


def igmp_frame(message: bytes, dst: Ip4 = ALL_HOSTS) -> bytes:
    header = ipv4.pack_header(PEER, dst, ipv4.IGMP, len(message), ttl=1, options=igmp.ROUTER_ALERT)
    return frame_of(header + message, dst=ALL_HOSTS_MAC)


def reports(bench: Bench) -> list[tuple[float, int, int, int]]:
    """Return (when, destination, kind, group) of the IGMP messages sent since the last time."""
    found = []
    for at, frame in bench.port.sent:
        packet = ipv4.parse(memoryview(frame.data)[14:])
        if packet.proto == ipv4.IGMP:
            assert (packet.ttl, bytes(packet.options)) == (1, igmp.ROUTER_ALERT)
            assert packet.src == HERE
            message = igmp.parse(packet.payload)
            found.append((at, packet.dst, message.kind, message.group))
    bench.port.sent.clear()
    return found


@pytest.mark.rfc("1112", "7.2")
def test_a_group_is_heard_while_it_is_joined_and_not_before_or_after(
    bench: Bench, socket: UdpSocket
) -> None:
    notify(bench)
    assert bench.drops() == ["ip_group_not_joined"]
    bench.host.groups.join(bench.interface, SSDP, 0.0)
    notify(bench)
    assert socket.receive() == (b"NOTIFY", PEER, 5000)
    notify(bench, GROUP, bytes.fromhex("01005e0000fb"))
    bench.host.groups.leave(bench.interface, SSDP, 0.0)
    notify(bench)
    assert bench.drops() == ["ip_group_not_joined"] * 3
    assert not socket.readable


def test_who_joins_twice_leaves_twice(bench: Bench, socket: UdpSocket) -> None:
    groups = bench.host.groups
    groups.join(bench.interface, SSDP, 0.0)
    groups.join(bench.interface, SSDP, 0.0)
    groups.leave(bench.interface, SSDP, 0.0)
    notify(bench)
    assert socket.readable
    groups.leave(bench.interface, SSDP, 0.0)
    with pytest.raises(OSError, match="not in the group") as caught:
        groups.leave(bench.interface, SSDP, 0.0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.rfc("1112", "4")
def test_all_hosts_is_heard_always_and_never_reported(bench: Bench, socket: UdpSocket) -> None:
    notify(bench, ALL_HOSTS, ALL_HOSTS_MAC)
    assert socket.receive() is not None
    bench.host.groups.join(bench.interface, ALL_HOSTS, 0.0)
    bench.host.groups.leave(bench.interface, ALL_HOSTS, 0.0)
    with pytest.raises(OSError, match="not in the group"):
        bench.host.groups.leave(bench.interface, ALL_HOSTS, 0.0)
    bench.arrive(igmp_frame(igmp.pack(igmp.QUERY, UNSPECIFIED, 100)))
    bench.run(100.0)
    assert reports(bench) == []
    notify(bench, ALL_HOSTS, ALL_HOSTS_MAC)
    assert socket.receive() is not None


@pytest.mark.parametrize("group", [PEER, UNSPECIFIED, parse_ip4("10.0.0.255")])
def test_what_is_no_group_cannot_be_joined(bench: Bench, group: Ip4) -> None:
    with pytest.raises(OSError, match="not a multicast group") as caught:
        bench.host.groups.join(bench.interface, group, 0.0)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.rfc("2236", "3")
def test_a_join_is_reported_at_once_and_once_more_within_ten_seconds(bench: Bench) -> None:
    bench.host.groups.join(bench.interface, SSDP, 0.0)
    ((_, frame),) = bench.port.sent
    assert frame.data[:12] == SSDP_MAC + HERE_MAC
    bench.run(100.0)
    (first, again) = reports(bench)
    assert first == (0.0, SSDP, igmp.REPORT_V2, SSDP)
    assert again[1:] == first[1:]
    assert 0.0 < again[0] <= 10.0
    bench.host.groups.leave(bench.interface, SSDP, 100.0)
    assert reports(bench) == [(100.0, ALL_ROUTERS, igmp.LEAVE, SSDP)]
    bench.run(200.0)
    assert reports(bench) == []


@pytest.mark.rfc("2236", "3")
@pytest.mark.parametrize("asked", [UNSPECIFIED, SSDP])
def test_a_query_is_answered_within_its_time(bench: Bench, asked: Ip4) -> None:
    bench.join(SSDP)
    bench.arrive(igmp_frame(igmp.pack(igmp.QUERY, asked, 20), asked or ALL_HOSTS), at=50.0)
    bench.run(90.0)
    ((at, dst, kind, group),) = reports(bench)
    assert 50.0 < at <= 52.0
    assert (dst, kind, group) == (SSDP, igmp.REPORT_V2, SSDP)


def test_a_query_for_another_group_is_not_answered(bench: Bench) -> None:
    bench.join(SSDP)
    bench.join(GROUP)
    bench.arrive(igmp_frame(igmp.pack(igmp.QUERY, GROUP, 20), GROUP))
    bench.run(90.0)
    assert [group for _, _, _, group in reports(bench)] == [GROUP]


@pytest.mark.rfc("2236", "3")
def test_another_members_report_is_enough(bench: Bench) -> None:
    bench.join(SSDP)
    bench.arrive(igmp_frame(igmp.pack(igmp.QUERY, UNSPECIFIED, 100)))
    bench.arrive(igmp_frame(igmp.pack(igmp.REPORT_V2, SSDP), SSDP))
    bench.run(90.0)
    bench.host.groups.leave(bench.interface, SSDP, 90.0)
    assert reports(bench) == []  # the other one is still there: no leave either


@pytest.mark.rfc("2236", "4")
def test_a_router_of_version_1_gets_reports_of_version_1_and_no_leaves(bench: Bench) -> None:
    bench.join(SSDP)
    bench.arrive(igmp_frame(igmp.pack(igmp.QUERY, UNSPECIFIED, 0)))
    bench.run(30.0)
    assert [kind for _, _, kind, _ in reports(bench)] == [igmp.REPORT_V1]
    bench.host.groups.leave(bench.interface, SSDP, 30.0)
    bench.host.groups.join(bench.interface, SSDP, 500.0)
    assert [kind for _, _, kind, _ in reports(bench)] == [igmp.REPORT_V2]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x11\x00\xee", "igmp_truncated"),
        (b"\x11\x14\x00\x00\x00\x00\x00\x00", "igmp_bad_checksum"),
        (igmp.pack(igmp.LEAVE, SSDP), "igmp_unknown_type"),
    ],
)
def test_other_messages_are_counted_by_name(bench: Bench, message: bytes, reason: str) -> None:
    bench.arrive(igmp_frame(message))
    assert bench.drops() == [reason]


def test_a_message_to_one_host_alone_is_not_heeded(bench: Bench) -> None:
    bench.join(SSDP)
    message = igmp.pack(igmp.REPORT_V2, SSDP)
    bench.arrive(frame_of(ipv4.pack_header(PEER, HERE, ipv4.IGMP, 8, ttl=1) + message))
    assert bench.drops() == ["igmp_not_to_group"]


def test_on_the_loopback_a_group_is_joined_without_a_word(bench: Bench) -> None:
    loopback = bench.host.interfaces[0]
    bench.host.groups.join(loopback, SSDP, 0.0)
    bench.host.groups.leave(loopback, SSDP, 0.0)
    bench.run(100.0)
    assert bench.taken() == []


def test_the_interface_is_that_of_the_address_or_of_the_route(bench: Bench) -> None:
    groups = bench.host.groups
    assert groups.find_interface(SSDP, HERE) is bench.interface
    with pytest.raises(OSError, match="no interface") as caught:
        groups.find_interface(SSDP, UNSPECIFIED)
    assert caught.value.errno == errno.ENODEV
    bench.host.set_gateway(PEER)
    assert groups.find_interface(SSDP, UNSPECIFIED) is bench.interface
    with pytest.raises(OSError, match="no interface"):
        groups.find_interface(SSDP, PEER)


def test_without_power_all_groups_are_left(bench: Bench, socket: UdpSocket) -> None:
    bench.host.groups.join(bench.interface, SSDP, 0.0)
    bench.host.power_off(0.0)
    assert bench.scheduler.next_at() == float("inf")
    assert bench.interface.groups == {ALL_HOSTS: 1, ALL_NODES6: 1}
    assert PEER_MAC not in [frame.data[:6] for frame in bench.taken()]

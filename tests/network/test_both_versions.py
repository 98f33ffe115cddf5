"""What the stack carries over IPv4 it carries over IPv6, by the same code and the same tests."""

import errno

import pytest
from two_hosts import ADDRESSES, ON_ONE_LINK, World

from pystack.core.addresses import (
    LOOPBACK,
    LOOPBACK6,
    UNSPECIFIED,
    UNSPECIFIED6,
    Ip,
    parse_ip,
    parse_ip4,
    with_zone,
    zone_of,
)
from pystack.observe.observer import FrameSeen
from pystack.stack import egress
from pystack.stack.ports import ANY
from pystack.stack.way import Way
from pystack.tcp.states import TcpState
from pystack.wire import icmpv6, ipv4, ipv6, tcp, udp
from pystack.wire.ip_options import SourceRoute

TEXT = bytes(range(256)) * 800
both_versions = pytest.mark.parametrize("version", ADDRESSES)
one_link = pytest.mark.parametrize("version", ON_ONE_LINK)


@one_link
def test_a_transfer_comes_through_whole_and_ends(version: str) -> None:
    world = World.on_one_link(version)
    sender, receiver = world.connect()
    assert world.transfer(sender, receiver, TEXT) == TEXT
    world.client.tcp.close(sender, world.now)
    world.run()
    world.server.tcp.close(receiver, world.now)
    world.run()
    assert sender.connection.state is TcpState.TIME_WAIT
    assert receiver.connection.state is TcpState.CLOSED
    assert receiver.remote_address == (sender.local_address[0], sender.local_address[1])


@one_link
def test_headers_are_right_to_the_byte(version: str) -> None:
    # Whatever is wrong, a checksum or a length, these raise.
    world = World.on_one_link(version)
    world.watch(world.client, world.server)
    sender, receiver = world.connect()
    assert world.transfer(sender, receiver, TEXT[:5000]) == TEXT[:5000]
    segments = [tcp.parse(p) for p in world.sent(world.client) if p.proto == ipv4.TCP]
    assert sum(len(segment.payload) for segment in segments) == 5000
    headers_bytes = 40 if version == "IPv4" else 60
    assert max(len(segment.payload) for segment in segments) == 1500 - headers_bytes - 12
    assert world.drops(world.client) == world.drops(world.server) == []


@both_versions
def test_a_super_frame_is_cut_into_pieces_that_are_right(version: str) -> None:
    world = World.on_one_link(version)
    sender, receiver = world.connect()
    world.transfer(sender, receiver, TEXT)  # so that the window is open
    world.watch(world.client)
    assert world.transfer(sender, receiver, TEXT) == TEXT
    frames = [e.frame for e in world.events if isinstance(e, FrameSeen) and e.sent]
    if any(frame.gso_bytes for frame in frames):
        assert max(len(frame) for frame in frames) > 1514
    assert sum(len(tcp.parse(packet).payload) for packet in world.sent(world.client)) == len(TEXT)


@pytest.mark.parametrize(
    ("listen_at", "heard"),
    [(UNSPECIFIED, {"IPv4"}), (UNSPECIFIED6, {"IPv6"}), (ANY, {"IPv4", "IPv6"})],
    ids=["all of IPv4", "all of IPv6", "both"],
)
@both_versions
def test_a_listener_hears_the_versions_that_it_names(
    version: str, listen_at: Ip, heard: set[str]
) -> None:
    world = World.on_one_link(version)
    world.server.tcp.listen(listen_at, 80)
    socket = world.open()
    established = socket.connection.state is TcpState.ESTABLISHED
    assert established == (version in heard)
    if not established:
        assert socket.connection.error == errno.ECONNREFUSED


@one_link
def test_datagrams_come_and_go_and_know_their_senders(version: str) -> None:
    world = World.on_one_link(version)
    server = world.server.udp.bind(ANY, 7)
    client = world.client.udp.bind(ANY, 0)
    for size in (0, 1, 1400, 5000):  # the last in fragments
        client.send_to(bytes(size), world.there, 7, world.now)
        world.run()
        found = server.receive()
        assert found is not None
        payload, src, port = found
        assert (len(payload), src, port) == (size, world.here, client.local_port)
        server.send_to(payload, src, port, world.now)
        world.run()
        assert client.receive() == (payload, world.there, 7)


@both_versions
def test_a_closed_port_is_told_to_who_sent_there(version: str) -> None:
    world = World.on_one_link(version)
    client = world.client.udp.bind(ANY, 0)
    client.connect(world.there, 7, world.here)
    client.send_to(b"anybody?", world.there, 7, world.now)
    world.run()
    error = client.take_error()
    assert error is not None
    assert error.errno == errno.ECONNREFUSED


@both_versions
def test_who_pings_gets_an_answer(version: str) -> None:
    world = World.on_one_link(version)
    layer = world.client.icmp if version == "IPv4" else world.client.icmp6
    answers: list[tuple[bytes, Ip, int]] = []
    layer.echo_sinks[7] = lambda message, src, ttl, _now: answers.append(
        (bytes(message.payload), src, ttl)
    )
    layer.send_echo(world.there, 7, 1, b"hello", world.now)
    world.run()
    assert answers == [(b"hello", world.there, 64)]


@pytest.mark.parametrize("address", [LOOPBACK, LOOPBACK6, "own"])
@both_versions
def test_a_host_talks_to_itself(version: str, address: Ip | str) -> None:
    world = World.on_one_link(version)
    to = world.here if isinstance(address, str) else address
    host = world.client
    listener = host.tcp.listen(ANY, 80)
    socket = world.open(to=to)
    server, client = host.udp.bind(ANY, 7), host.udp.bind(ANY, 0)
    client.send_to(b"me", to, 7, world.now)
    world.run()
    assert socket.connection.state is TcpState.ESTABLISHED
    assert listener.ready[0].local == to
    assert server.receive() == (b"me", to, client.local_port)
    assert world.links[0].a_to_b.counters == {}


def test_link_local_connections_of_two_links_are_kept_apart() -> None:
    # The same addresses and ports on two links, which only the zone tells apart.
    first, second = World.on_one_link("link-local"), World.on_one_link("link-local")
    here = parse_ip("fe80::1%2")
    assert first.here == here
    assert zone_of(with_zone(here, 3)) == 3
    sender, _ = first.connect()
    assert sender.ends.endswith((2).to_bytes(4, "big"))
    assert second.client.tcp.sockets.get(sender.ends) is None


# through a router


@both_versions
def test_a_router_carries_a_transfer_on(version: str) -> None:
    world = World.with_router(version)
    assert world.router is not None
    sender, receiver = world.connect()
    assert world.transfer(sender, receiver, TEXT) == TEXT
    assert world.router.counters["ip_forwarded"] > 20


@both_versions
def test_each_hop_takes_one_from_the_ttl(version: str) -> None:
    world = World.with_router(version)
    server = world.server.udp.bind(ANY, 7)
    server.want_arrivals(wanted=True)
    client = world.client.udp.bind(ANY, 0)
    for ttl in (64, 2):
        client.send_to(b"far", world.there, 7, world.now, ttl=ttl)
        world.run()
        assert server.receive() is not None
        assert server.arrival is not None
        assert server.arrival.ttl == ttl - 1


@both_versions
def test_a_packet_that_has_no_hop_left_is_told_to_its_sender(version: str) -> None:
    world = World.with_router(version)
    assert world.router is not None
    world.watch(world.router)
    client = world.client.udp.bind(ANY, 0)
    client.receives_errors = True
    client.send_to(b"too far", world.there, 7, world.now, ttl=1)
    world.run()
    error = client.take_queued_error()
    assert error is not None
    assert error.number == errno.EHOSTUNREACH
    assert world.drops(world.router) == ["forward_ttl_exceeded"]


@both_versions
def test_a_path_that_takes_less_is_found_by_tcp(version: str) -> None:
    world = World.with_router(version, second_mtu_bytes=1300)
    assert world.router is not None
    far = world.server.interfaces[1]
    far.mtu_bytes = far.mtu6_bytes = 1500  # so that its SYN says nothing of the path
    world.watch(world.router)
    sender, receiver = world.connect()
    assert world.transfer(sender, receiver, TEXT) == TEXT
    headers_bytes = 40 if version == "IPv4" else 60
    assert sender.connection.tcb.snd_mss == 1300 - headers_bytes - 12
    assert world.client.tcp.path_mtus.mtu_to(world.there, world.now) == 1300
    assert set(world.drops(world.router)) == {"forward_needs_fragmentation"}


@both_versions
def test_a_datagram_that_is_too_large_for_a_router(version: str) -> None:
    # IPv4's router cuts it; IPv6's tells the sender, who cuts the next one.
    world = World.with_router(version, second_mtu_bytes=1300)
    assert world.router is not None
    world.watch(world.router, world.client)
    server, client = world.server.udp.bind(ANY, 7), world.client.udp.bind(ANY, 0)
    client.send_to(bytes(1400), world.there, 7, world.now)
    world.run()
    if version == "IPv4":
        assert world.router.counters["ip_fragments_out"] == 2
    else:
        assert server.receive() is None
        assert world.drops(world.router) == ["forward_needs_fragmentation"]
        (told,) = [p for p in world.sent(world.router) if p.proto == ipv6.ICMPV6][-1:]
        message = icmpv6.parse(told)
        assert (message.kind, message.rest) == (icmpv6.PACKET_TOO_BIG, 1300)
        client.send_to(bytes(1400), world.there, 7, world.now)
        world.run()
        assert world.client.counters["ip_fragments_out"] == 2
    found = server.receive()
    assert found is not None
    assert len(found[0]) == 1400


def test_what_is_larger_than_a_path_of_ipv6_is_fragmented_by_its_sender() -> None:
    world = World.with_router("IPv6")
    world.client.udp.path_mtus.learn(world.there, 1280, world.now)
    client, server = world.client.udp.bind(ANY, 0), world.server.udp.bind(ANY, 7)
    world.watch(world.client)
    client.send_to(bytes(1400), world.there, 7, world.now)
    world.run()
    assert server.receive() is not None
    assert [len(p.raw) for p in world.sent(world.client) if p.is_fragment] == [1280, 224]


@pytest.mark.parametrize(("claimed", "believed"), [(1300, 1300), (1279, None), (600, None)])
def test_no_claim_makes_a_path_of_ipv6_narrower_than_1280(
    claimed: int, believed: int | None
) -> None:
    world = World.on_one_link("IPv6")
    sender, _ = world.connect()
    world.watch(world.client)
    world.client.tcp.write(sender, memoryview(bytes(1400)), world.now)
    (packet,) = world.sent(world.client)
    route = world.server.routes.lookup(world.here)
    assert route is not None
    message = icmpv6.pack(world.there, world.here, icmpv6.PACKET_TOO_BIG, 0, claimed, packet.quoted)
    way = Way(world.server, route, world.there, world.here)
    egress.send_packet(world.server, way, ipv6.ICMPV6, message, world.now)
    world.run(0.05)
    assert world.client.tcp.path_mtus.mtu_to(world.there, world.now) == believed
    mss = (believed or 1500) - 60 - 12
    assert sender.connection.tcb.snd_mss == mss


@both_versions
def test_flow_labels_are_ipv6_s_one_for_each_connection(version: str) -> None:
    world = World.on_one_link(version)
    world.watch(world.client)
    labels = set()
    for port in (80, 81):
        sender, receiver = world.connect(port=port)
        world.transfer(sender, receiver, b"some text")
        packets = [p for p in world.sent(world.client) if p.proto == ipv4.TCP]
        of_one = {p.flow_label for p in packets if tcp.parse(p).dst_port == port}
        assert len(of_one) == 1
        labels |= of_one
    assert labels == {0} if version == "IPv4" else 0 not in labels and len(labels) == 2


def test_a_datagram_over_ipv6_has_a_checksum() -> None:
    world = World.on_one_link("IPv6")
    world.watch(world.server)
    server, client = world.server.udp.bind(ANY, 7), world.client.udp.bind(ANY, 0)
    client.send_to(b"so that they know each other", world.there, 7, world.now)
    world.run()
    assert server.receive() is not None
    data = bytearray(udp.pack(world.here, world.there, 5000, 7, b"text"))
    data[6:8] = b"\0\0"
    route = world.client.routes.lookup(world.there)
    assert route is not None
    way = Way(world.client, route, world.here, world.there)
    egress.send_packet(world.client, way, ipv4.UDP, bytes(data), world.now)
    world.run()
    assert server.receive() is None
    assert world.drops(world.server) == ["udp_no_checksum"]


def test_a_source_route_is_ipv4_s() -> None:
    world = World.on_one_link("IPv6")
    with pytest.raises(OSError, match="source route") as caught:
        world.client.tcp.connect(
            world.there, 80, world.now, source_route=SourceRoute((parse_ip4("10.0.0.9"),))
        )
    assert caught.value.errno == errno.EINVAL


def test_both_ends_of_a_connection_are_of_one_version() -> None:
    world = World.on_one_link("IPv6")
    with pytest.raises(OSError, match="another IP version") as caught:
        world.client.tcp.connect(world.there, 80, world.now, local=LOOPBACK)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="unreachable") as caught:
        world.client.udp.bind(LOOPBACK, 0).send_to(b"x", world.there, 7, world.now)
    assert caught.value.errno == errno.ENETUNREACH

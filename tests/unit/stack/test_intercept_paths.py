"""What is sent in the name of others finds its way: fragments, bursts, narrow paths, errors."""

import pytest
from intercepting import FAR, Gateway, Intercepting, Noting
from two_hosts import World

from pystack.core.addresses import parse_ip
from pystack.core.tcp_events import TcpSoftError
from pystack.stack.icmp_core import Trouble
from pystack.stack.tcp_socket import TcpSocket
from pystack.wire import ip, ipv4, udp
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame

both = pytest.mark.parametrize("version", ["IPv4", "IPv6"])


class Narrow:
    """A gateway that intercepts, a router, and behind its narrow link a client."""

    def __init__(self, version: str) -> None:
        self.world = World.with_router(version, second_mtu_bytes=1280)
        self.gateway, self.client = self.world.client, self.world.server
        assert self.world.router is not None
        self.router = self.world.router
        self.router.set_gateway(self.world.here)
        self.far = FAR[version]
        self.noting = self.gateway.interceptor = Noting()
        # It takes its link to be wider than it is: routers have to tell.
        eth0 = self.client.interfaces[1]
        eth0.mtu_bytes = eth0.mtu6_bytes = 1500
        self.client.routes.forget()
        self.world.watch(self.gateway)

    def connected(self) -> tuple[TcpSocket, TcpSocket]:
        """Return the client's end of a connection to far away, and the gateway's."""
        world, tcp = self.world, self.client.tcp
        client = tcp.connect(self.far, 80, world.now)
        tcp.pump(client, world.now)
        world.run()
        ends: list[TcpSocket] = []
        self.noting.syns[0].accept(world.now, ends.append, lambda: None)
        world.run()
        return client, ends[0]


@both
def test_a_narrow_path_is_told_to_the_connection_that_was_accepted(version: str) -> None:
    net = Narrow(version)
    client, server = net.connected()
    text = bytes(range(256)) * 40
    net.world.send(net.gateway, server, text)
    net.world.run(5.0)
    assert net.client.tcp.read(client, 1 << 20, net.world.now) == text
    assert net.router.counters["forward_needs_fragmentation"] > 0
    assert net.gateway.tcp.path_mtus.mtu_to(net.world.there, net.world.now) == 1280


@both
def test_a_narrow_path_is_heeded_by_datagrams(version: str) -> None:
    net = Narrow(version)
    world, socket = net.world, net.client.udp.bind(net.world.there, 5000)
    socket.send_to(b"question", net.far, 53, world.now)
    world.run()
    for _ in range(2):
        net.gateway.udp.send_as(net.far, 53, net.world.there, 5000, bytes(1400), world.now)
        world.run()
    got = []
    while (datagram := socket.receive()) is not None:
        got.append((len(datagram[0]), datagram[1]))
    # Routers cut what is of IPv4; of IPv6 the first is lost, and then its sender knows.
    assert got == [(1400, net.far)] * (2 if version == "IPv4" else 1)


def test_a_claim_about_what_was_never_sent_narrows_nothing() -> None:
    net = Narrow("IPv6")
    world = net.world
    assert net.gateway.udp.send_as(net.far, 53, world.there, 5000, b"", world.now)
    world.run()
    quoted = world.sent(net.gateway)[-1]
    for dst in (net.far + 1, net.far):
        quoted.src = dst
        net.router.icmp6.tell(quoted, Trouble.TOO_BIG, world.now, mtu_bytes=1280)
        world.run()
    assert net.gateway.counters["udp_error_unclaimed"] == 1
    assert net.gateway.udp.path_mtus.mtu_to(world.there, world.now) is None  # it fits


@both
def test_an_error_about_an_accepted_connection_reaches_it(version: str) -> None:
    net = Narrow(version)
    _, server = net.connected()
    heard: list[TcpSoftError] = []
    server.on_error = heard.append
    net.gateway.tcp.write(server, memoryview(b"text"), net.world.now)
    net.router.tell(net.world.sent(net.gateway)[-1], Trouble.HOST_UNREACHABLE, net.world.now)
    net.world.run()
    assert [error.reason for error in heard] == ["icmp"]


@both
def test_datagrams_come_and_go_in_fragments(version: str) -> None:
    net = Intercepting(version)
    socket = net.socket()
    text = bytes(range(256)) * 100
    socket.send_to(text, net.far, 53, net.now)
    net.run()
    (held,) = net.noting.datagrams
    assert held.payload == text
    net.gateway.udp.send_as(held.dst, 53, held.src, 5000, text[::-1], net.now)
    net.run()
    assert socket.receive() == (text[::-1], net.far, 53)
    assert net.gateway.counters["ip_fragments_out"] > 10


@both
def test_a_refusal_quotes_what_was_sent(version: str) -> None:
    net = Intercepting(version)
    net.socket().send_to(b"question", net.far, 53, net.now)
    net.run()
    sent = net.world.sent(net.client)[-1]
    net.noting.datagrams[0].refuse(Trouble.PROHIBITED, net.now)
    net.run()
    error = net.world.sent(net.gateway)[-1]
    assert error.src == net.world.there  # who says so; not the station that was asked
    assert bytes(error.payload[8:]) == sent.quoted


@both
def test_a_large_ping_comes_and_goes_in_fragments(version: str) -> None:
    net = Intercepting(version)
    got: list[bytes] = []
    layer = net.client.icmp if version == "IPv4" else net.client.icmp6
    layer.echo_sinks[1] = lambda message, *_: got.append(bytes(message.payload))
    layer.send_echo(net.far, 1, 1, bytes(5000), net.now)
    net.run()
    net.noting.echoes[0].reply(net.noting.echoes[0].payload, net.now)
    net.run()
    assert got == [bytes(5000)]


@both
def test_own_listeners_are_not_kept_from_a_port_by_what_was_accepted(version: str) -> None:
    net = Intercepting(version)
    net.open(80)
    net.accept(net.noting.syns[0])
    (server,) = net.established
    binding = net.gateway.tcp.ports
    assert binding.connections == {}
    net.gateway.tcp.listen(net.world.there, 80)
    net.gateway.tcp.abort(server, net.now)
    net.run()
    assert len(net.gateway.tcp) == 0


# bursts


def burst(net: Gateway, payload: bytes, each_bytes: int) -> Frame:
    body = udp.pack_header(5000, 53, payload, 0, partial=True) + payload
    return Frame(net.packet(ipv4.UDP, body), CHECKSUM_PARTIAL, each_bytes)


@both
def test_a_burst_is_given_as_one(version: str) -> None:
    net = Gateway(version)
    net.host.observers.clear()
    payload = b"a" * 1000 + b"b" * 1000 + b"c" * 10
    net.port.sink(burst(net, payload, 1000), 0.0)
    (held,) = net.noting.datagrams
    assert (held.payload, held.gso_bytes) == (payload, 1000)
    assert (net.counters["udp_intercepted"], net.counters["frames_in"]) == (3, 3)


@both
def test_whoever_looks_on_sees_each_datagram_of_a_burst(version: str) -> None:
    net = Gateway(version)
    net.port.sink(burst(net, b"a" * 1000 + b"b" * 10, 1000), 0.0)
    first, second = net.noting.datagrams
    assert (first.payload, first.gso_bytes) == (b"a" * 1000, 0)
    assert (second.payload, second.gso_bytes) == (b"b" * 10, 0)


@both
@pytest.mark.parametrize(("size", "each"), [(2010, 1000), (10, 1000), (1000, 1000)])
def test_answers_leave_as_bursts_where_the_port_cuts_them(
    version: str, size: int, each: int
) -> None:
    net = Gateway(version)
    net.host.observers.clear()
    net.port.fills_checksums = True
    net.port.gso_max_bytes = net.port.uso_max_bytes = 65000
    assert net.host.udp.send_as(net.far, 53, net.peer, 5000, bytes(size), 0.0, gso_bytes=each)
    (frame,) = net.taken()
    assert frame.gso_bytes == (each if size > each else 0)
    assert net.counters["udp_datagrams_out"] == net.counters["frames_out"] == -(-size // each)


@both
def test_they_leave_one_by_one_where_it_does_not(version: str) -> None:
    net = Gateway(version)
    net.host.udp.send_as(net.far, 53, net.peer, 5000, bytes(2010), 0.0, gso_bytes=1000)
    packets = [ip.packet_of(frame.data) for frame in net.taken()]
    assert [len(udp.parse(packet).payload) for packet in packets] == [1000, 1000, 10]
    assert {packet.src for packet in packets} == {net.far}


@both
def test_an_answer_to_nowhere_is_counted(version: str) -> None:
    net = Gateway(version)
    elsewhere = parse_ip("198.51.100.1" if version == "IPv4" else "2001:db8::1")
    assert not net.host.udp.send_as(net.far, 53, elsewhere, 5000, b"", 0.0)
    assert not net.host.udp.send_as(net.far, 53, net.peer, 0, b"", 0.0)
    assert net.counters["udp_no_way_back"] == 2


@both
@pytest.mark.parametrize("each_bytes", [1000, 0])
def test_a_refused_burst_is_told_once_and_quoted_as_on_a_cable(
    version: str, each_bytes: int
) -> None:
    net = Gateway(version)
    net.host.observers.clear()
    payload = b"a" * 1000 + b"b" * 10 if each_bytes else b"a" * 1000
    net.port.sink(burst(net, payload, each_bytes), 0.0)
    net.noting.datagrams[0].refuse(Trouble.PORT_UNREACHABLE, 0.0)
    (answer,) = (ip.packet_of(frame.data) for frame in net.taken())
    assert (answer.src, answer.dst) == (net.far, net.peer)
    alone = udp.pack(net.peer, net.far, 5000, 53, b"a" * 1000)
    header_bytes = 40 if version == "IPv6" else 20
    assert bytes(answer.payload[8 + header_bytes :][:8]) == alone[:8]

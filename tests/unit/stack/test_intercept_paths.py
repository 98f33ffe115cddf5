"""What is sent in the name of others finds its way: fragments, narrow paths, errors about it."""

import pytest
from intercepting import FAR, Intercepting, Noting
from two_hosts import World

from pystack.core.tcp_events import TcpSoftError
from pystack.stack.icmp_core import Trouble
from pystack.stack.tcp_socket import TcpSocket

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

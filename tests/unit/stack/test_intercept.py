"""What an interceptor is given, and what becomes of what it decides."""

import errno

import pytest
from intercepting import FAR, Intercepting

from pystack.core.addresses import Ip, parse_ip
from pystack.stack.icmp_core import IcmpError, Trouble
from pystack.stack.ports import ANY
from pystack.tcp.states import TcpState
from pystack.wire import icmp

both = pytest.mark.parametrize("version", ["IPv4", "IPv6"])


@both
def test_a_syn_is_held_unanswered_until_it_is_accepted(version: str) -> None:
    net = Intercepting(version)
    client = net.open()
    (syn,) = net.noting.syns
    assert (syn.local, syn.local_port) == (net.far, 80)
    assert (syn.remote, syn.remote_port) == (net.world.here, client.connection.local_port)
    assert client.connection.state is TcpState.SYN_SENT
    net.accept(syn)
    assert client.connection.state is TcpState.ESTABLISHED
    (server,) = net.established
    assert (server.local, server.remote) == (net.far, net.world.here)
    assert net.world.transfer(client, server, b"request" * 5000) == b"request" * 5000
    net.gateway.tcp.write(server, memoryview(b"reply"), net.now)
    net.run()
    assert net.client.tcp.read(client, 100, net.now) == b"reply"
    assert net.gone == 0


@both
def test_a_syn_that_comes_again_goes_nowhere(version: str) -> None:
    net = Intercepting(version)
    net.open()
    net.run(7.0)  # sent again after 1, 3 and 7 s
    assert len(net.noting.syns) == 1
    assert net.noting.syns[0].repeats == 3
    assert net.gateway.counters["tcp_held_syn_again"] == 3


@both
def test_a_refused_one_is_reset_as_by_a_closed_port(version: str) -> None:
    net = Intercepting(version)
    client = net.open()
    net.noting.syns[0].refuse(net.now)
    net.run()
    assert client.connection.error == errno.ECONNREFUSED
    assert len(net.gateway.tcp) == 0


@both
@pytest.mark.parametrize(
    ("trouble", "number"),
    [
        (Trouble.HOST_UNREACHABLE, errno.EHOSTUNREACH),
        (Trouble.NO_ROUTE, errno.ENETUNREACH),
        (Trouble.PROHIBITED, {"IPv4": errno.EHOSTUNREACH, "IPv6": errno.EACCES}),
    ],
)
def test_one_that_cant_be_reached_is_told_by_icmp(
    version: str, trouble: Trouble, number: int | dict[str, int]
) -> None:
    net = Intercepting(version)
    client = net.open()
    net.noting.syns[0].unreachable(trouble, net.now)
    net.run()
    wanted = number if isinstance(number, int) else number[version]
    assert client.connection.error == wanted


@both
def test_a_dropped_one_is_tried_again_and_is_a_new_one(version: str) -> None:
    net = Intercepting(version)
    client = net.open()
    net.noting.syns[0].drop(net.now)
    net.run(1.0)
    first, second = net.noting.syns
    assert not first.is_over
    net.accept(second)
    assert client.connection.state is TcpState.ESTABLISHED


def test_it_is_decided_once() -> None:
    net = Intercepting("IPv4")
    net.open()
    net.noting.syns[0].refuse(net.now)
    with pytest.raises(RuntimeError, match="answered already"):
        net.noting.syns[0].drop(net.now)


@both
def test_datagrams_are_given_and_answered_from_where_they_were_sent_to(version: str) -> None:
    net = Intercepting(version)
    socket = net.socket()
    socket.send_to(b"question", net.far, 53, net.now)
    net.run()
    (held,) = net.noting.datagrams
    assert (held.src, held.src_port, held.dst, held.dst_port) == (net.world.here, 5000, net.far, 53)
    assert (held.payload, held.gso_bytes) == (b"question", 0)
    assert net.gateway.udp.send_as(held.dst, 53, held.src, 5000, b"answer", net.now)
    net.run()
    assert socket.receive() == (b"answer", net.far, 53)


@both
def test_a_refused_datagram_is_told_to_its_sender(version: str) -> None:
    net = Intercepting(version)
    socket = net.socket()
    socket.connect(net.far, 53, net.world.here)
    socket.send_to(b"question", net.far, 53, net.now)
    net.run()
    net.noting.datagrams[0].refuse(Trouble.PORT_UNREACHABLE, net.now)
    net.run()
    assert socket.error is not None
    assert socket.error.errno == errno.ECONNREFUSED
    assert net.world.sent(net.gateway)[-1].src == net.far  # whose port it is


@both
def test_echo_requests_are_given_and_answered(version: str) -> None:
    net = Intercepting(version)
    replies: list[tuple[bytes, Ip, int]] = []
    errors: list[IcmpError] = []
    layer = net.client.icmp if version == "IPv4" else net.client.icmp6

    def heard(message: icmp.IcmpMessage, src: Ip, ttl: int, _now: float) -> None:
        replies.append((bytes(message.payload), src, ttl))

    layer.echo_sinks[7] = heard
    layer.echo_error_sinks[7] = lambda error, _now: errors.append(error)
    layer.send_echo(net.far, 7, 1, b"are you there?", net.now)
    layer.send_echo(net.far, 7, 2, b"and now?", net.now, ttl=3)
    net.run()
    first, second = net.noting.echoes
    assert (first.src, first.dst, first.ident, first.seq) == (net.world.here, net.far, 7, 1)
    assert (first.payload, first.ttl, second.ttl) == (b"are you there?", 64, 3)
    first.reply(first.payload, net.now, ttl=55)
    second.refuse(Trouble.HOST_UNREACHABLE, net.now)
    net.run()
    assert replies == [(b"are you there?", net.far, 55)]
    assert [error.number for error in errors] == [errno.EHOSTUNREACH]


@both
def test_the_host_is_a_hop_on_the_way(version: str) -> None:
    net = Intercepting(version)
    errors: list[Ip] = []
    layer = net.client.icmp if version == "IPv4" else net.client.icmp6
    layer.echo_error_sinks[7] = lambda error, _now: errors.append(error.reporter)
    layer.send_echo(net.far, 7, 1, b"who is first?", net.now, ttl=1)
    layer.send_echo(net.far, 7, 2, b"and then?", net.now, ttl=2)
    socket = net.socket()
    socket.ttl = 1
    socket.send_to(b"question", net.far, 33434, net.now)
    net.run()
    assert errors == [net.world.there]
    assert [echo.ttl for echo in net.noting.echoes] == [2]
    assert net.noting.datagrams == []
    assert net.gateway.counters["forward_ttl_exceeded"] == 2


@both
def test_the_host_is_none_to_what_is_on_its_own_link(version: str) -> None:
    net = Intercepting(version)
    near = parse_ip("10.0.1.254" if version == "IPv4" else "fd00:1::fe")
    net.gateway.add_proxy(near)
    socket = net.socket()
    socket.ttl = 1
    socket.send_to(b"question", near, 53, net.now)
    net.run()
    assert len(net.noting.datagrams) == 1


@both
def test_what_the_host_has_itself_goes_first(version: str) -> None:
    net = Intercepting(version)
    listener = net.gateway.tcp.listen(net.world.there, 80)
    net.world.open(port=80)
    assert len(listener.ready) == 1
    assert net.noting.asked == []


@both
def test_who_is_bound_to_all_of_the_hosts_addresses_is_not_meant(version: str) -> None:
    net = Intercepting(version)
    listener = net.gateway.tcp.listen(ANY, 80)
    own = net.gateway.udp.bind(ANY, 53)
    socket = net.socket()
    net.open(80)
    socket.send_to(b"question", net.far, 53, net.now)
    net.run()
    assert (len(listener.ready), own.receive()) == (0, None)
    assert (len(net.noting.syns), len(net.noting.datagrams)) == (1, 1)
    net.world.open(port=80)
    assert len(listener.ready) == 1


@both
def test_it_is_asked_once_for_a_pair_of_addresses(version: str) -> None:
    net = Intercepting(version)
    socket = net.socket()
    for _ in range(3):
        socket.send_to(b"question", net.far, 53, net.now)
        net.run()
        net.open()
    assert net.noting.asked == [net.far]


@both
def test_what_it_does_not_cover_is_for_others(version: str) -> None:
    net = Intercepting(version)
    net.noting.but = (FAR[version],)
    net.open()
    assert net.noting.syns == []
    assert net.gateway.counters["ip_for_others"] == 1

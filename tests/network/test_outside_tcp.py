"""Connections from inside to real servers, by the machine's own sockets."""

import errno
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import trio
from outside_rig import INSIDE, V4, V6, free_port, open_place, until

import pystack
from pystack.core.addresses import parse_ip
from pystack.core.errors import ConfigError
from pystack.runtime.outside import connections
from pystack.runtime.outside.connections import _is_its_own_peer
from pystack.runtime.splice.connecting import Pending, connect

BOTH = pytest.mark.parametrize("address", [V4, V6], ids=["IPv4", "IPv6"])


async def echo(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        async for data in stream:
            await stream.send_all(data)
        await stream.send_all(b"bye")


@BOTH
def test_bytes_go_both_ways_and_each_direction_ends_by_itself(address: str) -> None:
    async def main() -> None:
        async with open_place() as place:
            stream = await place.client.open_tcp_stream(*await place.serve(echo, address))
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
            await stream.send_eof()
            assert await stream.receive_some() == b"bye"
            assert await stream.receive_some() == b""
            await stream.aclose()
            await until(lambda: len(place.outside.connections) == 0)
            assert place.count("tcp_opened") == 1

    trio.run(main)


def test_who_speaks_first_may_be_the_server() -> None:
    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 here")
        await stream.aclose()

    async def main() -> None:
        async with open_place() as place:
            stream = await place.client.open_tcp_stream(*await place.serve(greet))
            assert await stream.receive_some() == b"220 here"
            assert await stream.receive_some() == b""

    trio.run(main)


@BOTH
def test_a_refusal_is_a_refusal(address: str) -> None:
    async def main() -> None:
        async with open_place() as place:
            with pytest.raises(ConnectionRefusedError):
                await place.client.open_tcp_stream(INSIDE[address], free_port())
            assert place.count("tcp_refused") == 1
            assert len(place.outside.connections) == 0

    trio.run(main)


def test_a_server_that_resets_at_once_has_refused_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = socket.create_server((V4, 0))

    def connect_and_be_reset(*words: Any, **more: Any) -> Pending:  # noqa: ANN401 - handed on
        pending = connect(*words, **more)
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        return pending

    monkeypatch.setattr(connections, "connect", connect_and_be_reset)

    async def main() -> None:
        async with open_place() as place:
            stream = await place.client.open_tcp_stream(INSIDE[V4], listener.getsockname()[1])
            with pytest.raises(trio.BrokenResourceError) as caught:
                await stream.receive_some()
            assert isinstance(caught.value.__cause__, ConnectionResetError)
            await until(lambda: len(place.outside.connections) == 0)

    with listener:
        trio.run(main)


def test_a_reset_of_the_server_is_a_reset_inside() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()

    async def main() -> None:
        async with open_place() as place:
            stream = await place.client.open_tcp_stream(*await place.serve(reset))
            await stream.send_all(b"x")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()

    trio.run(main)


@contextmanager
def silent_port() -> Iterator[int]:
    """Have a port where nobody accepts: one waits, and the kernel drops the SYNs of all others."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind((V4, 0))
        full.listen(0)
        first.connect(full.getsockname())
        second.setblocking(False)
        second.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def test_a_server_that_never_answers_is_silence_and_the_program_may_give_up() -> None:
    async def main() -> None:
        with silent_port() as port:
            async with open_place() as place:
                place.outside.connections._connect_s = 0.05
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(place.client.open_tcp_stream, INSIDE[V4], port)
                    await until(lambda: place.count("tcp_timed_out") == 1)
                    assert len(place.outside.connections) == 0
                    nursery.cancel_scope.cancel()  # it would have tried again

    trio.run(main)


def test_the_real_connection_goes_with_the_client_that_gives_up() -> None:
    async def main() -> None:
        with silent_port() as port:
            async with open_place() as place:
                place.client.start_soon(place.client.open_tcp_stream, INSIDE[V4], port)
                await until(lambda: len(place.outside.connections) == 1)
                left = place.outside.ground.left
                place.gateway.power_off()
                assert len(place.outside.connections) == 0
                assert place.outside.ground.left == left + 1
                assert place.count("tcp_given_up") == 1

    trio.run(main)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::1", "::7f00:1"],
)
def test_what_must_not_be_reached_is_prohibited_at_once(address: str) -> None:
    async def main() -> None:
        async with open_place() as place:
            number = errno.EACCES if ":" in address else errno.EHOSTUNREACH
            with pytest.raises(OSError, match=os.strerror(number)) as caught:
                await place.client.open_tcp_stream(address, 80)
            assert caught.value.errno == number
            assert place.count("forbidden") == 1
            assert place.count("tcp_tried") == 0

    trio.run(main)


@pytest.mark.parametrize("address", ["0.1.2.3", "240.0.0.1"])
def test_what_is_nobodys_goes_nowhere(address: str) -> None:
    async def main() -> None:
        async with open_place() as place:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(place.client.open_tcp_stream, address, 80)
                await until(lambda: place.gateway.counters["forward_martian"] == 1)
                nursery.cancel_scope.cancel()
            assert place.count("tcp_tried") == 0

    trio.run(main)


def test_the_loopback_is_nowhere_unless_it_is_asked_for() -> None:
    async def main() -> None:
        async with open_place(reach_loopback=False) as place:
            port = (await place.serve(echo))[1]
            with trio.move_on_after(0.05) as scope:  # nobody answers ARP for it
                await place.client.open_tcp_stream(INSIDE[V4], port)
            assert scope.cancelled_caught
            assert not place.outside.covers(parse_ip(INSIDE[V4]))
            assert place.count("tcp_tried") == 0
            assert place.outside.loopbacks == ()

    trio.run(main)


def test_the_loopback_is_where_it_is_said_to_be() -> None:
    async def main() -> None:
        async with open_place(reach_loopback=["10.77.0.99", "2001:db8::99"]) as place:
            port = (await place.serve(echo))[1]
            port6 = (await place.serve(echo, V6))[1]
            for address, number in (("10.77.0.99", port), ("2001:db8::99", port6)):
                stream = await place.client.open_tcp_stream(address, number)
                await stream.send_all(b"x")
                assert await stream.receive_some() == b"x"

    trio.run(main)


def test_without_descriptors_a_connection_waits_until_there_is_one() -> None:
    async def main() -> None:
        async with open_place(sockets=2) as place:
            where = await place.serve(echo)
            first = await place.client.open_tcp_stream(*where)
            second = await place.client.open_tcp_stream(*where)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(place.client.open_tcp_stream, *where)
                await until(lambda: place.count("no_descriptor") == 1)
                nursery.cancel_scope.cancel()
            for stream in (first, second):
                await stream.aclose()
            await until(lambda: place.outside.ground.left == 2)
            third = await place.client.open_tcp_stream(*where)
            await third.send_all(b"again")
            assert await third.receive_some() == b"again"

    trio.run(main)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is silent when a backlog is full")
def test_those_that_nobody_answers_do_not_keep_out_the_others() -> None:
    async def main() -> None:
        # A full backlog: the kernel leaves further SYNs unanswered.
        with socket.socket() as deaf, ExitStack() as clients:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            clients.enter_context(socket.create_connection(deaf.getsockname()))
            async with open_place(sockets=1) as place, trio.open_nursery() as nursery:
                where = await place.serve(echo)
                silent = place.client.open_tcp_stream, INSIDE[V4], deaf.getsockname()[1]
                nursery.start_soon(*silent)
                await until(lambda: place.count("tcp_tried") == 1)
                stream = await place.client.open_tcp_stream(*where)
                await stream.send_all(b"x")
                assert await stream.receive_some() == b"x"
                assert place.count("tcp_evicted") == 1
                nursery.cancel_scope.cancel()

    trio.run(main)


def test_two_hundred_connections_at_once() -> None:
    async def main() -> None:
        async with open_place() as place:
            where = await place.serve(echo)
            done = 0

            async def one(number: int) -> None:
                nonlocal done
                stream = await place.client.open_tcp_stream(*where)
                await stream.send_all(b"%d" % number)
                assert await stream.receive_some() == b"%d" % number
                await stream.aclose()
                done += 1

            async with trio.open_nursery() as nursery:
                for number in range(200):
                    nursery.start_soon(one, number)
            assert done == 200
            await until(lambda: len(place.outside.connections) == 0)

    trio.run(main)


def test_hosts_behind_routers_of_a_lab_go_outside_too_and_reach_each_other() -> None:
    async def main() -> None:
        with trio.fail_after(60):
            async with pystack.Network(seed=7) as net:
                near, far = net.host("near"), net.host("far")
                r1, r2 = net.router("r1"), net.router("r2")
                gateway = net.router("gateway")
                for a, b in ((near, r1), (r1, r2), (far, r2), (r2, gateway)):
                    net.link(a, b)
                await net.outside(gateway, reach_loopback=["192.0.2.254", "2001:db8::fe"])
                listeners = await trio.open_tcp_listeners(0, host=V4)
                port = listeners[0].socket.getsockname()[1]
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.serve_listeners, echo, listeners)
                    stream = await near.open_tcp_stream("192.0.2.254", port)
                    await stream.send_all(b"out")
                    assert await stream.receive_some() == b"out"
                    assert await near.ping("far", timeout_s=9) < 9
                    # Nobody has it, but it is in a block of the lab: no way outside.
                    nobody = str(far.address).rsplit(".", 1)[0] + ".77"
                    with trio.move_on_after(0.05) as scope:
                        await near.open_tcp_stream(nobody, port)
                    assert scope.cancelled_caught
                    assert gateway.counters["outside_tcp_tried"] == 1
                    nursery.cancel_scope.cancel()

    trio.run(main)


def test_what_the_gateway_itself_asks_for_is_its_own() -> None:
    async def main() -> None:
        async with open_place() as place:
            port = (await place.serve(echo))[1]
            with pytest.raises(ConnectionRefusedError):
                await place.client.open_tcp_stream("10.77.0.1", port)
            assert not place.outside.covers(parse_ip("10.77.0.1"))
            assert not place.outside.covers(parse_ip("10.77.0.3"))

    trio.run(main)


def test_nothing_is_left_when_the_network_ends() -> None:
    async def main() -> None:
        async with open_place() as place:
            where = await place.serve(echo)
            stream = await place.client.open_tcp_stream(*where)
            await stream.send_all(b"x")
            assert await stream.receive_some() == b"x"
            outside = place.outside
        assert len(outside.connections) == 0
        assert outside._host.interceptor is None
        outside.close()

    trio.run(main)


def test_wrong_words_are_refused_in_a_sentence() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            host = net.host("host")
            with pytest.raises(ConfigError, match="has no link yet"):
                await net.outside(host, reach_loopback=True)
            net.link(host, net.host("other"))
            for words, sentence in (
                ({"reach_loopback": host.address}, "host has it"),
                ({"reach_loopback": "127.0.0.2"}, "cannot stand for the loopback"),
                ({"reach_loopback": ["10.0.0.7", "10.0.0.8"]}, "one address inside of each"),
                ({"reach_loopback": 3}, "True, False or addresses"),
                ({"reach_loopback": "x"}, "not an IP address"),
                ({"resolvers": []}, "one or more addresses"),
                ({"resolvers": ["example.org"]}, "not the address of a resolver"),
                ({"sockets": 0}, "sockets is 0"),
                ({"publish": "80:x", "to": "other"}, "not a port"),
                ({"publish": "8080:80"}, "to=NAMESPACE"),
                ({"loopback": True}, "no word 'loopback'"),
            ):
                with pytest.raises(ConfigError, match=sentence):
                    await net.outside(host, **words)  # type: ignore[arg-type]
            await net.outside(host)
            with pytest.raises(ConfigError, match="a way outside already"):
                await net.outside(host)

    trio.run(main)


def test_the_real_network_is_not_in_virtual_time() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            with pytest.raises(ConfigError, match="virtual time"):
                await net.outside(net.host("host"))
            with pytest.raises(ConfigError, match="virtual time"):
                await net.publish(net.hosts["host"], "8080:80", to="10.0.0.1")

    pystack.run(main)


def test_a_port_at_which_nobody_is_is_not_answered_by_the_machines_own_other_end() -> None:
    async def main() -> None:
        with socket.socket() as own:
            own.bind((V4, 0))
            own.connect(own.getsockname())  # what the kernel does now and then by itself
            assert _is_its_own_peer(own)
        with socket.create_server((V4, 0)) as server, socket.socket() as other:
            other.connect(server.getsockname())
            assert not _is_its_own_peer(other)

    trio.run(main)


def test_a_way_that_is_closed_takes_everything_with_it_and_the_network_goes_on() -> None:
    async def main() -> None:
        async with open_place() as place:
            outside = place.outside
            left = outside.ground.left
            where = await place.serve(echo)
            stream = await place.client.open_tcp_stream(*where)
            udp = await place.client.open_udp_socket(0)
            await udp.send_to(b"x", where)
            await udp.send_to(b"\0" * 12, ("10.77.0.1", 53))
            [published, _] = outside.publish("0:80", place.client)
            place.client.start_soon(suppressed, place.client.open_tcp_stream, *where)
            await until(lambda: len(outside.connections) == 2)  # one is only being opened
            outside.close()
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            assert (len(outside.connections), len(outside.sessions), len(outside.names)) == (0,) * 3
            assert outside.ground.left == left
            with pytest.raises(OSError, match="attempts to connect"):
                await trio.open_tcp_stream(V4, published.port)
            assert await place.client.ping("10.77.0.1", timeout_s=9) < 9
            with pytest.raises(ConnectionRefusedError):
                await place.client.open_tcp_stream("10.77.0.1", 53)
            again = await place.net.outside(place.gateway, reach_loopback=True)
            stream = await place.client.open_tcp_stream(*where)
            await stream.send_all(b"again")
            assert await stream.receive_some() == b"again"
            again.close()

    trio.run(main)


async def suppressed(connect: Callable[..., Awaitable[object]], *where: object) -> None:
    """Connect, and have no complaint where that fails."""
    with suppress(OSError):
        await connect(*where)

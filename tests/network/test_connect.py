"""Connecting: to what is there, to what is not, to oneself, and to many at once."""

import errno
import hashlib
from pathlib import Path

import pytest
import trio
from wires import PORT, Trouble, connected, in_network, pair, read_to_end

import pystack
from pystack.runtime.host import Host
from pystack.runtime.streams import TcpStream
from pystack.runtime.tcp_listener import TcpListener
from pystack.tcp.states import TcpState


async def echo(listener: TcpListener) -> None:
    async def one(stream: TcpStream) -> None:
        async with stream:
            while data := await stream.receive_some():
                await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        while True:
            nursery.start_soon(one, await listener.accept())


async def asked(stream: TcpStream, data: bytes) -> bytes:
    async with stream:
        await stream.send_all(data)
        await stream.send_eof()
        return await read_to_end(stream)


def test_a_closed_port_refuses_at_once() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.01)
        with pytest.raises(ConnectionRefusedError, match=r"10\.0\.0\.2 port 81"):
            await wire.client.open_tcp_stream("server", 81)
        assert trio.current_time() == pytest.approx(0.04)  # ARP, and one round trip
        assert len(wire.client.tcp) == 0

    in_network(program)


def test_a_host_that_is_not_there_is_unreachable_after_three_seconds() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        with pytest.raises(OSError, match="No route to host") as caught:
            await wire.client.open_tcp_stream("10.0.0.77", PORT)
        assert caught.value.errno == errno.EHOSTUNREACH
        assert trio.current_time() == 3.0
        assert len(wire.client.tcp) == 0

    in_network(program)


def test_a_network_without_a_route_is_unreachable_at_once() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        with pytest.raises(OSError) as caught:  # noqa: PT011
            await wire.client.open_tcp_stream("192.0.2.1", PORT)
        assert caught.value.errno == errno.ENETUNREACH
        assert trio.current_time() == 0.0

    in_network(program)


@pytest.mark.rfc("9293", "MUST-22")
def test_a_black_hole_is_given_up_after_all_tries() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        wire.to_server.passes = lambda _frame: False
        with pytest.raises(TimeoutError):
            await wire.client.open_tcp_stream("server", PORT)
        assert trio.current_time() == 183.0  # 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60
        assert wire.to_server.lost == 8
        assert len(wire.client.tcp) == 0

    in_network(program)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "10.0.0.1", "client"])
def test_a_host_connects_to_itself(name: str) -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        (listener,) = await wire.client.open_tcp_listeners(PORT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, listener)
            stream = await wire.client.open_tcp_stream(name, PORT)
            assert await asked(stream, bytes(300_000)) == bytes(300_000)
            nursery.cancel_scope.cancel()
        assert wire.to_server.frames == 0

    in_network(program)


@pytest.mark.rfc("9293", "MUST-10")
def test_a_connection_to_its_own_port_opens_simultaneously_with_itself() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        stream = await wire.client.open_tcp_stream("client", 4000, local_port=4000)
        await stream.send_all(b"to myself")
        assert await stream.receive_some() == b"to myself"

    in_network(program)


@pytest.mark.rfc("9293", "MUST-10")
def test_two_hosts_open_to_each_other_at_one_instant() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.01)
        streams: dict[str, TcpStream] = {}

        async def open_to(name: str, host: Host) -> None:
            streams[name] = await host.open_tcp_stream(name, 4000, local_port=4000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_to, "server", wire.client)
            nursery.start_soon(open_to, "client", wire.server)
        await streams["server"].send_all(b"hello")
        assert await streams["client"].receive_some() == b"hello"
        (info,) = wire.client.connections()
        assert info.state is TcpState.ESTABLISHED

    in_network(program)


def test_a_hundred_connections_at_once() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, Trouble(loss=0.02), delay_s=0.005)
        (listener,) = await wire.server.open_tcp_listeners(PORT)
        answers: dict[int, bytes] = {}

        async def one(number: int) -> None:
            stream = await wire.client.open_tcp_stream("server", PORT)
            answers[number] = await asked(stream, b"%d " % number * 1000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, listener)
            async with trio.open_nursery() as clients:
                for number in range(100):
                    clients.start_soon(one, number)
            nursery.cancel_scope.cancel()
        assert answers == {number: b"%d " % number * 1000 for number in range(100)}

    in_network(program)


def test_a_backlog_that_overflows_serves_all_in_the_end() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.005)
        (listener,) = await wire.server.open_tcp_listeners(PORT, backlog=2)
        done = []

        async def one(number: int) -> None:
            stream = await wire.client.open_tcp_stream("server", PORT)
            done.append(await asked(stream, b"%d" % number))

        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as clients:
                for number in range(10):
                    clients.start_soon(one, number)
                    await trio.sleep(0.1)  # one after the other, so that none is half-open
                nursery.start_soon(echo, listener)
            nursery.cancel_scope.cancel()
        assert sorted(done) == [b"%d" % number for number in range(10)]
        assert wire.server.counters["tcp_listen_overflow"] > 0

    in_network(program)


def captured(seed: int, path: Path) -> str:
    """Return the hash of every byte that a busy network with chance in it sends."""

    async def program(net: pystack.Network) -> None:
        wire = pair(net, Trouble(loss=0.05, duplicate=0.05, late=0.2), seed=seed, delay_s=0.01)
        net.capture(path)
        (listener,) = await wire.server.open_tcp_listeners(PORT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, listener)
            async with trio.open_nursery() as clients:
                for number in range(10):
                    stream = await wire.client.open_tcp_stream("server", PORT)
                    clients.start_soon(asked, stream, bytes([number]) * 20_000)
            nursery.cancel_scope.cancel()

    in_network(program, seed=seed)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_seed_sends_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    hashes = [captured(seed, tmp_path / f"{run}.pcap") for run, seed in enumerate((1, 1, 1, 2))]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_a_reset_stream_does_not_take_along_its_successor_on_the_same_ports() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        (listener,) = await wire.server.open_tcp_listeners(PORT)
        first = await wire.client.open_tcp_stream("server", PORT, local_port=4000)
        old = await listener.accept()
        first.abort()
        second = await wire.client.open_tcp_stream("server", PORT, local_port=4000)
        new = await listener.accept()
        await old.aclose()
        await second.send_all(b"still here")
        assert await new.receive_some() == b"still here"

    in_network(program)


@pytest.mark.rfc("9293", "MAY-2")
def test_a_connection_may_be_opened_again_out_of_time_wait() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        one, other = await connected(wire)
        port = one.local_address[1]
        await other.aclose()  # so that the server's side waits
        await trio.sleep(1)
        await one.aclose()
        await trio.sleep(1)
        assert wire.server.connections() == []
        assert len(wire.server.tcp.time_waits.records) == 1
        (listener,) = await wire.server.open_tcp_listeners(PORT)
        again = await wire.client.open_tcp_stream("server", PORT, local_port=port)
        await again.send_all(b"hello")
        assert await (await listener.accept()).receive_some() == b"hello"

    in_network(program)


def test_what_cannot_be_connected_or_listened_to_is_said_at_once() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        with pytest.raises(OSError, match="70000 is not a port") as caught:
            await wire.server.open_tcp_listeners(70_000)
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError, match="-5 is not a port"):
            await wire.client.open_tcp_stream("server", PORT, local_port=-5)
        with pytest.raises(OSError, match="does not leave the host"):
            await wire.client.open_tcp_stream("server", PORT, local_address="127.0.0.1")
        assert len(wire.client.tcp) == 0

    in_network(program)


def test_all_of_127_is_the_host_itself() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        (listener,) = await wire.client.open_tcp_listeners(PORT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, listener)
            stream = await wire.client.open_tcp_stream("127.1.2.3", PORT)
            assert await asked(stream, b"is anybody there") == b"is anybody there"
            nursery.cancel_scope.cancel()

    in_network(program)

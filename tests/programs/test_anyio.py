"""AnyIO on Trio: its connections and UDP as they are, its listeners by ours."""

import socket

import anyio
import anyio.abc
import httpcore
import pytest
import trio
from h11_server import Counts
from h11_server import serve as serve_http
from worlds import Status, echo, in_virtual_time, pair

import pystack
from pystack.runtime.socket.anyio_listener import create_tcp_listener

DATA = b"0123456789" * 20000


async def exchange(stream: anyio.abc.SocketStream) -> None:
    """Send data to an echo service while receiving it."""
    received = bytearray()
    async with anyio.create_task_group() as group:
        group.start_soon(stream.send, DATA)
        while len(received) < len(DATA):
            received += await stream.receive()
    assert received == DATA


def test_connect_tcp_over_a_lossy_link() -> None:
    async def program() -> None:
        async with await anyio.connect_tcp("server", 7) as stream:
            attribute = anyio.abc.SocketAttribute
            assert stream.extra(attribute.remote_address) == ("10.0.0.2", 7)
            assert stream.extra(attribute.family) == socket.AF_INET
            assert stream.extra(attribute.local_address)[0] == "10.0.0.1"
            await exchange(stream)
            await stream.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()

    async def main() -> None:
        async with pair() as world:
            await world.server.start(trio.serve_tcp, echo, 7)
            await world.client.run(program)

    in_virtual_time(main)


async def serve_anyio(port: int, *, task_status: Status) -> None:
    """Serve an echo with the listener that stands in for AnyIO's."""

    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            # AnyIO tries IPv6 first; where its SYN is lost, IPv4 wins
            remote = stream.extra(anyio.abc.SocketAttribute.remote_address)[0]
            assert remote in ("fd00::1", "10.0.0.1")
            async for data in stream:
                await stream.send(data)

    async with await create_tcp_listener(local_port=port) as listener:
        task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
        await listener.serve(handle)


def test_our_listener_serves_anyio_programs_over_a_lossy_link() -> None:
    async def program() -> None:
        for _ in range(3):
            async with await anyio.connect_tcp("server", 7) as stream:
                await exchange(stream)

    async def main() -> None:
        async with pair() as world:
            assert await world.server.start(serve_anyio, 7) == 7
            await world.client.run(program)

    in_virtual_time(main)


def test_errors_of_our_listener_are_anyios() -> None:
    async def serve_one(*, task_status: Status) -> None:
        async with await create_tcp_listener(local_port=7) as listener:
            task_status.started()
            stream = await listener.accept()
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
            await stream.aclose()
            with pytest.raises(anyio.ClosedResourceError):
                await stream.send(b"x")
        with pytest.raises(anyio.ClosedResourceError):
            await listener.accept()

    async def reset() -> None:
        stream = await trio.open_tcp_stream("server", 7)
        linger = (1).to_bytes(4, "little") + bytes(4)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await stream.aclose()

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.server.start(serve_one)
            await world.client.run(reset)
            await trio.sleep(1)

    in_virtual_time(main)


def test_anyios_own_listener_is_on_the_host() -> None:
    async def program() -> None:
        async with await anyio.create_tcp_listener(local_host="0.0.0.0", local_port=7) as listener:
            assert str(listener.extra(anyio.abc.SocketAttribute.local_port)) == "7"

    async def main() -> None:
        async with pair() as world:
            await world.server.run(program)
            with pytest.raises(pystack.SealedError):  # of the machine's, it would be
                await program()

    in_virtual_time(main)


def test_udp_there_and_back() -> None:
    async def serve_udp(*, task_status: Status) -> None:
        # Without a host, older AnyIO takes any port.
        async with await anyio.create_udp_socket(
            family=socket.AF_INET, local_host="0.0.0.0", local_port=53, reuse_port=True
        ) as udp:
            task_status.started()
            async for data, (host, port) in udp:
                await udp.sendto(data.upper(), host, port)

    async def program() -> None:
        async with await anyio.create_connected_udp_socket("server", 53) as udp:
            await udp.send(b"hello")
            assert await udp.receive() == b"HELLO"
            assert udp.extra(anyio.abc.SocketAttribute.remote_port) == 53
        async with await anyio.create_udp_socket(family=socket.AF_INET) as udp:
            await udp.sendto(b"again", "server", 53)
            assert await udp.receive() == (b"AGAIN", ("10.0.0.2", 53))

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.server.start(serve_udp)
            await world.client.run(program)

    in_virtual_time(main)


def test_udp_loses_what_the_link_loses_and_a_retry_brings_it() -> None:
    lost: list[int] = []

    async def serve_udp(*, task_status: Status) -> None:
        async with await anyio.create_udp_socket(
            family=socket.AF_INET, local_host="0.0.0.0", local_port=53
        ) as udp:
            task_status.started()
            async for data, (host, port) in udp:
                await udp.sendto(data, host, port)

    async def program() -> None:
        async with await anyio.create_connected_udp_socket("server", 53) as udp:
            for number in range(100):
                answer = None
                while answer != bytes([number]):
                    await udp.send(bytes([number]))
                    with anyio.move_on_after(0.5) as scope:
                        answer = await udp.receive()
                    if scope.cancelled_caught:
                        lost.append(number)

    async def main() -> None:
        async with pair(delay="20ms", loss="10%") as world:
            await world.server.start(serve_udp)
            await world.client.run(program)

    in_virtual_time(main)
    assert 5 < len(lost) < 50


def test_httpcore_on_its_anyio_backend_polls_the_descriptor() -> None:
    counts = Counts()

    async def program() -> None:
        backend = httpcore.AnyIOBackend()
        async with httpcore.AsyncConnectionPool(network_backend=backend) as pool:
            for _ in range(2):
                reply = await pool.request("GET", "http://server/")
                assert reply.status == 200
            await trio.sleep(5)  # longer than the server waits: poll() tells that it is over
            assert (await pool.request("GET", "http://server/")).status == 200

    async def serve_short(*, task_status: Status) -> None:
        await serve_http(80, counts, idle_s=2.0, task_status=task_status)

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.server.start(serve_short)
            await world.client.run(program)

    in_virtual_time(main)
    assert counts.connections == 2

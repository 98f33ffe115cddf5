"""The calls of a datagram socket, one by one: what socket(2) and udp(7) promise."""

import errno
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from worlds import in_virtual_time, pair

Datagram = trio.socket.SocketType


async def bound(port: int) -> Datagram:
    """Return a socket with this port."""
    made = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await made.bind(("", port))
    return made


async def unbound() -> Datagram:
    """Return a socket without a port."""
    return trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def on_two_hosts(program: Callable[[Datagram, Datagram], Awaitable[None]]) -> None:
    """Run a program with a socket of the client, and one of the server on port 53."""

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await program(await world.client.run(unbound), await world.server.run(bound, 53))

    in_virtual_time(main)


def test_there_and_back() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        assert client.getsockname() == ("0.0.0.0", 0)
        with trio.testing.assert_checkpoints():
            assert await client.sendto(b"hello", ("server", 53)) == 5
        assert client.getsockname()[1] > 1023
        data, sender = await server.recvfrom(100)
        assert (data, sender) == (b"hello", ("10.0.0.1", client.getsockname()[1]))
        await server.sendto(b"back", 0, sender)
        assert await client.recv(100) == b"back"
        assert (client.type, client.family) == (socket.SOCK_DGRAM, socket.AF_INET)

    on_two_hosts(program)


def test_a_partner_gives_the_local_address_and_keeps_others_out() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        with pytest.raises(OSError, match="estination") as caught:
            await client.send(b"x")
        assert caught.value.errno == errno.EDESTADDRREQ
        with pytest.raises(OSError, match="not connected"):
            client.getpeername()
        await client.connect(("server", 53))
        assert client.getpeername() == ("10.0.0.2", 53)
        assert client.getsockname()[0] == "10.0.0.1"
        await client.send(b"ping")
        _, peer = await server.recvfrom(10)
        await server.sendto(b"pong", peer)
        assert await client.recvfrom(10) == (b"pong", ("10.0.0.2", 53))

    on_two_hosts(program)


def test_a_closed_port_is_an_error_of_the_next_call() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        await client.connect(("server", 54))
        await client.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            await client.recv(10)
        await client.send(b"anybody?")
        await trio.sleep(1)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    on_two_hosts(program)


def test_a_datagram_is_cut_to_the_buffer_and_recvmsg_says_so() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        for _ in range(4):
            await client.sendmsg([b"0123", b"456789"], [], 0, ("server", 53))
        assert await server.recv(4, socket.MSG_PEEK) == b"0123"
        assert await server.recv(4) == b"0123"
        data, _, flags, sender = await server.recvmsg(5)
        assert (data, flags, sender[0]) == (b"01234", socket.MSG_TRUNC, "10.0.0.1")
        buffer = bytearray(20)
        assert (await server.recvfrom_into(buffer))[0] == 10
        assert await server.recv_into(buffer, 3) == 3

    on_two_hosts(program)


def test_a_large_datagram_comes_in_fragments_and_too_large_a_one_not_at_all() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        await client.sendto(bytes(60000), ("server", 53))
        assert len(await server.recv(65536)) == 60000
        with pytest.raises(OSError, match="long") as caught:
            await client.sendto(bytes(65508), ("server", 53))
        assert caught.value.errno == errno.EMSGSIZE

    on_two_hosts(program)


def test_broadcast_must_be_allowed() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        with pytest.raises(PermissionError):
            await client.sendto(b"all", ("10.0.0.255", 53))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        await client.sendto(b"all", ("10.0.0.255", 53))
        assert await server.recv(10) == b"all"

    on_two_hosts(program)


def test_it_is_no_stream() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        with pytest.raises(OSError, match=r".") as caught:
            server.listen()
        assert caught.value.errno == errno.EOPNOTSUPP
        with pytest.raises(OSError, match=r"."):
            await server.accept()
        await client.wait_writable()

    on_two_hosts(program)


def test_the_port_is_taken_until_it_is_closed_which_wakes_the_reader() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await server.recv(10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            assert not server.is_readable()
            server.close()
        assert server.fileno() == -1
        with pytest.raises(OSError, match="Bad file"):
            await server.recv(10)

    async def main() -> None:
        async with pair(delay="20ms") as world:
            server = await world.server.run(bound, 53)
            with pytest.raises(OSError, match="taken"):
                await world.server.run(bound, 53)
            await program(await world.client.run(unbound), server)
            await world.server.run(bound, 53)

    in_virtual_time(main)

"""The calls of a datagram socket, one by one: what socket(2) and udp(7) promise."""

import errno
import socket
import sys
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


_SOL_UDP, _UDP_SEGMENT = 17, 103


def test_udp_segment_cuts_what_is_sent_by_option_or_by_control_message() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        await client.connect(("server", 53))
        client.setsockopt(_SOL_UDP, _UDP_SEGMENT, 4)
        assert client.getsockopt(_SOL_UDP, _UDP_SEGMENT) == 4
        assert await client.send(b"aaaabbbbcc") == 10
        assert [await server.recv(100) for _ in range(3)] == [b"aaaa", b"bbbb", b"cc"]
        assert await client.send(b"aaaa") == 4
        assert await server.recv(100) == b"aaaa"

        def by_message(segment_bytes: int) -> list[tuple[int, int, bytes]]:
            return [(_SOL_UDP, _UDP_SEGMENT, segment_bytes.to_bytes(2, sys.byteorder))]

        assert await client.sendmsg([b"aaa", b"bbb"], by_message(3)) == 6
        assert [await server.recv(100) for _ in range(2)] == [b"aaa", b"bbb"]
        assert await client.sendmsg([b"aaabbb"], by_message(0)) == 6
        assert await server.recv(100) == b"aaabbb"
        client.setsockopt(_SOL_UDP, _UDP_SEGMENT, 0)
        assert await client.sendmsg([b"aabb"], by_message(2), 0, ("server", 53)) == 4
        assert [await server.recv(100) for _ in range(2)] == [b"aa", b"bb"]

    on_two_hosts(program)


def test_udp_segment_has_linuxs_limits() -> None:
    async def program(client: Datagram, server: Datagram) -> None:
        await client.connect(("server", 53))
        for size in (-1, 65536):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
                client.setsockopt(_SOL_UDP, _UDP_SEGMENT, size)
            assert caught.value.errno == errno.EINVAL
        client.setsockopt(_SOL_UDP, _UDP_SEGMENT, 10)
        assert await client.send(bytes(1280)) == 1280
        for size, number in ((1281, errno.EINVAL), (65508, errno.EMSGSIZE)):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
                await client.send(bytes(size))
            assert caught.value.errno == number
        for message, number in (
            ((_SOL_UDP, _UDP_SEGMENT, b"\1"), errno.EINVAL),
            ((_SOL_UDP, 104, b"\1\0"), errno.EINVAL),
        ):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
                await client.sendmsg([b"aabb"], [message])
            assert caught.value.errno == number
        assert [len(await server.recv(100)) for _ in range(128)] == [10] * 128

    on_two_hosts(program)

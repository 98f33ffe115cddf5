"""The calls of a stream socket, one by one: what socket(2) and tcp(7) promise."""

import errno
import os
import select
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from worlds import in_virtual_time, pair

IP_RECVERR = 11
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
Stream = trio.socket.SocketType


def on_two_hosts(
    program: Callable[[Stream, Stream], Awaitable[None]],
) -> None:
    """Run a program in virtual time with both ends of a connection, the client's first."""

    async def main() -> None:
        async with pair(delay="20ms") as world:
            listening = await world.server.run(listener)
            opened = await world.client.run(connected)
            accepted, address = await listening.accept()
            assert address == opened.getsockname()
            await program(opened, accepted)

    in_virtual_time(main)


def on_a_host(program: Callable[[], Awaitable[None]]) -> None:
    """Run a program on the client in virtual time."""

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.client.run(program)

    in_virtual_time(main)


async def listener(port: int = 80) -> Stream:
    """Return a socket that listens."""
    listening = trio.socket.socket()
    await listening.bind(("", port))
    listening.listen()
    return listening


async def connected() -> Stream:
    """Return a socket with a connection to port 80 of the server."""
    opened = trio.socket.socket()
    await opened.connect(("server", 80))
    return opened


def test_it_is_what_programs_ask_it_to_be() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        assert isinstance(opened, trio.socket.SocketType)
        assert {opened, accepted, opened} == {accepted, opened}
        for end in (opened, accepted):
            assert (end.family, end.type) == (socket.AF_INET, socket.SOCK_STREAM)
            assert type(end.type) is socket.SocketKind
            assert end.proto == 0
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE, 4) == struct.pack("i", 1)
        assert opened.getpeername() == accepted.getsockname() == ("10.0.0.2", 80)
        assert opened.getsockname() == accepted.getpeername()

    on_two_hosts(program)


def test_flags_in_the_type_are_no_part_of_it() -> None:
    async def program() -> None:
        flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        made = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM | flags, 6)
        assert (made.type, made.proto) == (socket.SOCK_STREAM, 6)

    on_a_host(program)


@pytest.mark.parametrize(
    ("family", "kind", "proto", "number"),
    [
        (socket.AF_INET6, socket.SOCK_RAW, 58, errno.ESOCKTNOSUPPORT),
        (socket.AF_INET6, socket.SOCK_STREAM, 17, errno.EPROTONOSUPPORT),
        (socket.AF_INET, socket.SOCK_RAW, 1, errno.ESOCKTNOSUPPORT),
        (socket.AF_INET, socket.SOCK_STREAM, 17, errno.EPROTONOSUPPORT),
        (socket.AF_INET, socket.SOCK_DGRAM, 6, errno.EPROTONOSUPPORT),
    ],
)
def test_a_socket_that_cannot_be_is_the_errno_of_linux(
    family: int, kind: int, proto: int, number: int
) -> None:
    async def program() -> None:
        with pytest.raises(OSError, match=r".") as caught:
            trio.socket.socket(family, kind, proto)
        assert caught.value.errno == number

    on_a_host(program)


def test_bind_and_listen_tell_the_port() -> None:
    async def program() -> None:
        made = trio.socket.socket()
        assert made.getsockname() == ("0.0.0.0", 0)
        await made.bind(("", 0))
        port = made.getsockname()[1]
        assert port > 1023
        made.listen(0)
        assert made.getsockname() == ("0.0.0.0", port)
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        other = trio.socket.socket()
        with pytest.raises(OSError, match="taken") as caught:
            await other.bind(("10.0.0.1", port))
        assert caught.value.errno == errno.EADDRINUSE
        with pytest.raises(OSError, match="assign") as caught:
            await other.bind(("10.0.0.2", 0))
        assert caught.value.errno == errno.EADDRNOTAVAIL
        made.close()
        await other.bind(("client", port))
        assert other.getsockname() == ("10.0.0.1", port)

    on_a_host(program)


def test_calls_out_of_order_raise_what_linux_raises() -> None:
    async def program() -> None:
        made = trio.socket.socket()
        for call, number in (
            (lambda: made.accept(), errno.EINVAL),
            (lambda: made.recv(1), errno.ENOTCONN),
            (lambda: made.send(b"x"), errno.EPIPE),
        ):
            with pytest.raises(OSError, match=r".") as caught, trio.testing.assert_checkpoints():
                await call()
            assert caught.value.errno == number
        for plain, number in (
            (made.getpeername, errno.ENOTCONN),
            (lambda: made.shutdown(socket.SHUT_WR), errno.ENOTCONN),
            (lambda: made.shutdown(7), errno.EINVAL),
            (made.detach, errno.EOPNOTSUPP),
        ):
            with pytest.raises(OSError, match=r".") as caught:
                plain()
            assert caught.value.errno == number
        with pytest.raises(ValueError, match="tuple"):
            await made.connect("server")
        with pytest.raises(OverflowError):
            await made.connect(("10.0.0.2", 65536))
        with pytest.raises(ConnectionRefusedError):  # a look-up keeps 16 bits of a port: 0
            await made.connect(("server", 65536))

    on_a_host(program)


def test_connect_fails_with_the_errno_of_linux_and_may_be_tried_again() -> None:
    async def main() -> None:
        async with pair(delay="20ms") as world:

            async def program() -> None:
                made = trio.socket.socket()
                with pytest.raises(ConnectionRefusedError):
                    await made.connect(("10.0.0.2", 80))
                await world.server.run(listener)
                with pytest.raises(ConnectionAbortedError):
                    await made.connect(("10.0.0.2", 80))
                await made.connect(("10.0.0.2", 80))
                await made.connect(("10.0.0.2", 80))  # Linux tells once more how it went
                with pytest.raises(OSError, match="connected") as caught:
                    await made.connect(("10.0.0.2", 80))
                assert caught.value.errno == errno.EISCONN
                world.link.down()
                with pytest.raises(OSError, match="No route") as caught:
                    await connected()
                assert caught.value.errno == errno.EHOSTUNREACH

            await world.client.run(program)

    in_virtual_time(main)


def test_a_connect_that_is_cancelled_closes_the_socket_and_leaves_nothing() -> None:
    async def main() -> None:
        async with pair(delay="20ms") as world:

            async def program() -> None:
                made = trio.socket.socket()
                with trio.move_on_after(0.05) as scope:
                    await made.connect(("10.0.0.2", 80))
                assert scope.cancelled_caught
                assert made.fileno() == -1

            await world.server.run(listener)
            await world.client.run(program)
            assert world.client.connections() == []

    in_virtual_time(main)


def test_every_call_is_a_checkpoint_and_keeps_what_it_has_done() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        with trio.testing.assert_checkpoints():
            assert await opened.send(b"abc") == 3
        await trio.sleep(1)
        with trio.testing.assert_checkpoints():
            assert await accepted.recv(1) == b"a"
        for call in (lambda: accepted.recv(1), lambda: opened.send(b"d")):
            with trio.CancelScope() as scope:
                scope.cancel()
                await call()
            assert scope.cancelled_caught
        assert await accepted.recv(10) == b"bc"

    on_two_hosts(program)


def test_send_takes_what_there_is_room_for() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10000)
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 20000
        assert await opened.send(bytes(50000)) == 10000
        await opened.wait_writable()
        assert trio.current_time() > 0.1
        assert 0 < await opened.send(bytearray(50000)) <= 10000

    on_two_hosts(program)


def test_receiving_in_all_ways() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        await opened.sendmsg([b"01", memoryview(b"23"), bytearray(b"456789")])
        await opened.sendto(b"abc", ("1.2.3.4", 5))  # the address means nothing
        await trio.sleep(1)
        assert await accepted.recv(4, socket.MSG_PEEK) == b"0123"
        buffer = bytearray(4)
        assert await accepted.recv_into(buffer, 3) == 3
        assert buffer == b"012\0"
        assert await accepted.recvfrom(2) == (b"34", None)
        assert await accepted.recvmsg(2) == (b"56", [], 0, None)
        assert await accepted.recvfrom_into(buffer) == (4, None)
        assert buffer == b"789a"
        assert await accepted.recv(0) == b""
        assert await accepted.recv(100) == b"bc"
        with pytest.raises(OSError, match="Invalid"):
            await accepted.recv(1, socket.MSG_OOB)
        with pytest.raises(OSError, match="ancillary"):
            await opened.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"1234")])

    on_two_hosts(program)


def test_shutdown_ends_one_direction() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        assert not opened.did_shutdown_SHUT_WR
        opened.shutdown(socket.SHUT_WR)
        assert opened.did_shutdown_SHUT_WR
        with pytest.raises(BrokenPipeError):
            await opened.send(b"x")
        assert await accepted.recv(10) == b""
        await accepted.send(b"still")
        assert await opened.recv(10) == b"still"
        opened.shutdown(socket.SHUT_RD)
        assert await opened.recv(10) == b""

    on_two_hosts(program)


def test_a_reset_is_told_once_and_then_the_connection_is_just_over() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        opened.close()
        with pytest.raises(ConnectionResetError):
            await accepted.recv(1)
        assert await accepted.recv(1) == b""
        with pytest.raises(BrokenPipeError):
            await accepted.send(b"x")
        with pytest.raises(OSError, match="not connected"):
            accepted.getpeername()

    on_two_hosts(program)


def test_so_error_takes_the_error_away() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        opened.close()
        await trio.sleep(1)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    on_two_hosts(program)


def test_closing_wakes_whoever_waits() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        listening = await listener(81)

        async def wait_in(call: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await call()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_in, lambda: opened.recv(1))
            nursery.start_soon(wait_in, listening.accept)
            await trio.testing.wait_all_tasks_blocked()
            opened.close()
            listening.close()
        for call in (lambda: opened.recv(1), lambda: opened.send(b"x"), listening.accept):
            with pytest.raises(OSError, match="Bad file") as caught:
                await call()
            assert caught.value.errno == errno.EBADF
        opened.close()

    async def main() -> None:
        async with pair(delay="20ms") as world:
            listening = await world.server.run(listener)
            await world.client.run(both, program, listening)

    async def both(program: Callable[[Stream, Stream], Awaitable[None]], listening: Stream) -> None:
        opened = await connected()
        accepted, _ = await listening.accept()
        await program(opened, accepted)

    in_virtual_time(main)


def test_two_tasks_may_not_wait_for_the_same() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.recv, 1)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await opened.recv(1)
            nursery.cancel_scope.cancel()

    on_two_hosts(program)


def test_readable_means_data_or_an_end_or_a_reset() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        assert not opened.is_readable()
        await accepted.send(b"x")
        await trio.sleep(1)
        assert opened.is_readable()
        await opened.recv(1)
        assert not opened.is_readable()
        accepted.shutdown(socket.SHUT_WR)
        await trio.sleep(1)
        assert opened.is_readable()
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        assert not accepted.is_readable()
        opened.close()
        await trio.sleep(1)
        assert accepted.is_readable()

    on_two_hosts(program)


def test_the_descriptor_polls_as_the_socket_is_and_is_nobody_elses() -> None:
    def polls_readable(fd: int) -> bool:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))

    async def program(opened: Stream, accepted: Stream) -> None:
        fd = opened.fileno()
        assert fd >= 0
        assert fd == opened.fileno() != accepted.fileno()
        assert "eventfd" in os.readlink(f"/proc/self/fd/{fd}")
        assert not polls_readable(fd)
        await accepted.send(b"xy")
        await trio.sleep(1)
        assert polls_readable(fd)
        await opened.recv(1)
        assert polls_readable(fd)
        await opened.recv(1)
        assert not polls_readable(fd)
        accepted.close()
        await trio.sleep(1)
        assert polls_readable(fd)
        opened.close()
        assert opened.fileno() == -1
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)

    on_two_hosts(program)


def test_options_are_remembered_and_inherited() -> None:
    async def main() -> None:
        async with pair(delay="20ms") as world:
            listening = await world.server.run(listener)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            opened = await world.client.run(connected)
            accepted, _ = await listening.accept()
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            for level, name, value in (
                (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
                (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 16384),
                (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1),
            ):
                assert opened.getsockopt(level, name) == 0
                opened.setsockopt(level, name, value)
                assert opened.getsockopt(level, name) == value
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) == 1448
            congestion = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            assert congestion.rstrip(b"\0") == b"cubic"
            with pytest.raises(OSError, match="not available"):
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            with pytest.raises(TypeError):
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, None)

    in_virtual_time(main)


def test_room_that_a_write_itself_makes_is_used() -> None:
    async def program(opened: Stream, accepted: Stream) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 1)
        assert await opened.send(b"a", socket.MSG_MORE) == 1
        with trio.fail_after(0.1):  # without MSG_MORE the byte goes, and there is room again
            assert await opened.send(b"bc") == 1
        assert await accepted.recv(10) == b"a"

    on_two_hosts(program)


def test_silence_is_no_error_of_ip_recverr() -> None:
    # Linux tells what ICMP says, and nothing of a segment that goes again and again.
    async def main() -> None:
        async with pair(delay="20ms") as world:
            listening = await world.server.run(listener)
            opened = await world.client.run(connected)
            await listening.accept()
            opened.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            world.link.black_hole(lambda packet: packet.proto == "TCP")
            await opened.send(b"text")
            with trio.move_on_after(30) as waited:
                await opened.recv(1)
            assert waited.cancelled_caught
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    in_virtual_time(main)

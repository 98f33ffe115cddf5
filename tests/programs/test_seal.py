"""The seal: what would leave the emulated network says so, and how to do it right."""

import ctypes.util
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest
import trio
from worlds import in_virtual_time, pair

import pystack
from pystack.runtime.borrowed.clock import BlockedWorldError

Program = Callable[[], Awaitable[None]]


def on_a_host(program: Program, *, seal: bool = True) -> None:
    """Run a program on the client in virtual time."""

    async def main() -> None:
        async with pair(seal=seal) as world:
            await world.client.run(program)

    in_virtual_time(main)


def in_the_test(program: Program, *, seal: bool = True) -> None:
    """Run a program in virtual time, beside a network, on no host."""

    async def main() -> None:
        async with pair(seal=seal):
            await program()

    in_virtual_time(main)


def a_socket() -> None:
    """Open a socket of the machine's, and close it."""
    socket.socket().close()


def test_a_real_socket_is_an_error_that_tells_the_way_out() -> None:
    async def program() -> None:
        with pytest.raises(pystack.SealedError, match=r"real network.*pystack\.unsealed"):
            a_socket()
        with pytest.raises(pystack.SealedError):
            socket.create_connection(("127.0.0.1", 9))
        with pytest.raises(pystack.SealedError):
            socket.create_server(("127.0.0.1", 0))

    in_the_test(program)


def test_a_socket_on_a_host_is_the_hosts_and_what_would_wait_there_says_what_to_use() -> None:
    async def program() -> None:
        a_socket()
        socket.create_server(("127.0.0.1", 0)).close()
        with pytest.raises(BlockedWorldError, match=r"would stop the world.*await host\.run_sync"):
            socket.create_connection(("server", 9))

    on_a_host(program)


def test_trios_networking_on_no_host_is_told_to_go_to_one() -> None:
    async def program() -> None:
        with pytest.raises(pystack.SealedError, match=r"await host\.run"):
            trio.socket.socket()
        with pytest.raises(pystack.SealedError, match=r"await host\.run"):
            await trio.open_tcp_stream("example.com", 80)
        with pytest.raises(pystack.SealedError, match="look-up"):
            await trio.socket.getnameinfo(("192.0.2.1", 80), 0)

    in_the_test(program)


def test_a_sealed_error_is_no_os_error_so_that_no_retry_hides_it() -> None:
    assert issubclass(pystack.SealedError, pystack.PystackError)
    assert not issubclass(pystack.SealedError, OSError)


def test_a_real_look_up_is_an_error_and_a_number_is_none() -> None:
    async def program() -> None:
        with pytest.raises(pystack.SealedError, match=r"look-up of 'example\.com'"):
            socket.getaddrinfo("example.com", 80)
        with pytest.raises(pystack.SealedError, match="look-up"):
            socket.gethostbyname("example.com")
        assert socket.getaddrinfo("192.0.2.1", 80)[0][4] == ("192.0.2.1", 80)
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("example.com", 80, flags=socket.AI_NUMERICHOST)

    in_the_test(program)


def test_a_thread_of_trios_is_still_on_the_host() -> None:
    def fetch() -> bytes:
        with socket.create_connection(("server", 80), timeout=5) as made:
            return made.recv(100)

    async def program() -> None:
        await trio.to_thread.run_sync(a_socket)
        with pytest.raises(ConnectionRefusedError):
            await trio.to_thread.run_sync(fetch)

    on_a_host(program)


def test_a_thread_that_is_started_on_no_host_is_in_no_network() -> None:
    caught: list[Exception] = []

    def in_thread() -> None:
        try:
            a_socket()
        except pystack.SealedError as error:
            caught.append(error)
        with pystack.unsealed():
            a_socket()

    async def program() -> None:
        thread = threading.Thread(target=in_thread)
        thread.start()
        thread.join()

    in_the_test(program)
    assert "in a thread" in str(caught[0])
    caught.clear()
    on_a_host(program)  # started there, it is there
    assert caught == []


def test_a_thread_from_before_is_nobodys_business() -> None:
    begin, done = threading.Event(), threading.Event()

    def in_thread() -> None:
        begin.wait(60)
        a_socket()
        done.set()

    thread = threading.Thread(target=in_thread)
    thread.start()

    async def program() -> None:
        begin.set()
        assert done.wait(60)

    on_a_host(program)
    thread.join()


def test_a_process_on_a_host_is_an_error_and_one_of_the_test_is_not() -> None:
    command = [sys.executable, "-c", ""]

    async def program() -> None:
        with pytest.raises(pystack.SealedError, match=r"net\.namespace"):
            subprocess.run(command, check=True)  # noqa: ASYNC221 - it is what is tested
        ctypes.util.find_library("c")  # by a process, which is no business of any network
        with pytest.raises(pystack.SealedError):
            await trio.run_process(command)
        with pytest.raises(pystack.SealedError):
            os.system("true")  # noqa: ASYNC221 - it is what is tested

    async def beside() -> None:
        subprocess.run(command, check=True)  # noqa: ASYNC221 - it is what is tested

    on_a_host(program)
    in_the_test(beside)


def test_the_output_of_a_process_that_is_let_through_can_be_read() -> None:
    async def program() -> bytes:
        done = subprocess.run(  # noqa: ASYNC221 - it is what is tested
            [sys.executable, "-c", "print(7)"], capture_output=True, check=True
        )
        return done.stdout.strip()

    async def main() -> bytes:
        async with pystack.Network(seed=1, seal=False) as net:
            return await net.host("a").run(program)

    assert pystack.run(main) == b"7"


@pytest.mark.parametrize("place", [on_a_host, in_the_test])
def test_unsealed_lets_through(place: Callable[[Program], None]) -> None:
    async def program() -> None:
        with pystack.unsealed():
            a_socket()
            subprocess.run([sys.executable, "-c", ""], check=True)  # noqa: ASYNC221 - it is what is tested
            with socket.socket() as real:
                assert type(real) is socket.socket
        with socket.socket(socket.AF_UNIX) as unix, pytest.raises(pystack.SealedError):
            unix.connect("/nowhere")

    place(program)


def test_without_a_seal_the_machine_is_there() -> None:
    async def program() -> None:
        a_socket()
        with trio.socket.socket(socket.AF_UNIX) as unix:
            assert unix.family == socket.AF_UNIX

    async def beside() -> None:
        with trio.socket.socket() as real:
            await real.bind(("127.0.0.1", 0))
            assert real.getsockname()[1] > 0

    on_a_host(program, seal=False)
    in_the_test(beside, seal=False)


def test_a_unix_socket_on_a_host_is_sealed_too_but_a_pair_reaches_nobody() -> None:
    async def program() -> None:
        with pytest.raises(pystack.SealedError):
            trio.socket.socket(socket.AF_UNIX)
        with socket.socket(socket.AF_UNIX) as unix, pytest.raises(pystack.SealedError):
            unix.connect("/nowhere")
        one, other = socket.socketpair()
        one.close()
        other.close()

    on_a_host(program)


def test_the_seal_ends_with_the_network() -> None:
    async def main() -> None:
        async with pair():
            with pytest.raises(pystack.SealedError):
                a_socket()
            async with pair():
                pass
            with pytest.raises(pystack.SealedError):
                a_socket()
        a_socket()

    in_virtual_time(main)
    a_socket()


def test_in_real_time_only_hosts_are_sealed() -> None:
    async def program() -> None:
        with socket.socket(socket.AF_UNIX) as unix, pytest.raises(pystack.SealedError):
            unix.connect("/nowhere")

    async def main() -> None:
        async with pair(delay="1ms") as world:
            with socket.socket(socket.AF_UNIX) as unix, pytest.raises(FileNotFoundError):
                unix.connect("/nowhere")
            await world.client.run(program)

    trio.run(main)

"""The ways out of a sealed network that libraries take: all of them end in the same error."""

import asyncio
import http.client
import multiprocessing
import os
import smtplib
import socket
import urllib.request
from collections.abc import Callable

import pytest
import trio
from worlds import in_virtual_time, pair

import pystack
from pystack.runtime.borrowed.clock import BlockedWorldError


def connect_a_socket_from_before(before: socket.socket) -> None:
    before.connect(("127.0.0.1", 9))


def send_from_a_socket_from_before(before: socket.socket) -> None:
    before.sendto(b"out", ("127.0.0.1", 9))


def ask_by_urllib(before: socket.socket) -> None:
    urllib.request.urlopen("http://server:9/", timeout=1)


def ask_by_http_client(before: socket.socket) -> None:
    http.client.HTTPConnection("server", 9, timeout=1).request("GET", "/")


def mail(before: socket.socket) -> None:
    smtplib.SMTP("server", 9, timeout=1)


def fork(before: socket.socket) -> None:
    if os.fork() == 0:
        os._exit(0)  # nothing of the tests may run twice


def start_a_process(before: socket.socket) -> None:
    multiprocessing.get_context("fork").Process(target=print).start()


@pytest.mark.parametrize(
    "way",
    [
        connect_a_socket_from_before,
        send_from_a_socket_from_before,
        ask_by_urllib,
        ask_by_http_client,
        mail,
        fork,
        start_a_process,
    ],
)
def test_none_of_them_gets_out(way: Callable[[socket.socket], None]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as before:

        async def main() -> None:
            async with pair() as world:

                async def program() -> None:
                    with pytest.raises((pystack.SealedError, BlockedWorldError)):
                        way(before)

                await world.client.run(program)

        in_virtual_time(main)


def test_trio_takes_a_socket_from_before_but_it_goes_nowhere() -> None:
    with socket.socket() as before:

        async def main() -> None:
            async with pair() as world:

                async def program() -> None:
                    wrapped = trio.socket.from_stdlib_socket(before)
                    with pytest.raises(pystack.SealedError):
                        await wrapped.connect(("127.0.0.1", 9))

                await world.client.run(program)

        in_virtual_time(main)


def test_asyncio_in_a_thread_is_on_the_host_too() -> None:
    async def in_asyncio() -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("10.0.0.2", 9)

    async def main() -> None:
        async with pair() as world:
            await world.client.run_sync(asyncio.run, in_asyncio())

    in_virtual_time(main)


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (socket.SOL_SOCKET, socket.SO_REUSEADDR),
        (socket.SOL_SOCKET, socket.SO_REUSEPORT),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.SOL_SOCKET, socket.SO_RCVBUF),
        (socket.SOL_SOCKET, socket.SO_SNDBUF),
        (socket.SOL_SOCKET, socket.SO_OOBINLINE),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY),
        (socket.IPPROTO_TCP, socket.TCP_CORK),
        (socket.IPPROTO_TCP, socket.TCP_QUICKACK),
        (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT),
        (socket.IPPROTO_IP, socket.IP_TOS),
        (socket.IPPROTO_IP, socket.IP_TTL),
    ],
)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_an_option_is_set_without_complaint(kind: socket.SocketKind, level: int, name: int) -> None:
    async def main() -> None:
        async with pair() as world:

            async def program() -> None:
                opened = trio.socket.socket(type=kind)
                if level == socket.IPPROTO_TCP and kind is socket.SOCK_DGRAM:
                    with pytest.raises(OSError, match="not available"):
                        opened.setsockopt(level, name, 1)
                    return
                opened.setsockopt(level, name, 1)
                assert isinstance(opened.getsockopt(level, name), int)
                assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == socket.AF_INET
                assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) in (6, 17)
                opened.close()
                assert opened.fileno() == -1

            await world.client.run(program)

    in_virtual_time(main)

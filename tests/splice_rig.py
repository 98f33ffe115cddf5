"""Kernel -> `left` -> link -> `right` -> kernel: what tests and benchmarks of splices run on."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

import pystack
from pystack.core.addresses import parse_ip
from pystack.core.counters import Counters
from pystack.runtime.splice.acceptor import Acceptor
from pystack.runtime.splice.connecting import connect
from pystack.runtime.splice.filters import Filter
from pystack.runtime.splice.poller import Poller
from pystack.runtime.splice.splice import Splice, SpliceResult
from pystack.runtime.splice.stack_side import StackAcceptor, connect_stack
from pystack.stack.ports import ANY
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.config import TcpConfig

PORT = 7000
RESET = struct.pack("ii", 1, 0)


class Rig:
    """Every connection to `address` goes through an emulated link, and on to `upstream`."""

    def __init__(
        self,
        net: pystack.Network,
        poller: Poller,
        upstream: tuple[str, int],
        link: pystack.Link | None = None,
    ) -> None:
        self.net, self.poller, self.upstream = net, poller, upstream
        self.left, self.right = net.hosts["left"], net.hosts["right"]
        self.counters = Counters()
        self.ended: list[SpliceResult] = []
        self._one_ended = trio.Event()
        self.splices: list[Splice] = []
        self.early = False  # splice before the stack's handshake is over
        self.make_filter: Callable[[], Filter] | None = None  # of the client's side
        listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.address: tuple[str, int] = listening.getsockname()
        self.acceptor = Acceptor(poller, listening, self.accepted, self.counters)
        right = self.right.stack
        self.inner = StackAcceptor(right, ANY, PORT, self.arrived, backlog=4096)
        self.right_address = parse_ip(str(self.right.address))

    def accepted(self, sock: socket.socket, address: object, now: float) -> None:
        def done(outcome: TcpSocket | OSError, now: float) -> None:
            if isinstance(outcome, OSError):
                sock.close()
                self.counters.add("rig_stack_failed")
            else:
                inward = None if self.make_filter is None else self.make_filter()
                self.join(sock, self.left, outcome, inward)

        if self.early:
            left = self.left.stack
            tcp = left.tcp.connect(self.right_address, PORT, now)
            left.tcp.pump(tcp, now)
            done(tcp, now)
            return
        connect_stack(self.left.stack, self.right_address, PORT, done, now)

    def arrived(self, tcp: TcpSocket, now: float) -> None:
        def done(outcome: socket.socket | OSError, now: float) -> None:
            if isinstance(outcome, OSError):
                self.counters.add("rig_kernel_failed")
                self.right.stack.tcp.abort(tcp, now)
                self.right.stack.tcp.release(tcp, now)
            else:
                self.join(outcome, self.right, tcp, None)

        connect(self.poller, socket.AF_INET, self.upstream, done, timeout_s=5)

    def join(
        self, sock: socket.socket, host: pystack.Host, tcp: TcpSocket, inward: Filter | None
    ) -> None:
        splice = Splice(self.poller, sock, host.stack, tcp, inward=inward, on_end=self._ended)
        self.splices.append(splice)

    def _ended(self, result: SpliceResult) -> None:
        self.ended.append(result)
        self._one_ended.set()
        self._one_ended = trio.Event()

    async def ends(self, count: int) -> list[SpliceResult]:
        """Wait until so many splices are over; return what became of them."""
        while len(self.ended) < count:
            await self._one_ended.wait()
        return self.ended


@asynccontextmanager
async def rig(
    upstream: tuple[str, int],
    *,
    tcp: TcpConfig | None = None,
    tasks: bool = False,
    offload: bool = True,
    ip: str = "4",
    **words: Any,  # noqa: ANN401 - as in `net.link`
) -> AsyncIterator[Rig]:
    """Run one; `tasks`: without epoll, `words`: of the link."""
    async with pystack.Network(seed=0, ip=ip) as net:
        left, right = (net.host(name, tcp=tcp) for name in ("left", "right"))
        net.link(left, right, offload=offload, **words)
        poller = Poller(net.driver, tasks=tasks)
        async with trio.open_nursery() as nursery:
            await nursery.start(poller.run)
            yield Rig(net, poller, upstream)
            nursery.cancel_scope.cancel()


class Place:
    """A rig with the machine's sockets at both of its ends."""

    def __init__(self, rig: Rig, listening: trio.SocketListener) -> None:
        self.rig = rig
        self.listening = listening
        self.streams: list[trio.SocketStream] = []

    async def connected(self) -> tuple[trio.SocketStream, trio.SocketStream]:
        """Return a connection's two ends: the client's and the upstream's."""
        client = await trio.open_tcp_stream(*self.rig.address)
        self.streams.append(client)
        server = await self.listening.accept()
        self.streams.append(server)
        return client, server


@asynccontextmanager
async def place(
    *,
    tcp: TcpConfig | None = None,
    tasks: bool = False,
    early: bool = False,
    ip: str = "4",
    **words: str,
) -> AsyncIterator[Place]:
    """Run a rig; nothing in it may take longer than a minute."""
    with trio.fail_after(60):
        (listening,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        address: tuple[str, int] = listening.socket.getsockname()
        async with rig(address, tcp=tcp, tasks=tasks, ip=ip, **words) as made:
            made.early = early
            here = Place(made, listening)
            try:
                yield here
            finally:
                for stream in here.streams:
                    stream.socket.close()
                await listening.aclose()


async def read_all(stream: trio.SocketStream) -> bytes:
    """Receive until the end."""
    return b"".join([data async for data in stream])


def reset(stream: trio.SocketStream) -> None:
    """Close with a reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    stream.socket.close()


def number_of(error: BaseException) -> int | None:
    """Return the errno that a stream broke with."""
    assert isinstance(error.__cause__, OSError)
    return error.__cause__.errno

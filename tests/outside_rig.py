"""A client, a link and a gateway that goes outside, to servers on the machine's loopback."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

import pystack
from pystack.core.addresses import parse_ip
from pystack.runtime.outside.outside import Outside
from pystack.stack.host import Host
from pystack.stack.intercept import HeldDatagram
from pystack.wire import ip, ipv4, udp

V4, V6 = "127.0.0.1", "::1"
INSIDE = {V4: "10.77.0.254", V6: "fd77::fe"}  # where the loopback is, seen from inside


class Place:
    """What a test of the outside has."""

    def __init__(self, net: pystack.Network, outside: Outside, nursery: trio.Nursery) -> None:
        self.net, self.outside, self.nursery = net, outside, nursery
        self.client, self.gateway = net.hosts["client"], net.hosts["gateway"]

    async def serve(
        self, handler: Callable[[trio.SocketStream], Awaitable[None]], address: str = V4
    ) -> tuple[str, int]:
        """Serve TCP on the machine's loopback; return where that is from inside."""
        [listener] = await trio.open_tcp_listeners(0, host=address)
        self.nursery.start_soon(trio.serve_listeners, handler, [listener])
        return INSIDE[address], listener.socket.getsockname()[1]

    async def serve_udp(
        self, reply: Callable[[bytes, Any], bytes | None], address: str = V4
    ) -> tuple[str, int]:
        """Answer datagrams on the machine's loopback; return where that is from inside."""
        sock = udp_socket(address)

        async def answer() -> None:
            with sock:
                while True:
                    data, peer = await sock.recvfrom(65536)
                    answer = reply(data, peer)
                    if answer is not None:
                        await sock.sendto(answer, peer)

        self.nursery.start_soon(answer)
        return INSIDE[address], sock.getsockname()[1]

    def count(self, name: str) -> int:
        """Return how often something was counted."""
        return self.outside.counters[f"outside_{name}"]


@asynccontextmanager
async def open_place(
    *,
    by_program: bool = False,
    **words: Any,  # noqa: ANN401 - those of `outside`
) -> AsyncIterator[Place]:
    """Open a network with a way outside, with a bound in time.

    `by_program`: a program of the client opens that.
    """
    with trio.fail_after(60):
        async with (
            pystack.Network(seed=7, subnet="10.77.0.0/24", subnet6="fd77::/64") as net,
            trio.open_nursery() as nursery,
        ):
            client = net.host("client")
            gateway = net.router("gateway", address="10.77.0.1/24", address6="fd77::1/64")
            net.link(client, gateway)
            words.setdefault("reach_loopback", True)
            outside = partial(net.outside, gateway, **words)
            yield Place(net, await (client.run(outside) if by_program else outside()), nursery)
            nursery.cancel_scope.cancel()


class Unwatched:
    """A poller that never calls back."""

    def watch(
        self, sock: socket.socket, ready: Callable[[int, float], None], events: int
    ) -> object:
        """Return what can be closed."""
        return Unwatch()


class Unwatch:
    """What it returns."""

    def close(self) -> None:
        """Do nothing."""


def held(port: int, dst_port: int, gateway: Host) -> HeldDatagram:
    """Return a datagram of one byte from a port inside to the machine's loopback."""
    src, dst = parse_ip("10.77.0.2"), parse_ip(INSIDE[V4])
    data = udp.pack(src, dst, port, dst_port, b"x")
    packet = ip.parse(ipv4.pack_header(src, dst, ipv4.UDP, len(data)) + data)
    return HeldDatagram(gateway, (src, port, dst, dst_port), b"x", packet)


def udp_socket(address: str) -> trio.socket.SocketType:
    """Return a socket of the machine that is bound to any port of an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.setblocking(False)
    return trio.socket.from_stdlib_socket(sock)


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """Return a port of the loopback at which nobody is."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((V4, 0))
        port: int = sock.getsockname()[1]
        return port


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that can only be asked for."""
    while not true():  # noqa: ASYNC110 - nobody else would say so
        await trio.sleep(0.001)

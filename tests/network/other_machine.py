"""What tests of links to other machines need: both ends, or one and a stranger, on the loopback."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest
import trio

import pystack
from pystack.runtime.network_link import NetworkLink

LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}
VERSIONS: Final = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
KEY: Final = "a secret of ours"


def place(version: int, port: int) -> str:
    host = LOOPBACK[version]
    return f"[{host}]:{port}" if version == 6 else f"{host}:{port}"


def free_ports(count: int, version: int = 4) -> list[int]:
    """Return ports of UDP that nobody has at the moment."""
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    socks = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(count)]
    for sock in socks:
        sock.bind((LOOPBACK[version], 0))
    ports: list[int] = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports


def run(main: Callable[[pystack.Network], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(60):
            async with pystack.Network(seed=7) as net:
                await main(net)

    trio.run(bounded)


async def until(condition: Callable[[], object]) -> None:
    """Return when it holds: what it waits for comes by the machine's sockets."""
    while not condition():
        await trio.lowlevel.checkpoint()


class Stranger:
    """A socket at the other end of a link, in whose place anybody may be."""

    def __init__(self, net: pystack.Network, version: int = 4, **words: object) -> None:
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((LOOPBACK[version], 0))
        (port,) = free_ports(1, version)
        own = self.socket.getsockname()[1]
        self.host = net.host("a", address="10.0.0.1/24", address6="fd00::1/64")
        self.link: NetworkLink = net.link(
            self.host,
            f"udp://{place(version, own)}",
            listen=place(version, port),
            **words,  # type: ignore[arg-type]
        )
        net.settle()
        self.socket.connect((LOOPBACK[version], port))
        self.socket.settimeout(60)

    def send(self, datagram: bytes) -> None:
        self.socket.send(datagram)

    async def receive(self) -> bytes:
        return await trio.to_thread.run_sync(self.socket.recv, 65536)

    async def counted(self, **expected: int) -> None:
        """Return when the link has counted so much, and nothing else."""
        total = sum(expected.values())
        await until(lambda: sum(self.link.counters.values()) >= total)
        assert self.link.counters == expected


@asynccontextmanager
async def stranger(
    net: pystack.Network, version: int = 4, **words: object
) -> AsyncIterator[Stranger]:
    found = Stranger(net, version, **words)
    with found.socket:
        yield found


@asynccontextmanager
async def two_sides(
    version: int = 4, keys: tuple[str | None, str | None] = (None, None), **words: object
) -> AsyncIterator[tuple[NetworkLink, NetworkLink]]:
    """Open two networks with one segment: hosts a and b, the words are those of a's side."""
    ports = free_ports(2, version)
    left_key, right_key = ({} if key is None else {"key": key} for key in keys)
    async with pystack.Network(seed=7) as left, pystack.Network(seed=7) as right:
        a = left.host("a", address="10.0.0.1/24", address6="fd00::1/64")
        b = right.host("a", address="10.0.0.2/24", address6="fd00::2/64")
        to_b, to_a = (f"udp://{place(version, port)}" for port in reversed(ports))
        at_a, at_b = (place(version, port) for port in ports)
        yield (
            left.link(a, to_b, listen=at_a, **left_key, **words),  # type: ignore[arg-type]
            right.link(to_a, b, listen=at_b, **right_key),  # type: ignore[arg-type]
        )


def hosts(*links: NetworkLink) -> list[pystack.Host]:
    return [link.network.hosts["a"] for link in links]

"""Small networks in virtual time, for programs that know nothing of it."""

import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import trio
import trustme

import pystack
from pystack.link.link import Link

SEED = 7
DELAY_S = 0.02
LOSSY = {"delay": "20ms", "loss": "3%"}


Status = trio.TaskStatus[object]


class Certificates:
    """A certificate authority, and the contexts of a server `server` and of its clients."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("server").configure_cert(self.server)
        # Not the default one: that reads all authorities of this machine, for 20 ms.
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self.client)


class Pair(NamedTuple):
    """Two hosts on one link."""

    net: pystack.Network
    client: pystack.Host
    server: pystack.Host
    link: Link


@contextlib.asynccontextmanager
async def pair(seed: int = SEED, *, seal: bool = True, **words: str) -> AsyncIterator[Pair]:
    """Open a sealed network of `client` and `server`; a lossy link unless told otherwise."""
    async with pystack.Network(seed=seed, seal=seal) as net:
        client, server = net.host("client"), net.host("server")
        yield Pair(net, client, server, net.link(client, server, **(words or LOSSY)))


def in_virtual_time(main: Callable[[], Awaitable[None]]) -> None:
    """Run `main` to its end, which takes no time; an error in it is raised as it is."""
    pystack.run(main, seed=SEED)


def digest(path: Path) -> str:
    """Return the sha256 of a capture."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def echo(stream: trio.abc.Stream) -> None:
    """Send everything back."""
    async for data in stream:
        await stream.send_all(data)

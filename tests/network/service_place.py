"""Where the clients of services are, and how what they do may end."""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import tftp_client
import trio

import pystack
from pystack.apps.troubles import PeerError

CLEAN: Final = (
    PeerError,
    OSError,
    EOFError,
    trio.BrokenResourceError,
    trio.EndOfChannel,
    pystack.Iperf3Error,
    tftp_client.TftpError,
)


class NotServedError(PeerError):
    """The server said no in its protocol's own words, or ended before the end."""


@dataclass(slots=True)
class Place:
    """Where a client is, and what there is to get."""

    client: pystack.Host
    server: pystack.Host
    root: Path
    rng: Random
    file: bytes  # what FILE holds
    asgi_port: int = 80

    @property
    def address(self) -> str:
        """Return where the server is."""
        return self.server.address

    async def connect(self, port: int) -> pystack.TcpStream:
        """Open a connection."""
        return await self.client.open_tcp_stream(self.address, port)


async def to_end(stream: trio.abc.ReceiveStream) -> bytes:
    """Return all that comes."""
    parts = []
    while data := await stream.receive_some(65536):
        parts.append(bytes(data))
    return b"".join(parts)

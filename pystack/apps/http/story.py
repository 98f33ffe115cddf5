"""What happened to one request on its way through the layers, as data.

A stream that can tell about itself is a `TellingStream`; `pystack.runtime.streams.TcpStream` is
one. For any other stream the story is that of the HTTP request alone.
"""

from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

import trio

from pystack.apps.http.messages import Request
from pystack.apps.tls_stream import TlsInfo, TlsStream
from pystack.runtime.streams import LinkInfo
from pystack.tcp.info import HandshakeSegment, TcpInfo


@runtime_checkable
class TellingStream(Protocol):
    """Just what the story needs of a stream."""

    @property
    def local_address(self) -> tuple[str, int]:
        """This end: address as text, port."""
        ...

    @property
    def remote_address(self) -> tuple[str, int]:
        """The peer's end."""
        ...

    @property
    def link(self) -> LinkInfo:
        """The link below."""
        ...

    @property
    def handshake(self) -> tuple[HandshakeSegment, ...]:
        """The segments that opened the connection, the oldest first."""
        ...

    def info(self) -> TcpInfo:
        """Return the connection's variables as they are now."""
        ...


@dataclass(frozen=True, slots=True)
class Connection:
    """The layers below HTTP."""

    link: LinkInfo
    local_address: tuple[str, int]
    remote_address: tuple[str, int]
    handshake: tuple[HandshakeSegment, ...]
    info: TcpInfo


@dataclass(frozen=True, slots=True)
class Story:
    """One request and the connection that carried it, at the moment of the answer."""

    now: float  # the world's time
    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]  # what is not UTF-8 is shown as escapes
    number: int  # of the request on its connection, from 1
    received_at: float
    connection: Connection | None  # None: the stream cannot tell
    tls: TlsInfo | None  # None: it was in clear

    def as_json(self) -> dict[str, object]:
        """Return the story as values that JSON has."""
        below: dict[str, object] = {"link": None, "network": None, "transport": None}
        if self.connection is not None:
            below = _connection_json(self.connection)
        return {
            "world_time_s": self.now,
            **below,
            "security": None if self.tls is None else _tls_json(self.tls),
            "application": {
                "protocol": f"HTTP/{self.version}",
                "method": self.method,
                "target": self.target,
                "headers": [list(header) for header in self.headers],
                "number_on_connection": self.number,
                "received_at_s": self.received_at,
            },
        }


def story_of(request: Request) -> Story:
    """Tell the story of `request` as it stands now."""
    stream = request.stream
    connection = tls = None
    if isinstance(stream, TlsStream):
        tls, stream = stream.tls, stream.transport
    if isinstance(stream, TellingStream):
        connection = Connection(
            stream.link,
            stream.local_address,
            stream.remote_address,
            stream.handshake,
            stream.info(),
        )
    return Story(
        now=trio.current_time(),
        method=request.method,
        target=request.target,
        version=request.version,
        headers=tuple((_text(name), _text(value)) for name, value in request.raw_headers),
        number=request.number,
        received_at=request.received_at,
        connection=connection,
        tls=tls,
    )


def _tls_json(tls: TlsInfo) -> dict[str, object]:
    return {
        "protocol": tls.version,
        "cipher": tls.cipher,
        "alpn": tls.alpn,
        "server_name": tls.server_name,
        "resumed": tls.is_resumed,
    }


def _connection_json(connection: Connection) -> dict[str, object]:
    info, link = connection.info, connection.link
    variables = asdict(info) | {"state": info.state.value}
    return {
        "link": {
            "interface": link.interface,
            "local_mac": link.local_mac,
            "remote_mac": link.remote_mac,
            "mtu_bytes": link.mtu_bytes,
            "via": link.via,
        },
        "network": {
            "protocol": "IPv6" if ":" in connection.local_address[0] else "IPv4",
            "local_address": connection.local_address[0],
            "remote_address": connection.remote_address[0],
        },
        "transport": {
            "protocol": "TCP",
            "local_port": connection.local_address[1],
            "remote_port": connection.remote_address[1],
            "handshake": [asdict(segment) for segment in connection.handshake],
            "info": variables,
        },
    }


def _text(raw: bytes) -> str:
    return bytes(raw).decode("utf-8", "backslashreplace")

"""Serves the API, or metrics alone, on sockets of this machine.

So many connections at most: when one more comes, the one that has been waited for longest goes;
where all are being answered, the new one. Who holds connections open, and says nothing, keeps
nobody else out.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass, field
from typing import Final

import trio

from pystack.apps.http.messages import Body, Handler, HttpError, Request, Response
from pystack.apps.http.server import serve_connection
from pystack.apps.limits import Limits
from pystack.apps.proxy.api import metrics
from pystack.apps.proxy.api.address import LOOPBACK, ApiAddress
from pystack.apps.proxy.api.routes import MOST_BODY_BYTES, Api
from pystack.apps.proxy.proxies import Proxies
from pystack.core.addresses import host_port
from pystack.core.errors import DeviceError

MOST_CONNECTIONS: Final = 250
LIMITS: Final = Limits(
    body_bytes=MOST_BODY_BYTES, header_s=10.0, body_s=10.0, send_s=30.0, linger_bytes=1 << 20
)
_PORT_TRIES: Final = 8  # for a free port that is free for both versions of IP

_log: Final = logging.getLogger("pystack.proxy.api")


class ApiServer:
    """Toxiproxy's API over proxies."""

    def __init__(self, proxies: Proxies, address: ApiAddress | None = None) -> None:
        """`address`: None is the usual one, 8474 on the loopback."""
        self._server = _Server(Api(proxies), address or ApiAddress(), "--api")

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; what it starts with is its URL. Raises DeviceError."""
        address = self._server.address
        if not address.is_loopback:
            _log.warning(
                "%s: everybody who reaches this address can make proxies, change them and end "
                "them: there are no passwords",
                address,
            )
        await self._server.run(task_status)


class MetricsServer:
    """Metrics of proxies, and nothing else: `GET /metrics`."""

    def __init__(self, proxies: Proxies, address: ApiAddress) -> None:
        self._proxies = proxies
        self._server = _Server(self._answer, address, "--metrics")

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; what it starts with is its URL. Raises DeviceError."""
        await self._server.run(task_status)

    async def _answer(self, request: Request) -> Response:
        if request.path != "/metrics":
            raise HttpError(404, "What is here is /metrics.")
        if request.method not in ("GET", "HEAD"):
            raise HttpError(405, "Allowed: GET, HEAD.", [("Allow", "GET, HEAD")])
        return Response(200, metrics.text_of(self._proxies).encode(), metrics.CONTENT_TYPE)


@dataclass(slots=True, eq=False)
class _Client:
    """A connection. It is waited for unless a request of it, with its body, is being answered."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    is_busy: bool = False


class _Body(Body):
    """A body whose client is waited for until it is there."""

    __slots__ = ("_client",)

    def __init__(self, body: Body, client: _Client) -> None:
        super().__init__(body.source)
        self._client = client

    async def read(self, max_bytes: int = MOST_BODY_BYTES) -> bytes:
        """Return the whole body."""
        whole = await super().read(max_bytes)
        self._client.is_busy = True
        return whole


class _Server:
    """Listens, and gives each connection its place."""

    def __init__(self, handler: Handler, address: ApiAddress, option: str) -> None:
        self.address = address
        self._handler = handler
        self._option = option
        # The one that was heard of last is the last.
        self._clients: dict[_Client, None] = {}
        self._is_full = False  # and has said so

    async def run(self, task_status: trio.TaskStatus[str]) -> None:
        listeners = await self._listen()
        port = listeners[0].socket.getsockname()[1]
        task_status.started(f"http://{host_port(self.address.hosts[0], port)}")
        await trio.serve_listeners(self._serve, listeners)

    async def _listen(self) -> list[trio.SocketListener]:
        """Return sockets for each host, with one port for all. Raises DeviceError."""
        for attempt in range(_PORT_TRIES):
            listeners: list[trio.SocketListener] = []
            port = self.address.port
            for host in self.address.hosts:
                try:
                    opened = await trio.open_tcp_listeners(port, host=host)
                except OSError as error:
                    if listeners and _is_absent(error):
                        continue  # a machine without IPv6, on which ::1 is nobody's
                    for listener in listeners:
                        await listener.aclose()
                    if self.address.port == 0 and listeners and attempt < _PORT_TRIES - 1:
                        break
                    raise self._cannot_listen(host, port, error) from None
                listeners.extend(opened)
                port = listeners[0].socket.getsockname()[1]
            else:
                return listeners
        raise AssertionError("the last attempt returns or raises")

    def _cannot_listen(self, host: str, port: int, error: OSError) -> DeviceError:
        why = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            why = "it is taken; another port goes as in " + (
                f"{self._option} {host_port('127.0.0.1' if host in LOOPBACK else host, port + 1)}"
            )
        return DeviceError(f"{self._option} {host_port(host, port)}: {why}")

    async def _serve(self, stream: trio.SocketStream) -> None:
        if len(self._clients) >= MOST_CONNECTIONS and not self._made_room():
            if not self._is_full:  # once, not for each of a crowd
                _log.warning(
                    "%s: connections are refused: %d are being answered",
                    self._option,
                    MOST_CONNECTIONS,
                )
            self._is_full = True
            await trio.aclose_forcefully(stream)
            return
        self._is_full = False
        client = _Client()
        self._clients[client] = None

        async def answer(request: Request) -> Response:
            client.is_busy = not _may_have_body(request)
            request.body = _Body(request.body, client)
            try:
                return await self._handler(request)
            finally:
                client.is_busy = False
                self._clients[client] = self._clients.pop(client, None)

        try:
            with client.scope:
                await serve_connection(stream, answer, limits=LIMITS)
            if client.scope.cancelled_caught:
                await trio.aclose_forcefully(stream)
        finally:
            self._clients.pop(client, None)

    def _made_room(self) -> bool:
        """Send away who is waited for longest; False: all are being answered."""
        for client in self._clients:
            if not client.is_busy:
                del self._clients[client]
                client.scope.cancel()
                return True
        return False


def _may_have_body(request: Request) -> bool:
    length = request.header("content-length")
    no_length = length is None and request.header("transfer-encoding") is None
    return request.version == "2" if no_length else length != "0"


def _is_absent(error: OSError) -> bool:
    return error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

"""The live page of a lab, on this machine's loopback: `pystack lab run FILE --web`.

It is the same page, served by the same code; but its connections are those of the machine, by
Trio's own sockets, so that it needs no root, and goes on while the lab is paused.
"""

from __future__ import annotations

import errno
import ipaddress
from typing import TYPE_CHECKING, Final

import trio

from pystack.apps.http.messages import HttpError, Request, Response
from pystack.apps.http.server import serve_connection
from pystack.apps.live.endpoint import LiveSite
from pystack.apps.live.feed import Feed
from pystack.apps.live.world import NetworkWorld
from pystack.core.addresses import host_port
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError, DeviceError
from pystack.core.extras import need

if TYPE_CHECKING:
    from pystack.runtime.control.control import Control
    from pystack.runtime.network import Network

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8077
MOST_CONNECTIONS: Final = 250
_HIGHEST_PORT: Final = 65535


def parse_address(text: str) -> tuple[str, int]:
    """Read "", "8080", "127.0.0.1", "[::1]:8080", "localhost:8080". Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        host, colon, port = text, "", ""
    elif not colon:
        host, port = ("", text) if text.isdigit() else (text, "")
    host = host.removeprefix("[").removesuffix("]") or DEFAULT_HOST
    number = int(port) if port.isdigit() and len(port) < 6 else DEFAULT_PORT if not port else -1
    if not 0 <= number <= _HIGHEST_PORT:
        raise ConfigError(f"--web {text}: a port is a number up to {_HIGHEST_PORT}")
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigError(
            f"--web {text}: it shows what runs here to this machine alone: use 127.0.0.1 or ::1"
        )
    return (DEFAULT_HOST if host == "localhost" else host), number


class Page:
    """Serves the page of one lab."""

    def __init__(self, address: tuple[str, int], *, title: str = "lab") -> None:
        """Raises ConfigError: a package is not there."""
        need("h11", "the live page")
        need("wsproto", "the live page")
        self._address = address
        self._title = title
        self._live = LiveSite()
        self._counters = Counters()
        self._feed: Feed | None = None  # None: it does not run yet

    async def run(
        self,
        network: Network,
        control: Control | None = None,
        *,
        task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; what it starts with is a line that says where. DeviceError.

        `control`: what whoever opens the address in that line may do; None: only look.
        """
        self._feed = Feed(NetworkWorld(network, self._title))
        fragment = "" if control is None else self._feed.allow(control)
        host, port = self._address
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            why = (
                "it is taken"
                if error.errno == errno.EADDRINUSE
                else error.strerror or "it cannot be had"
            )
            raise DeviceError(f"--web {host}:{port}: {why}") from None
        port = listeners[0].socket.getsockname()[1]
        room = trio.CapacityLimiter(MOST_CONNECTIONS)

        async def serve(stream: trio.SocketStream) -> None:
            async with room:
                await serve_connection(stream, self._answer, counters=self._counters)

        task_status.started(f"live: http://{host_port(host, port)}/live{fragment}")
        await trio.serve_listeners(serve, listeners)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise HttpError(405, "Allowed: GET, HEAD.", [("Allow", "GET, HEAD")])
        if request.path == "/":
            response = Response.text("The page is at /live\n", 303)
            response.headers = [("Location", "/live")]
            return response
        if request.path != "/live" and not request.path.startswith("/live/"):
            raise HttpError(404, "The page is at /live.")
        feed = self._feed
        assert feed is not None
        return await self._live.answer(request, lambda _: feed, self._counters)

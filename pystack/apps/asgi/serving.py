"""`serve`: an application on a port of whatever host it is called on; and what both ways share."""

from __future__ import annotations

import logging
import ssl
from functools import partial
from typing import Any, Final, TypeAlias

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from pystack.apps.asgi.application import Application, wrapped
from pystack.apps.asgi.connection import AsgiConnection, Ends
from pystack.apps.asgi.lifespan import while_alive
from pystack.apps.tls import TlsStream
from pystack.apps.troubles import OF_A_PEER, in_words
from pystack.core.counters import Counters
from pystack.runtime.driver.virtual import VirtualClock

Listeners: TypeAlias = list[trio.abc.Listener[Any]]  # of plain streams

SHUTDOWN_S: Final = 10.0  # what an application gets to end
IDLE_S: Final = 15.0  # between requests, a head included: there is one bound for both
PING_S: Final = 30.0  # between pings of a WebSocket

_log: Final = logging.getLogger("pystack.apps.asgi")


def quiet_config() -> Config:
    """Return what `serve` tells hypercorn unless told otherwise: no access log, errors to logging.

    In virtual time there is no `Date` in the answers, for it would be that of the machine.
    """
    config = Config()
    config.accesslog = None
    config.errorlog = _log
    config.include_date_header = not isinstance(trio.lowlevel.current_clock(), VirtualClock)
    config.keep_alive_timeout = IDLE_S
    config.shutdown_timeout = SHUTDOWN_S
    config.websocket_ping_interval = PING_S
    return config


async def serve(
    app: Application,
    port: int,
    *,
    host: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    config: Config | None = None,
    task_status: trio.TaskStatus[Listeners] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until cancelled: HTTP/1.1, WebSocket, and HTTP/2 over TLS.

    Its lifespan is run: `started` is told after the application's start-up, and its shutdown
    happens when this is cancelled. With an `ssl_context` it is HTTPS; the context says which
    protocols ALPN offers.

    Raises AsgiStartupError where the application refuses to start, ConfigError where it needs
    asyncio, OSError for the port.
    """
    config = config if config is not None else quiet_config()
    runnable = wrapped(app, "the application")

    async def run(state: ConnectionState) -> None:
        handler = Connections(runnable, config, state)
        listeners: Listeners = [*await trio.open_tcp_listeners(port, host=host)]
        converse = partial(_converse, handler, ssl_context)
        await trio.serve_listeners(converse, listeners, task_status=task_status)

    await while_alive(runnable, config, run)


class Connections:
    """What all connections of an application have in common."""

    def __init__(self, app: ASGIWrapper, config: Config, state: ConnectionState) -> None:
        """`state`: what the lifespan has left for the requests."""
        self._app = app
        self._config = config
        self._state = state
        self._context = WorkerContext(None)
        self.counters = Counters()

    async def serve(self, stream: trio.abc.HalfCloseableStream, ends: Ends) -> None:
        """Serve one; the caller closes the stream."""
        await AsgiConnection(
            self._app, self._config, self._context, self._state, stream, ends, self.counters
        ).run()


async def _converse(
    connections: Connections, context: ssl.SSLContext | None, stream: trio.SocketStream
) -> None:
    """Serve a connection that a listener of Trio's has accepted."""
    client, server = stream.socket.getpeername()[:2], stream.socket.getsockname()[:2]
    try:
        async with stream:
            if context is None:
                await connections.serve(stream, Ends(client, server, False))
                return
            tls = TlsStream(stream, context, server_side=True)
            await tls.do_handshake()
            await connections.serve(tls, Ends(client, server, True, tls.tls.alpn))
            await tls.aclose()
    except* OF_A_PEER as group:
        _log.debug("the client went away: %s", in_words(group))

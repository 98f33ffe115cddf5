"""ASGI applications on a host, by hypercorn.

Those that run on Trio: of Starlette, FastAPI, Litestar and Falcon, each was tried. Quart and Django
need asyncio, whoever serves them; here they answer every request with 500.

hypercorn's own `serve` opens sockets of the operating system, past Trio; its protocol code needs
none. So it is given connections that Trio accepted, on whatever host `serve` runs::

    await server.start(pystack.apps.asgi.serve, app, 80)

It needs the extra `pystack-net[asgi]`.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

import trio

from pystack.core.errors import PystackError
from pystack.runtime.virtual import VirtualClock

try:
    from hypercorn.app_wrappers import ASGIWrapper
    from hypercorn.config import Config
    from hypercorn.trio.lifespan import Lifespan
    from hypercorn.trio.tcp_server import TCPServer
    from hypercorn.trio.worker_context import WorkerContext
    from hypercorn.typing import ASGISendEvent, ConnectionState, LifespanState
    from hypercorn.utils import LifespanFailureError
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "pystack.apps.asgi needs hypercorn: pip install 'pystack-net[asgi]'", name=error.name
    ) from error

_log: Final = logging.getLogger("pystack.apps.asgi")

# What ASGI calls an application: scopes and messages are dictionaries of whatever they hold.
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Listeners: TypeAlias = list[trio.abc.Listener[Any]]  # of plain streams, or of TLS


class AsgiStartupError(PystackError, RuntimeError):
    """The application's lifespan said that it can't start."""


def quiet_config() -> Config:
    """Return what `serve` tells hypercorn unless told otherwise: no access log, errors to logging.

    In virtual time there is no `Date` in the answers, for it would be that of the machine.
    """
    config = Config()
    config.accesslog = None
    config.errorlog = _log
    config.include_date_header = not isinstance(trio.lowlevel.current_clock(), VirtualClock)
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

    Raises AsgiStartupError where the application refuses to start, OSError for the port.
    """
    config = config if config is not None else quiet_config()
    state: LifespanState = {}
    wrapped = ASGIWrapper(app)
    lifespan = _Lifespan(wrapped, config, state)
    living = trio.CancelScope(shield=True)  # it outlives the serving: the shutdown is still to come
    failure: Exception | None = None  # None: it could start
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_live, lifespan, living)
        try:
            listeners = await _started(lifespan, port, host, ssl_context)
            shared = ConnectionState(state.copy())
            handler = partial(TCPServer, wrapped, config, WorkerContext(None), shared)
            await trio.serve_listeners(handler, listeners, task_status=task_status)
        except (AsgiStartupError, OSError) as error:
            failure = error  # raised below, where the nursery puts no group around it
        finally:
            with trio.CancelScope(shield=True):
                if lifespan.refusal is None:
                    await lifespan.wait_for_shutdown()
            living.cancel()
    if failure is not None:
        raise failure


class _Lifespan(Lifespan):
    """hypercorn's, which also remembers why the application refused to start."""

    refusal: str | None = None  # None: it has not

    async def asgi_send(self, message: ASGISendEvent) -> None:
        """Take what the application says."""
        if message["type"] == "lifespan.startup.failed":
            self.refusal = message.get("message", "")
        await super().asgi_send(message)


async def _live(lifespan: Lifespan, living: trio.CancelScope) -> None:
    with living, suppress(LifespanFailureError):
        await lifespan.handle_lifespan()


async def _started(
    lifespan: _Lifespan, port: int, host: str | None, context: ssl.SSLContext | None
) -> Listeners:
    await lifespan.wait_for_startup()
    if lifespan.refusal is not None:
        raise AsgiStartupError(f"the application refused to start: {lifespan.refusal}")
    return await _listen(port, host, context)


async def _listen(port: int, host: str | None, context: ssl.SSLContext | None) -> Listeners:
    listeners = await trio.open_tcp_listeners(port, host=host)
    if context is None:
        return [*listeners]
    return [trio.SSLListener(each, context, https_compatible=True) for each in listeners]

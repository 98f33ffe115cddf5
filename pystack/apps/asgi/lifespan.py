"""An application's lifespan: its start-up before anything is served, its shutdown afterwards."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.typing import ASGISendEvent, ConnectionState, LifespanState
from hypercorn.utils import LifespanFailureError, LifespanTimeoutError

from pystack.apps.asgi.application import AsyncioNeededError
from pystack.core.errors import PystackError

_log: Final = logging.getLogger("pystack.apps.asgi")


class AsgiStartupError(PystackError, RuntimeError):
    """The application's lifespan said that it can't start."""


async def while_alive(
    app: ASGIWrapper, config: Config, run: Callable[[ConnectionState], Awaitable[None]]
) -> None:
    """Start the application, run something with what it left for its requests, shut it down.

    Raises AsgiStartupError, ConfigError where it needs asyncio, and any OSError of `run`.
    """
    state: LifespanState = {}
    lifespan = _Lifespan(app, config, state)
    living = trio.CancelScope(shield=True)  # it outlives the serving: the shutdown is still to come
    failure: Exception | None = None  # None: it could start
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_live, lifespan, living)
        try:
            await _start(lifespan, config)
            await run(ConnectionState(state.copy()))
        except (AsgiStartupError, AsyncioNeededError, OSError) as error:
            failure = error  # raised below, where the nursery puts no group around it
        finally:
            with trio.CancelScope(shield=True):
                if lifespan.refusal is None:
                    await _shut_down(lifespan)
            living.cancel()
    if failure is not None:
        raise failure


class _Lifespan(Lifespan):
    """hypercorn's, which also remembers why the application refused to start."""

    refusal: str | None = None  # None: it has not
    asyncio_needed: AsyncioNeededError | None = None  # None: it has not said so

    async def asgi_send(self, message: ASGISendEvent) -> None:
        """Take what the application says."""
        if message["type"] == "lifespan.startup.failed":
            self.refusal = message.get("message", "")
        await super().asgi_send(message)


async def _live(lifespan: _Lifespan, living: trio.CancelScope) -> None:
    app = lifespan.app

    async def noting(*arguments: object) -> None:
        try:
            await app(*arguments)  # type: ignore[arg-type]
        except AsyncioNeededError as error:
            lifespan.asyncio_needed = error
            raise LifespanFailureError("startup", str(error)) from None

    lifespan.app = noting  # type: ignore[assignment]
    with living, suppress(LifespanFailureError):
        await lifespan.handle_lifespan()


async def _start(lifespan: _Lifespan, config: Config) -> None:
    try:
        # An application that has no lifespan may have ended before it is told.
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await lifespan.wait_for_startup()
    except LifespanTimeoutError:
        words = f"the application has not started within {config.startup_timeout:g} s"
        raise AsgiStartupError(words) from None
    if lifespan.asyncio_needed is not None:
        raise lifespan.asyncio_needed
    if lifespan.refusal is not None:
        raise AsgiStartupError(f"the application refused to start: {lifespan.refusal}")


async def _shut_down(lifespan: _Lifespan) -> None:
    try:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await lifespan.wait_for_shutdown()
    except LifespanTimeoutError:
        _log.error("the application has not shut down in time, and is ended")

"""Servers that are programs of the libraries themselves, on a host each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import trio

import pystack
from servers.connection import Serve

Main = Callable[[], Coroutine[Any, Any, object]]
# Until it listens: far more than it takes, and less than until the client's line goes dead
READY_S: Final = 0.5


def on_trio(main: Callable[[], Awaitable[object]]) -> Serve:
    """Return what runs a program that serves, on Trio."""

    async def serve(host: pystack.Host) -> None:
        host.start_soon(main)
        await trio.sleep(READY_S)

    return serve


def on_asyncio(main: Main) -> Serve:
    """Return what runs a program that serves, on asyncio."""

    async def serve(host: pystack.Host) -> None:
        host.start_soon(host.run_asyncio, main)
        await trio.sleep(READY_S)

    return serve


def blocking(main: Callable[[], object]) -> Serve:
    """Return what runs a program that serves, in a thread."""

    async def serve(host: pystack.Host) -> None:
        host.start_soon(host.run_sync, main)
        await trio.sleep(READY_S)

    return serve

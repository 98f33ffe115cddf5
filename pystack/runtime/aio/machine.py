"""Descriptors of the machine, which a program gives to `add_reader` and `add_writer`.

In real time Trio waits for them. In virtual time nothing comes from outside: they are refused.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from typing import TYPE_CHECKING, Any, Literal

import trio

from pystack.core.errors import error_of
from pystack.runtime.aio.selector import number_of
from pystack.runtime.driver.waiting import describe_waits
from pystack.runtime.socket.seal import SealedError

if TYPE_CHECKING:
    from pystack.runtime.aio.loop import EventLoop

Way = Literal["r", "w"]


class MachineDescriptors:
    """Those that one event loop waits for."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._waits: dict[tuple[int, Way], tuple[asyncio.Handle, trio.CancelScope]] = {}

    def add(self, fd: Any, way: Way, handle: asyncio.Handle) -> asyncio.Handle:  # noqa: ANN401
        """Call back whenever it is ready. SealedError in virtual time; OSError as epoll's."""
        hub = self._loop.hub
        if hub is None or hub.nursery is None or hub.driver.is_virtual:
            raise SealedError(
                f"descriptor {fd!r} is the machine's, and nothing comes from there while time is "
                "virtual: wait for sockets of hosts, or run in real time (trio.run, "
                "EventLoop(real_time=True))"
            )
        number = number_of(fd)
        mode = os.fstat(number).st_mode  # EBADF
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            raise error_of(errno.EPERM)  # as epoll: they are always ready
        self.remove(number, way)
        scope = trio.CancelScope(shield=True)
        self._waits[number, way] = handle, scope
        hub.crossings.add(scope)
        hub.nursery.start_soon(self._wait, number, way, handle, scope)
        return handle

    def remove(self, fd: Any, way: Way) -> bool:  # noqa: ANN401
        """Wait for it no more; False: it was not waited for."""
        handle, scope = self._waits.pop((number_of(fd), way), (None, None))
        if handle is None or scope is None:
            return False
        handle.cancel()
        scope.cancel()
        return True

    async def _wait(
        self, fd: int, way: Way, handle: asyncio.Handle, scope: trio.CancelScope
    ) -> None:
        describe_waits(trio.lowlevel.current_task(), tuple)
        loop = self._loop
        ready = trio.lowlevel.wait_readable if way == "r" else trio.lowlevel.wait_writable
        with scope:
            while not handle.cancelled():
                try:
                    await ready(fd)
                except (OSError, trio.BusyResourceError) as error:
                    self._waits.pop((fd, way), None)
                    words = f"descriptor {fd} cannot be waited for any more"
                    loop.call_exception_handler({"message": words, "exception": error})
                    break
                if not handle.cancelled() and loop.hub is not None:
                    loop.call_handle(handle)
                    loop.hub.wake()
                    await trio.lowlevel.checkpoint()  # it is called before the next look
        if loop.hub is not None:
            loop.hub.crossings.discard(scope)

"""`select` of the standard library: on a host it looks at the sockets of that host.

`selectors` stands on it, and so do loops of asyncio that run in a thread.
"""

from __future__ import annotations

import select
import selectors
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pystack.runtime.borrowed.loan import Borrow
from pystack.runtime.borrowed.sockets import host_of_code
from pystack.runtime.socket import polling
from pystack.runtime.socket.descriptors import FIRST
from pystack.runtime.socket.waits import in_trios_thread

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

Function = Callable[..., Any]


def lend(borrow: Borrow) -> None:
    """Lend select, poll and epoll, as far as there are such."""
    polling._real_select = borrow.function(select.select, _select)
    if hasattr(select, "poll"):
        polling._real_poll = borrow.function(select.poll, _poll)
    if hasattr(select, "epoll"):
        by_host = _epoll_by_host(select.epoll)
        borrow.attribute(select, "epoll", by_host)
        borrow.attribute(selectors.EpollSelector, "_selector_cls", by_host)


def _select(original: Function) -> Function:
    def select_by_host(
        readers: Iterable[object],
        writers: Iterable[object],
        others: Iterable[object],
        timeout: float | None = None,
        /,
    ) -> object:
        here = host_of_code()
        if here is None or not _is_ours(here, sets := (list(readers), list(writers), list(others))):
            return original(readers, writers, others, timeout)
        if timeout is not None and timeout < 0:
            raise ValueError("timeout must be non-negative")
        return polling.select_on(here, *sets, timeout)

    return select_by_host


def _is_ours(here: BareHost, sets: Iterable[list[Any]]) -> bool:
    """Tell whether it is for us: what Trio's thread asks of the machine alone is not."""
    return not in_trios_thread() or any(
        polling.number_of(file) >= FIRST for files in sets for file in files
    )


def _poll(original: Function) -> Function:
    def poll_by_host() -> object:
        here = host_of_code()
        return original() if here is None else polling.Poll(here)

    return poll_by_host


def _epoll_by_host(original: Any) -> Any:  # noqa: ANN401 - a type of select's, on Linux alone
    class ByHost(type):
        def __call__(cls, sizehint: int = -1, flags: int = 0) -> object:
            here = host_of_code()
            if here is None:
                return original(sizehint, flags)
            return polling.Epoll(here, sizehint, flags)

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, original | polling.Epoll)

        def __getattr__(cls, name: str) -> object:
            return getattr(original, name)

    return ByHost("epoll", (), {"__module__": "select", "__doc__": original.__doc__})

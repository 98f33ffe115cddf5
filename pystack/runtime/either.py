"""Methods of Trio's that can be awaited from asyncio as well, where the event loop is ours.

In Trio, and as long as no program of asyncio runs, they cost one call more, and import nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import sniffio

P = ParamSpec("P")
T = TypeVar("T")
Self = TypeVar("Self")

End = Callable[
    [Self, type[BaseException] | None, BaseException | None, TracebackType | None],
    Coroutine[Any, Any, bool | None],
]


def in_asyncio() -> bool:
    """Tell whether it is a program of asyncio that runs now, in an event loop of ours."""
    return sniffio.thread_local.name == "asyncio"


def either(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let a function of Trio's be awaited from asyncio too: it runs in Trio, and is waited for."""

    @wraps(method)
    async def call(*args: P.args, **words: P.kwargs) -> T:
        if not in_asyncio():
            return await method(*args, **words)
        from pystack.runtime.aio import keeper  # it imports asyncio

        result: T = await keeper.call(partial(method, *args, **words))
        return result

    return call


def either_opens(
    method: Callable[[Self], Coroutine[Any, Any, T]],
) -> Callable[[Self], Coroutine[Any, Any, T]]:
    """Let an `__aenter__` of Trio's be awaited from asyncio too; see `keeper.Keeper`."""

    @wraps(method)
    async def open_it(self: Self) -> T:
        if not in_asyncio():
            return await method(self)
        from pystack.runtime.aio import keeper

        kept = keeper.Keeper(self)  # type: ignore[arg-type]
        result: T = await kept.open()
        vars(self)["_keeper"] = kept
        return result

    return open_it


def either_ends(method: End[Self]) -> End[Self]:
    """Let the `__aexit__` of the same be awaited from there."""

    @wraps(method)
    async def end(
        self: Self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        # A block of asyncio's may also be forgotten, when nothing runs any more.
        is_theirs = in_asyncio() or ("_keeper" in vars(self) and isinstance(error, GeneratorExit))
        if not is_theirs:
            return await method(self, kind, error, traceback)
        ended: bool | None = await vars(self).pop("_keeper").end(kind, error, traceback)
        return ended

    return end

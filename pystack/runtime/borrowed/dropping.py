"""Drop a coroutine where it waits: what it holds is let go, and none of its clean-ups run.

Python promises `finally` to whoever waits in one: closing a coroutine, or only forgetting it, runs
them. But which handlers a frame has is looked up in the exception table of its code at the moment
when an error comes by (CPython 3.11 and newer). For as long as it takes to
close the coroutine, the tables of all that it waits in are empty, so the error meets nobody:
no `finally`, no `except`, no `with`. Objects that nobody else holds are finalized as ever
(`__del__`; an open file is flushed).
"""

from __future__ import annotations

import ctypes
import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from contextlib import _GeneratorContextManagerBase as Generated
from types import AsyncGeneratorType, CodeType, CoroutineType, GeneratorType, MethodType
from typing import Any, Final, Protocol, runtime_checkable

from pystack.core.errors import ConfigError
from pystack.runtime.borrowed.wiring import check_supported

# Calls a function at this instant, as soon as no task runs
Later = Callable[[Callable[[], None]], object]

_NONE_HANDLED: Final = b""  # an exception table
_WORD_BYTES: Final = ctypes.sizeof(ctypes.c_void_p)
# Steps of an async generator that are under way: types without a name of their own
_STEPS: Final = ("async_generator_asend", "async_generator_athrow", "coroutine_wrapper")


@runtime_checkable
class Droppable(Protocol):
    """Something in the middle of what a coroutine awaits, which is no coroutine."""

    def dropped(self) -> object:
        """Take note that it goes; return what it awaits itself."""
        ...


def drop(coroutine: object) -> None:
    """Drop a coroutine that is suspended, with all that it awaits or has entered.

    One that runs or has ended is left alone. Raises ConfigError where Python is not CPython.
    """
    found = list(_suspended(coroutine))
    codes = {code for each in found if (code := _code_of(each)) is not None}
    with without_handlers(codes):
        for each in reversed(found):  # the innermost first: then nothing is handed on
            with suppress(BaseException):  # GeneratorExit itself, which nobody has caught
                if isinstance(each, CoroutineType | GeneratorType):
                    each.close()
                elif isinstance(each, AsyncGeneratorType):
                    each.aclose().send(None)
                else:
                    each.throw(GeneratorExit)


def check_droppable() -> None:
    """Raise ConfigError where coroutines cannot be dropped."""
    try:
        check_supported()
        _table_at()
    except (ConfigError, LookupError):
        raise ConfigError(
            "programs that end without their clean-ups (crash=True) can be had with CPython alone: "
            "leave out crash"
        ) from None


def _suspended(coroutine: object) -> Iterator[Any]:
    """Yield what a coroutine is waiting in, outermost first, and what it has entered.

    Coroutines, generators, and steps of async generators that are under way.
    """
    seen: set[int] = set()
    ahead: list[object] = [coroutine]
    kept: list[object] = []  # as long as ids are compared
    while ahead:
        each = ahead.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        kept.append(each)
        if _code_of(each) is not None or type(each).__name__ in _STEPS:
            yield each
            ahead += gc.get_referents(each)
        elif isinstance(each, MethodType):
            ahead.append(each.__self__)  # `__exit__` of what a `with` has entered
        elif isinstance(each, Generated):
            ahead.append(each.gen)
        elif isinstance(each, ExitStack | AsyncExitStack):
            ahead += [exit_of for _, exit_of in each._exit_callbacks]  # type: ignore[union-attr]
        elif isinstance(each, Droppable) and not isinstance(each, type):
            ahead.append(each.dropped())


def _code_of(each: object) -> CodeType | None:
    """Return the code of what is suspended; None: it is something else, or runs, or has ended."""
    match each:
        case CoroutineType(cr_code=code, cr_frame=frame, cr_running=runs):
            pass
        case GeneratorType(gi_code=code, gi_frame=frame, gi_running=runs):
            pass
        case AsyncGeneratorType(ag_code=code, ag_frame=frame):
            runs = False  # its flag says that a step is under way, which may be suspended itself
        case _:
            return None
    return None if frame is None or runs else code


@contextmanager
def without_handlers(codes: set[CodeType]) -> Iterator[None]:
    """Have code without any handler for a while: errors go through it, whatever it says."""
    at = _table_at()
    tables = [ctypes.c_void_p.from_address(id(code) + at) for code in codes]
    were = [table.value for table in tables]
    was_collecting = gc.isenabled()
    gc.disable()  # what it finalizes has nothing to do with this
    for table in tables:
        table.value = id(_NONE_HANDLED)
    try:
        with warnings.catch_warnings():
            # What is let go was not closed: that is what is wanted.
            warnings.simplefilter("ignore", ResourceWarning)
            yield
    finally:
        for table, was in zip(tables, were, strict=True):
            table.value = was
        if was_collecting:
            gc.enable()


def _table_at() -> int:
    """Return where in a code object the pointer to its table is. LookupError: not found."""
    code = _with_a_table.__code__
    words = (ctypes.c_void_p * (CodeType.__basicsize__ // _WORD_BYTES)).from_address(id(code))
    (at,) = [at for at, word in enumerate(words) if word == id(code.co_exceptiontable)] or [-1]
    if at < 0:
        raise LookupError("a code object has its exception table elsewhere")
    return at * _WORD_BYTES


def _with_a_table() -> None:
    try:
        _table_at()
    finally:
        _table_at()

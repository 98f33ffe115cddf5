"""Notes on errors that say nothing of us, though it is us whom they are about (PEP 678)."""

from traceback import walk_tb
from typing import Final

from pystack.core.errors import PystackError

_ASYNCIO: Final = (
    "pystack: hosts run Trio programs, and AnyIO's on Trio. asyncio brings an event loop and "
    "sockets of its own, which know nothing of this network: use the library's Trio or AnyIO side, "
    "or let the program run as it is in a network namespace (net.namespace, with trio.run)."
)
# What asyncio says where no loop of its own runs, and Trio where it is given one of its futures
_SIGNS: Final = (
    "no running event loop",
    "no current event loop",
    "framework like asyncio",
)


def explain(error: BaseException) -> None:
    """Add to an error, or to those in a group, what is to be known here."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            explain(inner)
    elif _is_asyncios(error) and _ASYNCIO not in getattr(error, "__notes__", ()):
        error.add_note(_ASYNCIO)


def _is_asyncios(error: BaseException) -> bool:
    """Tell whether it is about a loop that is not there, or about what a loop's sockets met."""
    if isinstance(error, RuntimeError | TypeError) and any(sign in str(error) for sign in _SIGNS):
        return True
    return isinstance(error, OSError | PystackError) and any(
        frame.f_globals.get("__name__") == "asyncio.runners"
        for frame, _line in walk_tb(error.__traceback__)
    )

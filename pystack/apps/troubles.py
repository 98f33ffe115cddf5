"""What a peer can do to a service's task, and what is the program's own fault.

The first is a line in the log, whatever nurseries it came through; the second a traceback.
"""

from __future__ import annotations

import ssl
from typing import Final

import trio

from pystack.core.errors import PystackError
from pystack.runtime.driver.exception_groups import unwrapped


class PeerError(PystackError):
    """Trouble of a peer's making, in words; a service may raise its own kinds of it."""


# Also for services of others: a socket's errors, a scope's that was given to the peer.
OF_A_PEER: Final = (
    PeerError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.EndOfChannel,
    trio.TooSlowError,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def own_fault(error: Exception) -> BaseException | None:
    """Return what of an exception, perhaps a group, is not a peer's doing; None: nothing."""
    if isinstance(error, ExceptionGroup):
        rest = error.split(OF_A_PEER)[1]
        return None if rest is None else unwrapped(rest)
    return None if isinstance(error, OF_A_PEER) else error


def in_words(error: Exception) -> str:
    """Return a line that says what has happened: the first of a group's."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__

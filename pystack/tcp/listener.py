"""A listener: the connections that are being opened from outside, and those that wait for `accept`.

One limit holds for both together, so that a connection that gets established always has a place.
When half-open ones have taken it all, the oldest of them makes room (RFC 4987 section 3.4).
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

MAX_BACKLOG: Final = 4096  # as Linux's somaxconn
DEFAULT_BACKLOG: Final = 1024

S = TypeVar("S")


class Listener(Generic[S]):
    """Half-open and established connections (of type S) of one local port."""

    __slots__ = ("backlog", "broken", "half_open", "local", "local_port", "on_ready", "ready")

    def __init__(self, local: int, local_port: int, backlog: int = DEFAULT_BACKLOG) -> None:
        self.local = local
        self.local_port = local_port
        self.backlog = min(max(backlog, 1), MAX_BACKLOG)
        self.half_open: dict[S, None] = {}  # in the order of their SYNs
        self.ready: deque[S] = deque()  # established, not yet accepted
        self.on_ready: Callable[[], None] | None = None  # None: nobody wants to be told
        self.broken = False  # its host was powered off: nothing will ever come

    @property
    def full(self) -> bool:
        """Tell whether there is no room for a SYN, unless a half-open connection goes."""
        return len(self.half_open) + len(self.ready) >= self.backlog

    def oldest_half_open(self) -> S | None:
        """Return the connection to give up first; None where none is half-open."""
        return next(iter(self.half_open), None)

    def established(self, connection: S) -> None:
        """A half-open connection is open: it waits for `accept` now."""
        if connection in self.half_open:
            del self.half_open[connection]
            self.ready.append(connection)
            if self.on_ready is not None:
                self.on_ready()

    def forget(self, connection: S) -> None:
        """A connection ended before anybody accepted it."""
        self.half_open.pop(connection, None)

"""A listener: the connections that are being opened from outside, and those that wait for `accept`.

Two queues, and the backlog is the limit of each, as in Linux. When the first is full, SYNs are
answered with cookies (`syn_cookie.py`); when the second is, SYNs and the last ACKs of handshakes
are ignored, so that the peers try again.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from pystack.tcp.config import TcpConfig

MAX_BACKLOG: Final = 4096  # as Linux's somaxconn
DEFAULT_BACKLOG: Final = 1024

S = TypeVar("S")


class Listener(Generic[S]):
    """Half-open and established connections (of type S) of one local port."""

    __slots__ = (
        "_backlog",
        "_changes",
        "_config",
        "broken",
        "cookie_sent_at",
        "device",
        "fast_opened",
        "half_open",
        "local",
        "local_port",
        "on_ready",
        "ready",
    )

    def __init__(self, local: int, local_port: int, backlog: int = DEFAULT_BACKLOG) -> None:
        self.local = local
        self.local_port = local_port
        self.backlog = backlog
        self.device: object | None = None  # hears nothing from elsewhere; None: from everywhere
        self.half_open: dict[S, None] = {}  # in the order in which they were last heard of
        self.ready: deque[S] = deque()  # established, not yet accepted
        self.on_ready: Callable[[], None] | None = None  # None: nobody wants to be told
        self.fast_opened: set[S] = set()  # that have text already, and no ACK yet
        self.broken = False  # its host was powered off: nothing will ever come
        self._changes: dict[str, Any] = {}  # of the host's TcpConfig
        self._config: tuple[TcpConfig, TcpConfig] | None = None  # host's and own; None: not made
        self.cookie_sent_at = -math.inf  # the last time that a SYN was answered with a cookie

    @property
    def backlog(self) -> int:
        """Return the limit of both queues; it may be changed."""
        return self._backlog

    @backlog.setter
    def backlog(self, wanted: int) -> None:
        self._backlog = min(max(wanted, 0), MAX_BACKLOG)

    def configure(self, **changes: Any) -> None:  # noqa: ANN401 - TcpConfig's fields
        """Change fields of what its connections from now on are given."""
        self._changes.update(changes)
        self._config = None

    def config(self, base: TcpConfig) -> TcpConfig:
        """Return what a new connection is given, where the host gives `base`."""
        if not self._changes:
            return base
        if self._config is None or self._config[0] is not base:
            self._config = base, replace(base, **self._changes)
        return self._config[1]

    @property
    def syn_queue_full(self) -> bool:
        """Tell whether there is no room for another half-open connection."""
        return len(self.half_open) > self._backlog  # one more than the limit, as in Linux

    @property
    def accept_queue_full(self) -> bool:
        """Tell whether nothing more may be established before somebody accepts."""
        return len(self.ready) > self._backlog

    def established(self, connection: S) -> None:
        """A half-open connection is open: it waits for `accept` now."""
        if connection in self.half_open:
            del self.half_open[connection]
            self.ready.append(connection)
            if self.on_ready is not None:
                self.on_ready()

    def heard_of(self, connection: S) -> None:
        """A half-open connection is there, and waits for its text."""
        if connection in self.half_open:
            del self.half_open[connection]
            self.half_open[connection] = None

    def forget(self, connection: S) -> None:
        """A half-open connection ended. One that ended later is still there to be accepted."""
        self.half_open.pop(connection, None)

"""The open connections of a service, and which of them has to go when there is no room for more.

Whoever comes is let in as long as somebody can be found that moves less than `LEAST_RATE_BPS`, or
whose address holds more connections than the newcomer's. The address that holds most loses one, of
those the one that moves least; so a thousand idle ones cost their owner and nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final, Protocol, TypeGuard

import trio

from pystack.apps.turns import Turn
from pystack.runtime.names.zones import owner_of

LEAST_RATE_BPS: Final = 1000.0  # in both directions together
# Rates are those since the last but one of instants that are so far apart.
WINDOW_S: Final = 5.0
GRACE_S: Final = 2.0  # nobody is called slow before


class MovingStream(Protocol):
    """A stream that knows its peer's address, and how much has moved."""

    @property
    def remote_address(self) -> tuple[str, int]:
        """Address and port of the other end."""
        ...

    @property
    def moved_bytes(self) -> int:
        """What has arrived here and at the other end so far."""
        ...


@dataclass(slots=True, eq=False)
class Connection:
    """One connection and its task's scope."""

    stream: trio.abc.HalfCloseableStream
    address: str  # of the peer, of IPv6 its /64; "" where the stream does not tell
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    is_shed: bool = False
    turn: Turn | None = None  # None: it is not served yet
    marks: tuple[tuple[float, int], tuple[float, int]] = ((0.0, 0), (0.0, 0))

    def rate_bps(self, now: float) -> float:
        """Return what it has moved of late; infinite where nobody can tell."""
        at, before_bytes = self.marks[0]
        if not _tells(self.stream) or now - at < GRACE_S:
            return inf
        return (self._moved_bytes() - before_bytes) * 8 / (now - at)

    def mark(self, now: float) -> None:
        """Remember how much it has moved."""
        self.marks = self.marks[1], (now, self._moved_bytes())

    def _moved_bytes(self) -> int:
        elsewhere_bytes = 0 if self.turn is None else self.turn.moved_bytes
        return elsewhere_bytes + (self.stream.moved_bytes if _tells(self.stream) else 0)


class Roster:
    """All of them; the one who accepts keeps to its bound."""

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._by_address: dict[str, dict[Connection, None]] = {}  # in the order of their coming
        self._count = 0
        self._marked_at = -inf
        self._left = trio.Event()

    def enter(self, stream: trio.abc.HalfCloseableStream) -> Connection:
        """Add a connection."""
        now = trio.current_time()
        address = owner_of(stream.remote_address[0]) if _tells(stream) else ""
        connection = Connection(stream, address, marks=((now, 0), (now, 0)))
        self._by_address.setdefault(address, {})[connection] = None
        self._count += 1
        return connection

    def leave(self, connection: Connection) -> None:
        """Take it out; twice is nothing."""
        mine = self._by_address.get(connection.address, {})
        if connection in mine:
            del mine[connection]
            if not mine:
                del self._by_address[connection.address]
            self._count -= 1
            self._left.set()
            self._left = trio.Event()

    @property
    def is_full(self) -> bool:
        """Tell whether there are more than there may be: the last one that came has to wait."""
        return self._count > self._max_connections

    def shed_for(self, newcomer: Connection) -> Connection | None:
        """End the connection that the newcomer may replace; None: there is none."""
        now = trio.current_time()
        most = max(self._by_address.values(), key=len)
        slowest = min(
            (each for each in most if each is not newcomer),
            key=lambda each: each.rate_bps(now),  # the first of equals: the oldest
            default=None,
        )
        self._mark(now)
        if slowest is None:
            return None
        has_more = len(most) > len(self._by_address[newcomer.address])
        if not has_more and slowest.rate_bps(now) >= LEAST_RATE_BPS:
            return None
        self.leave(slowest)
        slowest.is_shed = True
        slowest.scope.cancel()
        return slowest

    async def wait_for_room(self) -> None:
        """Return when one has left, or when it is time to look for a slow one again."""
        left = self._left
        # Where nobody can be slow there is nothing to look for.
        knows = any(_tells(each.stream) for each in self._all())
        with trio.move_on_after(GRACE_S if knows else inf):
            await left.wait()

    def _all(self) -> list[Connection]:
        return [each for mine in self._by_address.values() for each in mine]

    def _mark(self, now: float) -> None:
        if now - self._marked_at >= WINDOW_S:
            self._marked_at = now
            for each in self._all():
                each.mark(now)


def _tells(stream: object) -> TypeGuard[MovingStream]:
    # To ask a protocol takes 5 us, as long as a segment.
    return hasattr(stream, "moved_bytes") and hasattr(stream, "remote_address")

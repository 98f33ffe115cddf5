"""How much memory the connections of one host take together, and who is cut first.

Counted is what is really held, as Linux's truesize: the texts in all buffers, `CONNECTION_BYTES`
for each connection, `RANGE_BYTES` for each range beyond a gap, `SENT_BYTES` for each piece on the
way. What a buffer keeps pins no more than twice its size. Above the second
of `TcpLimits.memory_bytes` the host is pressed: no window is opened beyond a few segments, send
buffers are short, and everything goes on, slowly. Above the third, until it is below the second:

1. connections whose user has gone are reset, the one that was left first, first;
2. text that waits beyond a gap is thrown away (RFC 2018 section 8 lets us), where most is, first;
3. connections are reset, the one that holds most first: it is the slowest reader, or the one whose
   peer takes least. Its user is told ENOMEM.

Below the first threshold all is free again. Counting takes a few additions in the pump; the sorting
of 2 and 3 comes only after as many bytes have come in as lie between the thresholds.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.stack.tcp_table import TcpTable

# What a connection takes without any text, its stream included: see docs/performance.md.
CONNECTION_BYTES: Final = 4096
# What is remembered of a segment, or a super-frame, until it is acknowledged: 0.12 kB while all
# goes well, 0.24 kB on the scoreboard.
SENT_BYTES: Final = 192


class TcpMemory:
    """The limits of one host: its memory, and the connections that nobody owns any more."""

    __slots__ = ("_cut_is_due", "_host", "_table", "orphans")

    def __init__(self, host: Host, table: TcpTable) -> None:
        self._host = host
        self._table = table
        self._cut_is_due = False
        self.orphans: dict[TcpSocket, None] = {}  # in the order in which their users went

    def orphaned(self, socket: TcpSocket, now: float) -> None:
        """The user has gone and the connection goes on; the oldest of too many does not.

        Linux resets the newest. But orphans that stay are those whose peers do not answer, and
        a flood of them should not take the last data from those who do.
        """
        self.orphans[socket] = None
        if len(self.orphans) > self._table.limits.max_orphans:
            self._cut(next(iter(self.orphans)), "tcp_orphan_cut", now)

    def changed(self, now: float) -> None:
        """More is held than is good, or it was so before."""
        low, pressure, high = self._table.limits.memory_bytes
        memory = self._table.shared.memory
        if memory.pressed and memory.used_bytes <= low:
            memory.pressed = False
            memory.alarm_bytes = pressure
        elif not memory.pressed and memory.used_bytes > pressure:
            memory.pressed = True
            self._host.counters.add("tcp_memory_pressures")
        if memory.used_bytes > high and not self._cut_is_due:
            self._cut_is_due = True
            self._host.scheduler.call_soon(self._relieve)

    def _relieve(self, now: float) -> None:
        """Cut, in the order that the module's docstring gives."""
        self._cut_is_due = False
        _, pressure, high = self._table.limits.memory_bytes
        memory = self._table.shared.memory
        if memory.used_bytes <= high:
            return
        while self.orphans and memory.used_bytes > pressure:
            self._cut(next(iter(self.orphans)), "tcp_memory_orphan_cut", now)
        if memory.used_bytes > pressure:
            self._prune(pressure, now)
        if memory.used_bytes > pressure:
            for socket in sorted(self._table, key=lambda held: -held.held_bytes):
                if memory.used_bytes <= pressure:
                    break
                self._cut(socket, "tcp_memory_cut", now)

    def _prune(self, until_bytes: int, now: float) -> None:
        """Throw away what waits beyond gaps."""
        memory = self._table.shared.memory
        waiting = [
            socket for socket in self._table if socket.connection.receive_buffer.out_of_order.ranges
        ]
        waiting.sort(key=lambda socket: -socket.connection.receive_buffer.out_of_order.cost_bytes)
        for socket in waiting:
            if memory.used_bytes <= until_bytes:
                return
            self._host.drop("tcp_memory_pruned", now)
            socket.connection.receive_buffer.out_of_order.clear()
            self._table.pump(socket, now)

    def _cut(self, socket: TcpSocket, reason: str, now: float) -> None:
        self.orphans.pop(socket, None)
        self._host.drop(reason, now)
        socket.connection.receive_buffer.clear()  # nor may it be read after the end
        socket.connection.abort(now, errno.ENOMEM)
        self._table.pump(socket, now)

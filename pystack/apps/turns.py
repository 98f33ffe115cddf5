"""How long each connection may work before others run: one budget for all input from strangers.

Trio runs every task that can run, then looks for input, and so on: a *round*. What a service does
in a round is in the hands of whoever sends to it: eleven thousand chunks of one byte come with one
read. So a service reserves the work ahead of it, in units of about 10 us, before it does it::

    if turn.spend(1):
        await turn.wait()

A connection that has used up its slice goes on in another round, and of all that have, one goes on
in each round: a thousand of them hold up nobody longer than one does. Addresses take turns, and
the connections of an address. What begins anew in a round (a request on each of many connections)
has a budget together; what is beyond it waits in the same queue.

Units are counted, not measured: in virtual time two runs are the same, whatever the machine does.
"""

from __future__ import annotations

from contextvars import ContextVar
from heapq import heappop, heappush
from itertools import count
from typing import Final

import trio

from pystack.apps.world import of_this_run
from pystack.runtime.names.zones import owner_of

BULK_BYTES_A_UNIT: Final = 128 * 1024  # of what is only moved
# So little that who goes on takes no more of a round than somebody else's brief connection does,
# which needs about a dozen. What is longer in one piece is done after as many rounds as it has
# slices.
SLICE_UNITS: Final = 4
ROUND_UNITS: Final = 1104

_turns: Final[trio.lowlevel.RunVar[Turns]] = trio.lowlevel.RunVar("pystack.apps.turns")
_turn: Final[ContextVar[Turn]] = ContextVar("pystack.apps.turn")


class Turn:
    """That of one connection, or of whatever else a stranger feeds."""

    __slots__ = ("_address", "_next_units", "_rounds", "_turns", "_used_units", "moved_bytes")

    def __init__(self, address: str = "") -> None:
        """`address`: of the peer; those of one address (of IPv6, of its /64) share its part."""
        self._address = owner_of(address)
        self._turns = of_this_run(_turns, _told_of_rounds)
        self._used_units = 0
        self._next_units = 0  # what was reserved last
        self._rounds = 1  # to wait for
        self.moved_bytes = 0  # beside the connection itself: over those that it has opened

    def renew(self) -> None:
        """Begin a new slice: right before what lets others run anyway, a read."""
        self._used_units = 0

    def spend(self, units: int) -> bool:
        """Reserve work; True: it must `wait` before."""
        is_over = self._used_units >= SLICE_UNITS
        # One that came when the round was already full has to wait for another, and for no more
        self._rounds = max(1, -(-units // SLICE_UNITS)) if is_over else 1
        is_full = self._turns.used_units >= ROUND_UNITS
        self._next_units = units
        self._used_units += units
        self._turns.used_units += units
        return is_over or is_full

    async def wait(self) -> None:
        """Let others run until it is this connection's turn. A checkpoint."""
        await self._turns.next(self._address, self._rounds)
        self._used_units = self._next_units


class Turns(trio.abc.Instrument):
    """All those of one Trio run, which tells it when a round begins.

    Who waits is called in the order of tags (start-time fair queueing): that of an address's next
    one is one more than that of its last, and never less than that of whoever was called last.
    """

    __slots__ = ("_is_somebody_due", "_last_tag", "_numbers", "_tags", "_waiting", "used_units")

    def __init__(self) -> None:
        self.used_units = 0  # in this round
        self._waiting: list[tuple[int, int, _Place]] = []  # a heap of tag, number, place
        self._numbers = count()
        self._tags: dict[str, int] = {}  # the last of each address
        self._last_tag = 0  # of the one called last
        self._is_somebody_due = False  # in the next round

    def after_io_wait(self, timeout: float) -> None:
        """Begin a round."""
        self.used_units = 0

    async def next(self, address: str, rounds: int) -> None:
        """Wait for the round in which this task is the one that goes on, and so many after it."""
        if self._is_somebody_due:
            await self._queue(address)
            rounds -= 1
        self._is_somebody_due = True
        try:
            for _ in range(rounds):
                await trio.lowlevel.checkpoint()
        finally:
            self._call_next()

    async def _queue(self, address: str) -> None:
        place = _Place(trio.lowlevel.current_task())
        tag = max(self._tags.get(address, 0) + 1, self._last_tag)
        self._tags[address] = tag
        heappush(self._waiting, (tag, next(self._numbers), place))

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            place.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _call_next(self) -> None:
        """A round has begun; let the next one go on in the round after it."""
        self._is_somebody_due = False
        while self._waiting and not self._is_somebody_due:
            self._last_tag, _, place = heappop(self._waiting)
            if place.task is not None:
                trio.lowlevel.reschedule(place.task)
                self._is_somebody_due = True
        if not self._waiting:
            self._tags.clear()


class _Place:
    """One in the queue."""

    __slots__ = ("task",)

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task: trio.lowlevel.Task | None = task  # None: it was cancelled


def current_turn() -> Turn:
    """Return that of the connection which the current task serves."""
    turn = _turn.get(None)
    if turn is None:
        turn = Turn()
        _turn.set(turn)
    return turn


def begin_turn(stream: object) -> Turn:
    """Give the current task a turn, for the connection that it is about to serve."""
    address = getattr(stream, "remote_address", None)
    turn = Turn(address[0] if address else "")
    _turn.set(turn)
    return turn


def _told_of_rounds() -> Turns:
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    return turns

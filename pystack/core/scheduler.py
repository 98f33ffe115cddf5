"""The one heap that owns all waiting: timers, frames on their way, everything.

It reads no clock. A driver (`pystack.runtime`) moves it on with `run_due`; below the Trio boundary
nothing else knows how time passes. Events at one instant run in the order in which they were asked
for, so that the same inputs give the same run.

Some events are upkeep: a window probe, a keep-alive, and the frames that they lead to. They may go
on for ever without bringing any program further. Whoever arms a timer may say so (`call_at`), and
what an event of upkeep asks for is upkeep too: its serial number is odd, which costs nothing.
"""

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, TypeVar

T = TypeVar("T")

# Says, whenever it is asked, of what kind of upkeep a timer is ("keep-alive"), or "" for none.
Upkeep = Callable[[], str]

# Cancelled entries stay in the heap until they come up; above this share it is rebuilt.
_REBUILD_AT: Final = 512


def no_upkeep() -> str:
    """Say of a timer that it is none, whatever event asks for it: a program waits for it."""
    return ""


class Handle:
    """One thing to be done later. `cancel` makes it nothing."""

    __slots__ = ("fn", "upkeep", "when")

    def __init__(
        self, when: float, fn: Callable[[float], None], upkeep: Upkeep | None = None
    ) -> None:
        self.when = when
        self.fn: Callable[[float], None] | None = fn  # None: cancelled, or done
        self.upkeep = upkeep  # None: it is what the event was that asked for it

    def cancel(self) -> None:
        """Do not run it. Cancelling twice, or after it ran, does nothing."""
        self.fn = None


class Scheduler:
    """Heap of (when, serial, fn, argument), or with None and a handle in their place.

    Instants are seconds of the world's clock.
    """

    __slots__ = (
        "_heap",
        "_next",
        "_rebuild_at",
        "_serial",
        "_soon",
        "live_at",
        "now",
        "on_earlier",
    )

    def __init__(self, now: float = 0.0) -> None:
        self.now = now  # the instant that is being worked on; never moves back
        self.live_at = now  # of the last timer that was more than upkeep
        # Told when something is to happen before everything that was known: the driver's alarm.
        self.on_earlier: Callable[[float], None] | None = None
        self._heap: list[tuple[float, int, Callable[[object, float], None] | None, object]] = []
        self._serial = 0  # even, but for while an event of upkeep runs
        self._soon: list[Callable[[float], None]] = []
        self._next: list[Callable[[float], None]] = []
        self._rebuild_at = _REBUILD_AT

    def call_at(
        self, when: float, fn: Callable[[float], None], upkeep: Upkeep | None = None
    ) -> Handle:
        """Run `fn(when)` at `when`; in the past means as soon as possible.

        `upkeep` says whether that is upkeep; None: it is if what runs now is.
        """
        if when < self.now:
            when = self.now
        handle = Handle(when, fn, upkeep)
        heap = self._heap
        if len(heap) >= self._rebuild_at:
            self._forget_cancelled()
        self._serial += 2
        earlier = not heap or when < heap[0][0]
        heappush(heap, (when, self._serial, None, handle))
        if earlier and self.on_earlier is not None:
            self.on_earlier(when)
        return handle

    def post(self, when: float, fn: Callable[[T, float], None], argument: T) -> None:
        """Run `fn(argument, when)` at `when`; it cannot be cancelled.

        For frames on their way (HOT): with no `Handle` and no closure to make, it takes 0.34 us
        where `call_at` takes 0.57, to the end of the event.
        """
        if when < self.now:
            when = self.now
        self._serial = serial = self._serial + 2
        heap = self._heap
        # What is taken from the heap is given back to the function that it came with.
        heappush(heap, (when, serial, fn, argument))  # type: ignore[misc]
        if self.on_earlier is not None and heap[0][1] == serial:
            self.on_earlier(when)

    def call_soon(self, fn: Callable[[float], None]) -> None:
        """Run `fn(now)` at this same instant, when what runs now (an event, a batch) is done."""
        self._soon.append(fn)
        if self.on_earlier is not None:  # it is a task that runs: the driver may sleep
            self.on_earlier(self.now)

    def call_next(self, fn: Callable[[float], None]) -> None:
        """Run `fn(now)` when the driver comes again, after what else it has to see to."""
        self._next.append(fn)
        if self.on_earlier is not None:
            self.on_earlier(self.now)

    def next_at(self) -> float:
        """Return the instant of the next thing to do; infinity when there is none."""
        if self._soon or self._next:
            return self.now
        heap = self._heap
        while heap and _is_cancelled(heap[0][3]):
            heappop(heap)
        return heap[0][0] if heap else math.inf

    def upcoming(self) -> tuple[object, object] | None:
        """Return the function that `run_due` would call next, and its argument (or its handle).

        None: nothing is planned, or what was put off by what ran last goes first.
        """
        if self._soon or self._next or self.next_at() == math.inf:
            return None
        _, _, fn, argument = self._heap[0]
        if fn is None:
            assert isinstance(argument, Handle)
            return argument.fn, argument
        return fn, argument

    def late_s(self, now: float) -> float:
        """Return for how long the first event on the heap has been due; 0 if it is not."""
        heap = self._heap
        while heap and _is_cancelled(heap[0][3]):
            heappop(heap)
        return max(now - heap[0][0], 0.0) if heap else 0.0

    def advance(self, now: float) -> float:
        """Let the world's time be `now`, unless it is later already; return it."""
        if now > self.now:
            self.now = now
        return self.now

    def outlook(self) -> tuple[float, float, set[str]]:
        """Look through all that is to happen, which takes time: for now and then.

        Returns until when something is planned that is more than upkeep, until when anything is
        (minus infinity for nothing), and which kinds of upkeep there are.
        """
        live_until = self.now if self._soon or self._next else -math.inf
        until = live_until
        kinds: set[str] = set()
        for when, serial, fn, argument in self._heap:
            kind = ""
            is_upkeep = serial & 1
            if fn is None:
                assert isinstance(argument, Handle)
                if argument.fn is None:
                    continue
                if argument.upkeep is not None:
                    kind = argument.upkeep()
                    is_upkeep = bool(kind)
            if when > until:
                until = when
            if is_upkeep:
                kinds.add(kind)
            elif when > live_until:
                live_until = when
        return live_until, until, kinds - {""}

    def run_due(
        self,
        now: float,
        stop: Callable[[], object] | None = None,
        *,
        to_the_end: bool = True,
        again: bool = False,
    ) -> None:
        """Run all that is due up to `now`, each at its own instant, in order.

        `stop` is asked after each event; True ends the run early, with time standing at that event
        (virtual time uses it to let a task that was woken run before anything else happens). Else
        it is `now` afterwards, or with `to_the_end=False` the instant of the last event. `again`:
        the driver has not come anew, so what `call_next` has put off waits.
        """
        heap = self._heap
        if self._next and not again:
            self.advance(now)
            self._soon += self._next
            self._next.clear()
        if self._soon:
            self._run_soon()
            if stop is not None and stop():
                return
        while heap and heap[0][0] <= now:
            when, serial, fn, argument = heappop(heap)
            if fn is not None:
                if when > self.now:
                    self.now = when
                if serial & 1:
                    self._run_upkeep(fn, argument, self.now)
                else:
                    fn(argument, self.now)
            else:
                assert isinstance(argument, Handle)
                handle_fn = argument.fn
                if handle_fn is None:
                    continue
                argument.fn = None
                if when > self.now:
                    self.now = when
                upkeep = argument.upkeep
                if serial & 1 if upkeep is None else upkeep():
                    self._run_upkeep(handle_fn, self.now)
                else:
                    self.live_at = when
                    handle_fn(self.now)
            if self._soon:
                self._run_soon()
            if stop is not None and stop():
                return
        if to_the_end and self.now < now < math.inf:
            self.now = now

    def _run_upkeep(self, fn: Callable[..., None], *arguments: object) -> None:
        """Run an event of upkeep and what it wants done at once: all they ask for is upkeep too."""
        self._serial |= 1
        try:
            fn(*arguments)
            if self._soon:
                self._run_soon()
        finally:
            self._serial += self._serial & 1

    def _run_soon(self) -> None:
        while self._soon:
            calls, self._soon = self._soon, []
            for fn in calls:
                fn(self.now)

    def _forget_cancelled(self) -> None:
        # In place: `run_due` holds a reference to the list.
        self._heap[:] = [entry for entry in self._heap if not _is_cancelled(entry[3])]
        heapify(self._heap)
        self._rebuild_at = max(_REBUILD_AT, 2 * len(self._heap))

    def __len__(self) -> int:
        """Return how many things are still to be done."""
        return sum(not _is_cancelled(entry[3]) for entry in self._heap) + len(self._soon)


def _is_cancelled(argument: object) -> bool:
    return isinstance(argument, Handle) and argument.fn is None

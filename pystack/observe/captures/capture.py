"""Capture: what links and interfaces carry, written to a file for Wireshark.

A frame is written when its fate is known, with what befell it as a comment, in the order in which
frames were seen. One that is under way for longer than a bound is written without waiting for it,
and so is the oldest when too many wait: a capture takes a bounded memory.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from pystack.observe.captures.fate import NOTABLE_S, fate
from pystack.observe.passage import ARRIVED, LOST, SEEN, UNDER_WAY, Passage

if TYPE_CHECKING:
    from pystack.core.scheduler import Scheduler
    from pystack.observe.captures.pcap import CaptureWriter
    from pystack.observe.observer import Event
    from pystack.wire.frame import Frame

# How long a frame waits for the end of its way
HOLD_S: Final = 5.0
REAL_HOLD_S: Final = 0.5  # in real time, where a program may be killed
MOST_HELD: Final = 4096
MOST_HELD_BYTES: Final = 16 << 20
# Each, where secrets are wanted: Wireshark needs them before the frame that changes keys, and a
# server of OpenSSL's tells the last of them when it has read that frame.
SECRETS_LINGER_S: Final = 0.1
# What a closed door keeps from a host, before its interface sees it
_AT_THE_DOOR: Final = frozenset({"powered_off", "partitioned"})


InterfaceAt = Callable[[str, str], str | None]


class Transit(Protocol):
    """Tells what nodes only pass on: see `pystack.topology.transit`."""

    def leaving(self, name: str, frame: Frame) -> bytes | None:
        """Return the mark of what a node passes on; None: it enters the network there."""
        ...

    def coming(self, name: str, frame: Frame) -> bytes | None:
        """Return the mark of what a node will pass on; None: it is its own."""
        ...


class NoTransit:
    """Each frame is one of its own."""

    def leaving(self, name: str, frame: Frame) -> bytes | None:
        """Return None."""
        return None

    def coming(self, name: str, frame: Frame) -> bytes | None:
        """Return None."""
        return None


@dataclass(slots=True, eq=False)
class _Record:
    """A frame that waits to be written."""

    at: float
    place: str
    frame: Frame
    outbound: bool | None  # None: of no side
    legs: list[Passage]  # that it goes over; those that it came over, where it has arrived
    open: int = 1  # legs that have not ended
    settled_at: float = 0.0  # the last of what is known of it happened then
    waits: bool = False  # it is at a node that may pass it on
    number: int = 0  # in the file; 0: not yet
    late: bool = False  # its delay is worth a word
    overtaken: bool = False
    copies: list[Passage] = field(default_factory=list)
    before: dict[int, Passage] = field(default_factory=dict)  # of each leg the one before it, by id


class Capture:
    """An observer that writes what it sees of links (`on_passage`) to a file. `close` ends it.

    Of a network: each packet once, where it enters it; of `host`, or of all interfaces of a name:
    what the interface sees, in both directions; without `transit`: each frame on each link.
    """

    def __init__(
        self,
        writer: CaptureWriter,
        *,
        host: str | None = None,
        interface: str | None = None,
        interface_at: InterfaceAt = lambda place, host: None,
        transit: Transit | None = None,
        scheduler: Scheduler | None = None,
        linger_s: float = 0.0,
    ) -> None:
        """`interface_at`: the name of a host's interface at a link; None: it has none there.

        `transit`: what nodes only pass on is left out; None: there is no such thing.
        `scheduler`: of a world in real time, where what waits is written after a while, whether or
        not something happens; None: of one in virtual time. `linger_s`: how long each frame waits
        at least, for what has to be in the file before it.
        """
        self._writer = writer
        self._host = host
        self._interface = interface
        self._by_interface = host is not None or interface is not None
        self._interface_at = interface_at
        self._places: dict[tuple[str, str], str | None] = {}  # of what was asked already
        self._transit = NoTransit() if transit is None else transit
        self._scheduler = scheduler
        self._hold_s = HOLD_S if scheduler is None else REAL_HOLD_S
        self._linger_s = linger_s
        self._waiting: deque[_Record] = deque()
        self._waiting_bytes = 0
        self._of: dict[int, _Record] = {}  # by the id of each leg that has not ended
        # Where each frame is that a node may pass on, by node and mark
        self._at: OrderedDict[tuple[str, bytes], tuple[_Record, Passage]] = OrderedDict()
        self._numbers: OrderedDict[int, tuple[Passage, int]] = OrderedDict()  # of what came, by id
        self._least_s: dict[tuple[str, str], float] = {}  # time on a line, by place and sender
        self._newest: dict[tuple[str, str], float] = {}  # entry of what has arrived, likewise
        self._is_due = False  # a look at what waits is planned
        self._now = 0.0
        self.closed = False
        self.when_closed: list[Callable[[], object]] = []

    def on_event(self, event: Event) -> None:
        """Do nothing: frames come as passages."""

    def on_passage(self, passage: Passage) -> None:
        """Take note of a frame that is put on a link, or of its end."""
        if self.closed:
            return
        now = passage.entered_at if passage.end == UNDER_WAY else passage.ended_at
        self._now = now = self._now if now is None else now
        if self._waiting:
            self._write(now)
        if passage.end == SEEN:
            self._seen(passage)
        elif passage.end == UNDER_WAY:
            self._entered(passage)
        else:
            self._ended(passage, now)
        if self._scheduler is not None and self._waiting and not self._is_due:
            self._plan(self._scheduler)

    def close(self) -> None:
        """Write what waits, and end the file. A second close does nothing."""
        if self.closed:
            return
        self.closed = True
        while self._waiting:
            self._release()
        self._of.clear()
        self._at.clear()
        self._writer.close(self._now)
        for call in self.when_closed:
            call()

    # what comes

    def _seen(self, passage: Passage) -> None:
        """Take a frame of an interface without a link: what will be known of it comes at once."""
        outbound = passage.sender != "" and passage.sender != passage.receiver
        both = passage.sender == passage.receiver  # the loopback
        host, _, interface = passage.place.rpartition("/")
        if self._host not in (None, host) or self._interface not in (None, interface):
            return
        if outbound and self._transit.leaving(passage.sender, passage.frame) is not None:
            return
        record = _Record(
            passage.entered_at,
            passage.place,
            passage.frame,
            None if both else outbound,
            [passage],
            open=0,
            settled_at=-math.inf,  # all is known when the next one comes, at this instant too
        )
        at_once = outbound or passage.frame.gso_bytes
        if at_once and not self._waiting and not self._linger_s:
            # Large ones are not kept for the word that they are refused, which they hardly ever
            # are: each that is costs as much as all else, for memory that was used just now is
            # several times faster.
            self._put(record)
            return
        self._note_stay(record, passage)
        self._hold(record)

    def _entered(self, passage: Passage) -> None:
        if passage.copy_of is not None:
            record = self._of.get(id(passage.copy_of))
            if record is not None:
                record.copies.append(passage)
                self._follow(record, passage, record.before.get(id(passage.copy_of)))
            return
        place: str | None = passage.place
        outbound: bool | None = None
        if self._by_interface:
            place, outbound = self._seen_by(passage.sender, passage.place), True
        else:
            mark = self._transit.leaving(passage.sender, passage.frame)
            if mark is not None:
                known = self._at.get((passage.sender, mark))
                if known is not None and not known[0].number:
                    record, before = known
                    record.waits = False
                    record.legs.append(passage)
                    self._follow(record, passage, before)
                return
        if place is None:
            return
        record = _Record(passage.entered_at, place, passage.frame, outbound, [passage])
        self._of[id(passage)] = record
        self._hold(record)

    def _ended(self, passage: Passage, now: float) -> None:
        record = self._of.pop(id(passage), None)
        overtaken, late = self._compare(passage)
        if record is not None:
            record.open -= 1
            record.settled_at = now
            if passage.copy_of is None:
                record.late |= late
                record.overtaken |= overtaken
            if passage.end == ARRIVED:
                self._note_stay(record, passage)
        if self._by_interface and passage.end == ARRIVED:
            place = self._seen_by(passage.receiver, passage.place)
            if place is not None:
                frame = passage.frame if passage.arrived is None else passage.arrived
                come = _Record(now, place, frame, False, [passage], open=0, settled_at=now)
                come.late, come.overtaken = late, overtaken
                self._hold(come)
        self._write(now)

    def _hold(self, record: _Record) -> None:
        self._waiting.append(record)
        self._waiting_bytes += len(record.frame)
        while len(self._waiting) > MOST_HELD or self._waiting_bytes > MOST_HELD_BYTES:
            self._release()

    def _release(self) -> None:
        record = self._waiting.popleft()
        self._waiting_bytes -= len(record.frame)
        self._put(record)

    def _follow(self, record: _Record, leg: Passage, before: Passage | None) -> None:
        record.open += 1
        self._of[id(leg)] = record
        if before is not None:
            record.before[id(leg)] = before

    def _note_stay(self, record: _Record, passage: Passage) -> None:
        """Take note of a frame at a node that may pass it on."""
        frame = passage.frame if passage.arrived is None else passage.arrived
        mark = self._transit.coming(passage.receiver, frame)
        if mark is not None:
            record.waits = True
            self._at[passage.receiver, mark] = record, passage
            if len(self._at) > MOST_HELD:
                self._at.popitem(last=False)

    def _compare(self, passage: Passage) -> tuple[bool, bool]:
        """Tell whether a frame was overtaken, and whether it took longer than others there."""
        if passage.end != ARRIVED:
            return False, False
        way = passage.place, passage.sender
        newest = self._newest.get(way, passage.entered_at)
        self._newest[way] = max(newest, passage.entered_at)
        late = (passage.queued_s or 0.0) > NOTABLE_S
        if passage.propagation_s is not None:
            least = self._least_s.get(way, passage.propagation_s)
            self._least_s[way] = min(least, passage.propagation_s)
            late |= passage.propagation_s > least + NOTABLE_S
        return passage.entered_at < newest, late

    # what goes

    def _write(self, now: float) -> None:
        """Write what is known by now, in order. At this instant more may come to be known."""
        waiting = self._waiting
        while waiting:
            record = waiting[0]
            known = record.open <= 0 and not record.waits and record.settled_at < now
            waits_s = self._linger_s if known else self._hold_s
            if now - record.at < waits_s:
                return
            self._release()

    def _plan(self, scheduler: Scheduler) -> None:
        self._is_due = True
        scheduler.call_at(scheduler.now + self._hold_s, self._look_again, lambda: "capture")

    def _look_again(self, now: float) -> None:
        self._is_due = False
        if not self.closed:
            self._now = now
            self._write(now)
            if self._waiting and self._scheduler is not None:
                self._plan(self._scheduler)

    def _put(self, record: _Record) -> None:
        comes = record.outbound is False
        leg = record.legs[0]
        if comes and leg.refused in _AT_THE_DOOR:
            return
        comment = self._comment(record) if leg.end != SEEN or leg.refused else ""
        record.number = self._writer.write(
            record.frame, record.at, place=record.place, outbound=record.outbound, comment=comment
        )
        for passage in (*record.legs, *record.copies):
            self._of.pop(id(passage), None)
        if comes and any(change.what == "duplicate" for change in leg.changes):
            self._numbers[id(leg)] = leg, record.number
            if len(self._numbers) > MOST_HELD:
                self._numbers.popitem(last=False)

    def _comment(self, record: _Record) -> str:
        chain = _chain(record)
        said = fate(chain, late=record.late)
        if record.overtaken:
            said.append("overtaken by a later one")
        for copy in record.copies:
            how = "was lost" if copy.end == LOST else "arrived too"
            said.append(f"the copy {how}" if copy.end else "the copy is under way")
        of = record.legs[0].copy_of
        if record.outbound is False and of is not None:
            known = self._numbers.get(id(of))
            said.insert(0, "duplicate" if known is None else f"duplicate of frame {known[1]}")
        if chain[-1].end == UNDER_WAY:
            said.append("still under way when this was written")
        return "; ".join(said)

    def _seen_by(self, host: str, place: str) -> str | None:
        """Return the interface of a host at a link, as a place; None: it is not to be captured."""
        if (host, place) not in self._places:
            name = self._interface_at(place, host) if self._host in (None, host) else None
            wanted = name is not None and self._interface in (None, name)
            self._places[host, place] = f"{host}/{name}" if wanted else None
        return self._places[host, place]


def _chain(record: _Record) -> list[Passage]:
    """Return the legs of the way to where a frame was for; of a flood, to whoever took it."""
    last = record.legs[0]
    for leg in record.legs[1:]:
        better = leg.end != UNDER_WAY and not leg.refused
        if better or last in record.before.values():
            last = leg
    chain: list[Passage] = []
    before: Passage | None = last
    while before is not None:
        if before.copy_of is not None and any(before is copy for copy in record.copies):
            before = before.copy_of  # the copy went on; what befell both is told of the one
        chain.append(before)
        before = record.before.get(id(before))
    return chain[::-1]

"""The tape: an observer that keeps the last of what happens, and no more than can be shown.

It is there only while somebody looks. Between two cuts so many frames are kept; of those beyond,
the number and the size alone. What is not a frame (a state, a drop, a repair) is kept with them,
but for the measurements, of which the connections tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pystack.core.tcp_events import TcpMeasured
from pystack.observe.observer import Event, FrameSeen
from pystack.observe.passage import SEEN, Passage
from pystack.observe.recording import Item
from pystack.observe.summary import summarize
from pystack.wire.frame import Frame, SuperFrame

if TYPE_CHECKING:
    from pystack.runtime.host import Host

MOST_ITEMS: Final = 20_000
MOST_BYTES: Final = 24 << 20  # of frames
SNAP_BYTES: Final = 2048  # of each frame: ordinary ones whole, of super-frames the beginning
FRAMES_A_CUT: Final = 50  # of one host; to tell of one takes 50 us
FRAMES_OF_LINKS_A_CUT: Final = 200  # of a network, where each frame is seen on several links
FLOOD: Final = 4  # times as many as are kept are left out: then in the next cut fewer are kept
EVENTS_A_CUT: Final = 60

_OVERHEAD_BYTES: Final = 500  # of what holds a frame, by `tracemalloc`


@dataclass(slots=True, eq=False)
class Kept:
    """Something on the tape."""

    number: int
    item: Item
    wire_bytes: int = 0  # of a frame: all of it, where the tape has the beginning
    held_bytes: int = _OVERHEAD_BYTES
    line: str = ""  # of a frame of which not all is kept; "": it can be made when it is wanted
    # Of a frame that is on its way, or was at the last cut: its passage; None: of others
    passage: Passage | None = None
    # Of a frame, whose it is; None: it is no frame, or nobody was told of it yet
    ends: frozenset[tuple[str, int]] | None = None


@dataclass(slots=True)
class Cut:
    """What came onto the tape between two instants, and how much did not."""

    items: list[Kept] = field(default_factory=list)
    ended: list[Kept] = field(default_factory=list)  # passages that had begun before
    frames: int = 0  # all of them
    frame_bytes: int = 0
    left_out: int = 0  # frames that are not among the items
    events_left_out: int = 0
    places: dict[str, int] = field(default_factory=dict)  # frames by where they passed


class Tape:
    """The last of what happened, numbered from 1."""

    def __init__(
        self,
        *,
        most_items: int = MOST_ITEMS,
        most_bytes: int = MOST_BYTES,
        frames_a_cut: int = FRAMES_A_CUT,
    ) -> None:
        self._frames_a_cut = self._room = frames_a_cut
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._kept: deque[Kept] = deque()
        self._held_bytes = 0
        self._number = 0
        self._cut = Cut()
        self._events = 0  # in this cut
        self._under_way: dict[Passage, Kept] = {}
        self.left_out = 0  # frames that were never kept; those that had to go are not counted

    def on_event(self, event: Event) -> None:
        """Keep it, if there is room in this cut; frames come as passages (HOT)."""
        kind = type(event)
        if kind is FrameSeen or kind is TcpMeasured:
            return
        if self._events >= EVENTS_A_CUT:
            self._cut.events_left_out += 1
            return
        self._events += 1
        self._keep(event, 0, _OVERHEAD_BYTES)

    def see(self, event: FrameSeen) -> bool:
        """Take a frame at an interface without a link; False: there is room for no more (HOT)."""
        frame = event.frame
        size = len(frame)
        place = f"{event.host}/{event.interface}"
        if not self._has_room(place, size):
            return False
        sender, receiver = (event.host, "") if event.sent else ("", event.host)
        self._take(Passage(place, sender, receiver, frame, event.at, end=SEEN), size)
        return True

    def miss(self, frames: int) -> None:
        """Count frames that nobody saw."""
        cut = self._cut
        cut.frames += frames
        cut.left_out += frames
        self.left_out += frames

    def on_passage(self, passage: Passage) -> None:
        """Keep it when it begins; note that it has ended, where its beginning was kept (HOT)."""
        end = passage.end
        if end and end != SEEN:
            kept = self._under_way.pop(passage, None)
            if kept is not None:
                self._cut.ended.append(kept)
            return
        size = len(passage.frame)
        if self._has_room(passage.place, size):
            self._take(passage, size)

    def _take(self, passage: Passage, size: int) -> None:
        line, held_bytes, whole = "", size, passage
        if size > SNAP_BYTES:  # with it, all of it would be kept
            line, held_bytes = summarize(passage.frame), SNAP_BYTES
            passage = replace(passage, frame=ShortFrame(passage.frame))
        kept = self._keep(passage, size, held_bytes + _OVERHEAD_BYTES)
        kept.line = line
        if not passage.end:
            kept.passage = whole
            self._under_way[whole] = kept

    def _has_room(self, place: str, size: int) -> bool:
        cut = self._cut
        cut.frames += 1
        cut.frame_bytes += size
        cut.places[place] = cut.places.get(place, 0) + 1
        if cut.frames > self._room:
            cut.left_out += 1
            self.left_out += 1
            return False
        return True

    def _keep(self, item: Item, wire_bytes: int, held_bytes: int) -> Kept:
        self._number += 1
        kept = Kept(self._number, item, wire_bytes, held_bytes)
        self._kept.append(kept)
        self._cut.items.append(kept)
        self._held_bytes += held_bytes
        while len(self._kept) > self._most_items or self._held_bytes > self._most_bytes:
            self._drop_oldest()
        return kept

    def _drop_oldest(self) -> None:
        oldest = self._kept.popleft()
        self._held_bytes -= oldest.held_bytes
        if oldest.passage is not None:
            self._under_way.pop(oldest.passage, None)

    def cut(self) -> Cut:
        """Return what has come since the last cut."""
        cut, self._cut, self._events = self._cut, Cut(), 0
        for kept in cut.ended:
            _conclude(kept)
        # Of a flood a few show what it is like, and nobody reads more of it.
        is_flood = cut.left_out > FLOOD * self._frames_a_cut
        self._room = self._frames_a_cut // 3 if is_flood else self._frames_a_cut
        return cut

    def items(self) -> list[Kept]:
        """Return all that is on the tape, in order."""
        return list(self._kept)

    def newest_first(self) -> Iterator[Kept]:
        """Yield all of it, the newest first; it is not to change meanwhile."""
        return reversed(self._kept)

    def find(self, number: int) -> Kept | None:
        """Return what has this number; None: it is not on the tape (any more)."""
        if not self._kept:
            return None
        at = number - self._kept[0].number  # without gaps: what is on the tape came in order
        return self._kept[at] if 0 <= at < len(self._kept) else None

    @property
    def held_bytes(self) -> int:
        """Return what it holds, in bytes, about."""
        return self._held_bytes

    def clear(self) -> None:
        """Forget all; numbers go on."""
        self._kept.clear()
        self._under_way.clear()
        self._held_bytes = 0
        self._cut, self._events = Cut(), 0


def _conclude(kept: Kept) -> None:
    """Have what it is of a passage that has ended say how, also where its frame was cut short."""
    passage, kept.passage = kept.passage, None
    if passage is not None and passage is not kept.item:
        assert isinstance(kept.item, Passage)
        kept.item = replace(passage, frame=kept.item.frame, arrived=None)


class Eye:
    """Shows a tape what a host on a device sees, which no link tells of; it shuts and opens.

    When a cut is full it shuts: to be told of ten thousand frames a second in order to leave them
    out would take a fifth of the time that sending them does. How many pass meanwhile, the host has
    counted.
    """

    def __init__(self, tape: Tape, host: Host) -> None:
        self._tape = tape
        self._host = host
        self._is_open = False
        self._seen = 0  # frames
        self._passed = self._count()  # frames, at the last cut

    def on_event(self, event: Event) -> None:
        """Show it (HOT)."""
        if type(event) is not FrameSeen:
            self._tape.on_event(event)
        elif self._is_open:
            self._seen += 1
            if not self._tape.see(event):
                self._is_open = False
                # Not here, where the host goes through its observers
                scheduler = self._host.driver.scheduler
                scheduler.call_at(scheduler.now, self._shut, lambda: "live page")

    def _shut(self, now: float) -> None:
        if not self._is_open:
            self._host.unobserve(self)

    def tell_missed(self) -> None:
        """Tell the tape how much it was not shown since the last time."""
        passed = self._count()
        if not self._is_open:
            self._tape.miss(max(passed - self._passed - self._seen, 0))
        self._passed, self._seen = passed, 0

    def open(self) -> None:
        """Look, from now on."""
        self._is_open = True
        if self not in self._host.observers:
            self._host.observe(self)

    def close(self) -> None:
        """Look no more."""
        self._is_open = False
        self._host.unobserve(self)

    def _count(self) -> int:
        counters = self._host.counters
        return counters["frames_in"] + counters["frames_out"]


class Deaf:
    """Shows a tape what happens in a host whose link tells of the frames."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def on_event(self, event: Event) -> None:
        """Show what is no frame."""
        if type(event) is not FrameSeen:
            self._tape.on_event(event)


class ShortFrame(Frame):
    """The beginning of a frame that is too long to be kept; it says how long all of it was."""

    __slots__ = ("_whole_bytes",)

    def __init__(self, frame: Frame) -> None:
        if isinstance(frame, SuperFrame):  # its text need not be put together for it
            data = bytes(frame.head) + bytes(memoryview(frame.payload)[:SNAP_BYTES])
        else:
            data = bytes(memoryview(frame.data)[:SNAP_BYTES])
        super().__init__(data[:SNAP_BYTES], frame.checksum, frame.gso_bytes)
        self._whole_bytes = len(frame)

    def __len__(self) -> int:
        """Return how many bytes the whole has."""
        return self._whole_bytes

"""Watching one direction of a link: what makes a `Passage` of each frame that is put on it.

While nobody watches, a pipe knows nothing of this. While somebody does, each frame travels in a
frame of its own, `Tracked`, that knows its passage: so it is told from another one with the same
bytes, and from its own copy. What arrives is the very frame that was put on, or where that was
changed a plain one: who is watched cannot tell.

A frame that is put on, goes and arrives makes four calls here (HOT), which call nothing but who
comes next and who watches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pystack.core.errors import WireError
from pystack.core.scheduler import T
from pystack.link.impair.base import HARMLESS, Apply, Departures, Impairment
from pystack.link.port import FrameSink
from pystack.link.qdisc.base import is_mark
from pystack.link.transmit import Line
from pystack.observe.passage import ARRIVED, LOST, Change, Passage, PassageWatcher
from pystack.wire.frame import CHECKSUM_UNKNOWN, Frame, completed

if TYPE_CHECKING:
    from pystack.core.counters import Counters


class Tracked(Frame):
    """A frame on a link that is watched."""

    __slots__ = ("passage", "was", "watch")

    def __init__(
        self, watch: Watch, passage: Passage, like: Frame, was: Tracked | None = None
    ) -> None:
        self.data = self.head = like.data
        self.checksum = like.checksum
        self.gso_bytes = like.gso_bytes
        self.headers = like.headers
        self.watch = watch
        self.passage = passage
        self.was = was  # whose place it has taken; None: it is as it was put on the link

    def replaced(self, data: bytes, checksum: int = CHECKSUM_UNKNOWN, gso_bytes: int = 0) -> Frame:
        """Return what goes on in its place: still on the same way."""
        return Tracked(self.watch, self.passage, Frame(data, checksum, gso_bytes), self)

    def again(self, now: float) -> Frame:
        """Return a copy, whose way begins here."""
        return self.watch.copy_of(self, now)

    def plain(self) -> Frame:
        """Return the frame as it would be if nobody watched."""
        if self.was is None:
            return self.passage.frame
        return Frame(self.data, self.checksum, self.gso_bytes)


class Watch:
    """Follows the frames of a pipe for those who watch it."""

    __slots__ = ("_counters", "_first", "place", "receiver", "sender", "watchers")

    def __init__(
        self,
        place: str,
        sender: str,
        receiver: str,
        watchers: tuple[PassageWatcher, ...],
        counters: Counters,
    ) -> None:
        """`counters`: the pipe's, in which its line counts what it reorders."""
        self.place = place
        self.sender = sender
        self.receiver = receiver
        # Another tuple when somebody comes or goes: what is being told to some is told to all of
        # those who were there when it happened.
        self.watchers = watchers
        self._counters = counters
        self._first: FrameSink

    def entrance(self, first: FrameSink) -> FrameSink:
        """Return what takes each frame in front of the pipe's first stage."""

        self._first = first
        return self.enter

    def enter(self, frame: Frame, now: float) -> None:
        """Take a frame that is put on the link (HOT)."""
        passage = Passage(self.place, self.sender, self.receiver, frame, now)
        for watcher in self.watchers:
            watcher.on_passage(passage)
        # Who was told may have cut the link, or changed what comes first
        self._first(Tracked(self, passage, frame), now)

    def copy_of(self, frame: Tracked, now: float) -> Tracked:
        """Return a copy of a frame that is under way, or was."""
        of = frame.passage
        passage = Passage(of.place, of.sender, of.receiver, of.frame, now, copy_of=of)
        passage.changes = [change for change in of.changes if change.what != "duplicate"]
        copy = Tracked(self, passage, frame, frame.was)
        self._tell(passage)
        return copy

    def refused(self, reason: str, frame: Frame, now: float) -> None:
        """Take note of a frame that cannot be put on the link."""
        passage = Passage(self.place, self.sender, self.receiver, frame, now)
        self._tell(passage)
        self._end(passage, LOST, now, reason)

    def told(self, reason: str, frame: Frame, now: float) -> Frame:
        """Take note of what the pipe reports; return the frame without what is ours."""
        if not isinstance(frame, Tracked):
            return frame  # it was there before anybody watched
        passage = frame.passage
        if reason in HARMLESS or is_mark(reason):
            detail = "" if frame.was is None or reason != "corrupt" else turned(frame.was, frame)
            passage.changes.append(Change(reason, now, detail))
        else:
            self._end(passage, LOST, now, reason)
        return frame.plain()

    def waits_again(self, frames: Sequence[Frame]) -> None:
        """Forget the times of frames that were taken out of the queue."""
        for frame in frames:
            if isinstance(frame, Tracked):
                passage = frame.passage
                passage.begins_at = passage.sent_at = passage.arrives_at = None
                if passage.changes and passage.changes[-1].what == "reorder":
                    passage.changes.pop()

    def exit(self, sink: FrameSink) -> FrameSink:
        """Return what takes each frame at the far end."""

        def arrived(frame: Frame, now: float) -> None:
            if not isinstance(frame, Tracked):
                sink(frame, now)
                return
            passage = frame.passage
            plain = passage.frame
            if frame.was is not None:
                passage.arrived = plain = frame.plain()
            passage.arrives_at = passage.ended_at = now
            passage.end = ARRIVED
            for watcher in self.watchers:
                watcher.on_passage(passage)
            sink(plain, now)

        return arrived

    def impaired(self, name: str, impairment: Impairment) -> Apply:
        """Return an impairment of the plug-in kind, each of whose doings is noted."""
        return partial(self._apply, name, impairment.apply)

    def line(self, line: Line) -> WatchedLine:
        """Return a line that takes note of what goes onto it."""
        return WatchedLine(line, self._counters)

    def _apply(self, name: str, apply: Apply, frame: Frame, now: float) -> Departures:
        departures = apply(frame, now)
        if not isinstance(frame, Tracked):
            return departures
        gone: set[Passage] = set()
        noted: list[tuple[float, Frame]] = []
        for at, departing in departures:
            mine = departing
            if not isinstance(mine, Tracked):
                mine = frame.replaced(mine.data, mine.checksum, mine.gso_bytes)
            assert isinstance(mine, Tracked)
            if mine.passage in gone or mine.passage.end:
                # Nobody else says so: there are two now, or it was called lost and was not.
                mine.passage.changes.append(Change("duplicate", now, name))
                mine = self.copy_of(mine, now)
            gone.add(mine.passage)
            if mine.was is not None and mine is not frame and mine.data != mine.was.data:
                mine.passage.changes.append(Change(name, now, turned(mine.was, mine)))
            if at > now:
                mine.passage.changes.append(Change(name, now, f"held for {at - now:g} s"))
            noted.append((at, mine))
        return tuple(noted)

    def _end(self, passage: Passage, end: str, now: float, reason: str) -> None:
        passage.end, passage.ended_at, passage.lost = end, now, reason
        self._tell(passage)

    def _tell(self, passage: Passage) -> None:
        for watcher in self.watchers:
            watcher.on_passage(passage)


class WatchedLine(Line):
    """A line that takes note of when a frame leaves the queue, is sent, and is due."""

    __slots__ = ("_busy_s", "_counters", "_early", "_sent_at")

    def __init__(self, line: Line, counters: Counters) -> None:
        super().__init__(line.scheduler, line.propagation, line.exit)
        self._counters = counters
        self._sent_at = self._busy_s = 0.0  # of the frame that was asked for last
        self._early = False  # it is not delayed

    @property
    def post(self) -> Callable[[float, Callable[[T, float], None], T], None]:
        """Return what has a frame delivered, and takes note of it."""
        to_heap = self.scheduler.post

        def post(when: float, fn: Callable[[T, float], None], argument: T) -> None:
            frame: object = argument[0] if isinstance(argument, list) else argument
            if isinstance(frame, Tracked):
                passage = frame.passage
                # `snap` in place, and each instant is the one before at the earliest
                sent_at = self._sent_at
                begins_at = sent_at - self._busy_s
                begins_at = (begins_at * 1e11 + 6755399441055744.0 - 6755399441055744.0) / 1e11
                if begins_at < passage.entered_at:
                    begins_at = passage.entered_at
                sent_at = (sent_at * 1e11 + 6755399441055744.0 - 6755399441055744.0) / 1e11
                if sent_at < begins_at:
                    sent_at = begins_at
                passage.begins_at, passage.sent_at = begins_at, sent_at
                passage.arrives_at = sent_at if when < sent_at else when
                if self._early:
                    passage.changes.append(Change("reorder", sent_at))
            to_heap(when, fn, argument)

        return post

    @property
    def arrival(self) -> Callable[[float, float], float]:
        """Return what tells when a frame arrives, and takes note of what it was asked."""
        asked = self.propagation.arrival
        self._early = False

        def arrival(sent_at: float, busy_s: float) -> float:
            self._sent_at, self._busy_s = sent_at, busy_s
            return asked(sent_at, busy_s)

        def or_at_once(sent_at: float, busy_s: float) -> float:
            before = self._counters["reorder"]
            arrives_at = arrival(sent_at, busy_s)
            self._early = self._counters["reorder"] > before
            return arrives_at

        return or_at_once if self.propagation.reorders else arrival


def turned(was: Frame, now: Frame) -> str:
    """Tell what differs between a frame and what has taken its place: "bit 3 of byte 41".

    Bits count from the lowest, 0, and bytes from the frame's first, 0. A checksum that was to be
    filled in was so before anything could be damaged.
    """
    try:
        before = completed(was).data
    except WireError:
        before = was.data
    if len(before) != len(now.data):
        return f"{len(before)} bytes made {len(now.data)}"
    changed = [at for at, byte in enumerate(now.data) if byte != before[at]]
    if not changed:
        return ""
    bits = before[changed[0]] ^ now.data[changed[0]]
    if len(changed) == 1 and not bits & (bits - 1):
        return f"bit {bits.bit_length() - 1} of byte {changed[0]}"
    if len(changed) == 1:
        return f"byte {changed[0]}"
    return f"{len(changed)} bytes from byte {changed[0]} on"

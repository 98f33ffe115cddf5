"""Controlled delay, tc-codel(8), RFC 8289: the time that frames wait is what counts.

When no frame has waited for less than `target` during a whole `interval`, the queue is a standing
one, and frames are dropped (or marked) as they leave: one, then the next after interval / sqrt(2),
interval / sqrt(3), ... until one has waited for less. Names and order follow section 5.

The RFC leaves marking open; as Linux, a mark counts as a drop, and the frame goes.
"""

import math
from collections import deque
from typing import Final

from pystack.core.instants import GRACE_S
from pystack.core.rng import Random
from pystack.link.qdisc import words
from pystack.link.qdisc.base import Report, ignore
from pystack.link.qdisc.words import Word
from pystack.wire import ecn as ip_ecn
from pystack.wire.frame import Frame

DEFAULT_TARGET_S: Final = 0.005  # RFC 8289 section 4.3
DEFAULT_INTERVAL_S: Final = 0.1  # section 4.2
DEFAULT_LIMIT_PACKETS: Final = 1000  # tc-codel(8)
# Section 5.5: re-entering this soon continues with the rate of drops that was needed last time.
_RECENT_INTERVALS: Final = 16


class CodelControl:
    """What CoDel is told, and whom it tells; shared by all flows of FQ-CoDel. Times in seconds."""

    __slots__ = (
        "_prefix",
        "ce_threshold_s",
        "ecn",
        "interval_s",
        "largest_bytes",
        "report",
        "target_s",
    )

    def __init__(
        self,
        *,
        target_s: float = DEFAULT_TARGET_S,
        interval_s: float = DEFAULT_INTERVAL_S,
        ecn: bool = False,
        ce_threshold_s: float = math.inf,
        prefix: str = "codel",
    ) -> None:
        """`ce_threshold_s`: ECN-capable frames that waited longer are marked, too."""
        self.report: Report = ignore
        self.target_s = target_s
        self.interval_s = interval_s
        self.ecn = ecn
        self.ce_threshold_s = ce_threshold_s
        # The RFC's maxpacket, of which one may always wait: the largest frame that was seen.
        self.largest_bytes = 0
        self._prefix = prefix

    def law(self, t: float, count: int) -> float:
        """Return the instant of the next drop after the one at `t`, the `count`th (5.6)."""
        return t + self.interval_s / math.sqrt(count)

    def try_mark(self, frame: Frame, now: float) -> Frame | None:
        """Mark instead of dropping; None: it has to be dropped, and that is reported."""
        if self.ecn:
            marked = ip_ecn.mark_ce(frame)
            if marked is not None:
                self.report(f"{self._prefix}_mark", marked, now)
                return marked
        self.report(f"{self._prefix}_drop", frame, now)
        return None

    def mark_above_threshold(self, frame: Frame, now: float) -> Frame:
        """Return the frame with CE, if it can be marked and is not yet."""
        marked = ip_ecn.mark_ce(frame)
        if marked is None or marked is frame:
            return frame
        self.report(f"{self._prefix}_ce_threshold_mark", marked, now)
        return marked


class CodelQueue:
    """A FIFO with the state of RFC 8289 section 5.2. Limits are its owner's."""

    __slots__ = (
        "bytes",
        "control",
        "count",
        "drop_next",
        "dropping",
        "first_above_time",
        "frames",
        "last_count",
        "ok_to_drop",
        "sojourn_s",
    )

    def __init__(self, control: CodelControl) -> None:
        self.control = control
        self.frames: deque[tuple[Frame, float]] = deque()
        self.bytes = 0
        self.first_above_time = math.inf  # inf: the last one was below target
        self.drop_next = 0.0
        self.count = 0  # drops since the dropping state was entered
        self.last_count = 0
        self.dropping = False
        # Of the frame that was taken last
        self.ok_to_drop = False
        self.sojourn_s = 0.0

    def push(self, frame: Frame, now: float) -> None:
        """Append a frame."""
        size = len(frame.data)
        control = self.control
        if size > control.largest_bytes:
            control.largest_bytes = size
        self.frames.append((frame, now))
        self.bytes += size

    def pop(self, now: float) -> Frame | None:
        """Return the next frame that is not dropped (section 5.5); None when it is empty."""
        frame = self._take(now)
        if self.dropping:
            if not self.ok_to_drop:
                self.dropping = False
            elif now + GRACE_S >= self.drop_next:
                frame = self._go_on_dropping(frame, now)
        elif self.ok_to_drop:
            frame = self._start_dropping(frame, now)
        if frame is not None and self.sojourn_s > self.control.ce_threshold_s + GRACE_S:
            frame = self.control.mark_above_threshold(frame, now)
        return frame

    def drop_oldest(self) -> Frame:
        """Take the oldest out, unasked and unreported: the owner is over its limit."""
        frame, _ = self.frames.popleft()
        self.bytes -= len(frame.data)
        # As Linux: CoDel is to know that this queue has been too long.
        self.count += 1
        return frame

    def drain(self) -> list[tuple[Frame, float]]:
        """Take out all, with the instants at which they came: an empty queue has no bad state."""
        entries = list(self.frames)
        self.frames.clear()
        self.bytes = 0
        self.first_above_time = math.inf
        self.dropping = False
        return entries

    def _take(self, now: float) -> Frame | None:
        # dodequeue of section 5.6
        self.ok_to_drop = False
        if not self.frames:
            self.first_above_time = math.inf
            return None
        frame, arrived_at = self.frames.popleft()
        self.bytes -= len(frame.data)
        control = self.control
        self.sojourn_s = now - arrived_at
        if self.sojourn_s + GRACE_S < control.target_s or self.bytes <= control.largest_bytes:
            self.first_above_time = math.inf
        elif self.first_above_time == math.inf:
            self.first_above_time = now + control.interval_s
        else:
            self.ok_to_drop = now + GRACE_S >= self.first_above_time
        return frame

    def _go_on_dropping(self, frame: Frame | None, now: float) -> Frame | None:
        control = self.control
        while frame is not None and self.dropping and now + GRACE_S >= self.drop_next:
            self.count += 1
            marked = control.try_mark(frame, now)
            if marked is not None:
                self.drop_next = control.law(self.drop_next, self.count)
                return marked
            frame = self._take(now)
            if self.ok_to_drop:
                self.drop_next = control.law(self.drop_next, self.count)
            else:
                self.dropping = False
        return frame

    def _start_dropping(self, frame: Frame | None, now: float) -> Frame | None:
        assert frame is not None  # there was one to be late
        control = self.control
        marked = control.try_mark(frame, now)
        frame = self._take(now) if marked is None else marked
        self.dropping = True
        delta = self.count - self.last_count
        recent = now - self.drop_next < _RECENT_INTERVALS * control.interval_s
        self.count = delta if delta > 1 and recent else 1
        self.drop_next = control.law(now, self.count)
        self.last_count = self.count
        return frame


class Codel:
    """One CoDel queue, limited in packets."""

    __slots__ = ("_control", "limit_packets", "queue")

    def __init__(self, control: CodelControl, *, limit_packets: int) -> None:
        self._control = control
        self.queue = CodelQueue(control)
        self.limit_packets = limit_packets

    @property
    def report(self) -> Report:
        """Return the receiver of reports about drops and marks."""
        return self._control.report

    @report.setter
    def report(self, report: Report) -> None:
        self._control.report = report

    def enqueue(self, frame: Frame, now: float) -> None:
        """Append it, or drop it at the limit."""
        if len(self.queue.frames) >= self.limit_packets:
            self._control.report("codel_full", frame, now)
        else:
            self.queue.push(frame, now)

    def dequeue(self, now: float) -> Frame | None:
        """Return the next one that CoDel lets through."""
        return self.queue.pop(now)

    def next_at(self, now: float) -> float:
        """Return `now` while there is something."""
        return now if self.queue.frames else math.inf

    def drain(self, now: float) -> list[Frame]:
        """Take out all that wait."""
        return [frame for frame, _ in self.queue.drain()]

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self.queue.frames)

    @property
    def backlog_bytes(self) -> int:
        """Return how many bytes wait."""
        return self.queue.bytes


def codel(
    _: Random,
    *,
    limit: Word = DEFAULT_LIMIT_PACKETS,
    target: Word = DEFAULT_TARGET_S,
    interval: Word = DEFAULT_INTERVAL_S,
    ecn: bool = False,
    ce_threshold: Word | None = None,
) -> Codel:
    """`codel [limit PACKETS] [target TIME] [interval TIME] [ecn] [ce_threshold TIME]`."""
    control = CodelControl(
        target_s=words.duration_s("target", target),
        interval_s=words.duration_s("interval", interval),
        ecn=ecn,
        ce_threshold_s=threshold_s(ce_threshold),
    )
    return Codel(control, limit_packets=words.count("limit", limit))


def threshold_s(ce_threshold: Word | None) -> float:
    """Return seconds; infinity where there is none."""
    return math.inf if ce_threshold is None else words.duration_s("ce_threshold", ce_threshold)

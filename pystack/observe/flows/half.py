"""One direction of a connection of TCP as somebody on the way sees it: what each segment was.

Nothing of the sender's state is known: what it must be is concluded from segments and their times.
A retransmission's reason is what makes one due just then: duplicate or selective acknowledgments
just before it ("fast"), silence ("rto"), or a short silence and the last segment alone ("tlp").
"""

from __future__ import annotations

from bisect import bisect_left, insort_right
from collections import deque
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Literal

from pystack.observe.reading import Read
from pystack.tcp.seq import unwrap
from pystack.wire import tcp

SegmentKind = Literal[
    "syn",
    "syn-ack",
    "ack",
    "data",
    "retransmission",
    "spurious",
    "duplicate",
    "out of order",
    "dup ack",
    "window update",
    "zero window",
    "window probe",
    "keep-alive",
    "keep-alive ack",
    "fin",
    "rst",
]
Reason = Literal["rto", "fast", "tlp", "syn", ""]  # "syn": a SYN-ACK, for the SYN came again

MOST_OUTSTANDING: Final = 4096  # segments whose acknowledgment is awaited, for each direction
_MOST_RANGES: Final = 256  # holes
_MOST_NAMED: Final = 64  # blocks of SACK
_MOST_DELIVERED: Final = 64  # acknowledged segments whose copies are told from retransmissions
_SEQ: Final = attrgetter("seq")
_DUP_ACKS: Final = 3  # RFC 5681 section 3.2
_SLACK_S: Final = 0.05  # of delays that vary; a quarter of Linux's least RTO
_NO_RTT_S: Final = 0.003  # reordering takes less than this, where no round trip is known
_SPACE: Final = 1 << 32
_MAX_SHIFT: Final = 14  # RFC 7323 section 2.3


@dataclass(slots=True)
class Sent:
    """A segment that was seen and not acknowledged yet."""

    seq: int
    end: int
    number: int
    first_at: float
    last_at: float
    ident: int
    tsval: int | None
    again: bool = False  # it was sent more than once
    fast: bool = False  # it was sent again because of acknowledgments


@dataclass(slots=True)
class Hole:
    """Bytes that were passed over: lost before they came here, or overtaken."""

    seq: int
    end: int
    at: float
    tsval: int | None  # of the segment that passed them


@dataclass(slots=True)
class Half:
    """What one side has sent. Sequence numbers are unwrapped: they only grow."""

    known: bool = False  # a segment of it was seen
    isn: int = 0  # or the first number that was seen
    nxt: int = 0  # the highest number seen, and one
    una: int = 0  # the highest that the other side has acknowledged
    last_ack: int = -1  # what this side acknowledges; -1: nothing yet
    window: int = -1  # that this side advertises, scaled; -1: not known
    shift: int = 0  # of its windows
    sack_ok: bool = False
    fin: int = -1  # the number of its FIN; -1: none seen
    sent: list[Sent] = field(default_factory=list)  # by `seq`
    delivered: deque[Sent] = field(default_factory=lambda: deque(maxlen=_MOST_DELIVERED))
    holes: list[Hole] = field(default_factory=list)
    dup_acks: int = 0  # that came for it since its `una` moved
    sacked: int = 0  # the highest number that SACK has named
    named: dict[int, int] = field(default_factory=dict)  # where its blocks end, by their beginning
    delivered_sent_at: float = -1.0  # when the youngest segment that has arrived was sent
    heard_at: float = -1.0  # when the other side last said something
    heard_more_at: float = -1.0  # when it last acknowledged more, or named more
    said_at: float = -1.0  # when this side last sent text
    beyond_s: float = 0.0  # from here to this side and back, as the handshake shows
    rtt_s: float | None = None  # from here to the other side and back, smoothed
    rttvar_s: float = 0.0
    rtt_min_s: float = 0.0
    timeout_until: int = -1  # a time-out is being repaired up to here
    repair_until: int = -1  # segments are being sent again, up to here
    in_doubt: int = 0  # of these, how many may have been needed
    probed: bool = False  # a tail loss probe went out since `una` moved
    last_was_probe: str = ""  # what the last segment was, if a probe or keep-alive

    def begin(self, seq: int) -> None:
        """Take its first segment's number for where it begins."""
        self.known = True
        self.isn = self.nxt = self.una = seq

    @property
    def in_flight(self) -> int:
        """Return how many bytes were seen and not acknowledged."""
        return max(self.nxt - self.una, 0)

    def sample(self, rtt_s: float) -> None:
        """Take a measurement (RFC 6298)."""
        if self.rtt_s is None:
            self.rtt_s, self.rttvar_s, self.rtt_min_s = rtt_s, rtt_s / 2, rtt_s
        else:
            self.rtt_min_s = min(self.rtt_min_s, rtt_s)
            self.rttvar_s += (abs(self.rtt_s - rtt_s) - self.rttvar_s) / 4
            self.rtt_s += (rtt_s - self.rtt_s) / 8

    @property
    def whole_rtt_s(self) -> float | None:
        """Return the round trip between both sides, of which this place sees two parts."""
        return None if self.rtt_s is None else self.rtt_s + self.beyond_s

    def acknowledged(self, ack: int, read: Read, at: float, *, counts: bool) -> float | None:
        """Take what the other side acknowledges; return a round trip, where it measures one.

        `counts`: it is one that may count as a duplicate.
        """
        self.heard_at = at
        blocks = () if read.options is None else read.options.sack_blocks
        self._take_blocks(blocks, ack, at)
        if ack <= self.una:
            if ack == self.una and counts and self.in_flight:
                self.dup_acks += 1
            return None
        self.una = ack
        self.nxt = max(self.nxt, ack)  # of what was not seen here
        self.dup_acks = 0
        self.probed = False
        self.heard_more_at = at
        self.holes = [hole for hole in self.holes if hole.end > ack]
        newest: Sent | None = None
        again = False
        count = 0
        while count < len(self.sent) and self.sent[count].end <= ack:
            newest = self.sent[count]
            count += 1
            self.delivered.append(newest)
            again |= newest.again
            self.delivered_sent_at = max(self.delivered_sent_at, newest.last_at)
        del self.sent[:count]
        if newest is None or again:
            return None
        rtt_s = at - newest.first_at
        self.sample(rtt_s)
        return rtt_s

    def _take_blocks(self, blocks: tuple[tuple[int, int], ...], ack: int, at: float) -> None:
        for left, right in blocks:
            start, end = unwrap(left, self.una), unwrap(right, self.una)
            if end <= ack:
                self.in_doubt -= 1  # RFC 2883: it came twice
                if not self.in_doubt:
                    # Nothing was lost: the sender takes it back.
                    self.timeout_until = self.repair_until = -1
                continue
            if not self.una < end <= self.nxt:
                continue  # nonsense
            if end > self.sacked:
                self.sacked = end
                self.heard_more_at = at
            # What the block before it had named is not looked at again.
            known = self.named.get(start, start)
            if len(self.named) >= _MOST_NAMED:
                self.named.clear()
            self.named[start] = max(known, end)
            first = bisect_left(self.sent, known, key=_SEQ)
            for each in self.sent[first : bisect_left(self.sent, end, key=_SEQ)]:
                if each.end <= end:
                    self.delivered_sent_at = max(self.delivered_sent_at, each.last_at)

    def text(
        self, read: Read, seq: int, end: int, at: float, number: int
    ) -> tuple[SegmentKind, Reason, int]:
        """Tell what a segment with text, SYN or FIN was: kind, reason, number of the first one."""
        tsval = (
            None
            if read.options is None or read.options.timestamps is None
            else (read.options.timestamps[0])
        )
        new = Sent(seq, end, number, at, at, read.ident, tsval)
        if seq >= self.nxt:
            if seq > self.nxt and len(self.holes) < _MOST_RANGES:
                self.holes.append(Hole(self.nxt, seq, at, tsval))
            self.nxt = end
            self.said_at = at
            self._put(new)
            return "data", "", 0
        hole = next((each for each in self.holes if each.seq <= seq < each.end), None)
        if hole is not None:
            return self._fills(hole, new, at)
        before = self._seen_before(seq, end)
        # Beside the receiver, a copy comes after the first one's acknowledgment.
        copied = before or next(
            (each for each in reversed(self.delivered) if each.seq == seq), None
        )
        if copied is not None and self._is_duplicate(copied, new, at):
            return "duplicate", "", copied.number
        kind: SegmentKind = "spurious" if end <= self.una else "retransmission"
        reason = self._why(new, before, at)
        self._sent_again(new, reason, at)
        return kind, reason, 0 if copied is None else copied.number

    def _fills(self, hole: Hole, new: Sent, at: float) -> tuple[SegmentKind, Reason, int]:
        """Tell a segment that was overtaken from one that is sent again."""
        rtt_s = self.whole_rtt_s
        within_s = _NO_RTT_S if rtt_s is None else 0.9 * rtt_s
        late = at - hole.at > within_s
        if new.tsval is not None and hole.tsval is not None and new.tsval != hole.tsval:
            # Its sender's clock says whether it was sent after the one that passed it.
            late = (new.tsval - hole.tsval) % _SPACE < _SPACE // 2
        self.holes.remove(hole)
        for seq, end in ((hole.seq, new.seq), (new.end, hole.end)):
            if seq < end and len(self.holes) < _MOST_RANGES:
                self.holes.append(Hole(seq, end, hole.at, hole.tsval))
        new.again = late
        reason: Reason = self._why(new, None, at) if late else ""
        self._put(new)
        self.said_at = at
        if late:
            self._sent_again(new, reason, at)
            return "retransmission", reason, 0
        return "out of order", "", 0

    def _put(self, new: Sent) -> None:
        """Put a segment where it belongs among those that are awaited."""
        insort_right(self.sent, new, key=_SEQ)
        if len(self.sent) > MOST_OUTSTANDING:
            del self.sent[0]

    def _with(self, seq: int, end: int) -> list[Sent]:
        """Return the segments that are awaited and have some of these bytes."""
        first = last = bisect_left(self.sent, end, key=_SEQ)
        while first and self.sent[first - 1].end > seq:
            first -= 1
        return self.sent[first:last]

    def _seen_before(self, seq: int, end: int) -> Sent | None:
        return next(iter(self._with(seq, end)), None)

    def _is_duplicate(self, before: Sent, new: Sent, at: float) -> bool:
        """Tell a copy that the network made from what the sender has sent again."""
        if (before.seq, before.end, before.ident, before.tsval) != (
            new.seq,
            new.end,
            new.ident,
            new.tsval,
        ):
            return False
        if new.ident:
            return True  # RFC 6864 section 4.3: what is sent again mostly gets another one
        rtt_s = self.whole_rtt_s
        return at - before.last_at < (_NO_RTT_S if rtt_s is None else rtt_s / 2)

    def _why(self, new: Sent, before: Sent | None, at: float) -> Reason:
        """Return why a segment is sent again just now, most likely."""
        if new.seq <= self.isn:
            return "rto"  # a SYN: nothing else could tell
        if self.una < self.timeout_until:
            return "rto"
        if self._is_heard(new, before):
            # At once, or when the time that reordering may take is over (RFC 8985: at most a round
            # trip); there is some more for what a queue may have held up.
            since_s = at - self.heard_at - self.beyond_s
            most_s = self.rtt_min_s + self.beyond_s + _SLACK_S
            return "fast" if since_s < most_s else "rto"
        # RFC 8985 section 7.2: no probe while a loss is being repaired.
        is_open = self.una >= self.repair_until and not self.probed
        return "tlp" if new.end >= self.nxt and self.sack_ok and is_open else "rto"

    def _is_heard(self, new: Sent, before: Sent | None) -> bool:
        """Tell whether acknowledgments say that a segment is lost."""
        if self.sacked > new.seq or (self.dup_acks >= _DUP_ACKS and not (before and before.again)):
            return True
        if self.una < self.repair_until and new.seq <= self.una:
            # RFC 6582: an acknowledgment of a part tells of the next loss, once.
            return before is None or before.last_at < self.heard_more_at
        # RFC 8985: what was sent later has arrived.
        return before is not None and self.sack_ok and self.delivered_sent_at > before.last_at

    def _sent_again(self, new: Sent, reason: Reason, at: float) -> None:
        if self.una >= self.repair_until:
            self.repair_until, self.in_doubt = self.nxt, 0
        self.in_doubt += 1
        if reason == "rto" and self.una >= self.timeout_until:
            self.timeout_until = self.nxt
        elif reason == "tlp":
            self.probed = True
        for each in self._with(new.seq, new.end):
            each.again, each.last_at = True, at
            each.fast |= reason == "fast"
            each.tsval, each.ident = new.tsval, new.ident
        if new.end > self.nxt:
            self.nxt = new.end
        self.said_at = at


def window_of(half: Half, read: Read) -> int:
    """Return the window that a segment advertises, scaled as was agreed on."""
    return read.wnd if read.flags & tcp.SYN else read.wnd << min(half.shift, _MAX_SHIFT)

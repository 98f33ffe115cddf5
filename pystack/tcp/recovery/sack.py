"""Loss recovery with selective acknowledgements (RFC 6675), F-RTO (RFC 5682), and undoing both.

While nothing is lost, all that is kept of what was sent is a log of (end, instant). The first SACK
block, or a time-out, turns it into a scoreboard; a while after the trouble it becomes a log again.
`rack.py` is the same with another idea of when a segment is lost.
"""

from bisect import insort
from typing import Final

from pystack.tcp import timestamps
from pystack.tcp.recovery.base import (
    BAD_SACK,
    DUPLICATE_THRESHOLD,
    LOSS,
    RECOVERED,
    RESTART_TIMER,
    UNDO,
    Lost,
    RecoveryInfo,
)
from pystack.tcp.recovery.tracking import Tracking
from pystack.tcp.recovery.undo import Undo
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.scoreboard import (
    EVER_RETRANSMITTED,
    LOST,
    RETRANSMITTED,
    SACKED,
    Record,
)
from pystack.tcp.tcb import Tcb
from pystack.wire.tcp import Segment

# The phases of recovery
OPEN: Final = 0
FAST: Final = 1  # a loss is being repaired that acknowledgements showed
TIMEOUT: Final = 2  # what was in flight when the timer ran out is being sent again

# Sums of instants differ from one another by less than this when they mean the same.
EPSILON_S: Final = 1e-9

# Where F-RTO stands (RFC 5682 section 3.1)
_OFF: Final = 0
_FIRST_ACK: Final = 1  # step 2 is to come
_SECOND_ACK: Final = 2  # step 3 is to come

MAX_DUPLICATE_THRESHOLD: Final = 300  # segments; as Linux's tcp_max_reordering


# What all have until the peer has selectively acknowledged something. It takes nothing in.
_NONE_YET: Final[list[tuple[int, int]]] = []


class SackRecovery(Tracking):
    """The scoreboard's owner: marks what is lost, and knows when all is repaired."""

    __slots__ = (
        "_forced",
        "_frto",
        "_frto_sent_at",
        "_guessed",
        "_high_rxt",
        "_highest",
        "_holding",
        "_judged",
        "_known",
        "_rescue_seq",
        "_rescued_until",
        "_undo",
        "delivered_bytes",
        "dup_thresh",
        "newest_end",
        "newest_serial",
        "newly_lost_bytes",
        "phase",
        "recover",
        "reordering_seen",
    )

    needs_sack = True  # where that was not agreed on, NewReno takes its place

    name = "sack"
    counts_delivered = True

    def __init__(self, tcb: Tcb, rtt: RttEstimator) -> None:
        super().__init__(tcb, rtt)
        self.phase = OPEN
        self.recover = tcb.iss  # RFC 6675's RecoveryPoint
        self.delivered_bytes = self.newly_lost_bytes = 0
        self.dup_thresh = DUPLICATE_THRESHOLD
        self.reordering_seen = False
        # Of the segment that was sent last among those that are known to have arrived: RFC 8985's
        # RACK.xmit_ts, here a serial number, for in virtual time many are sent at one instant, and
        # RACK.end_seq. What is in the log was sent after it.
        self.newest_serial = 0
        self.newest_end = tcb.iss
        # (SEQ, size) of the highest records that are selectively acknowledged, ascending: as many
        # as `dup_thresh` can ever ask for
        self._highest = _NONE_YET
        self._guessed = tcb.iss  # before it there is nothing for NextSeg's rule (3)
        self._judged = tcb.iss  # all before it has been looked at by `_detect`
        self._high_rxt = tcb.iss  # RFC 6675's HighRxt
        self._rescued_until: int | None = None  # its RescueRxt; None: there was none
        self._rescue_seq: int | None = None  # what `next_spare` has offered; None: nothing
        self._forced = False  # the next retransmission goes out whatever cwnd says
        self._known: tuple[tuple[int, int], ...] = ()  # the blocks of the ACK before
        self._undo = Undo(tcb)
        self._frto = _OFF
        self._frto_sent_at = 0.0  # nothing that the time-out took for lost was sent later
        self._holding = False  # F-RTO sends new text instead of what seems lost

    @property
    def in_recovery(self) -> bool:
        """Tell whether fast recovery goes on."""
        return self.phase == FAST

    # what was sent

    def on_sent(self, seq: int, now: float) -> None:
        """Note when it was."""
        if self.repairing:
            self._record(seq, now)
        else:
            self._log.append((self._tcb.snd_nxt, now))

    def on_retransmitted(self, seq: int, size: int, now: float) -> None:
        """Note it."""
        self._track()
        out_bytes = self.board.retransmitted_bytes
        record = self.board.retransmitted(seq, size, now)
        if self.rates is not None:
            self.rates.sent(record, self.pipe_bytes(), now)
        self._forced = False
        self._undo.on_retransmitted(size, out_bytes, now)
        if seq == self._rescue_seq:
            self._rescued_until = self.recover  # HighRxt stays
        elif seq + size > self._high_rxt:
            self._high_rxt = seq + size
        self._rescue_seq = None

    # what to send again

    def next_lost(self) -> Lost | None:
        """Return what is lost and was not sent again, lowest first: NextSeg's rule (1)."""
        if self._holding:
            return None
        record = self.board.next_lost()
        if record is None:
            return None
        reason = "rto" if self.phase == TIMEOUT else self.name
        return Lost(record.seq, record.end - record.seq, self._forced, reason)

    def next_spare(self) -> Lost | None:
        """Return what may be sent again for want of new text: NextSeg's rules (3) and (4)."""
        if self._holding:
            if self._tcb.snd_nxt > self.recover:
                return None  # F-RTO has sent something new, and waits for its ACK
            self._holding = False  # there is nothing new to try it with
            self._frto = _OFF
            return self.next_lost()
        if self.phase != FAST:
            return None
        return self._next_guess()

    # what came back

    def on_ack(self, seg: Segment, acked_bytes: int, now: float, *, duplicate: bool) -> int:
        """Shorten the log (HOT); or bring the scoreboard up to date, and see what follows."""
        if self.repairing or seg.sack_blocks or not acked_bytes:
            return self._examine(seg, acked_bytes, now, duplicate=duplicate)
        self.newly_lost_bytes = 0
        self.delivered_bytes = acked_bytes
        self._shorten_log(now)
        return RESTART_TIMER

    def arm(self, now: float) -> None:
        """Set no timer: only acknowledgements and the retransmission timer show losses."""

    def on_timer(self, now: float) -> int:
        """Have no timer."""
        return 0

    def on_rto(self, now: float) -> None:
        """What is in flight is lost; but see by F-RTO whether it only came late."""
        self._track()
        board = self.board
        if board.records and board.records[0].flags & SACKED:
            self._highest.clear()
            board.renege()  # or SND.UNA would lie behind it (RFC 2018 section 8)
            self._known = ()
        self.newly_lost_bytes = 0
        if self.phase != TIMEOUT:
            self._undo.begin(self.board.retransmitted_bytes)
        self._frto = _FIRST_ACK if self.phase == OPEN else _OFF
        self._all_lost(now)

    def on_too_big(self) -> None:
        """Send all again."""
        self._track()
        self._undo.end()
        self._frto = _OFF
        self._all_lost(None)

    @property
    def reo_wnd_s(self) -> float:
        """Return 0: it counts, where RACK waits."""
        return 0.0

    def info(self) -> RecoveryInfo:
        """Return a snapshot."""
        board = self.board
        state = ("open", "recovery", "loss")[self.phase]
        if self.phase == OPEN and board.sacked_bytes:
            state = "disorder"
        return RecoveryInfo(
            state,
            board.sacked_bytes,
            board.lost_bytes,
            board.retransmitted_bytes,
            self.dup_thresh,
            self.reordering_seen,
            self.reo_wnd_s,
        )

    # for RACK to have them its way

    def on_duplicate_report(self, left: int, right: int) -> None:
        """The peer had [left, right) twice (D-SACK)."""

    def _detect(self, now: float) -> int:
        """Mark what is lost by RFC 6675's IsLost; return how many bytes.

        That is what `dup_thresh` segments above it are here for, or more than `dup_thresh` - 1
        full ones in bytes.
        """
        board, tcb = self.board, self._tcb
        if not board.sacked_bytes:
            return 0
        records = board.records
        above_bytes = 0
        until = tcb.snd_una  # what lies before it has enough above it
        for above, (seq, size) in enumerate(reversed(self._highest), 1):
            above_bytes += size
            if above >= self.dup_thresh or above_bytes > (self.dup_thresh - 1) * tcb.snd_mss:
                until = seq
                break
        lost_bytes = 0
        first, last = board.index_at(max(self._judged, tcb.snd_una)), board.index_at(until)
        for at in range(first, last):
            record = records[at]
            self._judged = record.end
            if record.flags & (SACKED | LOST):
                continue
            lost_bytes += record.size
            if record.flags & RETRANSMITTED:
                board.mark_guessed(record)
            else:
                self._lose(record, now)
        return lost_bytes

    def _selected(self, record: Record) -> None:
        """Keep the highest in mind, so that `_detect` need not look for them."""
        highest = self._highest
        if highest is _NONE_YET:
            highest = self._highest = []
        if len(highest) < MAX_DUPLICATE_THRESHOLD:
            insort(highest, (record.seq, record.size))
        elif record.seq > highest[0][0]:
            del highest[0]
            insort(highest, (record.seq, record.size))

    def _survives(self, record: Record, now: float) -> bool:
        """Tell whether a record is too young to be considered lost at a time-out."""
        return False

    def _left_recovery(self, *, undone: bool) -> None:
        """Fast recovery, or that after a time-out, is over; `undone`: nothing had been lost."""

    # helpers

    def _sort_blocks(
        self, seg: Segment
    ) -> tuple[list[tuple[int, int]] | None, tuple[int, int] | None]:
        """Return the blocks that tell of data in flight, and what is reported as a duplicate.

        None instead of the former: there is one among them that can't be.
        """
        tcb, blocks, report = self._tcb, seg.sack_blocks, None
        if not blocks:
            return [], None
        left, right = blocks[0]
        # RFC 2883 section 4: by its place, below the ACK or inside of the next block
        if right <= seg.ack or (len(blocks) > 1 and blocks[1][0] <= left and right <= blocks[1][1]):
            report = (left, right) if left < right else None
            blocks = blocks[1:]
        una, found = tcb.snd_una, []
        for left, right in blocks:
            if left >= right or right > tcb.snd_nxt:
                return None, report
            if right > una:
                found.append((max(left, una), right))
        found.sort()
        return found, report

    def _examine(self, seg: Segment, acked_bytes: int, now: float, *, duplicate: bool) -> int:
        """Take an ACK that tells of more than progress without trouble."""
        self.newly_lost_bytes = 0
        self.delivered_bytes = acked_bytes
        if acked_bytes and not self.repairing:
            self._shorten_log(now)
        flags = RESTART_TIMER if acked_bytes else 0
        blocks, report = self._sort_blocks(seg)
        if blocks is None:
            flags |= BAD_SACK
            blocks = []
        if report is not None:
            self._undo.on_duplicate_report(*report)
            self.on_duplicate_report(*report)
        if blocks:
            self._track()
        if self.repairing:
            flags |= self._update(seg, blocks, acked_bytes, now)
        elif report is not None and self._undo.all_were_duplicates():
            flags |= self._take_back()
        return flags

    def _update(
        self, seg: Segment, blocks: list[tuple[int, int]], acked_bytes: int, now: float
    ) -> int:
        board, tcb = self.board, self._tcb
        self.delivered_bytes = 0
        originals = False
        if acked_bytes:
            for record in board.acknowledge(tcb.snd_una):
                if not record.flags & SACKED:
                    originals |= self._arrived(record, seg, now)
            if tcb.snd_una > self.fack:
                self.fack = tcb.snd_una
        for left, right in blocks:
            for record in self._select(left, right):
                self._selected(record)
                originals |= self._arrived(record, seg, now)
        self._known = tuple(blocks)
        flags = 0
        if self.phase != OPEN:
            flags |= self._progress(seg, acked_bytes, originals=originals)
        if self._undo.all_were_duplicates():
            flags |= self._take_back()
        self.newly_lost_bytes = self._detect(now)
        if self.newly_lost_bytes and self.phase == OPEN:
            self._enter_fast()
            flags |= LOSS
        if self.phase != OPEN or not board.clean:
            self._calm_seq = tcb.snd_nxt
        else:
            self._calm_down()
        return flags

    def _select(self, left: int, right: int) -> list[Record]:
        start = left
        for known_left, known_right in self._known:
            if known_left <= left and known_right > start:
                if known_right >= right:
                    return []
                start = known_right
        return self.board.select(left, right, self._tcb.snd_mss, start)

    def _arrived(self, record: Record, seg: Segment, now: float) -> bool:
        """A record is known to be here; True: the copy that a time-out has considered lost."""
        end, flags = record.end, record.flags
        self.delivered_bytes += end - record.seq
        if self.rates is not None:
            self.rates.delivered(record, now)
        original = not flags & EVER_RETRANSMITTED
        if end > self.fack:
            self.fack = end
        elif original and end < self.fack:
            self._reordered(record)
        rtt_s = now - record.xmit_at
        if original or not self._ambiguous(record, seg, rtt_s):
            self.newest_rtt_s = rtt_s
            if (record.serial, end) > (self.newest_serial, self.newest_end):
                self.newest_serial = record.serial
                self.newest_end = end
        return original and end <= self.recover and record.xmit_at <= self._frto_sent_at

    def _ambiguous(self, record: Record, seg: Segment, rtt_s: float) -> bool:
        """Tell whether the ACK is for an earlier copy (RFC 8985 section 6.2, step 2)."""
        min_rtt_s = self._rtt.min_rtt_s
        if min_rtt_s is not None and rtt_s < min_rtt_s - EPSILON_S:
            return True
        # What came out of order is not what is echoed (RFC 7323 section 4.3).
        if seg.tsval is None or not seg.tsecr or record.end > self._tcb.snd_una:
            return False
        return timestamps.older(seg.tsecr, timestamps.clock(self._tcb, record.xmit_at))

    def _reordered(self, record: Record) -> None:
        """Something arrived that had been overtaken, never having been sent again."""
        self.reordering_seen = True
        distance = -(-(self.fack - record.seq) // self._tcb.snd_mss)
        self.dup_thresh = min(max(self.dup_thresh, distance), MAX_DUPLICATE_THRESHOLD)

    def _progress(self, seg: Segment, acked_bytes: int, *, originals: bool) -> int:
        """See whether the repair is done, or was not needed."""
        if acked_bytes and self._undo.original_answered(seg):
            return self._take_back()
        if self._tcb.snd_una >= self.recover:
            self._leave()
            return RECOVERED
        if self._frto == _OFF:
            return 0
        if originals:
            return self._take_back()  # step 3 (b): what was not sent again arrives
        self._holding = False
        if self._frto == _FIRST_ACK and acked_bytes:
            self._frto = _SECOND_ACK  # step 2 (b)
            self._holding = True
        else:
            self._frto = _OFF  # step 2 (a), 3 (a)
        return 0

    def _enter_fast(self) -> None:
        self.phase = FAST
        self.recover = self._tcb.snd_nxt
        self._forced = True
        self._high_rxt = self._guessed = self._tcb.snd_una
        self._rescued_until = None
        self._undo.begin(self.board.retransmitted_bytes)

    def _leave(self, *, undone: bool = False) -> None:
        self.phase = OPEN
        self._forced = self._holding = False
        self._frto = _OFF
        self._left_recovery(undone=undone)

    def _take_back(self) -> int:
        """Nothing was lost: what seemed lost is still in flight."""
        self._undo.end()
        if self.phase == OPEN:
            self.reordering_seen = True
            return UNDO
        if self.phase == FAST:
            self.reordering_seen = True
        self._leave(undone=True)
        self.board.find_again()
        reach = -(-(self.fack - self._tcb.snd_una) // self._tcb.snd_mss)
        self.dup_thresh = min(max(self.dup_thresh, reach + 1), MAX_DUPLICATE_THRESHOLD)
        self._judged = self._tcb.snd_una
        return UNDO | RECOVERED

    def _all_lost(self, now: float | None) -> None:
        """Mark all lost but what is young; None: that too, and it is no loss to be told of."""
        board = self.board
        self._frto_sent_at = 0.0
        for number, record in enumerate(board.records):
            flags = record.flags
            if flags & SACKED or flags & (LOST | RETRANSMITTED) == LOST:
                continue
            if now is None:
                board.mark_lost(record)
            elif number and self._survives(record, now):
                continue
            else:
                self._lose(record, now)
            self.newly_lost_bytes += record.size
            self._frto_sent_at = max(self._frto_sent_at, record.xmit_at)
        self.phase = TIMEOUT
        self.recover = self._judged = self._calm_seq = self._tcb.snd_nxt
        self._forced = True
        self._holding = False

    def _next_guess(self) -> Lost | None:
        board, tcb = self.board, self._tcb
        records = board.records
        start = max(self._high_rxt, self._guessed, tcb.snd_una)
        for at in range(board.index_at(start), len(records)):
            record = records[at]
            self._guessed = record.seq
            if record.end > self.fack:
                break
            if not record.flags & (SACKED | LOST | RETRANSMITTED):
                return Lost(record.seq, record.size, forced=False, reason=self.name)  # rule (3)
        if self._rescued_until is not None and tcb.snd_una <= self._rescued_until:
            return None
        for record in reversed(records):
            if not record.flags & SACKED:
                if record.flags & RETRANSMITTED:
                    return None
                size = self._tail_of(record)
                self._rescue_seq = record.end - size
                return Lost(self._rescue_seq, size, forced=False, reason=self.name)  # rule (4)
        return None

"""The scoreboard: what is on its way, segment by segment, and what is known of each.

A record stands for what was sent at once: a segment, or a super-frame of up to 64 KiB. It is cut,
at whole segments, when only a part of it turns out to be here, or is to be sent again. Records lie
in the order of their numbers; those in flight, and not known to be here or lost, are also chained
in the order in which they were last sent, which is the order that RACK thinks in. A mark in the
chain parts what was sent before the newest that has arrived from the rest.

The sums hold at any time: `sacked_bytes` are selectively acknowledged, `lost_bytes` are lost (sent
again or not), `retransmitted_bytes` are in flight a second time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final

SACKED: Final = 1
LOST: Final = 2
RETRANSMITTED: Final = 4  # in flight again, and not known to be lost again
EVER_RETRANSMITTED: Final = 8
_GONE: Final = 16  # cumulatively acknowledged
_TO_SEND_MASK: Final = LOST | RETRANSMITTED | SACKED | _GONE

_SEQ: Final = attrgetter("seq")
_SENT: Final = attrgetter("serial", "end")


class RateStamp:
    """What the connection had delivered when a record was sent (BBR draft, section 4.1.2.1)."""

    __slots__ = (
        "app_limited",
        "delivered_at",
        "delivered_bytes",
        "first_sent_at",
        "lost_bytes",
        "tx_in_flight_bytes",
    )

    def __init__(
        self,
        delivered_bytes: int,
        delivered_at: float,
        first_sent_at: float,
        lost_bytes: int,
        tx_in_flight_bytes: int,
        *,
        app_limited: bool,
    ) -> None:
        self.delivered_bytes = delivered_bytes
        self.delivered_at = delivered_at
        self.first_sent_at = first_sent_at
        self.lost_bytes = lost_bytes
        self.tx_in_flight_bytes = tx_in_flight_bytes
        self.app_limited = app_limited


class Record:
    """One piece of what was sent: [seq, end), a FIN included."""

    __slots__ = ("after", "before", "end", "flags", "seq", "serial", "stamp", "xmit_at")

    def __init__(self, seq: int, end: int, xmit_at: float, serial: int) -> None:
        self.seq = seq
        self.end = end
        self.xmit_at = xmit_at  # when it was last sent
        self.serial = serial  # of that transmission: many have the same instant
        self.flags = 0
        self.stamp: RateStamp | None = None  # None: nobody asks for rates
        self.before: Record | None = None  # in the chain; None: it is not in it
        self.after: Record | None = None

    @property
    def size(self) -> int:
        """Return how many numbers it takes."""
        return self.end - self.seq

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return f"<{self.seq}:{self.end} flags={self.flags} at={self.xmit_at}>"


class Scoreboard:
    """The records of one connection."""

    __slots__ = (
        "_chain",
        "_lost",
        "_mark",
        "_serial",
        "lost_bytes",
        "records",
        "retransmitted_bytes",
        "sacked_bytes",
        "sacked_records",
    )

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.sacked_bytes = self.lost_bytes = self.retransmitted_bytes = 0
        self.sacked_records = 0
        self._lost: list[tuple[int, int, Record]] = []  # heap; some may be lost no more
        self._serial = 0  # of the last transmission, or of the last entry of the heap
        self._chain = Record(0, 0, 0.0, 0)  # its ends meet here
        self._mark = Record(0, 0, 0.0, 0)
        self._empty_chain()

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.records)

    @property
    def clean(self) -> bool:
        """Tell whether nothing is known of any record but that it was sent."""
        return not (self.sacked_bytes or self.lost_bytes or self.retransmitted_bytes)

    @property
    def left_bytes(self) -> int:
        """Return how much less than FlightSize is in flight."""
        return self.sacked_bytes + self.lost_bytes - self.retransmitted_bytes

    def sent(self, seq: int, end: int, now: float) -> Record:
        """Add what was sent for the first time, behind all that is there."""
        self._serial += 1
        record = Record(seq, end, now, self._serial)
        self.records.append(record)
        self._link_last(record)
        return record

    def acknowledge(self, una: int) -> list[Record]:
        """Take off everything before `una` and return it; a record in part leaves its front."""
        records = self.records
        gone = 0
        for record in records:
            if record.end > una:
                break
            self._forget(record)
            gone += 1
        taken = records[:gone]
        del records[:gone]
        if records and records[0].seq < una:
            front = self._cut(0, una)
            self._forget(front)
            del records[0]
            taken.append(front)
        return taken

    def select(self, left: int, right: int, piece_bytes: int, start: int) -> list[Record]:
        """Note that [left, right) is at the peer; return the records for which that is news.

        A record in part is cut at multiples of `piece_bytes`; what does not fill a whole piece is
        left to a later ACK, or a peer could have us keep a record for each byte. Before `start`
        all is known already.
        """
        records = self.records
        index = max(bisect_right(records, start, key=_SEQ) - 1, 0)
        news = []
        while index < len(records):
            record = records[index]
            if record.seq >= right:
                break
            if record.flags & SACKED or record.end <= left:
                index += 1
                continue
            if record.seq < left:
                cut = self._cut_up(index, left, piece_bytes)
                index += 1
                if not cut:
                    continue
                record = records[index]
            if record.end > right and not self._cut_down(index, right, piece_bytes):
                break
            record = records[index]
            self._select(record)
            news.append(record)
            index += 1
        return news

    def at(self, seq: int) -> Record | None:
        """Return the record that holds a number; None: there is none."""
        index = bisect_right(self.records, seq, key=_SEQ) - 1
        if index < 0 or self.records[index].end <= seq:
            return None
        return self.records[index]

    def index_at(self, seq: int) -> int:
        """Return the index of the record that holds a number, or of the next one."""
        index = bisect_right(self.records, seq, key=_SEQ) - 1
        if index < 0 or self.records[index].end <= seq:
            index += 1
        return index

    def mark_lost(self, record: Record) -> None:
        """Take a record for lost, also one that was lost and sent again."""
        size = record.end - record.seq
        if record.flags & RETRANSMITTED:
            record.flags &= ~RETRANSMITTED
            self.retransmitted_bytes -= size
        if not record.flags & LOST:
            record.flags |= LOST
            self.lost_bytes += size
        self._unlink(record)
        self._serial += 1
        heappush(self._lost, (record.seq, self._serial, record))

    def mark_guessed(self, record: Record) -> None:
        """Take a record for lost that was sent again on a guess: rightly so."""
        record.flags |= LOST
        self.lost_bytes += record.end - record.seq

    def next_lost(self) -> Record | None:
        """Return the lost record with the lowest number that was not sent again."""
        lost = self._lost
        while lost:
            record = lost[0][2]
            if record.flags & _TO_SEND_MASK == LOST and record.seq == lost[0][0]:
                return record
            heappop(lost)
        return None

    def retransmitted(self, seq: int, size: int, now: float) -> Record:
        """Note that so much from `seq` on, within one record, is in flight again; return it."""
        records = self.records
        index = bisect_right(records, seq, key=_SEQ) - 1
        if records[index].seq < seq:
            self._cut(index, seq)
            index += 1
        record = records[index]
        if size < record.end - seq:
            record = self._cut(index, seq + size)
        if not record.flags & RETRANSMITTED:
            self.retransmitted_bytes += record.end - record.seq
        record.flags |= RETRANSMITTED | EVER_RETRANSMITTED
        record.xmit_at = now
        self._serial += 1
        record.serial = self._serial
        self._unlink(record)
        self._link_last(record)
        return record

    def find_again(self) -> None:
        """Nothing is lost after all: what was not sent again is still on its way (an undo)."""
        for record in self.records:
            if record.flags & LOST:
                record.flags &= ~LOST
                self.lost_bytes -= record.end - record.seq
        self._lost.clear()
        self._chain_again()

    def renege(self) -> None:
        """Forget what was selectively acknowledged: the peer has thrown it away (RFC 2018, 8)."""
        for record in self.records:
            record.flags &= ~SACKED
        self.sacked_bytes = self.sacked_records = 0
        self._chain_again()

    def reached(self, serial: int, end: int) -> None:
        """The transmission `serial` has arrived up to `end`, the newest that has: move the mark.

        It never moves back, so that each record is passed once, however many ACKs come.
        """
        mark, chain = self._mark, self._chain
        record = mark.after
        assert record is not None
        if record is chain or (record.serial, record.end) >= (serial, end):
            return
        while record is not chain and (record.serial, record.end) < (serial, end):
            record = record.after
            assert record is not None
        self._unlink(mark)
        before = record.before
        assert before is not None
        self._link_between(before, mark, record)

    def overtaken(self) -> Iterator[Record]:
        """Go through what was sent before the mark, oldest first; each may be taken out then."""
        record = self._chain.after
        while record is not None and record is not self._mark:
            following = record.after
            yield record
            record = following

    @property
    def last_overtaken(self) -> Record | None:
        """Return the last of them; None: there is none."""
        record = self._mark.before
        return None if record is self._chain else record

    def clear(self) -> None:
        """Forget all."""
        for record in self.records:
            record.before = record.after = None  # no cycles for the garbage collector to find
        self.records.clear()
        self._lost.clear()
        self.sacked_bytes = self.lost_bytes = self.retransmitted_bytes = 0
        self.sacked_records = 0
        self._empty_chain()

    def _empty_chain(self) -> None:
        self._chain.before = self._chain.after = self._mark
        self._mark.before = self._mark.after = self._chain

    def _forget(self, record: Record) -> None:
        flags = record.flags
        if flags:
            size = record.end - record.seq
            if flags & SACKED:
                self.sacked_bytes -= size
                self.sacked_records -= 1
            if flags & LOST:
                self.lost_bytes -= size
            if flags & RETRANSMITTED:
                self.retransmitted_bytes -= size
        record.flags = flags | _GONE
        self._unlink(record)

    def _select(self, record: Record) -> None:
        size = record.end - record.seq
        if record.flags & LOST:
            self.lost_bytes -= size
        if record.flags & RETRANSMITTED:
            self.retransmitted_bytes -= size
        record.flags = record.flags & EVER_RETRANSMITTED | SACKED
        self.sacked_bytes += size
        self.sacked_records += 1
        self._unlink(record)

    def _cut(self, index: int, at: int) -> Record:
        """Make two of a record; the object that was there becomes the second, return the first."""
        record = self.records[index]
        first = Record(record.seq, at, record.xmit_at, record.serial)
        first.flags = record.flags
        first.stamp = record.stamp
        record.seq = at
        self.records.insert(index, first)
        if record.flags & SACKED:
            self.sacked_records += 1
        if record.before is not None:
            self._link_between(record.before, first, record)
        if first.flags & (LOST | RETRANSMITTED) == LOST:
            self._serial += 1
            heappush(self._lost, (first.seq, self._serial, first))
            self._serial += 1
            heappush(self._lost, (record.seq, self._serial, record))
        return first

    def _cut_up(self, index: int, left: int, piece_bytes: int) -> bool:
        """Cut off what lies before the first whole piece from `left` on; False: there is none."""
        record = self.records[index]
        at = record.seq - (record.seq - left) // piece_bytes * piece_bytes
        if at >= record.end:
            return False
        self._cut(index, at)
        return True

    def _cut_down(self, index: int, right: int, piece_bytes: int) -> bool:
        """Cut off what lies behind the last whole piece before `right`; False: there is none."""
        record = self.records[index]
        at = record.seq + (right - record.seq) // piece_bytes * piece_bytes
        if at <= record.seq:
            return False
        self._cut(index, at)
        return True

    def _link_last(self, record: Record) -> None:
        last = self._chain.before
        assert last is not None
        self._link_between(last, record, self._chain)

    def _chain_again(self) -> None:
        self._empty_chain()
        on_the_way = []
        for record in self.records:
            record.before = record.after = None
            flags = record.flags
            if not flags & SACKED and flags & (LOST | RETRANSMITTED) != LOST:
                on_the_way.append(record)
        for record in sorted(on_the_way, key=_SENT):
            self._link_last(record)

    def _link_between(self, before: Record, record: Record, after: Record) -> None:
        record.before = before
        record.after = after
        before.after = after.before = record

    def _unlink(self, record: Record) -> None:
        before, after = record.before, record.after
        if before is not None and after is not None:
            before.after = after
            after.before = before
            record.before = record.after = None


# What connections have while they need none: each takes 0.9 kB, and is a cycle, which only the
# garbage collector gets rid of. Nothing is ever put into this one.
NO_BOARD: Final = Scoreboard()

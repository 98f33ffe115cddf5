"""What a program is told of its text afterwards: the error queue of a stream socket, as Linux's.

With SO_TIMESTAMPING when the last byte of each write was handed down, left, and was acknowledged;
with MSG_ZEROCOPY that the memory of a call is its own again, once all of it was acknowledged. There
is no card that would have stamps of its own, and no memory that would be shared: what is sent is
copied, and the notice says so (SO_EE_CODE_ZEROCOPY_COPIED).
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

# Linux's SOF_TIMESTAMPING_ bits that mean something without a card
TX_SOFTWARE: Final = 1 << 1
SOFTWARE: Final = 1 << 4  # stamps are told, not only taken
OPT_ID: Final = 1 << 7
TX_SCHED: Final = 1 << 8
TX_ACK: Final = 1 << 9
OPT_TSONLY: Final = 1 << 11
OPT_ID_TCP: Final = 1 << 16
_ANY_STAMP: Final = TX_SOFTWARE | TX_SCHED | TX_ACK

# Time stamps that wait for their reader, and writes that wait to be acknowledged; of what comes
# then stamps are only counted, and zero-copy calls refused, as with Linux's optmem_max.
MAX_NOTICES: Final = 1024
_NUMBERS: Final = 0xFFFFFFFF


class Kind(Enum):
    """What a notice tells."""

    SENT = "sent"  # the text has left
    SCHEDULED = "scheduled"  # it was handed down
    ACKNOWLEDGED = "acknowledged"
    COPIED = "copied"  # MSG_ZEROCOPY: the memory of these calls is free


@dataclass(slots=True)
class Notice:
    """One entry of the queue. Of COPIED: a row of calls, else the last byte of one write."""

    kind: Kind
    at: float
    first: int
    last: int
    alone: bool  # SOF_TIMESTAMPING_OPT_TSONLY: without the packet


@dataclass(slots=True)
class _Mark:
    """The end of a write that has not gone all its way yet."""

    end: int  # as the sequence number behind it
    flags: int  # what is to be told
    key: int
    call: int | None  # of MSG_ZEROCOPY, counted from 0; None: without


class Notices:
    """The queue of one socket, and what is on its way to it."""

    def __init__(self, on_notice: Callable[[], None]) -> None:
        self.queue: deque[Notice] = deque()
        self.zero_copy = False  # SO_ZEROCOPY: without it MSG_ZEROCOPY is not heard
        self.flags = 0  # SO_TIMESTAMPING
        self.lost = 0  # for lack of room
        self._on_notice = on_notice
        self._keys_from = 0
        self._calls = 0
        self._unsent: deque[_Mark] = deque()
        self._unacknowledged: deque[_Mark] = deque()

    def stamp(self, flags: int, connection: Connection | None) -> None:
        """Set SO_TIMESTAMPING. ValueError: keys, and no connection whose bytes they count."""
        if flags & OPT_ID and not self.flags & OPT_ID:
            if connection is None or connection.state is TcpState.CLOSED:
                raise ValueError("SOF_TIMESTAMPING_OPT_ID counts the bytes of a connection")
            written = connection.send_buffer.end
            self._keys_from = written if flags & OPT_ID_TCP else connection.tcb.snd_una
        self.flags = flags

    def check_room(self, *, zero_copy: bool) -> None:
        """Raise OSError (ENOBUFS) where one more zero-copy call could not be remembered."""
        if zero_copy and self.zero_copy and len(self._unacknowledged) >= MAX_NOTICES:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    def written(self, connection: Connection, *, zero_copy: bool) -> None:
        """Note the end of a write, before any of it goes out."""
        zero_copy = zero_copy and self.zero_copy
        if not (zero_copy or self.flags & _ANY_STAMP):
            return
        end = connection.send_buffer.end
        key = end - 1 - self._keys_from & _NUMBERS if self.flags & OPT_ID else 0
        call = None
        if zero_copy:
            call, self._calls = self._calls, self._calls + 1 & _NUMBERS
        mark = _Mark(end, self.flags, key, call)
        if mark.flags & (TX_SCHED | TX_SOFTWARE):
            self._remember(self._unsent, mark)
        if mark.flags & TX_ACK or zero_copy:
            self._remember(self._unacknowledged, mark)

    def _remember(self, marks: deque[_Mark], mark: _Mark) -> None:
        # Small writes share a segment in Linux too, and then the stamps of most of them are lost.
        if len(marks) < MAX_NOTICES:
            marks.append(mark)
        else:
            self.lost += 1

    def settle(self, connection: Connection, now: float) -> None:
        """Tell what has happened to the writes, after each pump."""
        before = len(self.queue), self._calls_told()
        unsent, left = self._unsent, connection.tcb.snd_nxt
        while unsent and unsent[0].end <= left:
            mark = unsent.popleft()
            if mark.flags & TX_SCHED:
                self._add(Kind.SCHEDULED, mark, now)
            if mark.flags & TX_SOFTWARE:
                self._add(Kind.SENT, mark, now)
        over = connection.state is TcpState.CLOSED
        waiting, arrived = self._unacknowledged, connection.tcb.snd_una
        while waiting and (over or waiting[0].end <= arrived):
            mark = waiting.popleft()
            if mark.flags & TX_ACK and mark.end <= arrived:
                self._add(Kind.ACKNOWLEDGED, mark, now)
            if mark.call is not None:
                self._add_call(mark.call, now)
        if (len(self.queue), self._calls_told()) != before:
            self._on_notice()

    def _calls_told(self) -> int:
        """Return the last call of the last entry: a row that grows is news too."""
        last = self.queue[-1] if self.queue else None
        return last.last if last is not None and last.kind is Kind.COPIED else -1

    def _add(self, kind: Kind, mark: _Mark, now: float) -> None:
        if not mark.flags & SOFTWARE:
            return
        if len(self.queue) < MAX_NOTICES:
            alone = bool(mark.flags & OPT_TSONLY)
            self.queue.append(Notice(kind, now, mark.key, mark.key, alone))
        else:
            self.lost += 1

    def _add_call(self, call: int, now: float) -> None:
        tail = self.queue[-1] if self.queue else None
        if tail is not None and tail.kind is Kind.COPIED and tail.last + 1 & _NUMBERS == call:
            tail.last = call
        else:
            # However full it is: whoever waits for his memory waits for ever. No stamp comes behind
            # it.
            self.queue.append(Notice(Kind.COPIED, now, call, call, alone=True))

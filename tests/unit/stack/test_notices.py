"""What is remembered of writes that are to be told of: little, however slow the peer is."""

import errno

import pytest

from pystack.stack import notices
from pystack.stack.notices import MAX_NOTICES, Kind, Notices
from pystack.tcp.config import TcpConfig
from pystack.tcp.connection import Connection


class Bench:
    """A connection that nothing is acknowledged on unless the test says so."""

    def __init__(self, flags: int = 0) -> None:
        self.conn = Connection(TcpConfig(), 4000, 80, iss=0, mtu_mss=1460)
        self.conn.tcb.snd_una = self.conn.tcb.snd_nxt = 1
        self.notices = Notices(lambda: None)
        self.notices.zero_copy = True
        self.notices.flags = flags

    def write(self, *, zero_copy: bool) -> None:
        self.notices.check_room(zero_copy=zero_copy)
        self.conn.send_buffer.append(memoryview(b"x"))
        self.notices.written(self.conn, zero_copy=zero_copy)

    def acknowledge_all(self) -> None:
        self.conn.tcb.snd_una = self.conn.tcb.snd_nxt = self.conn.send_buffer.end
        self.notices.settle(self.conn, 5.0)


def test_of_stamps_beyond_the_bound_nothing_is_kept() -> None:
    bench = Bench(notices.TX_SCHED | notices.TX_ACK | notices.SOFTWARE | notices.OPT_TSONLY)
    for _ in range(3 * MAX_NOTICES):
        bench.write(zero_copy=False)
    assert len(bench.notices._unsent) == len(bench.notices._unacknowledged) == MAX_NOTICES
    bench.acknowledge_all()
    assert len(bench.notices.queue) == MAX_NOTICES
    assert bench.notices.lost == 4 * MAX_NOTICES + MAX_NOTICES


def test_zero_copy_calls_beyond_the_bound_are_refused() -> None:
    bench = Bench()
    for _ in range(MAX_NOTICES):
        bench.write(zero_copy=True)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
        bench.write(zero_copy=True)
    assert caught.value.errno == errno.ENOBUFS
    bench.write(zero_copy=False)  # copied by the program itself: nothing to remember
    bench.acknowledge_all()
    (notice,) = bench.notices.queue
    assert (notice.kind, notice.first, notice.last) == (Kind.COPIED, 0, MAX_NOTICES - 1)
    bench.write(zero_copy=True)


def test_a_queue_full_of_stamps_loses_no_zero_copy_call() -> None:
    bench = Bench(notices.TX_ACK | notices.SOFTWARE | notices.OPT_TSONLY)
    for _ in range(2 * MAX_NOTICES):
        bench.write(zero_copy=False)
        bench.acknowledge_all()
    for _ in range(3):
        bench.write(zero_copy=True)
        bench.acknowledge_all()
    assert len(bench.notices.queue) == MAX_NOTICES + 1
    last = bench.notices.queue[-1]
    assert (last.kind, last.first, last.last) == (Kind.COPIED, 0, 2)

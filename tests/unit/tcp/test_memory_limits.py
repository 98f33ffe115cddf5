"""The memory of a host's connections: what is counted, what happens under pressure, who is cut."""

import errno
import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tcp_bench import ANY, PEER_ISS, TcpBench

from pystack.core.errors import ConfigError
from pystack.stack.tcp_memory import CONNECTION_BYTES, SENT_BYTES
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.ack_policy import PRESSED_SEGMENTS
from pystack.tcp.config import TcpConfig, TcpLimits
from pystack.tcp.out_of_order import MAX_RANGES, RANGE_BYTES, most_ranges
from pystack.tcp.send_buffer import PRESSED_SEND_BUFFER_BYTES
from pystack.tcp.seq import MASK
from pystack.tcp.states import TcpState
from pystack.wire.tcp import ACK, FIN, PSH, RST, SYN
from pystack.wire.tcp_options import TcpOptions

KB = 1000


@pytest.fixture
def bench() -> TcpBench:
    return TcpBench()


def opened(bench: TcpBench, count: int = 1, first: int = 5000) -> list[TcpSocket]:
    by_port = bench.table.listeners.by_port
    listener = by_port[80][0] if by_port else bench.table.listen(ANY, 80)
    sockets = [bench.accept_from(first + number, listener) for number in range(count)]
    listener.ready.clear()
    bench.sent()
    return sockets


def text(bench: TcpBench, socket: TcpSocket, size: int, *, gap: int = 0, wnd: int = 65535) -> None:
    """Let text arrive, `gap` bytes beyond what is due."""
    tcb = socket.connection.tcb
    bench.segment(
        ACK | PSH,
        ports=(socket.connection.remote_port, 80),
        seq=tcb.rcv_nxt + gap,
        ack=tcb.snd_nxt,
        payload=bytes(size),
        wnd=wnd,
    )


def limits(bench: TcpBench, *, low: int, pressure: int, high: int, orphans: int = 100) -> None:
    bench.table.limits = TcpLimits(memory_bytes=(low, pressure, high), max_orphans=orphans)


def used(bench: TcpBench) -> int:
    return bench.table.shared.memory.used_bytes


def aborted(bench: TcpBench) -> list[int]:
    """Return the ports to which a reset went."""
    return [segment.dst_port for segment in bench.sent() if segment.flags & RST]


def test_what_is_held_is_counted_and_given_back(bench: TcpBench) -> None:
    (socket,) = opened(bench)
    assert used(bench) == CONNECTION_BYTES
    text(bench, socket, 1000)
    assert used(bench) == CONNECTION_BYTES + 1000
    text(bench, socket, 300, gap=500)
    assert used(bench) == CONNECTION_BYTES + 1300 + RANGE_BYTES
    bench.table.write(socket, memoryview(bytes(5000)), 0.0)
    assert used(bench) == CONNECTION_BYTES + 6300 + RANGE_BYTES
    assert len(bench.table.read(socket, 10_000, 0.0)) == 1000
    bench.segment(ACK, seq=socket.connection.tcb.rcv_nxt, ack=socket.connection.tcb.snd_nxt)
    assert used(bench) == CONNECTION_BYTES + 300 + RANGE_BYTES
    bench.segment(RST, seq=socket.connection.tcb.rcv_nxt)
    bench.table.release(socket, 0.0)
    assert used(bench) == 0


def test_text_that_is_there_after_the_end_is_counted_until_its_reader_goes(
    bench: TcpBench,
) -> None:
    (socket,) = opened(bench)
    text(bench, socket, 1000)
    bench.segment(RST, seq=socket.connection.tcb.rcv_nxt)
    assert len(bench.table) == 0
    assert used(bench) == 1000
    bench.table.release(socket, 0.0)
    assert used(bench) == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["text", "gap", "write", "ack", "read", "reset", "fin", "release"]),
            st.integers(1, 1400),
        ),
        max_size=40,
    )
)
def test_the_count_is_the_sum_of_what_is_held_whatever_happens(
    steps: list[tuple[int, str, int]],
) -> None:
    bench = TcpBench()
    sockets = opened(bench, 3)
    for which, what, size in steps:
        socket = sockets[which]
        tcb = socket.connection.tcb
        ports = (5000 + which, 80)
        if what in ("text", "gap"):
            text(bench, socket, size, gap=size if what == "gap" else 0)
        elif what == "write" and socket.connection.state is TcpState.ESTABLISHED:
            bench.table.write(socket, memoryview(bytes(size)), 0.0)
        elif what == "ack":
            bench.segment(ACK, ports=ports, seq=tcb.rcv_nxt, ack=tcb.snd_nxt)
        elif what == "read":
            bench.table.read(socket, size, 0.0)
            bench.table.pump(socket, 0.0)
        elif what == "reset":
            bench.segment(RST, ports=ports, seq=tcb.rcv_nxt)
        elif what == "fin":
            bench.segment(FIN | ACK, ports=ports, seq=tcb.rcv_nxt, ack=tcb.snd_nxt)
        elif what == "release":
            bench.table.release(socket, 0.0)
        held = sum(
            len(one.connection.send_buffer)
            + one.connection.receive_buffer.readable_bytes
            + one.connection.receive_buffer.out_of_order.size_bytes
            + len(one.connection.receive_buffer.ranges) * RANGE_BYTES
            + len(one.connection.recovery.held) * SENT_BYTES
            for one in sockets
        )
        alive = len(bench.table.sockets)
        assert used(bench) == held + alive * CONNECTION_BYTES
    for socket in sockets:
        bench.table.abort(socket, 0.0)
        bench.table.release(socket, 0.0)
    assert used(bench) == 0
    assert not bench.table.memory.orphans


def test_under_pressure_nothing_grows_and_everything_goes_on(bench: TcpBench) -> None:
    reader, other = opened(bench, 2)
    limits(bench, low=20 * KB, pressure=30 * KB, high=1000 * KB)
    bench.table.write(other, memoryview(bytes(40 * KB)), 0.0)
    bench.sent()
    assert bench.counters["tcp_memory_pressures"] == 1
    edge = reader.connection.tcb.rcv_adv
    text(bench, reader, 1000)
    text(bench, reader, 1000)
    assert reader.connection.tcb.rcv_adv == edge  # never back, and not on either
    bench.sent()
    left = edge - reader.connection.tcb.rcv_nxt
    while left > 0:
        text(bench, reader, min(left, 1400))
        bench.table.read(reader, 100_000, 0.0)
        left = edge - reader.connection.tcb.rcv_nxt
    assert reader.connection.tcb.rcv_wnd <= PRESSED_SEGMENTS * 1460
    assert reader.connection.tcb.rcv_wnd > 0
    assert bench.table.write(reader, memoryview(bytes(100 * KB)), 0.0) == PRESSED_SEND_BUFFER_BYTES


def test_when_the_pressure_is_gone_windows_open_again(bench: TcpBench) -> None:
    reader, other = opened(bench, 2)
    limits(bench, low=20 * KB, pressure=30 * KB, high=1000 * KB)
    bench.table.write(other, memoryview(bytes(40 * KB)), 0.0)
    assert bench.table.shared.memory.pressed
    bench.table.abort(other, 0.0)
    assert not bench.table.shared.memory.pressed
    edge = reader.connection.tcb.rcv_adv
    for _ in range(4):
        text(bench, reader, 1400)
    bench.table.read(reader, 100_000, 0.0)
    text(bench, reader, 1400)
    text(bench, reader, 1400)
    assert reader.connection.tcb.rcv_adv > edge


def test_orphans_are_cut_first_and_the_oldest_of_them(bench: TcpBench) -> None:
    first, second, third, reader, other = opened(bench, 5)
    for at, socket in enumerate((second, first, third)):
        bench.table.write(socket, memoryview(bytes(15 * KB)), float(at))
        bench.table.release(socket, float(at))
    bench.table.write(reader, memoryview(bytes(45 * KB)), 3.0)
    bench.sent()
    limits(bench, low=0, pressure=70 * KB, high=100 * KB)
    text(bench, other, 1000)
    assert aborted(bench) == [5001, 5000, 5002]
    assert bench.counters["tcp_memory_orphan_cut"] == 3
    assert reader.connection.state is TcpState.ESTABLISHED


def test_then_what_waits_beyond_gaps_is_thrown_away(bench: TcpBench) -> None:
    gappy, reader = opened(bench, 2)
    limits(bench, low=0, pressure=50 * KB, high=60 * KB)
    for number in range(20):
        text(bench, gappy, 1000, gap=1 + number * 1000)
    bench.table.write(reader, memoryview(bytes(32 * KB)), 0.0)
    bench.run(0.0)
    assert aborted(bench) == []
    assert bench.counters["tcp_memory_pruned"] == 1
    assert used(bench) == 2 * CONNECTION_BYTES + 32 * KB
    assert gappy.connection.state is TcpState.ESTABLISHED
    text(bench, gappy, 1000)  # what is missing comes, and all the rest again
    assert gappy.connection.receive_buffer.readable_bytes == 1000


def test_then_those_who_hold_most_are_reset_and_told_why(bench: TcpBench) -> None:
    sockets = opened(bench, 5)
    for number, socket in enumerate(sockets):
        bench.table.write(socket, memoryview(bytes((number + 1) * 6 * KB)), 0.0)
    bench.sent()
    limits(bench, low=0, pressure=70 * KB, high=100 * KB)
    text(bench, sockets[0], 10)
    assert aborted(bench) == [5004, 5003]
    assert [socket.connection.error for socket in sockets] == [None] * 3 + [errno.ENOMEM] * 2
    assert bench.counters["tcp_memory_cut"] == 2
    assert used(bench) <= 70 * KB


def test_too_many_orphans_cost_the_oldest(bench: TcpBench) -> None:
    sockets = opened(bench, 4)
    limits(bench, low=0, pressure=10**9, high=10**9, orphans=2)
    for socket in sockets[:3]:
        bench.table.release(socket, 0.0)
    assert len(bench.table.memory.orphans) == 2
    assert aborted(bench) == [5000]
    assert bench.counters["tcp_orphan_cut"] == 1


def test_an_orphan_that_ends_well_is_no_orphan_any_more(bench: TcpBench) -> None:
    (socket,) = opened(bench)
    bench.table.release(socket, 0.0)
    assert len(bench.table.memory.orphans) == 1
    tcb = socket.connection.tcb
    bench.segment(FIN | ACK, seq=tcb.rcv_nxt, ack=tcb.snd_nxt)
    assert not bench.table.memory.orphans
    assert used(bench) == 0  # in TIME-WAIT it is a record


@pytest.mark.parametrize("wnd", [0, 1])
def test_peers_whose_windows_stay_shut_can_not_pin_more_than_the_limit(
    wnd: int, bench: TcpBench
) -> None:
    limits(bench, low=50 * KB, pressure=100 * KB, high=200 * KB)
    lost = 0
    for number in range(40):
        (socket,) = opened(bench, first=5000 + number)
        tcb = socket.connection.tcb
        bench.segment(ACK, ports=(5000 + number, 80), seq=PEER_ISS + 1, ack=tcb.snd_nxt, wnd=wnd)
        bench.table.write(socket, memoryview(bytes(50 * KB)), bench.scheduler.now)
        bench.run(bench.scheduler.now)
        lost += len(aborted(bench))
        assert used(bench) <= 200 * KB
    bench.run(bench.scheduler.now + 1)
    assert lost > 0
    assert bench.counters["tcp_memory_cut"] == lost


def test_readers_who_do_not_read_can_not_pin_more_than_the_limit(bench: TcpBench) -> None:
    limits(bench, low=50 * KB, pressure=100 * KB, high=200 * KB)
    for number in range(40):
        (socket,) = opened(bench, first=5000 + number)
        for _ in range(20):
            if socket.connection.state is TcpState.ESTABLISHED:
                text(bench, socket, 1400)
        bench.sent()
        assert used(bench) <= 200 * KB + 1400
    assert bench.counters["tcp_memory_cut"] > 0


@pytest.mark.parametrize("bad", [(2, 1, 3), (0, 3, 2), (-1, 1, 1)])
def test_thresholds_ascend(bad: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="memory_bytes"):
        TcpLimits(memory_bytes=bad)


# What a peer can do to have much held where little is counted, and what of it is held at most
COUNTED_TIMES = 1.6


class Held:
    """What `tracemalloc` finds that connections take from now on, beside what is counted."""

    def __init__(self, bench: TcpBench, count: int) -> None:
        self.bench = bench
        bench.table.config = TcpConfig(receive_buffer_max_bytes=8 << 20)
        bench.table.limits = TcpLimits(memory_bytes=(1 << 30,) * 3)
        self.sockets = opened(bench, count)
        self.counted = used(bench)
        gc.collect()
        tracemalloc.start()

    def check(self) -> tuple[int, int]:
        """Return what is held and what is counted; the former is little more."""
        self.bench.events.clear()
        self.bench.taken()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        counted = used(self.bench) - self.counted
        assert held < COUNTED_TIMES * (counted + len(self.sockets) * 1024)
        return held, counted


def test_single_bytes_beyond_a_gap_are_held_as_they_are_counted(bench: TcpBench) -> None:
    held = Held(bench, 3)
    for socket in held.sockets:
        for number in range(MAX_RANGES + 10):
            text(bench, socket, 1, gap=2 + 50 * number)
    _, counted = held.check()
    ranges = len(held.sockets[0].connection.receive_buffer.ranges)
    assert ranges == most_ranges(128 << 10) == 341  # and no more than the buffer may take
    assert bench.counters["tcp_too_many_pieces"] == 3 * (MAX_RANGES + 10 - ranges)
    assert counted == 3 * ranges * (1 + RANGE_BYTES)


@pytest.mark.parametrize("size", [1, 700, 1024, 1400])
def test_text_in_order_is_held_as_it_is_counted(size: int, bench: TcpBench) -> None:
    held = Held(bench, 3)
    for socket in held.sockets:
        for _ in range(40_000 // size // (20 if size == 1 else 1)):
            text(bench, socket, size)
    held.check()


def test_short_text_in_long_frames_pins_none_of_them(bench: TcpBench) -> None:
    held = Held(bench, 2)
    for socket in held.sockets:
        for size, gap in ((1, 0), (1024, 0), (1400, 0), (1, 5000), (1024, 9000)):
            tcb = socket.connection.tcb
            ports = (socket.connection.remote_port, 80)
            seq, ack = tcb.rcv_nxt + gap, tcb.snd_nxt
            frame = bench.frame(ACK | PSH, ports=ports, seq=seq, ack=ack, payload=bytes(size))
            bench.arrive_together(frame + bytes(65_000))
    total, counted = held.check()
    assert counted > 2 * 2000
    assert total < 20_000


def test_the_last_byte_of_what_was_read_pins_none_of_it(bench: TcpBench) -> None:
    held = Held(bench, 1)
    (socket,) = held.sockets
    text(bench, socket, 1400)
    assert len(bench.table.read(socket, 1399, 0.0)) == 1399
    held.check()
    assert len(socket.connection.receive_buffer.read(5)) == 1


@pytest.mark.parametrize("sacked", [False, True])
def test_single_bytes_on_the_way_are_held_as_they_are_counted(
    sacked: bool, bench: TcpBench
) -> None:
    bench.table.config = TcpConfig(no_delay=True)
    listener = bench.table.listen(ANY, 80)
    offer = TcpOptions(mss=1460, sack_permitted=True)
    bench.segment(SYN, ports=(5000, 80), options=offer)
    (answer,) = bench.sent()
    bench.segment(ACK, ports=(5000, 80), seq=PEER_ISS + 1, ack=answer.seq + 1)
    socket = listener.ready[-1]
    socket.connection.tcb.no_delay = True
    gc.collect()
    tracemalloc.start()
    before = used(bench)
    for _ in range(3000):
        bench.table.write(socket, memoryview(b"x"), 0.0)
    if sacked:
        iss = socket.connection.tcb.iss
        bench.segment(
            ACK,
            ports=(5000, 80),
            seq=PEER_ISS + 1,
            ack=answer.seq + 1,
            options=TcpOptions(sack_blocks=((iss + 2900 & MASK, iss + 2950 & MASK),)),
        )
    bench.taken()
    bench.events.clear()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(socket.connection.recovery.held) >= 3000
    assert held < COUNTED_TIMES * (used(bench) - before)

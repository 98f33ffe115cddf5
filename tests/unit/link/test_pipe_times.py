"""When a frame leaves a pipe: delay, rate, order, and what changes while frames are under way."""

import pytest
from pipe_bench import Bench, numbered, tcp_frame

from pystack.link.qdisc.fifo import Fifo
from pystack.wire import tcp
from pystack.wire.frame import CHECKSUM_PARTIAL, completed


def test_a_frame_arrives_after_the_delay_and_not_from_inside_the_sender() -> None:
    bench = Bench(delay="20ms", start=5.0)
    bench.send()
    assert bench.out == []
    bench.run()
    assert bench.times == [5.02]


def test_without_any_word_a_frame_arrives_at_the_same_instant_as_an_event_of_its_own() -> None:
    bench = Bench()
    for number in range(3):
        bench.pipe.send(numbered(number), 0.0)
    assert bench.out == []
    bench.run(0.0)
    assert (bench.numbers, bench.times) == ([0, 1, 2], [0.0, 0.0, 0.0])


def test_a_rate_takes_its_time_for_each_frame_one_after_the_other() -> None:
    bench = Bench(rate="1mbit", delay="10ms")  # 125 bytes: 1 ms
    bench.send(4, size=125)
    bench.run()
    assert bench.times == [0.011, 0.012, 0.013, 0.014]


def test_the_transmitter_rests_between_frames_that_come_slowly() -> None:
    bench = Bench(rate="1mbit")
    bench.send(3, size=125, spacing_s=0.01)
    bench.run()
    assert bench.times == [0.001, 0.011, 0.021]


def test_overhead_counts_for_each_packet() -> None:
    bench = Bench(rate="1mbit", overhead=25)
    bench.send(2, size=100)
    bench.run()
    assert bench.times == [0.001, 0.002]


def test_cells_are_filled_up_as_on_atm() -> None:
    bench = Bench(rate="1mbit 0 48 5")
    bench.send(1, size=100)  # 3 cells of 53 bytes
    bench.run()
    assert bench.times == [3 * 53 * 8 / 1e6]


def test_one_event_for_each_frame_with_a_rate_and_a_delay() -> None:
    bench = Bench(rate="1mbit", delay="10ms")
    bench.send(10)
    assert len(bench.scheduler) == 10


def test_limit_counts_those_that_wait_and_not_the_one_that_is_sent() -> None:
    bench = Bench(rate="1mbit", limit=2)
    bench.send(5, size=125)
    bench.run()
    assert bench.numbers == [0, 1, 2]
    assert bench.reports == [("pfifo_full", 0.0), ("pfifo_full", 0.0)]


def test_there_is_room_again_as_soon_as_a_frame_begins_to_be_sent() -> None:
    bench = Bench(rate="1mbit", limit=1)
    bench.send_at(0.0, numbered(0, 125))
    bench.send_at(0.0, numbered(1, 125))
    bench.send_at(0.0009, numbered(2, 125))
    bench.send_at(0.001, numbered(3, 125))
    bench.run()
    assert bench.numbers == [0, 1, 3]
    assert bench.times == [0.001, 0.002, 0.003]


class RealFifo(Fifo):
    """Not the class itself, and so not replaced by arithmetic."""


def test_the_arithmetic_queue_and_a_real_one_give_the_same_times() -> None:
    by_arithmetic = Bench(rate="1mbit", delay="5ms", limit=3)
    served = Bench(rate="1mbit", delay="5ms", qdisc=lambda rng: RealFifo(limit_packets=3))
    for bench in (by_arithmetic, served):
        at = 0.0
        for number in range(200):
            at += 0.0002 * (number % 4)
            bench.send_at(at, numbered(number, 60 + number % 50))
        bench.run()
    assert served.times == by_arithmetic.times
    assert served.numbers == by_arithmetic.numbers
    assert served.reports == by_arithmetic.reports
    assert 50 < len(served.out) < 150


def test_jitter_keeps_the_order_unless_told_otherwise() -> None:
    bench = Bench(delay="20ms", jitter="15ms")
    bench.send(500, spacing_s=0.001)
    bench.run()
    assert bench.numbers == list(range(500))
    assert bench.times == sorted(bench.times)
    free = Bench(delay="20ms", jitter="15ms", reorder_by_jitter=True)
    free.send(500, spacing_s=0.001)
    free.run()
    assert sorted(free.numbers) == list(range(500))
    assert free.numbers != list(range(500))


def test_a_shorter_delay_lets_no_frame_overtake_those_on_their_way() -> None:
    bench = Bench(delay="100ms")
    bench.send_at(0.0, numbered(0))
    bench.set(delay="1ms")
    bench.send_at(0.01, numbered(1))
    bench.send_at(0.2, numbered(2))
    bench.run()
    assert (bench.numbers, bench.times) == ([0, 1, 2], [0.1, 0.1, 0.201])


def test_reorder_sends_every_frame_of_the_gap_ahead_at_once() -> None:
    bench = Bench(delay="10ms", reorder="100%", gap=5)
    bench.send(10, spacing_s=0.001)
    bench.run()
    assert bench.numbers == [4, 9, 0, 1, 2, 3, 5, 6, 7, 8]
    assert bench.times[:2] == [0.004, 0.009]
    assert bench.pipe.counters["reorder"] == 2


def test_waiting_frames_get_a_new_rate_and_the_one_that_is_sent_keeps_its_time() -> None:
    bench = Bench(rate="1mbit")
    bench.send(3, size=125)
    bench.run(0.0005)
    assert bench.pipe.waiting() == 2
    bench.set(rate="10mbit")
    bench.run()
    assert (bench.numbers, bench.times) == ([0, 1, 2], [0.001, 0.0011, 0.0012])


def test_waiting_frames_get_a_new_delay_and_those_on_the_line_keep_theirs() -> None:
    bench = Bench(rate="1mbit", delay="10ms")
    bench.send(3, size=125)
    bench.run(0.0015)
    bench.set(delay="1s")
    bench.run()
    assert bench.times == [0.011, 0.012, 1.003]


def test_a_hundred_seconds_of_backlog_do_not_hold_back_what_comes_after_a_faster_rate() -> None:
    bench = Bench(rate="1kbit", limit=1000)
    bench.send(100, size=125)
    bench.set(rate="1mbit")
    bench.run()
    assert bench.times[0] == 1.0
    assert bench.times[1:] == [round(1.0 + number / 1000, 9) for number in range(1, 100)]


def test_frames_move_from_the_arithmetic_queue_to_a_real_one_and_back() -> None:
    bench = Bench(rate="1mbit")
    bench.send(6, size=125)
    bench.run(0.0015)
    bench.set(qdisc="fq_codel")
    bench.run(0.0025)
    bench.set(qdisc=None)
    bench.run()
    assert bench.numbers == list(range(6))
    assert bench.times == [0.001, 0.002, 0.003, 0.004, 0.005, 0.006]


def test_frames_in_a_shaper_move_to_a_new_queue() -> None:
    bench = Bench(qdisc="tbf rate 8kbit burst 1000 limit 100000")
    bench.send(5, size=500)
    bench.run(0.1)
    assert len(bench.out) == 2
    bench.set(qdisc=None)
    bench.run()
    assert bench.numbers == [0, 1, 2, 3, 4]
    assert bench.times[2:] == [0.1, 0.1, 0.1]


def test_a_smaller_limit_drops_what_is_too_much() -> None:
    bench = Bench(rate="1mbit")
    bench.send(10, size=125)
    bench.set(limit=3)
    bench.run()
    assert bench.numbers == [0, 1, 2, 3]
    assert bench.pipe.counters["pfifo_full"] == 6


def test_a_shaping_qdisc_needs_no_rate() -> None:
    bench = Bench(qdisc="tbf rate 1mbit burst 1000 limit 100000")
    bench.send(10, size=125)
    bench.run()
    assert bench.times == pytest.approx([0.0] * 8 + [0.001, 0.002], abs=2e-9)


def test_a_super_frame_is_cut_once_and_each_piece_takes_its_time() -> None:
    bench = Bench(rate="1mbit")
    frame = tcp_frame(tcp.ACK | tcp.PSH, bytes(3000), gso_bytes=1000, partial=True)
    bench.send_at(0.0, frame)
    bench.run()
    assert [len(piece.data) for _, piece in bench.out] == [1054] * 3
    assert bench.times == [round(1054 * 8e-6 * number, 9) for number in (1, 2, 3)]


def test_a_checksum_that_was_left_out_stays_out_and_can_be_put_in_place() -> None:
    bench = Bench(delay="1ms")
    bench.send_at(0.0, tcp_frame(payload=b"hello", partial=True))
    bench.run()
    (_, frame), whole = bench.out[0], tcp_frame(payload=b"hello")
    assert frame.checksum == CHECKSUM_PARTIAL
    assert completed(frame).data == whole.data


def test_a_packet_above_the_mtu_vanishes_and_is_counted() -> None:
    bench = Bench(mtu=1000)
    bench.send_at(0.0, numbered(1, 1014))
    bench.send_at(0.0, numbered(2, 1015))
    bench.run()
    assert bench.numbers == [1]
    assert bench.pipe.counters == {"link_mtu": 1}


def test_each_piece_of_a_super_frame_is_held_against_the_mtu() -> None:
    bench = Bench(mtu=600)
    bench.send_at(0.0, tcp_frame(payload=bytes(1500), gso_bytes=1000, partial=True))
    bench.run()
    assert [len(piece.data) for _, piece in bench.out] == [554]
    assert bench.pipe.counters == {"link_mtu": 1}


def test_lateness_of_the_machine_does_not_add_up() -> None:
    bench = Bench(rate="1mbit", qdisc=lambda rng: RealFifo(limit_packets=100))
    bench.send(5, size=125)
    for late in (0.0014, 0.0039, 0.0041, 0.01):  # a driver that comes late now and then
        bench.run(late)
    assert bench.times == [0.001, 0.002, 0.003, 0.004, 0.005]

"""Toxiproxy's toxics on the bytes of a connection, one by one, in virtual time."""

import math

import pytest
from toxic_line import Line, joined, toxic

from pystack.apps.proxy.toxics.chain import READ_BYTES
from pystack.apps.proxy.toxics.registry import TOXICS
from pystack.apps.proxy.toxics.stage import STAGE_BYTES
from pystack.apps.proxy.toxics.stages import LATENCY_BYTES, LATENCY_READS, STAGES


def test_each_type_of_the_registry_that_works_on_bytes_is_a_stage() -> None:
    assert [name for name, each in TOXICS.items() if not each.packets] == list(STAGES)


def test_without_toxics_all_goes_through_at_once() -> None:
    line = Line()
    assert line.chain.room_bytes == READ_BYTES
    line.take("abc")
    line.finish()
    assert line.run() == [(0, "abc"), (0, "end")]


# latency


def test_latency_delays_each_chunk_from_when_it_came() -> None:
    line = Line(toxic("latency", latency=100))
    line.take("a")
    assert line.run(0.03) == []
    line.take("b")
    line.finish()
    assert line.run() == [(0.1, "a"), (0.13, "b"), (0.13, "end")]


def test_the_end_is_no_data_and_is_not_delayed() -> None:
    line = Line(toxic("latency", latency=100))
    line.finish()
    assert line.run() == [(0, "end")]


def test_jitter_is_uniform_around_the_latency_and_keeps_the_order() -> None:
    line = Line(toxic("latency", latency=100, jitter=50))
    delays = []
    for number in range(1000):
        line.run(number)
        line.take("x")
        delays += [when - number for when, _ in line.run(number + 0.5)]
    assert 0.05 <= min(delays) < 0.051
    assert 0.149 < max(delays) <= 0.15
    assert sum(delays) / 1000 == pytest.approx(0.1, abs=0.003)
    line = Line(toxic("latency", latency=100, jitter=100))
    for letter in "abcdefgh":
        line.take(letter)
    assert joined(line.run()) == "abcdefgh"


def test_several_latencies_add_up() -> None:
    line = Line(toxic("latency", "one", latency=100), toxic("latency", "two", latency=50))
    line.take("a")
    assert line.run() == [(0.15, "a")]


def test_a_change_of_the_latency_is_one_of_what_waits() -> None:
    line = Line(toxic("latency", latency=1000))
    line.take("a")
    line.run(0.1)
    line.update(toxic("latency", latency=200))
    line.take("b")
    assert line.run(0.25) == [(0.2, "a")]
    line.update(toxic("latency", latency=1000))
    assert line.run(1.05) == []
    line.update(toxic("latency", latency=10))
    assert line.run() == [(1.05, "b")]


def test_latency_holds_what_a_fast_sender_sends_meanwhile_up_to_a_bound() -> None:
    line = Line(toxic("latency", latency=1000))
    for _ in range(LATENCY_BYTES // READ_BYTES):
        line.take("x" * READ_BYTES)
    assert line.chain.room_bytes == 0
    assert line.chain.held_bytes == LATENCY_BYTES
    reads = line.reads_on
    line.run()
    assert line.reads_on > reads
    assert line.chain.room_bytes == LATENCY_BYTES


def test_latency_holds_no_more_small_reads_than_take_some_memory() -> None:
    line = Line(toxic("latency", latency=1000))
    for _ in range(LATENCY_READS):
        line.take("x")
    assert line.chain.room_bytes == 0
    reads = line.reads_on
    assert len(joined(line.run())) == LATENCY_READS
    assert line.reads_on > reads
    assert line.chain.room_bytes == LATENCY_BYTES


# bandwidth


def test_bandwidth_hands_pieces_on_at_the_end_of_their_time() -> None:
    line = Line(toxic("bandwidth", rate=1))  # 1000 bytes a second
    line.take("a" * 250)
    line.finish()
    assert line.run() == [(0.1, "a" * 100), (0.2, "a" * 100), (0.25, "a" * 50), (0.25, "end")]


def test_time_in_which_nothing_comes_is_not_made_up_for() -> None:
    line = Line(toxic("bandwidth", rate=1))
    line.run(5.0)
    line.take("a" * 100)
    line.run(5.05)
    line.take("b" * 100)
    assert line.run() == [(5.1, "a" * 100), (5.2, "b" * 100)]


def test_at_a_rate_of_0_data_wait_until_there_is_one() -> None:
    line = Line(toxic("bandwidth", rate=0))
    line.take("abc")
    line.finish()
    assert line.run(1000.0) == []
    line.update(toxic("bandwidth", rate=1))
    assert line.run() == [(1000.003, "abc"), (1000.003, "end")]


def test_what_has_got_through_of_a_piece_counts_at_the_next_rate() -> None:
    line = Line(toxic("bandwidth", rate=1))
    line.take("a" * 100)
    line.run(0.05)  # half of it has
    line.update(toxic("bandwidth", rate=10))
    assert line.run() == [(0.055, "a" * 100)]


def test_bandwidth_leaves_the_rest_to_the_sender() -> None:
    line = Line(toxic("bandwidth", rate=100))
    sent = 0
    while room := line.chain.room_bytes:
        line.take("x" * room)
        sent += room
    assert sent == STAGE_BYTES
    line.run(0.1)
    assert line.chain.room_bytes == 10_000
    assert line.reads_on > 1


# slow_close


def test_slow_close_holds_back_the_end_alone() -> None:
    line = Line(toxic("slow_close", delay=300))
    line.run(1.0)
    line.take("abc")
    line.finish()
    assert line.run() == [(1.0, "abc"), (1.3, "end")]


def test_slow_close_is_changed_and_removed_while_it_holds() -> None:
    line = Line(toxic("slow_close", delay=300))
    line.finish()
    line.run(0.1)
    line.update(toxic("slow_close", delay=500))
    assert line.run(0.4) == []
    line.update()
    assert line.run() == [(0.4, "end")]
    line = Line(toxic("slow_close", delay=500))
    line.finish()
    line.run(0.2)
    line.update(toxic("slow_close", delay=100))
    assert line.run() == [(0.2, "end")]


# timeout


def test_timeout_drops_all_and_closes_the_connection() -> None:
    line = Line(toxic("timeout", timeout=500))
    line.take("abc")
    line.run(0.4)
    line.take("def")
    line.finish()
    assert line.run() == [(0.5, "close")]


def test_a_timeout_of_0_lasts_until_it_is_removed_and_then_closes() -> None:
    line = Line(toxic("timeout", timeout=0))
    line.take("abc")
    line.finish()
    assert line.run(1000.0) == []
    line.update()
    assert line.run() == [(1000, "close")]


def test_a_timeout_counts_from_when_it_came_to_the_connection() -> None:
    line = Line()
    line.take("a")
    line.run(2.0)
    line.update(toxic("timeout", timeout=500))
    line.take("b")
    line.run(2.2)
    line.update(toxic("timeout", timeout=300))
    assert line.run() == [(2.3, "close")]


def test_a_timeout_that_comes_after_the_end_does_nothing() -> None:
    line = Line()
    line.finish()
    line.update(toxic("timeout", timeout=500))
    line.update()
    assert line.run() == [(0, "end")]


# reset_peer


def test_reset_peer_drops_all_and_resets_after_its_timeout() -> None:
    line = Line(toxic("reset_peer", timeout=500))
    line.take("abc")
    assert line.run() == [(0.5, "reset")]
    line = Line(toxic("reset_peer", timeout=500))
    assert line.run() == [(0.5, "reset")]


@pytest.mark.parametrize("what", ["data", "end"])
def test_without_a_timeout_it_resets_when_something_is_to_be_carried(what: str) -> None:
    line = Line(toxic("reset_peer"))
    assert line.run(2.0) == []
    if what == "data":
        line.take("abc")
    else:
        line.finish()
    assert line.run() == [(2.0, "reset")]


def test_reset_peer_removed_resets_what_is_incomplete() -> None:
    line = Line(toxic("reset_peer", timeout=500))
    line.run(0.1)
    line.update()
    line.take("abc")
    assert line.run(1.0) == [(0.1, "abc")]
    line.update(toxic("reset_peer", timeout=500))
    line.take("def")
    line.run(1.1)
    line.update()
    assert line.run() == [(1.1, "reset")]


# slicer


def test_slicer_sends_pieces_one_by_one() -> None:
    line = Line(toxic("slicer", average_size=3, delay=10_000))
    line.take("abcdefgh")
    line.finish()
    assert line.run() == [(0, "abc"), (0.01, "def"), (0.02, "gh"), (0.02, "end")]


def test_the_delay_is_also_between_chunks() -> None:
    line = Line(toxic("slicer", average_size=2, delay=10_000))
    line.take("ab")
    line.take("cd")
    assert line.run() == [(0, "ab"), (0.01, "cd")]


def test_pieces_vary_in_size_and_are_never_empty() -> None:
    line = Line(toxic("slicer", average_size=64, size_variation=32))
    line.take("x" * 20_000)
    sizes = [len(what) for _, what in line.run()][:-1]
    assert (min(sizes), max(sizes)) == (32, 96)
    assert sum(sizes) / len(sizes) == pytest.approx(64, abs=4)
    line = Line(toxic("slicer", average_size=2, size_variation=10))
    line.take("x" * 1000)
    assert joined(line.run()) == "x" * 1000


@pytest.mark.parametrize("delay", [0, 1])
def test_each_piece_has_a_turn_for_itself(delay: int) -> None:
    line = Line(toxic("slicer", average_size=1, delay=delay))
    line.take("abc")
    line.take("d")
    turns = []
    while line.scheduler.next_at() < math.inf:
        line.scheduler.run_due(1)  # the machine has fallen behind
        turns.append(joined(line.told))
    assert turns == ["ab", "abc", "abcd"]


def test_slicer_without_a_size_leaves_data_whole() -> None:
    line = Line(toxic("slicer"))
    line.take("abc")
    assert line.run() == [(0, "abc")]


# limit_data


def test_limit_data_closes_when_the_limit_is_reached() -> None:
    line = Line(toxic("limit_data", bytes=5))
    line.take("abc")
    assert line.run(1.0) == [(0, "abc")]
    line.take("defg")
    assert line.run() == [(1.0, "de"), (1.0, "close")]
    line = Line(toxic("limit_data", bytes=3))
    line.take("abc")
    assert line.run() == [(0, "abc"), (0, "close")]


def test_a_limit_of_0_closes_at_the_first_data() -> None:
    line = Line(toxic("limit_data", bytes=0))
    assert line.run(1.0) == []
    line.take("a")
    assert line.run() == [(1.0, "close")]


def test_limit_data_lets_an_earlier_end_through() -> None:
    line = Line(toxic("limit_data", bytes=5))
    line.take("abc")
    line.finish()
    assert line.run() == [(0, "abc"), (0, "end")]


def test_what_got_through_counts_at_the_next_limit() -> None:
    line = Line(toxic("limit_data", bytes=10))
    line.take("abcd")
    line.update(toxic("limit_data", bytes=6))
    line.take("efgh")
    assert line.run() == [(0, "abcd"), (0, "ef"), (0, "close")]


def test_the_close_of_a_limit_waits_for_what_later_toxics_hold() -> None:
    line = Line(toxic("limit_data", bytes=2), toxic("latency", latency=100))
    line.take("abc")
    line.run(0.05)
    line.take("more")
    assert line.run() == [(0.1, "ab"), (0.1, "close")]

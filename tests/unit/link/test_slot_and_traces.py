"""Slots, delivery traces of Mahimahi's format, and delays that change over time."""

from pathlib import Path

import pytest
from pipe_bench import Bench, numbered

from pystack import ConfigError
from pystack.link.impair.trace import DelayTrace, parse_delay_trace, parse_trace

MTU_FRAME = 1514  # its packet of 1500 bytes takes one opportunity


def test_each_opportunity_of_a_trace_carries_one_packet_of_1500_bytes() -> None:
    bench = Bench(trace=[2, 5, 5, 9])
    bench.send(5, size=MTU_FRAME)
    bench.run()
    assert bench.times == [0.002, 0.005, 0.005, 0.009, 0.011]


def test_a_trace_begins_again_after_its_last_line_for_ever() -> None:
    bench = Bench(trace=[3, 10])
    bench.send(2000, size=MTU_FRAME)
    bench.run()
    assert len(bench.out) == 1000  # so many may wait for their opportunity
    lap, half = divmod(999, 2)
    assert bench.times[999] == round(lap * 0.010 + (0.003, 0.010)[half], 9)


def test_opportunities_that_nobody_uses_are_lost() -> None:
    bench = Bench(trace=[1, 2, 3, 4, 10])
    bench.send_at(0.0025, numbered(0, MTU_FRAME))
    bench.send_at(0.1235, numbered(1, MTU_FRAME))
    bench.run()
    assert bench.times == [0.003, 0.124]


def test_small_frames_share_an_opportunity_and_a_large_one_takes_several() -> None:
    bench = Bench(trace=[1, 2, 3, 10])
    bench.send(1, size=510)  # 500 of 1504
    bench.send(1, size=510)
    bench.send(1, size=1014)  # 1004: 504 of it now, the rest later
    bench.send(1, size=1014)  # 1004 of the same opportunity
    bench.run()
    assert bench.times == [0.001, 0.001, 0.002, 0.002]


def test_a_trace_counts_from_when_it_was_given_and_not_from_a_later_change() -> None:
    bench = Bench(trace=[7, 10], start=100.0)
    bench.send_at(100.002, numbered(0, MTU_FRAME))
    bench.set(loss="0%", limit=50)
    bench.run()
    assert bench.times == [100.007]


def test_the_rate_of_a_trace_is_exact_over_a_long_time() -> None:
    bench = Bench(trace=range(1, 1001), qdisc="pfifo limit 100000")  # 1000 packets per second
    bench.send(20_000, size=MTU_FRAME)
    bench.run()
    assert bench.times[-1] == 20.0


def test_a_trace_file_is_read_as_mahimahi_does(tmp_path: Path) -> None:
    file = tmp_path / "lte.up"
    file.write_text("0\n3\n3\n10\n")
    assert parse_trace(file).instants_ms == (0, 3, 3, 10)
    assert parse_trace(str(file)) == parse_trace([0, 3, 3, 10])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "more than 0 ms"),
        ("0\n0\n", "more than 0 ms"),
        ("5\n3\n", "may not go back"),
        ("5\nx\n", "damaged"),
    ],
)
def test_a_wrong_trace_file_is_refused(tmp_path: Path, text: str, match: str) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(ConfigError, match=match):
        parse_trace(file)


def test_a_trace_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot read the delivery trace /nowhere: No such file"):
        parse_trace("/nowhere")


def test_a_delay_trace_holds_each_delay_from_its_time_on(tmp_path: Path) -> None:
    file = tmp_path / "orbit"
    file.write_text("# a satellite goes by\n0s 20ms\n1s 50ms\n2.5s 30ms\n")
    bench = Bench(delay_trace=file, delay="1ms", start=10.0)
    for at in (10.0, 11.0, 12.4999, 12.5, 99.0):
        bench.send_at(at, numbered(0))
    bench.run()
    assert bench.times == [10.021, 11.051, 12.5509, 12.5509, 99.031]  # the fourth may not overtake


def test_a_delay_trace_that_repeats(tmp_path: Path) -> None:
    file = tmp_path / "orbit"
    file.write_text("0 20ms\n1s 50ms\n2s repeat\n")
    trace = parse_delay_trace(file)
    assert [trace.delay_s(at) for at in (0.5, 1.5, 2.5, 3.5, 200.0)] == [
        0.020,
        0.050,
        0.020,
        0.050,
        0.020,
    ]


def test_before_its_first_line_a_delay_trace_has_the_first_delay() -> None:
    assert DelayTrace((1.0, 2.0), (0.3, 0.4)).delay_s(0.5) == 0.3


@pytest.mark.parametrize("text", ["", "1s\n", "1s 2ms\n1s 3ms\n", "0s 1ms\n2s repeat\n3s 4ms\n"])
def test_a_wrong_delay_trace_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(ConfigError, match="delay trace"):
        parse_delay_trace(file)


def test_frames_wait_for_the_slot_and_go_together() -> None:
    bench = Bench(slot="10ms 10ms")
    for at in (0.001, 0.002, 0.010999, 0.012):
        bench.send_at(at, numbered(0))
    bench.run()
    assert bench.times == [0.011, 0.011, 0.011, 0.022]


def test_a_slot_ends_after_its_packets() -> None:
    bench = Bench(slot="10ms packets 2")
    for number in range(5):
        bench.send_at(0.001, numbered(number))
    bench.run()
    assert bench.times == [0.011, 0.011, 0.021, 0.021, 0.031]


def test_a_slot_ends_after_its_bytes() -> None:
    bench = Bench(slot="10ms bytes 250")
    for number in range(5):
        bench.send_at(0.001, numbered(number, 100))
    bench.run()
    assert bench.times == [0.011, 0.011, 0.011, 0.021, 0.021]


def test_with_a_rate_the_frames_of_a_slot_follow_each_other() -> None:
    bench = Bench(slot="10ms packets 2", rate="1mbit")
    for number in range(4):
        bench.send_at(0.001, numbered(number, 125))
    bench.run()
    assert bench.times == [0.012, 0.013, 0.024, 0.025]


def test_slots_drawn_from_a_range_stay_in_it() -> None:
    bench = Bench(slot="5ms 20ms packets 1")
    bench.send_at(1.0, numbered(0))
    for number in range(1, 400):
        bench.pipe.send(numbered(number), 1.0)
    bench.run()
    gaps = [after - before for before, after in zip(bench.times, bench.times[1:], strict=False)]
    assert len(gaps) == 399
    assert min(gaps) >= 0.005 - 1e-9
    assert max(gaps) <= 0.020 + 1e-9
    assert sum(gaps) / len(gaps) == pytest.approx(0.0125, rel=0.05)


def test_slots_from_a_distribution() -> None:
    bench = Bench(slot="distribution normal 10ms 1ms packets 1")
    bench.send_at(1.0, numbered(0))
    for number in range(1, 400):
        bench.pipe.send(numbered(number), 1.0)
    bench.run()
    assert bench.times[-1] - bench.times[0] == pytest.approx(3.99, rel=0.02)


@pytest.mark.parametrize("text", ["", "0ms", "20ms 10ms", "1ms 2ms 3ms", "distribution normal 1ms"])
def test_a_wrong_slot_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="slot"):
        Bench(slot=text)

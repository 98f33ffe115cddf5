"""What the receiver of iperf3's datagrams counts, and the header that it counts by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.runtime.iperf3 import datagrams
from pystack.runtime.iperf3.datagrams import Arrivals, Header


def test_the_header_is_seconds_microseconds_and_number() -> None:
    assert Header(counters_64bit=False).pack(7, 1.25) == bytes.fromhex("00000001 0003d090 00000007")
    assert Header(counters_64bit=True).pack(2**32 + 7, 1.25) == bytes.fromhex(
        "00000001 0003d090 00000001 00000007"
    )


def test_a_number_of_32_bits_wraps() -> None:
    header = Header(counters_64bit=False)
    assert header.parse(header.pack(2**32 + 5, 0.0)) == (5, 0.0)


@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_are_a_header_or_none(payload: bytes, counters_64bit: bool) -> None:
    found = Header(counters_64bit=counters_64bit).parse(payload)
    assert (found is None) == (len(payload) < (16 if counters_64bit else 12))


def test_what_is_skipped_is_lost() -> None:
    arrivals = Arrivals()
    for number in (1, 2, 5):
        arrivals.arrived(number, 0.0, 0.0)
    assert (arrivals.packets, arrivals.lost, arrivals.out_of_order) == (5, 2, 0)


def test_what_comes_late_was_not_lost() -> None:
    arrivals = Arrivals()
    for number in (1, 3, 2):
        arrivals.arrived(number, 0.0, 0.0)
    assert (arrivals.packets, arrivals.lost, arrivals.out_of_order) == (3, 0, 1)


def test_what_comes_twice_makes_no_negative_loss() -> None:
    arrivals = Arrivals()
    for number in (1, 1, 1):
        arrivals.arrived(number, 0.0, 0.0)
    assert (arrivals.packets, arrivals.lost, arrivals.out_of_order) == (1, 0, 2)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.floats(0, 2**32), st.floats(0, 1e6))))
def test_losses_are_never_negative_nor_more_than_there_were(
    datagrams: list[tuple[int, float, float]],
) -> None:
    arrivals = Arrivals()
    for datagram in datagrams:
        arrivals.arrived(*datagram)
    assert 0 <= arrivals.lost <= arrivals.packets
    assert arrivals.jitter_s >= 0


def test_jitter_is_a_sixteenth_of_each_change_of_the_transit_time() -> None:
    arrivals = Arrivals()
    for number, (sent_at, now) in enumerate([(0.0, 5.0), (1.0, 6.0), (2.0, 7.016)], 1):
        arrivals.arrived(number, sent_at, now)
    assert arrivals.jitter_s == pytest.approx(0.001)
    arrivals.arrived(4, 3.0, 8.016)  # as late as the one before: 15/16 remain
    assert arrivals.jitter_s == pytest.approx(0.0009375)


def test_clocks_that_do_not_agree_make_no_jitter() -> None:
    arrivals = Arrivals()
    for number in range(1, 10):
        arrivals.arrived(number, 1_000_000.0 + number, float(number))
    assert arrivals.jitter_s == 0.0


def test_both_ways_to_open_a_stream_are_answered_in_kind() -> None:
    assert datagrams.reply_to(b"9876") == b"6789"
    old = datagrams.reply_to((123456789).to_bytes(4, "little"))
    assert old == (987654321).to_bytes(4, "little")
    assert datagrams.reply_to(b"987") is None
    assert datagrams.reply_to(b"98765") is None

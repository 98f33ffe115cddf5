"""Accurate ECN on paths that throw it away, or mark everything (RFC 9768 sections 3.1.4.1, 3.2)."""

import pytest
from accurate import PLAIN, accurate, opened, served

from pystack.core.addresses import parse_ip
from pystack.stack.ecn_paths import AVOID_S, FAILURES, EcnPaths
from pystack.tcp.config import TcpConfig
from pystack.wire import tcp_options

PEER, OTHER = parse_ip("10.0.0.2"), parse_ip("10.0.0.3")


@pytest.mark.rfc("9768", "3.1.4.1 cache")
def test_three_failures_in_a_row_block_a_path_for_an_hour_and_one_more_again() -> None:
    paths = EcnPaths()
    for number in range(FAILURES):
        path = paths.towards(PEER, float(number))
        assert not path.is_blocked
        path.went_without()
    last = float(FAILURES - 1)
    assert paths.towards(PEER, last + AVOID_S - 1).is_blocked
    assert not paths.towards(OTHER, last).is_blocked
    retry = paths.towards(PEER, last + AVOID_S)
    assert not retry.is_blocked
    retry.went_without()
    assert paths.towards(PEER, last + AVOID_S + 1).is_blocked
    paths.towards(PEER, last + 2 * AVOID_S).got_through()
    again = paths.towards(PEER, last + 2 * AVOID_S)
    again.went_without()
    assert not paths.towards(PEER, last + 2 * AVOID_S).is_blocked


@pytest.mark.rfc("9768", "3.2.3.2.2 ACKs")
def test_what_is_acknowledged_with_an_option_and_always_comes_again_ends_options() -> None:
    tcp_ = served()
    seq = 1
    for number in range(5):
        tcp_.inject(f"+0.1 < [ect0] PEA. {seq}:{seq + 100}(100) ack 1 win 65535")
        tcp_.advance("+0.05")
        (ack,) = tcp_.drain()
        has_option = tcp_options.parse(ack.options).accurate_ecn is not None
        assert has_option == (number < 4)
        tcp_.inject(f"+0.3 < PEA. {seq}:{seq + 100}(100) ack 1 win 65535")
        tcp_.drain()
        seq += 100
    assert accurate(tcp_).options_off
    assert tcp_.conn.info().ect0_received_bytes == 500  # counted all the same


@pytest.mark.rfc("9768", "3.2.3.2.2 ACKs")
def test_options_go_on_where_what_follows_is_new_or_an_ack_alone_was_lost() -> None:
    tcp_ = served()
    seq = 1
    for number in range(8):
        tcp_.inject(f"+0.1 < [ect0] PEA. {seq}:{seq + 100}(100) ack 1 win 65535")
        tcp_.advance("+0.05")
        tcp_.drain()
        if number % 2:
            tcp_.inject(f"+0.3 < PEA. {seq}:{seq + 100}(100) ack 1 win 65535")
            tcp_.drain()
        seq += 100
    assert not accurate(tcp_).options_off


@pytest.mark.rfc("9768", "3.2.3.2.2 text")
def test_text_that_was_lost_goes_again_without_the_option() -> None:
    tcp_ = opened()
    tcp_.inject("+0.1 < [ect0] PEA. 1:101(100) ack 1 win 65535")
    tcp_.write(10)
    (first,) = tcp_.drain()
    assert tcp_options.parse(first.options).accurate_ecn is not None
    tcp_.advance("+0.5")
    (again, *_) = tcp_.drain()
    assert again.payload == first.payload
    assert tcp_options.parse(again.options).accurate_ecn is None


@pytest.mark.rfc("9768", "3.2.3.3 text")
def test_before_full_segments_an_ack_alone_has_the_option() -> None:
    tcp_ = served(TcpConfig(**{**PLAIN, "delayed_ack_s": 0.04}))  # type: ignore[arg-type]
    tcp_.inject("+0.1 < [ect0] EA. 1:1461(1460) ack 1 win 65535")
    tcp_.inject("+0 < [ect0] EA. 1461:2921(1460) ack 1 win 65535")
    tcp_.write(3000)
    sent = tcp_.drain()
    told = [tcp_options.parse(segment.options).accurate_ecn for segment in sent]
    assert [len(segment.payload) for segment in sent[:2]] == [0, 1000]
    assert (told[0] is not None, told[0] and told[0].e0b, told[1]) == (True, 2921, None)


@pytest.mark.rfc("9768", "3.2.2.3 continuous")
@pytest.mark.parametrize("unmarked", [None, 3])
def test_a_path_that_marks_all_of_four_rounds_is_not_believed(unmarked: int | None) -> None:
    tcp_ = opened()
    count, seq = 5, 1
    for number in range(6):
        tcp_.write(1000)
        tcp_.drain()
        seq += 1000
        count += number != unmarked
        ace = "".join(letter for letter, bit in zip("AWE", (4, 2, 1), strict=True) if count & bit)
        tcp_.inject(f"+0.1 < {ace}. 1:1(0) ack {seq} win 65535")
    assert bool(accurate(tcp_).deaf) == (unmarked is None)
    wanted = "tcp_accecn_all_marked" if unmarked is None else ""
    assert tcp_.conn.info().accurate_ecn_silent == wanted

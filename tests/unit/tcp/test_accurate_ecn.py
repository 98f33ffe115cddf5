"""Accurate ECN: the counts that are told, and those that are believed (RFC 9768 section 3.2)."""

import pytest
from accurate import ACCEPT, ASK, PLAIN, accurate, later, opened, served
from hypothesis import given
from hypothesis import strategies as st
from script import PEER_ISS, REMOTE_PORT, Script

from pystack.tcp.config import TcpConfig
from pystack.tcp.seq import MASK
from pystack.wire import tcp, tcp_options
from pystack.wire.ecn import CE, ECT_0, ECT_1, NOT_ECT

# what came in


@pytest.mark.rfc("9768", "3.2.3.1")
@pytest.mark.rfc("9768", "3.2")
@pytest.mark.rfc("9768", "3.2.2.2")
def test_each_mark_counts_and_each_segment_tells_the_count() -> None:
    tcp_ = served()
    seq = 1
    for number in range(1, 10):  # more than the three bits tell
        tcp_.inject(f"+0.1 < [ce] PEA. {seq}:{seq + 100}(100) ack 1 win 65535")
        seq += 100
        (ack,) = later(tcp_)
        assert ack.flags >> 6 & 7 == (5 + number) % 8
        told = tcp_options.parse(ack.options).accurate_ecn
        assert told is not None
        assert told.ceb == 100 * number
    info = tcp_.conn.info()
    assert (info.ce_received, info.ce_received_bytes) == (9, 900)
    tcp_.write(10)
    tcp_.expect("+0 > [ect0] PWA. 1:11(10) ack 901")  # 14 modulo 8


@pytest.mark.rfc("9768", "3.2")
def test_what_came_with_ect_is_counted_by_bytes_and_refused_segments_are_not() -> None:
    tcp_ = served()
    tcp_.inject("+0.1 < [ect0] PEA. 1:101(100) ack 1 win 65535")
    tcp_.inject("+0 < [ect1] PEA. 101:301(200) ack 1 win 65535")
    tcp_.inject("+0 < [ce] PEA. 99999:100009(10) ack 1 win 65535")
    later(tcp_)
    info = tcp_.conn.info()
    assert (info.ect0_received_bytes, info.ect1_received_bytes) == (100, 200)
    assert info.ce_received == 0
    assert info.ecn_seen


@pytest.mark.rfc("9768", "3.2.2.5.1")
def test_the_first_mark_and_each_second_one_are_told_at_once() -> None:
    tcp_ = served(TcpConfig(**{**PLAIN, "delayed_ack_s": 0.5}))  # type: ignore[arg-type]
    tcp_.inject("+0.1 < [ect0] EA. 1:101(100) ack 1 win 65535")
    assert tcp_.drain() == []
    tcp_.inject("+0 < [ce] EA. 101:201(100) ack 1 win 65535")
    tcp_.expect("+0 > WA. 1:1(0) ack 201")
    tcp_.inject("+0 < [ce] EA. 201:301(100) ack 1 win 65535")
    assert tcp_.drain() == []
    tcp_.inject("+0 < [ce] EA. 301:401(100) ack 1 win 65535")
    tcp_.expect("+0 > . 1:1(0) ack 401")
    tcp_.inject("+0 < [ect0] EA. 401:501(100) ack 1 win 65535")
    assert tcp_.drain() == []


@pytest.mark.rfc("9768", "3.2.2.5.1")
def test_marked_acks_are_told_of_by_each_third() -> None:
    tcp_ = served()
    for _ in range(2):
        tcp_.inject("+0 < [ce] EA. 1:1(0) ack 1 win 65535")
        assert tcp_.drain() == []
    tcp_.inject("+0 < [ce] EA. 1:1(0) ack 1 win 65535")
    tcp_.expect("+0 > . 1:1(0) ack 1")
    assert tcp_.conn.info().ce_received == 3


@pytest.mark.rfc("9768", "3.2.3.3")
def test_the_option_has_what_has_changed_in_the_shorter_order() -> None:
    tcp_ = served()
    tcp_.inject("+0.1 < [ect1] P. 1:101(100) ack 1 win 65535")
    ack = later(tcp_)[-1]  # the second one that tries the path, in full
    assert len(ack.options) == 12
    for seq, mark in ((101, "ect1"), (201, "ect1")):
        tcp_.inject(f"+0.1 < [{mark}] PEA. {seq}:{seq + 100}(100) ack 1 win 65535")
        ack = later(tcp_)[-1]
    assert bytes(ack.options)[:5] == bytes((174, 5)) + (301).to_bytes(3, "big")
    tcp_.inject("+0.1 < [ce] PEA. 301:401(100) ack 1 win 65535")
    ack = later(tcp_)[-1]
    assert bytes(ack.options) == b"\xae\x08" + (301).to_bytes(3, "big") + (100).to_bytes(3, "big")
    tcp_.inject("+0.1 < [ect0] PEA. 401:501(100) ack 1 win 65535")
    ack = later(tcp_)[-1]
    assert len(ack.options) == 12
    tcp_.inject("+0.1 < [noecn] PEA. 501:601(100) ack 1 win 65535")
    ack = later(tcp_)[-1]
    assert not ack.options  # nothing has changed


@pytest.mark.rfc("9768", "3.2.3.3 SACK")
@pytest.mark.rfc("9768", "3.2.3.3")
def test_beside_two_sack_blocks_and_timestamps_there_is_room_for_what_changed() -> None:
    config = TcpConfig(**{**PLAIN, "sack": True, "timestamps": True})  # type: ignore[arg-type]
    tcp_ = Script(config)
    tcp_.listen("+0 < SEWA 0:0(0) win 65535 <mss 1000,sackOK,TS val 1 ecr 0>")
    tcp_.drain()
    tcp_.inject("+0.1 < W. 1:1(0) ack 1 win 65535 <TS val 100 ecr 1000>")
    for number in range(4):
        seq = 101 + 200 * number
        tcp_.inject(
            f"+0.1 < [ce] EA. {seq}:{seq + 100}(100) ack 1 win 65535"
            f" <TS val {200 + 100 * number} ecr 1000>"
        )
        ack = tcp_.drain()[-1]
        told = tcp_options.parse(ack.options)
        assert len(ack.options) <= 40
        assert told.accurate_ecn is not None
        assert told.accurate_ecn.ceb == 100 * (number + 1)
    assert len(told.sack_blocks) == 2


@pytest.mark.rfc("9768", "3.2.3.3 whole")
@pytest.mark.rfc("9768", "3.2.3.3")
def test_a_full_segment_has_no_room_for_the_option() -> None:
    tcp_ = served()
    tcp_.inject("+0.1 < [ect0] PEA. 1:101(100) ack 1 win 65535")
    tcp_.write(1000)
    (text,) = tcp_.drain()
    assert (len(text.payload), len(text.options)) == (1000, 0)
    tcp_.write(988)
    (text,) = tcp_.drain()
    assert (len(text.payload), len(text.options)) == (988, 12)


@pytest.mark.rfc("9768", "3.3.4")
def test_marks_of_a_super_frame_count_each() -> None:
    tcp_ = served()
    segment = tcp.Segment(
        REMOTE_PORT,
        tcp_.conn.local_port,
        PEER_ISS + 1 & MASK,
        tcp_.conn.tcb.snd_nxt & MASK,
        tcp.ACK | tcp.AE | tcp.ECE,
        65535,
        b"",
        bytes(4500),
        gso_bytes=1000,
        ecn=CE,
    )
    tcp_.conn.segment_arrived(segment, tcp_.now)
    assert (accurate(tcp_).r_cep, accurate(tcp_).r_ceb) == (10, 4500)
    assert tcp_.conn.gso_max_bytes == 0  # whoever cuts ours would take CWR for RFC 3168's


# what the peer tells


@pytest.mark.rfc("9768", "3.1.5 CWR")
@pytest.mark.rfc("9768", "3.2.2.2")
def test_marks_make_the_window_smaller_once_a_window_and_no_cwr_says_so() -> None:
    tcp_ = opened()
    tcp_.write(10_000)
    assert all(each.ecn == ECT_0 for each in tcp_.drain())
    cwnd = tcp_.conn.congestion.cwnd_bytes
    tcp_.inject("+0.1 < WA. 1:1(0) ack 2001 win 65535")  # 6
    reduced = tcp_.conn.congestion.cwnd_bytes
    assert reduced < cwnd
    tcp_.inject("+0 < . 1:1(0) ack 6001 win 65535")  # 8
    assert tcp_.conn.congestion.cwnd_bytes == reduced
    info = tcp_.conn.info()
    assert (info.ce_delivered, info.ce_delivered_bytes) == (3, 3000)
    tcp_.write(1000)
    sent = tcp_.drain()
    assert all(each.flags >> 6 & 7 == 5 for each in sent)


@pytest.mark.rfc("9768", "3.2.3.2.3")
@pytest.mark.rfc("9768", "3.2.2.5.2")
@pytest.mark.parametrize(
    ("acked", "ace", "option", "marked"),
    [
        (7, 5, "", 0),
        (8, 5, "", 8),  # as many as can be: the count may have gone round
        (9, 7, "", 2),
        (10, 7, "", 10),
        (10, 7, "ECN e0b 1 ceb 2000 e1b 1", 2),  # bytes tell
        (10, 7, "ECN e0b 1 ceb 10000 e1b 1", 10),
        (10, 7, "ECN e0b 1 ceb 2001 e1b 1", 10),
    ],
)
def test_a_count_that_may_have_gone_round_is_read_for_the_worst(
    acked: int, ace: int, option: str, marked: int
) -> None:
    tcp_ = opened()
    tcp_.conn.congestion.cwnd_bytes = 20_000  # type: ignore[misc]
    tcp_.write(10_000)
    tcp_.drain()
    flags = "".join(letter for bit, letter in ((1, "E"), (2, "W"), (4, "A")) if ace & bit)
    options = f" <{option}>" if option else ""
    tcp_.inject(f"+0.1 < {flags}. 1:1(0) ack {1 + 1000 * acked} win 65535{options}")
    assert tcp_.conn.info().ce_delivered == marked


@pytest.mark.rfc("9768", "3.2.2.5.2")
def test_no_more_is_believed_than_was_sent() -> None:
    tcp_ = opened()
    tcp_.write(1000)
    tcp_.drain()
    tcp_.inject("+0.1 < W. 1:1(0) ack 1001 win 65535")  # 5 to 2: five, of two packets
    info = tcp_.conn.info()
    assert (info.ce_delivered, info.accurate_ecn_silent) == (2, "tcp_accecn_too_many_marks")
    assert info.ce_delivered_bytes == 1000


def test_more_marked_bytes_than_were_sent_end_the_belief_in_the_option() -> None:
    tcp_ = opened()
    tcp_.write(1000)
    tcp_.drain()
    tcp_.inject("+0.1 < WA. 1:1(0) ack 1001 win 65535 <ECN e0b 1 ceb 1001 e1b 1>")
    assert tcp_.drops == ["tcp_accecn_too_many_bytes"]
    assert tcp_.conn.info().ce_delivered == 1  # by the flags


@pytest.mark.rfc("9768", "3.2.2.2")
@pytest.mark.parametrize("control", ["newreno", "prague"])
def test_an_ack_that_was_overtaken_tells_nothing(control: str) -> None:
    tcp_ = opened(TcpConfig(**{**PLAIN, "ecn": "accurate", "congestion": control}))  # type: ignore[arg-type]
    tcp_.write(3000)
    tcp_.advance("+0.05")  # prague is paced
    tcp_.drain()
    tcp_.inject("+0.05 < EWA. 1:1(0) ack 3001 win 65535 <ECN e0b 1 ceb 2000 e1b 1>")
    tcp_.inject("+0 < WA. 1:1(0) ack 2001 win 65535 <ECN e0b 1 ceb 1000 e1b 1>")
    tcp_.inject("+0 < EA. 1:1(0) ack 3001 win 65535 <ECN e0b 1 ceb 0 e1b 1>")
    info = tcp_.conn.info()
    assert (info.ce_delivered, info.ce_delivered_bytes) == (2, 2000)


@pytest.mark.rfc("9768", "3.2.3")
def test_an_option_of_an_odd_length_is_read_as_far_as_its_whole_fields_go() -> None:
    cases = {
        b"\xac\x02": (None, None, None),
        b"\xac\x04\0\0": (None, None, None),
        b"\xac\x05\0\0\1": (1, None, None),
        b"\xac\x0c\0\0\1\0\0\2\0\0\3\7": (1, 2, 3),
        b"\xae\x0b\0\0\1\0\0\2\0\0\3": (3, 2, 1),
        b"\xae\x08\0\0\1\0\0\2": (None, 2, 1),
    }
    for data, expected in cases.items():
        told = tcp_options.parse(data).accurate_ecn
        assert told is not None
        assert (told.e0b, told.ceb, told.e1b) == expected


# everything at once

STEP = st.tuples(
    st.integers(0, 7),
    st.sampled_from((NOT_ECT, ECT_0, ECT_1, CE)),
    st.sampled_from((0, 1, 500, 1000)),  # bytes of text
    st.integers(-2000, 12_000),  # what is acknowledged
    st.one_of(st.none(), st.binary(min_size=0, max_size=14)),
    st.sampled_from((172, 174)),
)


@pytest.mark.rfc("9768", "3.2.2.5.2")
@given(st.lists(STEP, max_size=30), st.sampled_from(("newreno", "dctcp", "prague")))
def test_whatever_a_peer_tells_no_more_counts_than_was_sent(
    steps: list[tuple[int, int, int, int, bytes | None, int]], control: str
) -> None:
    tcp_ = opened(TcpConfig(**{**PLAIN, "ecn": "accurate", "congestion": control}))  # type: ignore[arg-type]
    conn = tcp_.conn
    seq = 1
    for ace, mark, size, ahead, body, kind in steps:
        tcp_.write(3000)
        tcp_.drain()
        options = b""
        if body is not None:
            options = bytes((kind, 2 + len(body))) + body
            options += b"\1" * (-len(options) % 4)
        segment = tcp.Segment(
            REMOTE_PORT,
            conn.local_port,
            PEER_ISS + seq & MASK,
            min(conn.tcb.snd_una + max(ahead, 0), conn.tcb.snd_nxt) + min(ahead, 0) & MASK,
            tcp.ACK | ace << 6,
            65535,
            options,
            bytes(size),
            ecn=mark,
        )
        conn.segment_arrived(segment, tcp_.now)
        seq += size
        conn.read(1 << 20, tcp_.now)
        tcp_.advance("+0.1")
        tcp_.drain()
        held = accurate(tcp_)
        assert 0 <= held.told_packets <= held.sent_packets
        assert 0 <= held.told_bytes <= held.sent_bytes
        assert 0 <= held.s_cep < 8
        assert max(held.s_ceb, held.s_e0b, held.s_e1b) < 1 << 24
        assert conn.congestion.cwnd_bytes >= 1000
    # It goes on: what is in flight is acknowledged, and more may go.
    tcp_.now = tcp_.now + 1
    segment = tcp.Segment(
        REMOTE_PORT, conn.local_port, PEER_ISS + seq & MASK, conn.tcb.snd_nxt & MASK, tcp.ACK, 65535
    )
    conn.segment_arrived(segment, tcp_.now)
    tcp_.write(1000)
    tcp_.advance("+5")
    assert any(each.payload for each in tcp_.drain())


# the option against the flags


def told_by_option_alone(tcp_: Script, acks: int, size: int = 1000) -> None:
    """Acknowledge so many segments one by one, all marked by the option, and none by the flags."""
    for number in range(1, acks + 1):
        seq = 1 + size * number
        tcp_.inject(f"+0.01 < EA. 1:1(0) ack {seq} win 65535 <ECN e0b 1 ceb {size * number} e1b 1>")


@pytest.mark.rfc("9768", "3.2.3.2.5")
def test_marked_bytes_without_a_marked_packet_three_times_end_ect() -> None:
    tcp_ = opened()
    tcp_.write(4000)
    assert [each.ecn for each in tcp_.drain()] == [ECT_0] * 4
    told_by_option_alone(tcp_, 2)
    assert tcp_.drops == []
    told_by_option_alone(tcp_, 3)  # the first two again, which say nothing new
    assert tcp_.drops == ["tcp_accecn_inconsistent"]
    tcp_.write(1000)
    assert [each.ecn for each in tcp_.drain()] == [NOT_ECT]
    tcp_.inject("+0.01 < [ce] PEA. 1:101(100) ack 5001 win 65535")
    (ack,) = later(tcp_)
    assert ack.flags >> 6 & 7 == 6  # what comes in is told as ever


@pytest.mark.rfc("9768", "3.2.3.2.5")
def test_the_flags_that_move_now_and_then_are_whole() -> None:
    tcp_ = opened()
    tcp_.write(8000)
    tcp_.drain()
    for number, flags in enumerate(("EA", "EA", "WA", "WA", "WA", "EWA"), 1):
        tcp_.inject(
            f"+0.1 < {flags}. 1:1(0) ack {1 + 1000 * number} win 65535"
            f" <ECN e0b 1 ceb {1000 * number} e1b 1>"
        )
    assert tcp_.drops == []


@pytest.mark.rfc("9768", "3.2.3.2.5")
def test_a_count_that_went_round_between_two_acks_contradicts_nothing() -> None:
    tcp_ = opened()
    tcp_.conn.congestion.cwnd_bytes = 40_000  # type: ignore[misc]
    tcp_.write(32_000)
    tcp_.drain()
    told_by_option_alone(tcp_, 4, 8000)
    assert tcp_.drops == []
    assert tcp_.conn.info().ce_delivered == 32


@pytest.mark.rfc("9768", "3.2.3.2.5")
def test_what_the_option_tells_leaves_the_count_of_the_flags_as_they_are() -> None:
    tcp_ = opened()
    tcp_.write(3000)
    tcp_.drain()
    told_by_option_alone(tcp_, 1)
    tcp_.inject("+0.1 < WA. 1:1(0) ack 2001 win 65535")  # without the option: one more
    held = accurate(tcp_)
    assert (held.s_cep, tcp_.conn.info().ce_delivered_bytes) == (6, 2000)


# the option on the SYN, and initial values that we do not know


@pytest.mark.rfc("9768", "3.2.3.2.1 SYN")
def test_a_syn_has_no_option_and_one_that_has_is_not_read() -> None:
    client = Script(ASK)
    client.connect()
    (syn,) = client.drain()
    assert tcp_options.parse(syn.options).accurate_ecn is None
    server = Script(ACCEPT)
    server.listen("+0 < SEWA 0:0(0) win 65535 <mss 1000,ECN e0b 0 ceb 70 e1b 0>")
    held = accurate(server)
    assert (held.option_seen, held.s_ceb, held.s_e0b) == (False, 0, 1)


@pytest.mark.rfc("9768", "3.2.2.4 values")
def test_counts_that_begin_elsewhere_are_taken_as_they_are() -> None:
    tcp_ = opened(options="mss 1000,ECN e0b 70 ceb 0 e1b 90")
    tcp_.write(1000)
    assert [each.ecn for each in tcp_.drain()] == [ECT_0]
    tcp_.inject("+0.01 < EA. 1:1(0) ack 1001 win 65535 <ECN e0b 1070 ceb 0 e1b 90>")
    assert tcp_.drops == []
    held = accurate(tcp_)
    assert (held.s_e0b, held.s_ceb, held.s_e1b) == (1070, 0, 90)


@pytest.mark.rfc("9768", "3.2.2.5.1 ACKs of ACKs")
def test_an_ack_of_marked_acks_has_no_sack_blocks() -> None:
    config = TcpConfig(**{**PLAIN, "sack": True})  # type: ignore[arg-type]
    tcp_ = Script(config)
    tcp_.listen("+0 < SEWA 0:0(0) win 65535 <mss 1000,sackOK>")
    tcp_.drain()
    tcp_.inject("+0.1 < W. 1:1(0) ack 1 win 65535")
    for _ in range(3):
        tcp_.inject("+0 < [ce] EA. 1:1(0) ack 1 win 65535")
    (ack,) = tcp_.drain()
    assert not tcp_options.parse(ack.options).sack_blocks

"""Conversations from frames: what segments are, where the end is not lossy, and hostile frames."""

from collections.abc import Sequence

import pytest
import sample_frames as four
import sample_frames6 as six
from hypothesis import given
from hypothesis import strategies as st

from pystack.observe.captures import link_types
from pystack.observe.flows import FlowTable, Seen
from pystack.wire import icmp, ipv4, tcp

SYN = bytes.fromhex("020405b40402080a000000010000000001030307")
A_TO_B, B_TO_A = True, False


def segment(
    from_a: bool,
    flags: int,
    seq: int,
    ack: int,
    text: bytes = b"",
    wnd: int = 1000,
    sack: Sequence[tuple[int, int]] = (),
) -> bytes:
    src, dst, ports = (four.A, four.B, (40000, 80)) if from_a else (four.B, four.A, (80, 40000))
    options = SYN if flags & tcp.SYN else b""
    if sack:
        words = b"".join(left.to_bytes(4, "big") + right.to_bytes(4, "big") for left, right in sack)
        options = bytes((1, 1, 5, 2 + len(words))) + words
    made = tcp.Segment(*ports, seq % 2**32, ack % 2**32, flags, wnd, options, text)
    body = tcp.pack_header(made, src, dst) + text
    header = ipv4.pack_header(src, dst, ipv4.TCP, len(body))
    return bytes(12) + b"\x08\x00" + header + body


def connected(table: FlowTable, base: int = 100) -> None:
    table.feed(0.0, segment(A_TO_B, tcp.SYN, base - 1, 0))
    table.feed(0.04, segment(B_TO_A, tcp.SYN | tcp.ACK, 499, base))
    table.feed(0.04, segment(A_TO_B, tcp.ACK, base, 500))


def fed(table: FlowTable, at: float, data: bytes) -> Seen:
    seen = table.feed(at, data)
    assert seen is not None
    return seen


@pytest.mark.parametrize("base", [100, 2**32 - 5, 2**31 - 5])
def test_text_is_acknowledged_and_measured_across_the_end_of_numbers(base: int) -> None:
    table = FlowTable()
    connected(table, base)
    data = fed(table, 0.05, segment(A_TO_B, tcp.ACK, base, 500, bytes(10)))
    ack = fed(table, 0.10, segment(B_TO_A, tcp.ACK, 500, base + 10))
    assert (data.kind, data.seq, data.in_flight_bytes, data.text_bytes) == ("data", 1, 10, 10)
    assert (ack.kind, ack.ack, ack.rtt_s) == ("ack", 11, pytest.approx(0.05))
    (flow,) = table
    assert flow.handshake.rtt_s == 0.04
    assert (flow.rtts, flow.text_bytes) == (3, [10, 0])


def test_probes_and_what_they_are_answered_with() -> None:
    table = FlowTable()
    connected(table)
    fed(table, 0.1, segment(A_TO_B, tcp.ACK, 100, 500, bytes(10)))
    fed(table, 0.2, segment(B_TO_A, tcp.ACK, 500, 110))
    alive = fed(table, 60.0, segment(A_TO_B, tcp.ACK, 109, 500))
    answer = fed(table, 60.1, segment(B_TO_A, tcp.ACK, 500, 110))
    full = fed(table, 61.0, segment(B_TO_A, tcp.ACK, 500, 110, wnd=0))
    ours = fed(table, 62.0, segment(A_TO_B, tcp.ACK, 109, 500))
    one_byte = fed(table, 63.0, segment(A_TO_B, tcp.ACK, 110, 500, b"x"))
    still = fed(table, 63.1, segment(B_TO_A, tcp.ACK, 500, 110, wnd=0))
    room = fed(table, 64.0, segment(B_TO_A, tcp.ACK, 500, 110, wnd=500))
    kinds = [each.kind for each in (alive, answer, full, ours, one_byte, still, room)]
    assert kinds == [
        "keep-alive",
        "keep-alive ack",
        "zero window",
        "window probe",
        "window probe",
        "zero window",
        "window update",
    ]


def test_a_copy_and_what_is_sent_again_for_nothing() -> None:
    table = FlowTable()
    connected(table)
    text = segment(A_TO_B, tcp.ACK, 100, 500, bytes(10))
    fed(table, 0.1, text)
    assert fed(table, 0.101, text).kind == "duplicate"
    fed(table, 0.14, segment(B_TO_A, tcp.ACK, 500, 110))
    assert fed(table, 0.5, text).kind == "spurious"


def test_a_copy_that_comes_after_the_acknowledgment_is_still_a_copy() -> None:
    table = FlowTable()
    connected(table)
    text = segment(A_TO_B, tcp.ACK, 100, 500, bytes(10))
    first = fed(table, 0.1, text)
    fed(table, 0.1, segment(B_TO_A, tcp.ACK, 500, 110))
    copy = fed(table, 0.1001, text)
    assert (copy.kind, copy.reason, copy.original) == ("duplicate", "", first.number)


def test_nothing_is_probed_while_a_loss_is_repaired() -> None:
    """RFC 8985 section 7.2: Linux probes in the open state alone."""
    table = FlowTable()
    connected(table)
    fed(table, 0.05, segment(B_TO_A, tcp.ACK, 500, 100))
    texts = [segment(A_TO_B, tcp.ACK, 100 + 10 * at, 500, bytes(10)) for at in range(3)]
    for text in texts:
        fed(table, 0.1, text)
    fed(table, 0.14, segment(B_TO_A, tcp.ACK, 500, 100, sack=[(110, 120)]))
    assert fed(table, 0.14, texts[0]).reason == "fast"
    fed(table, 0.18, segment(B_TO_A, tcp.ACK, 500, 120))
    assert fed(table, 0.18, texts[2]).reason == "fast"
    assert fed(table, 0.43, texts[2]).reason == "rto"


@pytest.mark.parametrize("after_s", [1e-5, 1.0])
def test_a_syn_ack_that_answers_a_repeated_syn_waited_for_no_timer(after_s: float) -> None:
    table = FlowTable()
    syn = segment(A_TO_B, tcp.SYN, 99, 0)
    answer = segment(B_TO_A, tcp.SYN | tcp.ACK, 499, 100)
    table.feed(0.0, syn)
    first = fed(table, 0.0, answer)
    table.feed(after_s, syn)
    again = fed(table, after_s, answer)
    assert (again.kind, again.reason, again.original) == ("retransmission", "syn", first.number)
    assert fed(table, after_s + 3.0, answer).reason == "rto"


def test_a_time_out_a_probe_and_a_fast_retransmission() -> None:
    table = FlowTable()
    connected(table)
    fed(table, 0.05, segment(B_TO_A, tcp.ACK, 500, 100))  # the first window that is scaled
    texts = [segment(A_TO_B, tcp.ACK, 100 + 10 * at, 500, bytes(10)) for at in range(6)]
    first = fed(table, 0.1, texts[0])
    for text in texts[1:5]:
        fed(table, 0.1, text)
    for at in range(1, 4):
        named = [(110, 110 + 10 * at)]
        repeated = fed(table, 0.14, segment(B_TO_A, tcp.ACK, 500, 100, sack=named))
        assert repeated.kind == "dup ack"
    fast = fed(table, 0.14, texts[0])
    assert (fast.kind, fast.reason, fast.original) == ("retransmission", "fast", first.number)
    fed(table, 0.18, segment(B_TO_A, tcp.ACK, 500, 150))
    fed(table, 0.2, texts[5])
    probe = fed(table, 0.3, texts[5])
    assert (probe.kind, probe.reason) == ("retransmission", "tlp")
    assert fed(table, 0.6, texts[5]).reason == "rto"
    (flow,) = table
    assert flow.reasons == {"fast": 1, "tlp": 1, "rto": 1}


def test_a_syn_that_is_sent_again_measures_nothing() -> None:
    table = FlowTable()
    table.feed(0.0, segment(A_TO_B, tcp.SYN, 99, 0))
    again = fed(table, 1.0, segment(A_TO_B, tcp.SYN, 99, 0))
    fed(table, 1.04, segment(B_TO_A, tcp.SYN | tcp.ACK, 499, 100))
    fed(table, 1.04, segment(A_TO_B, tcp.ACK, 100, 500))
    (flow,) = table
    assert (again.kind, again.reason) == ("retransmission", "rto")
    assert (flow.handshake.syns, flow.handshake.rtt_s, flow.handshake.is_whole) == (2, None, True)


def test_who_ends_and_a_new_connection_between_the_same_ends() -> None:
    table = FlowTable()
    connected(table)
    fin = fed(table, 0.1, segment(B_TO_A, tcp.ACK | tcp.FIN, 500, 100))
    reset = fed(table, 0.2, segment(A_TO_B, tcp.RST, 100, 0))
    assert (fin.kind, reset.kind, fin.flow.closed_by, fin.flow.closed_how) == (
        "fin",
        "rst",
        "b",
        "fin",
    )
    table.feed(3.0, segment(A_TO_B, tcp.SYN, 9000, 0))
    first, second = table
    assert (first.number, first.closed_by, second.number, second.frames) == (1, "b", 2, [1, 0])


def test_a_conversation_that_had_begun_is_joined() -> None:
    table = FlowTable()
    answer = fed(table, 0.0, segment(B_TO_A, tcp.ACK, 7000, 300, bytes(5)))
    assert (answer.from_a, answer.kind, answer.flow.a) == (False, "data", ("10.77.0.1", 40000))
    assert fed(table, 0.1, segment(A_TO_B, tcp.ACK, 300, 7005)).kind == "ack"
    assert answer.flow.handshake.syn_at is None


def test_an_error_is_told_to_the_conversation_it_is_about() -> None:
    table = FlowTable()
    syn = segment(A_TO_B, tcp.SYN, 99, 0)
    table.feed(0.0, syn)
    frame = four.icmp_frame(icmp.DESTINATION_UNREACHABLE, 13, 0, four.quoted(syn))
    assert fed(table, 0.1, frame).kind == "error"
    (flow,) = table
    assert flow.errors == [(0.1, "ICMP type 3 code 13 from 10.77.0.1")]


@pytest.mark.parametrize("cut", [34 + 20, 34 + 30])
def test_a_segment_that_was_cut_in_its_options_counts(cut: int) -> None:
    table = FlowTable()
    seen = fed(table, 0.0, segment(A_TO_B, tcp.SYN, 99, 0)[:cut])
    assert (seen.kind, seen.text_bytes) == ("syn", 0)
    text = fed(table, 0.1, segment(A_TO_B, tcp.ACK, 100, 500, bytes(99))[:54])
    assert (text.kind, text.text_bytes, text.in_flight_bytes) == ("data", 99, 100)


def test_memory_is_bounded() -> None:
    table = FlowTable(most=10)
    for port in range(1, 50):
        table.feed(float(port), four.tcp_frame(tcp.SYN, ports=(port, 80)))
    assert (len(table), table.left_out) == (10, 39)
    for isn in range(50):
        table.feed(50.0, segment(A_TO_B, tcp.SYN, 1000 * isn, 0))
    assert (len(table), table.left_out) == (10, 89)
    connected(table)
    for number in range(20_000):
        table.feed(100.0, segment(A_TO_B, tcp.ACK, 100 + number * 20, 500, b"x"))
    own = next(flow for flow in table if flow.handshake.is_whole).halves[0]
    assert len(own.sent) <= 4096
    assert len(own.holes) <= 256


ANY = [*four.ordinary_frames(), *six.ordinary_frames6(), *four.icmp_frames(), *six.errors6()]


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(ANY) - 1),
            st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
            st.integers(0, 200),
        ),
        max_size=12,
    ),
    st.sampled_from([*link_types.NAMES, 147]),
)
def test_hostile_frames_never_raise(
    frames: list[tuple[int, list[tuple[int, int]], int]], link_type: int
) -> None:
    table = FlowTable()
    for at, (number, changes, cut) in enumerate(frames):
        data = bytearray(ANY[number])
        for place, value in changes:
            data[place % len(data)] = value
        table.feed(float(at), bytes(data[:cut]), link_types.ETHERNET)
        table.feed(float(at), bytes(data[14:cut]), link_type)


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from([tcp.ACK, tcp.SYN, tcp.ACK | tcp.FIN, tcp.RST, tcp.SYN | tcp.ACK]),
            st.integers(95, 130),
            st.integers(95, 130),
            st.integers(0, 5),
            st.sampled_from([0, 1000]),
        ),
        max_size=30,
    )
)
def test_any_order_of_segments_keeps_what_must_hold(
    segments: list[tuple[bool, int, int, int, int, int]],
) -> None:
    table = FlowTable()
    for at, (from_a, flags, seq, ack, size, wnd) in enumerate(segments):
        seen = fed(table, at / 100, segment(from_a, flags, seq, ack, bytes(size), wnd))
        assert seen.in_flight_bytes >= 0
        for half in seen.flow.halves:
            assert all(each.seq < each.end <= half.nxt for each in half.sent)
            assert all(hole.seq < hole.end for hole in half.holes)
            assert half.una <= half.nxt

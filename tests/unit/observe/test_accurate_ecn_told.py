"""What the observers say of accurate ECN: summaries, flows, the dissector, `explain`."""

import pytest

from pystack.observe.dissect import dissect
from pystack.observe.summary import summarize
from pystack.wire import ipv4, tcp, tcp_options
from pystack.wire.tcp import ACK, AE, CWR, ECE, SYN


def frame(flags: int, options: bytes = b"") -> bytes:
    segment = tcp.Segment(1000, 80, 1, 2 if flags & ACK else 0, flags, 100, options)
    packed = tcp.pack_header(segment, 0x0A000001, 0x0A000002)
    header = ipv4.pack_header(0x0A000001, 0x0A000002, ipv4.TCP, len(packed))
    return bytes(12) + b"\x08\x00" + header + packed


def test_a_summary_has_the_flag_and_the_counts() -> None:
    assert "Flags [SEWe]," in summarize(frame(SYN | AE | CWR | ECE))
    option = tcp_options.pack_accurate_ecn(1, 1448, 2897, fields=3, order=0)
    assert "options [ECN e0b 1 ceb 1448 e1b 2897,nop]" in summarize(frame(ACK, option))
    short = tcp_options.pack_accurate_ecn(1, 1448, 2897, fields=2, order=1)
    assert "options [ECN ceb 1448 e1b 2897]" in summarize(frame(ACK, short))


def test_the_dissector_names_each_count() -> None:
    option = tcp_options.pack_accurate_ecn(7, 1448, 2897, fields=2, order=1)
    boxes = dissect(frame(ACK | AE, option))
    found = {each.name: each.value for box in boxes for each in box.headers}
    assert (found["EE1B"], found["ECEB"]) == ("2897", "1448")
    assert "EE0B" not in found


@pytest.mark.parametrize(
    ("syn", "answer", "agreed"),
    [
        (AE | CWR | ECE, CWR, "accurate ECN"),
        (AE | CWR | ECE, AE | ECE, "accurate ECN"),
        (AE | CWR | ECE, ECE, "ECN"),
        (AE | CWR | ECE, AE | CWR | ECE, ""),
        (AE | CWR | ECE, 0, ""),
        (CWR | ECE, ECE, "ECN"),
        (CWR | ECE, CWR | ECE, ""),
        (0, ECE, ""),
    ],
)
def test_what_was_agreed_on_is_told_from_both_syns(syn: int, answer: int, agreed: str) -> None:
    assert tcp.ecn_agreed(SYN | syn, SYN | ACK | answer) == agreed

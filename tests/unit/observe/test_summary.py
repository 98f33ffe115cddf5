"""Lines in tcpdump's manner, held against tcpdump itself where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import sample_frames as frames
import sample_frames6 as frames6
from hypothesis import given
from hypothesis import strategies as st
from packets6 import packet6

from pystack.observe.captures.output import open_capture
from pystack.observe.captures.pcap import PcapWriter
from pystack.observe.summary import summarize
from pystack.wire import ethernet, ipv4, mld, tcp, tcp_options
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame


def test_a_syn_shows_its_options() -> None:
    frame = frames.tcp_frame(tcp.SYN, options=tcp_options.pack(frames.SYN_OPTIONS))
    assert summarize(frame) == (
        "IP 10.77.0.1.40324 > 10.77.0.2.80: Flags [S], seq 4294967291, win 64240, "
        "options [mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7], length 0"
    )


def test_data_shows_both_ends_of_its_sequence_range_across_the_wrap() -> None:
    frame = frames.tcp_frame(tcp.ACK | tcp.PSH, b"x" * 10, ports=(1, 2))
    assert summarize(frame) == (
        "IP 10.77.0.1.1 > 10.77.0.2.2: Flags [P.], seq 4294967291:5, ack 456, win 64240, length 10"
    )


def test_a_super_frame_is_one_line() -> None:
    frame = Frame(frames.tcp_frame(tcp.ACK, bytes(60000), ports=(1, 2)), CHECKSUM_PARTIAL, 1460)
    assert summarize(frame).endswith("length 60000")


def test_a_datagram() -> None:
    frame = frames.udp_frame(b"abc")
    assert summarize(frame) == "IP 10.77.0.1.5 > 10.77.0.2.7777: UDP, length 3"


def test_an_arp_question_and_its_answer() -> None:
    question = summarize(frames.arp_frame(1, frames.B))
    answer = summarize(frames.arp_frame(2, frames.B, frames.MAC_B))
    assert question == "ARP, Request who-has 10.77.0.2 tell 10.77.0.1, length 28"
    assert answer == "ARP, Reply 10.77.0.1 is-at 02:00:00:00:00:01, length 28"


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (b"", "[|ether]"),
        (frames.tcp_frame(tcp.SYN)[:20], "IP [|ip]"),
        (ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, b"\x65" + bytes(19)), "IP bad version 6"),
        (ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, b"\x43" + bytes(19)), "IP bad-hlen 12"),
        (ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, b"\x45" + bytes(19)), "IP bad-len 0"),
        (frames.ip_frame(ipv4.TCP, b""), "IP 10.77.0.1 > 10.77.0.2: [|tcp]"),
        (frames.ip_frame(ipv4.ICMP, b"\3"), "IP 10.77.0.1 > 10.77.0.2: [|icmp]"),
        (frames.ip_frame(99, b"abc"), "IP 10.77.0.1 > 10.77.0.2: ip-proto-99 3"),
        (
            frames.tcp_frame(tcp.SYN)[:44],
            "IP truncated-ip - 10 bytes missing! 10.77.0.1.40324 > 10.77.0.2.80: [|tcp]",
        ),
        (
            ethernet.pack(frames.MAC_B, frames.MAC_A, 0x88B5, b"abc"),
            "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype Unknown (0x88b5), length 17",
        ),
    ],
)
def test_what_is_cut_off_or_malformed_says_so(frame: bytes, line: str) -> None:
    assert summarize(frame) == line


def packet_line(number: int, payload: bytes) -> str:
    return summarize(frames6.frame6(packet6([], number, payload, src=frames6.A, dst=frames6.B)))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (packet_line(132, b"abcd"), "ip-proto-132 4"),
        (packet_line(6, b"abc"), "[|tcp]"),
        (packet_line(58, b"abc"), "[|icmp6]"),
        (packet_line(0, b"\x11\7"), "[|hbhopt]"),
        (packet_line(60, b"\x11\7"), "[|dstopt]"),
        (packet_line(43, b"\x11"), "[|rt6]"),
        (packet_line(44, b"\x11\7"), "[|frag6]"),
        (packet_line(60, b"\6\0\1\4\0\0\0\0ab"), "DSTOPT [|tcp]"),
        (
            summarize(frames6.error6(1, 1)),
            "ICMP6, destination unreachable, unreachable prohibited fd00::a, length 59",
        ),
        (
            summarize(frames6.error6(1, 5)),
            "ICMP6, destination unreachable, source address fd00::b failed policy, length 59",
        ),
        (
            summarize(frames6.error6(1, 4, 0, packet6([], 6, b"a"))),
            "ICMP6, destination unreachable, unreachable port [|icmp6], length 49",
        ),
        (summarize(frames6.error6(100)), "ICMP6, unknown icmp6 type (100), length 59"),
    ],
)
def test_of_ipv6_too(line: str, expected: str) -> None:
    assert line == f"IP6 fd00::a > fd00::b: {expected}"


def test_frames_of_ipv6_that_are_cut_off_say_so() -> None:
    assert summarize(frames6.datagram6(b"abc")[:30]) == "IP6 [|ip6]"
    assert summarize(frames6.segment6(tcp.SYN)[:70]) == (
        "IP6 truncated-ip6 - 4 bytes missing! fd00::a.40324 > fd00::b.80: [|tcp]"
    )


def test_version_1_of_listener_discovery_has_its_group_and_time() -> None:
    query = mld.pack_query(frames6.LINK, frames6.ALL, mld.MldQuery(10.0, frames6.GROUP, 1))
    assert summarize(frames6.listener_frame(query)) == (
        "IP6 fe80::1 > ff02::1: HBH ICMP6, multicast listener query max resp delay: 10000 "
        "addr: ff02::fb, length 24"
    )


def test_control_characters_do_not_reach_the_terminal() -> None:
    frame = frames.tcp_frame(tcp.ACK, b"GET /\x1b[2J HTTP/1.1\r\n")
    assert summarize(frame).endswith(": HTTP: GET /.[2J HTTP/1.1")


def test_lines_equal_those_of_tcpdump(tmp_path: Path) -> None:
    tcpdump = shutil.which("tcpdump")
    if tcpdump is None:
        pytest.skip("tcpdump is not installed: nothing to hold the lines against")
    path = tmp_path / "frames.pcap"
    all_frames = frames.ordinary_frames() + frames6.ordinary_frames6()
    writer = PcapWriter(open_capture(str(path)))
    for frame in all_frames:
        writer.write(Frame(frame), 0.0)
    writer.close()
    with path.open("rb") as capture:
        result = subprocess.run(
            [tcpdump, "-n", "-t", "-S", "-r", "-"],
            stdin=capture,
            capture_output=True,
            text=True,
            timeout=60,
        )
    if "Couldn't change to" in result.stderr:
        pytest.skip("tcpdump, run by root, insists on becoming a user that is not here")
    assert result.returncode == 0, result.stderr
    assert [_without_ae(summarize(frame)) for frame in all_frames] == [
        _without_ae(line) for line in result.stdout.splitlines()
    ]


@given(st.binary(max_size=200))
def test_any_bytes_have_a_line(data: bytes) -> None:
    assert "\n" not in summarize(data)


@given(
    st.sampled_from(frames.ordinary_frames() + frames6.ordinary_frames6()),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
    st.integers(0, 200),
)
def test_mutated_frames_have_a_line(
    frame: bytes, changes: list[tuple[int, int]], kept: int
) -> None:
    data = bytearray(frame)
    for at, value in changes:
        data[at % len(data)] = value
    line = summarize(bytes(data[:kept]))
    assert line
    assert line.isprintable()


def _without_ae(line: str) -> str:
    """Take the letter of AE away, which only newer versions of tcpdump have."""
    return re.sub(r"(Flags \[[A-Z.]+)e\]", r"\1]", line)

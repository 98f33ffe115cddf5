"""The reader of capture files: formats, what they say beside frames, and files that are none."""

import contextlib
import io
import os
import struct
from pathlib import Path

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_captures import block, interface, option, packet, padded, pcap, section

from pystack.core.errors import ConfigError
from pystack.observe.captures import link_types
from pystack.observe.captures.capture_file import CapturedFrame, read_capture

FRAMES = [bytes([number]) * (60 + number) for number in range(5)]


def frames_of(data: bytes) -> list[CapturedFrame]:
    return list(read_capture(io.BytesIO(data)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_pcap_in_each_order_and_unit(order: str, magic: int, unit_ns: int) -> None:
    data = pcap([(1_700_000_000, 999_999, each) for each in FRAMES], order, magic)
    found = frames_of(data)
    assert [each.data for each in found] == FRAMES
    assert {each.at_ns for each in found} == {1_700_000_000 * 10**9 + 999_999 * unit_ns}
    assert {
        (each.link_type, each.interface, each.original_length - len(each.data)) for each in found
    } == {(1, 0, 0)}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**32 - 1), st.integers(0, 999_999), st.binary(min_size=1, max_size=99)
        ),
        max_size=20,
    )
)
def test_pcap_as_dpkt_reads_it(frames: list[tuple[int, int, bytes]]) -> None:
    data = pcap(frames)
    assert [(frame.at_ns // 1000, frame.data) for frame in frames_of(data)] == [
        (round(at * 10**6), each)
        for at, each in [(seconds + fraction / 10**6, each) for seconds, fraction, each in frames]
    ]
    assert [each for _, each in dpkt.pcap.Reader(io.BytesIO(data))] == [each for *_, each in frames]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("resolution", "ticks", "at_ns"),
    [
        (None, 1_500_000, 1_500_000_000),  # microseconds
        (9, 1_500_000_001, 1_500_000_001),
        (3, 1_500, 1_500_000_000),
        (0, 2, 2_000_000_000),
        (12, 1_500_000_001_999, 1_500_000_001),
        (0x80 | 10, 1536, 1_500_000_000),  # of 2 to the -10 seconds
    ],
)
def test_pcapng_in_each_order_and_resolution(
    order: str, resolution: int | None, ticks: int, at_ns: int
) -> None:
    options = b"" if resolution is None else option(order, 9, bytes((resolution,)))
    options += option(order, 14, struct.pack(f"{order}q", 100)) + option(order, 2, b"eth0")
    data = section(order) + interface(order, options=options) + packet(order, ticks, FRAMES[3])
    (frame,) = frames_of(data)
    assert (frame.at_ns, frame.data, frame.place) == (100 * 10**9 + at_ns, FRAMES[3], "eth0")


def test_what_pcapng_says_beside_frames() -> None:
    names = struct.pack("<HH4s", 1, 4 + 7, bytes((10, 0, 0, 2))) + padded(b"server\0")
    names += struct.pack("<HH16s", 2, 16 + 3, b"\xfd" + bytes(14) + b"\1") + padded(b"v6\0")
    log = b"CLIENT_RANDOM 00 11\n"
    flags = option("<", 2, struct.pack("<I", 2))
    told = option("<", 1, "délayed by 3 ms".encode()) + option("<", 1, b"duplicate")
    dropped = option("<", 4, struct.pack("<Q", 3))
    statistics = struct.pack("<III", 1, 0, 0) + option("<", 5, struct.pack("<Q", 7))
    data = (
        section()
        + interface(options=option("<", 2, b"a") + option("<", 3, b"the client's"))
        + interface(link_type=101, options=option("<", 2, b"b"))
        + block("<", 0xBAD, b"whatever")
        + block("<", 4, names + struct.pack("<HH", 0, 0))
        + block("<", 10, struct.pack("<II", 0x544C534B, len(log)) + padded(log))
        + packet("<", 1, FRAMES[1], options=told + flags + dropped, length=1500)
        + packet("<", 2, b"\x45" + bytes(30), 1)
        + block("<", 5, statistics)
    )
    capture = read_capture(io.BytesIO(data))
    first, second = capture
    assert capture.names == {"10.0.0.2": "server", "fd00::1": "v6"}
    assert capture.secrets == "CLIENT_RANDOM 00 11\n"
    assert (first.comments, first.direction) == (("délayed by 3 ms", "duplicate"), "out")
    assert (first.original_length, first.place, second.place) == (1500, "a", "b")
    assert (second.link_type, second.interface, second.direction) == (link_types.RAW, 1, "")
    assert [each.dropped for each in capture.interfaces] == [3, 7]
    assert (capture.dropped, capture.interfaces[0].description) == (10, "the client's")
    assert capture.trouble == ""


def test_sections_of_different_orders_have_interfaces_of_their_own() -> None:
    data = section() + interface(options=option("<", 2, b"one")) + packet("<", 1, FRAMES[0])
    data += (
        section(">") + interface(">", options=option(">", 2, b"two")) + packet(">", 1, FRAMES[1])
    )
    assert [(each.place, each.interface) for each in frames_of(data)] == [("one", 0), ("two", 1)]


def test_simple_and_obsolete_packets() -> None:
    data = section() + interface(snaplen=62)
    data += block("<", 2, struct.pack("<HHIIII", 0, 5, 0, 9, 60, 60) + FRAMES[0])
    data += block("<", 3, struct.pack("<I", 64) + padded(FRAMES[4][:62]))
    capture = read_capture(io.BytesIO(data))
    old, simple = capture
    assert (old.data, old.at_ns, capture.dropped) == (FRAMES[0], 9000, 5)
    assert (simple.data, simple.original_length) == (FRAMES[4][:62], 64)
    assert simple.at_ns == 9000  # it has none of its own


def test_a_file_that_ends_in_the_middle_gives_what_is_there() -> None:
    whole = pcap([(1, 0, each) for each in FRAMES])
    data = section() + interface() + b"".join(packet("<", 1, each) for each in FRAMES)
    for text in (whole, data):
        capture = read_capture(io.BytesIO(text[:-30]))
        assert [each.data for each in capture] == FRAMES[:4]
        assert "ends in the middle of a" in capture.trouble
        assert "4 frames before it are used" in capture.trouble


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (pcap([]) + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 60) + bytes(99), "4,294,967,295 bytes"),
        (section() + struct.pack("<II", 6, 0xFFFFFFF0) + bytes(99), "4,294,967,280 bytes"),
        (section() + struct.pack("<II", 0xBAD, 0xFFFFFFF0) + bytes(99), "ends in the middle"),
        (section() + struct.pack("<II", 6, 13) + bytes(99), "a block of 13 bytes is none"),
        (section() + packet("<", 1, FRAMES[0]), "an interface that is not described"),
        (section() + interface() + block("<", 6, bytes(4)), "shorter than its fields"),
        (
            section() + interface() + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 99, 99)),
            "a frame of 99 bytes is none",
        ),
        (section() + interface() + packet("<", 1, b"x")[:-4] + bytes(4), "two lengths differ"),
        (section() + section()[:8] + bytes(20), "a section that is none"),
    ],
)
def test_a_damaged_file_says_so(data: bytes, trouble: str) -> None:
    capture = read_capture(io.BytesIO(data))
    assert list(capture) == []
    assert trouble in capture.trouble


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is empty"),
        (b"GET / HTTP/1.1\r\n", "is not a capture: neither pcap nor pcapng"),
        (b"\xd4\xc3\xb2", "is not a capture"),
        (b"\xd4\xc3\xb2\xa1", "ends within its header"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "no byte order"),
        (b"\x0a\x0d\x0d\x0a\x1c", "ends within its header"),
        (b"\x0a\x0d\x0d\x0a" + struct.pack("<II", 5, 0x1A2B3C4D) + bytes(30), "no section header"),
        (pcap([], magic=0xA1B2CD34), "modified pcap format"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (pcap([], link_type=105), r"frames of IEEE 802\.11 \(105\)"),
        (pcap([])[:4] + bytes(20), "no version 0"),
    ],
)
def test_what_is_no_capture_is_refused_in_one_sentence(
    tmp_path: Path, data: bytes, text: str
) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=text) as caught:
        read_capture(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused_and_a_pipe_without_a_writer_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, text in [
        (tmp_path, "is a directory"),
        (tmp_path / "none", "No such file"),
        (Path("/dev/null"), "is no file"),
        (tmp_path / "pipe", "is empty"),
        (Path("a\0b"), "null"),
    ]:
        with pytest.raises(ConfigError, match=text):
            read_capture(path)


def test_a_pipe_gives_a_capture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    keeper = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(keeper, pcap([(1, 0, FRAMES[0])]))
    with read_capture(tmp_path / "pipe") as capture:
        os.close(keeper)
        assert [each.data for each in capture] == FRAMES[:1]


def test_frames_of_other_link_types_beside_those_that_are_read() -> None:
    both = section() + interface() + interface(link_type=189)
    data = both + packet("<", 1, FRAMES[0]) + packet("<", 1, FRAMES[1], 1)
    capture = read_capture(io.BytesIO(data))
    assert [each.data for each in capture] == FRAMES[:1]
    assert "one frame of the capture is of other link types" in capture.trouble
    with pytest.raises(ConfigError, match=r"USB, Linux \(189\)"):
        list(read_capture(io.BytesIO(both + packet("<", 1, FRAMES[1], 1))))


@given(st.binary(max_size=400), st.sampled_from(["", "<", ">"]), st.integers(0, 400))
def test_garbage_never_raises_but_in_a_sentence(noise: bytes, order: str, cut: int) -> None:
    data = noise
    if order:
        good = section(order) + interface(order) + packet(order, 1, FRAMES[0])
        data = good[:cut] + noise + good[cut:]
    with contextlib.suppress(ConfigError):
        assert all(len(frame.data) <= len(data) for frame in read_capture(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("link_type", "head", "ethertype"),
    [
        (link_types.ETHERNET, bytes(12) + b"\x08\x00", 0x0800),
        (link_types.RAW, b"", 0x0800),
        (12, b"", 0x0800),
        (link_types.IPV4, b"", 0x0800),
        (link_types.NULL, b"\2\0\0\0", 0x0800),
        (link_types.NULL, b"\0\0\0\2", 0x0800),
        (link_types.LOOP, b"\0\0\0\x1e", 0x86DD),
        (link_types.LINUX_SLL, bytes(14) + b"\x08\x00", 0x0800),
        (link_types.LINUX_SLL2, b"\x08\x00" + bytes(18), 0x0800),
    ],
)
def test_where_the_packet_of_a_frame_begins(link_type: int, head: bytes, ethertype: int) -> None:
    data = head + b"\x45" + bytes(19)
    assert link_types.network_at(data, link_type) == (ethertype, len(head))
    made = link_types.as_ethernet(data, link_type)
    assert made[12:] == ethertype.to_bytes(2, "big") + b"\x45" + bytes(19)
    assert all(
        link_types.network_at(data[:cut], link_type) is None for cut in range(max(len(head), 1))
    )


def test_the_sender_of_a_cooked_frame() -> None:
    mac = bytes(range(6))
    first = struct.pack("!HHH6sHH", 0, 1, 6, mac, 0, 0x0800)
    second = struct.pack("!HHIHBB6sH", 0x0800, 0, 1, 1, 0, 6, mac, 0)
    assert link_types.sender_mac(first, link_types.LINUX_SLL) == mac
    assert link_types.as_ethernet(second, link_types.LINUX_SLL2)[6:12] == mac

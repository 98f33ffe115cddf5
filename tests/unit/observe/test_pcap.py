"""Captures, read back by dpkt."""

import io
from decimal import Decimal
from pathlib import Path

import dpkt
import pytest
import sample_frames as frames
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import OutputError
from pystack.observe.captures.capture import Capture
from pystack.observe.captures.output import open_capture
from pystack.observe.captures.pcap import PcapWriter
from pystack.observe.passage import SEEN, Passage
from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame


def read_back(file: io.BytesIO) -> list[tuple[Decimal, bytes]]:
    file.seek(0)
    reader = dpkt.pcap.Reader(file)
    assert reader.datalink() == dpkt.pcap.DLT_EN10MB
    return list(reader)


def seen(data: bytes, at: float = 1.5, host: str = "h", interface: str = "tap0") -> Passage:
    return Passage(f"{host}/{interface}", host, "", Frame(data), at, end=SEEN, ended_at=at)


@given(
    st.lists(st.tuples(st.floats(0, 2**31), st.binary(max_size=300))),
    st.floats(0, 2**31),
)
def test_what_is_written_is_read_back(
    seen_frames: list[tuple[float, bytes]], offset: float
) -> None:
    file = io.BytesIO()
    writer = PcapWriter(file, offset)
    for at, data in seen_frames:
        writer.write(Frame(data), at)
    records = read_back(file)
    assert [data for _, data in records] == [data for _, data in seen_frames]
    for (stamp, _), (at, _) in zip(records, seen_frames, strict=True):
        assert stamp == Decimal(round(offset * 1e9) + round(at * 1e9)) / 10**9


def test_times_a_nanosecond_apart_stay_apart_far_from_1970() -> None:
    file = io.BytesIO()
    writer = PcapWriter(file, 1.7e9)
    writer.write(Frame(b"first"), 0.999999999)
    writer.write(Frame(b"second"), 1.0)
    first, second = (stamp for stamp, _ in read_back(file))
    assert first == Decimal("1700000000.999999999")
    assert second == Decimal(1700000001)


def test_an_ordinary_frame_is_written_with_its_checksum_filled_in() -> None:
    segment = tcp.Segment(1, 2, 3, 4, tcp.ACK, 5, b"", bytes(1000))
    body = tcp.pack_header(segment, frames.A, frames.B, partial=True) + segment.payload
    header = ipv4.pack_header(frames.A, frames.B, ipv4.TCP, len(body))
    data = ethernet.pack(frames.MAC_B, frames.MAC_A, ethernet.IPV4, header + body)
    file = io.BytesIO()
    PcapWriter(file).write(Frame(data, CHECKSUM_PARTIAL), 0.0)
    [(_, written)] = read_back(file)
    packet = ipv4.parse(memoryview(written)[ethernet.HEADER_BYTES :])
    assert len(tcp.parse(packet).payload) == 1000  # raises if the checksum is wrong


def test_a_super_frame_is_written_whole_and_as_it_is() -> None:
    segment = tcp.Segment(1, 2, 3, 4, tcp.ACK, 5, b"", bytes(65495))
    body = tcp.pack_header(segment, frames.A, frames.B, partial=True) + segment.payload
    header = ipv4.pack_header(frames.A, frames.B, ipv4.TCP, len(body))
    data = ethernet.pack(frames.MAC_B, frames.MAC_A, ethernet.IPV4, header + body)
    file = io.BytesIO()
    PcapWriter(file).write(Frame(data, CHECKSUM_PARTIAL, 1460), 0.0)
    assert [written for _, written in read_back(file)] == [data]


def test_a_partial_frame_without_a_checksum_to_fill_is_written_as_it_is() -> None:
    file = io.BytesIO()
    writer = PcapWriter(file)
    for data in (b"not an IP packet", frames.ip_frame(ipv4.TCP, b"short")):
        writer.write(Frame(data, CHECKSUM_PARTIAL), 0.0)
    assert [len(data) for _, data in read_back(file)] == [16, 39]


def test_only_frames_of_the_wanted_host_and_interface_are_written() -> None:
    file = io.BytesIO()
    capture = Capture(PcapWriter(file), host="a", interface="eth0")
    capture.on_passage(seen(b"yes", host="a", interface="eth0"))
    capture.on_passage(seen(b"other host", host="b", interface="eth0"))
    capture.on_passage(seen(b"other interface", host="a", interface="eth1"))
    assert [data for _, data in read_back(file)] == [b"yes"]


def test_the_file_is_whole_after_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "run.pcap"
    capture = Capture(PcapWriter(open_capture(str(path))))
    capture.on_passage(seen(b"a frame"))
    assert [data for _, data in read_back(io.BytesIO(path.read_bytes()))] == [b"a frame"]
    capture.close()
    capture.close()


def test_a_file_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write the capture .*: No such file"):
        open_capture(str(tmp_path / "no" / "run.pcap"))

"""pcapng as we write it, read back: frames, places, names, secrets, and what is missing."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.observe.captures.capture import MOST_HELD, MOST_HELD_BYTES, Capture
from pystack.observe.captures.capture_file import CaptureFile
from pystack.observe.captures.output import Record, open_capture
from pystack.observe.captures.pcap import SNAPLEN_BYTES, PcapngWriter
from pystack.observe.passage import ARRIVED, Passage
from pystack.wire.frame import Frame


def read(file: io.BytesIO) -> CaptureFile:
    return CaptureFile(io.BytesIO(file.getvalue()))


class Keeps(io.BytesIO):
    """A file that stays readable when it is closed."""

    def close(self) -> None:
        pass


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**31 * 10**9),
            st.sampled_from(["a-b", "b/eth0", "é"]),
            st.binary(max_size=300),
            st.sampled_from([None, True, False]),
            words,
        )
    )
)
def test_what_is_written_is_read_back(
    frames: list[tuple[int, str, bytes, bool | None, str]],
) -> None:
    file = Keeps()
    writer = PcapngWriter(file)
    for number, (at_ns, place, data, outbound, comment) in enumerate(frames, 1):
        at = at_ns / 1e9
        assert number == writer.write(
            Frame(data), at, place=place, outbound=outbound, comment=comment
        )
    writer.close(1.0)
    capture = read(file)
    directions = {None: "", True: "out", False: "in"}
    assert [
        (frame.at_ns, frame.place, frame.data, frame.direction, frame.comments) for frame in capture
    ] == [
        (round(at_ns / 1e9 * 1e9), place, data, directions[outbound], (comment,) if comment else ())
        for at_ns, place, data, outbound, comment in frames
    ]
    assert capture.trouble == ""


class Sieve(Keeps):
    """A file that has no room for some records."""

    refuse = False

    def write_parts(self, record: Record) -> bool:
        if not self.refuse:
            self.write(b"".join(record))
        return not self.refuse


def test_what_found_no_room_is_counted_in_the_file() -> None:
    file = Sieve()
    writer = PcapngWriter(file)
    for number, refuse in enumerate((False, True, True, False)):
        file.refuse = refuse
        writer.write(Frame(bytes(60)), float(number), place="a-b")
    file.refuse = False
    writer.close(5.0)
    capture = read(file)
    assert len(list(capture)) == 2
    assert capture.dropped == 2


def test_names_and_secrets_come_when_they_are_known_and_before_what_needs_them() -> None:
    file, names, secrets = Keeps(), {"10.0.0.1": "client"}, [b"", b"CLIENT_RANDOM a b\n", b""]
    writer = PcapngWriter(file, names=lambda: names, secrets=lambda: secrets.pop(0))
    writer.write(Frame(bytes(60)), 0.0, place="a-b")
    names["fd00::1"] = "client"
    secrets.append(b"")
    writer.write(Frame(b"\xee" * 60), 1.0, place="a-b")
    writer.close(2.0)
    capture = read(file)
    assert len(list(capture)) == 2
    assert capture.names == names
    assert capture.secrets == "CLIENT_RANDOM a b\n"
    data = file.getvalue()
    assert data.index(b"CLIENT_RANDOM") < data.index(b"\xee" * 60)


def test_a_frame_beyond_the_snaplen_is_cut_and_says_so() -> None:
    file = Keeps()
    writer = PcapngWriter(file)
    writer.write(Frame(bytes(SNAPLEN_BYTES + 3)), 0.0, place="a-b", comment="x" * 100_000)
    (frame,) = read(file)
    assert (len(frame.data), frame.original_length) == (SNAPLEN_BYTES, SNAPLEN_BYTES + 3)


@pytest.mark.parametrize(("size", "most"), [(60, MOST_HELD), (60_000, MOST_HELD_BYTES // 60_000)])
def test_frames_that_never_arrive_are_not_kept_for_ever(
    tmp_path: Path, size: int, most: int
) -> None:
    path = tmp_path / "run.pcapng"
    capture = Capture(PcapngWriter(open_capture(str(path))))
    passages = [Passage("a-b", "a", "b", Frame(bytes(size)), 1.0) for _ in range(most + 10)]
    for passage in passages:
        capture.on_passage(passage)
    written = [frame.comments for frame in CaptureFile(path)]
    assert len(written) == 10
    assert set(written) == {("still under way when this was written",)}
    for passage in passages:  # too late for those ten
        passage.end, passage.ended_at, passage.arrives_at = ARRIVED, 1.5, 1.5
        capture.on_passage(passage)
    capture.close()
    assert len(list(CaptureFile(path))) == most + 10


def test_the_order_is_that_of_their_coming_whatever_ends_first(tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    capture = Capture(PcapngWriter(open_capture(str(path))))
    first, second = (Passage("a-b", "a", "b", Frame(bytes([at] * 60)), at) for at in (1, 2))
    for passage in (first, second):
        capture.on_passage(passage)
    for at, passage in ((3.0, second), (4.0, first)):
        passage.end, passage.ended_at, passage.arrives_at = ARRIVED, at, at
        capture.on_passage(passage)
    capture.close()
    frames = list(CaptureFile(path))
    assert [frame.data[0] for frame in frames] == [1, 2]
    assert frames[0].comments == ("overtaken by a later one",)

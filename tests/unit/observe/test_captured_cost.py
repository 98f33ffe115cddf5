"""What a capture of strangers costs to read and to tell grows with its frames, and not faster."""

import io
import struct
from collections.abc import Callable

import pytest
import sample_frames as four
from lines_run import lines_run
from sample_captures import (
    PORT,
    TALK,
    block,
    file_of,
    handshake,
    interface,
    option,
    packet,
    section,
    segment,
)

from pystack.core.addresses import Ip4, Mac
from pystack.observe.captures.as_recording import recording_of
from pystack.observe.captures.capture_file import read_capture
from pystack.observe.explain.pieces import wrap
from pystack.observe.explain.story import Story
from pystack.observe.explain.telling import tell
from pystack.observe.explain.text import as_text
from pystack.observe.explain.wording import cells, chains
from pystack.wire import arp, ipv4, tcp


def asked_by_many(count: int) -> list[bytes]:
    """Return questions for a neighbor, each by a station of its own."""
    return [
        b"\xff" * 6
        + number.to_bytes(6, "big")
        + b"\x08\x06"
        + arp.pack(arp.REQUEST, Mac(number.to_bytes(6, "big")), Ip4(number), Ip4(9))
        for number in range(1000, 1000 + count)
    ]


def said_again(count: int) -> list[bytes]:
    """Return text of which nothing is acknowledged, and then all of it again."""
    text = [segment(tcp.ACK, 101 + 20 * at, 501, bytes(20)) for at in range(count // 2)]
    return [*handshake(), *text, *text]


def in_shreds(count: int) -> list[bytes]:
    """Return text far ahead, and then every second byte of what it passed over."""
    far = segment(tcp.ACK, 500_000, 501, b"x")
    shreds = [segment(tcp.ACK, 101 + 2 * at, 501, b"x") for at in range(count)]
    return [*handshake(), far, *shreds]


def selective(upto: int) -> bytes:
    """Return an ACK of B's that names all from the second segment up to there."""
    options = struct.pack("!BBBBII", 1, 1, 5, 10, 121, upto)
    made = tcp.Segment(80, PORT, 501, 101, tcp.ACK, 1000, options, b"")
    body = tcp.pack_header(made, four.B, four.A)
    header = ipv4.pack_header(four.B, four.A, ipv4.TCP, len(body))
    return four.MAC_A + four.MAC_B + b"\x08\x00" + header + body


def named_one_by_one(count: int) -> list[bytes]:
    """Return text of which the first is missing, and for each segment an ACK that names it."""
    frames = handshake()
    for at in range(1, count // 2):
        frames.append(segment(tcp.ACK, 101 + 20 * at, 501, bytes(20)))
        frames.append(selective(121 + 20 * at))
    return frames


@pytest.mark.parametrize("make", [asked_by_many, said_again, in_shreds, named_one_by_one])
def test_twice_the_frames_take_twice_the_work(make: Callable[[int], list[bytes]]) -> None:
    def work(count: int) -> int:
        frames = [*make(count), *TALK]
        data = file_of([(at / 100, frame) for at, frame in enumerate(frames)])

        def told() -> None:
            recording = recording_of(data)
            tell(recording.items, recording)

        return lines_run(told)

    work(8)  # what is read once is not counted
    assert work(1600) < 2.6 * work(800)


LONG = "\u4e16" * 20_000 + "\n"


def test_what_strangers_name_at_length_is_cut() -> None:
    value = LONG.encode()
    head = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + option("<", 4, b"pystack")
    data = block("<", 0x0A0D0D0A, head)
    data += interface(options=option("<", 2, value) + option("<", 3, value))
    address = four.A.to_bytes(4, "big")
    data += block("<", 4, option("<", 1, address + value + b"\0") + bytes(4))
    said = option("<", 1, b"marked CE by x; " * 4000) * 64
    for at, frame in enumerate(TALK):
        data += packet("<", at * 1000, frame, options=said)
    capture = read_capture(io.BytesIO(data))
    frames = list(capture)
    assert max(len(comment) for frame in frames for comment in frame.comments) == 4096
    assert [len(name) for name in capture.names.values()] == [255]
    assert (len(capture.interfaces[0].name), len(capture.interfaces[0].description)) == (255, 4096)
    recording = recording_of(io.BytesIO(data))
    assert max(len(passage.changes) for passage in recording.passages()) == 32
    assert len(as_text(tell(recording.items, recording))) < 40_000


@pytest.mark.parametrize("make", ["a connection each", "the same frame"])
def test_twice_the_places_take_twice_the_work(make: str) -> None:
    def work(count: int) -> int:
        data = section()
        for number in range(count):
            data += interface(options=option("<", 2, b"%d" % number))
        for number in range(count):
            isn = number if make == "a connection each" else 0
            data += packet("<", number * 100, segment(tcp.SYN, 100 + isn, 0), number)
        return lines_run(lambda: recording_of(io.BytesIO(data)))

    work(8)
    assert work(1200) < 2.6 * work(600)


def test_a_capture_of_very_many_links_is_told() -> None:
    head = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + option("<", 4, b"pystack")
    data = block("<", 0x0A0D0D0A, head)
    for number in range(3000):
        text = f"the link between n{number} and n{number + 1}"
        data += interface(options=option("<", 2, b"%d" % number) + option("<", 3, text.encode()))
    for at, frame in enumerate(TALK):
        data += packet("<", at * 1000, frame, at)
    recording = recording_of(io.BytesIO(data))
    assert len(recording.links) == 1024


@pytest.mark.parametrize("ways", [1, 30])
def test_four_times_the_places_take_few_times_the_work(ways: int) -> None:
    """A star of so many ways; each is told of after another."""

    def work(count: int) -> int:
        links = [(f"{at - ways}" if at >= ways else "hub", f"{at}", "") for at in range(count)]
        story = Story("", places=["hub"], links=links)
        found = chains(story)
        assert sorted(name for chain in found for name in set(chain)).count("hub") >= 1
        return lines_run(lambda: chains(story))

    assert work(240) < 6 * work(60)


@pytest.mark.parametrize("letter", ["a", "\u4e16", "\u0301"])
def test_a_long_word_is_wrapped_in_its_own_length(letter: str) -> None:
    def work(count: int) -> int:
        return lines_run(lambda: wrap(letter * count, 40))

    lines = wrap(letter * 5000, 40)
    text = "".join(text for line in lines for text, _ in line)
    assert text.replace(" ", "") == letter * 5000
    assert max(cells(text) for line in lines for text, _ in line) <= 40
    assert work(20_000) < 2.6 * work(10_000)


def test_what_follows_is_zeros_of_a_lost_disk() -> None:
    whole = file_of(list(enumerate(TALK))).getvalue()
    capture = read_capture(io.BytesIO(whole + bytes(1 << 16)))
    assert len(list(capture)) == len(TALK)
    assert capture.trouble == (
        "the capture is damaged: a frame of 0 bytes is none: the 6 frames before it are used"
    )

"""What a capture of strangers costs to read and to tell grows with its frames, and not faster."""

import struct
from collections.abc import Callable

import pytest
from lines_run import lines_run

from pystack.core.addresses import Ip4, Mac
from pystack.observe.captures.as_recording import recording_of
from pystack.observe.explain.telling import tell
from pystack.wire import arp, ipv4, tcp
from tests.unit.observe import sample_frames as four
from tests.unit.observe.test_captured import PORT, TALK, file_of, handshake, segment


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

"""Segments that are put together again: only what was one, and only where it is right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import parse_ip
from pystack.runtime.vxlan.gather import Gathering
from pystack.wire import ethernet, ipv4, ipv6, tcp
from pystack.wire.checksum import update
from pystack.wire.frame import (
    CHECKSUM_GOOD,
    CHECKSUM_PARTIAL,
    SUPER_TEXT_BYTES,
    Frame,
    cut_inside,
    split,
)
from pystack.wire.headers import V4_END, V6_END

SEQ = 2**32 - 100  # so that every train wraps
ENDS = {
    4: (parse_ip("10.0.0.1"), parse_ip("10.0.0.2")),
    6: (parse_ip("fd00::1"), parse_ip("fd00::2")),
}
VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
OPTIONS = b"\x01\x01\x08\x0a" + bytes(8)


def segment(
    text: bytes,
    version: int = 4,
    *,
    seq: int = SEQ,
    flags: int = tcp.ACK,
    gso_bytes: int = 0,
    partial: bool = False,
    flags_offset: int = ipv4.DONT_FRAGMENT,
    tos: int = 0,
) -> Frame:
    src, dst = ENDS[version]
    body = tcp.pack_header(
        tcp.Segment(5, 6, seq, 7, flags, 8, OPTIONS, text), src, dst, partial=partial
    )
    body += text
    if version == 6:
        header = ipv6.pack_header(src, dst, ipv4.TCP, len(body), tos=tos)
    else:
        header = ipv4.pack_header(src, dst, ipv4.TCP, len(body), flags_offset=flags_offset, tos=tos)
    kind = ethernet.IPV6 if version == 6 else ethernet.IPV4
    data = ethernet.pack(bytes(6), bytes(6), kind, header + body)
    return Frame(data, CHECKSUM_PARTIAL if partial else CHECKSUM_GOOD, gso_bytes)


def gathered(frames: list[Frame]) -> list[Frame]:
    """Return what goes on of frames that arrive in one batch."""
    gathering, found = Gathering(), []
    for frame in frames:
        data = memoryview(frame.data)
        if gathering.goes_on(data):
            continue
        found += filter(None, [gathering.taken()])
        if not gathering.begin(data):
            found.append(frame)
    return [*found, *filter(None, [gathering.taken()])]


def gathered_at_once(frames: list[Frame]) -> list[Frame]:
    """Return what goes on of frames of one length but the last, that came in one piece."""
    gathering, found = Gathering(), []
    before, size = 8, len(frames[0].data)
    whole = b"".join(bytes(before) + frame.data for frame in frames)
    starts = range(before, len(whole), before + size)
    last = len(frames) if len(frames[-1].data) == size else len(frames) - 1
    number = 0
    while number < len(frames):
        taken = gathering.go_on(whole, starts, number, last, size) if number < last else 0
        number += taken
        if taken:
            continue
        data = memoryview(whole)[starts[number] : starts[number] + size]
        if not gathering.goes_on(data):
            found += filter(None, [gathering.taken()])
            if not gathering.begin(data):
                found.append(Frame(bytes(data)))
        number += 1
    return [*found, *filter(None, [gathering.taken()])]


def described(frame: Frame) -> tuple[bytes, int, int]:
    return frame.data, frame.checksum, frame.gso_bytes


@VERSIONS
@given(
    st.binary(min_size=2, max_size=4000), st.integers(1, 1448), st.booleans(), st.integers(0, 255)
)
def test_what_was_cut_is_put_together(
    version: int, text: bytes, gso_bytes: int, is_open: bool, tos: int
) -> None:
    gso_bytes = max(gso_bytes, len(text) // 60 + 1)
    flags = tcp.ACK | tcp.PSH
    whole = segment(text, version, flags=flags, gso_bytes=gso_bytes, partial=True, tos=tos)
    pieces = (cut_inside if is_open else split)(whole)
    (found,) = gathered(pieces)
    if len(pieces) == 1:
        assert (found.data, found.checksum) == (pieces[0].data, pieces[0].checksum)
        return
    assert (found.checksum, found.gso_bytes) == (CHECKSUM_PARTIAL, gso_bytes)
    assert [piece.data for piece in split(found)] == [piece.data for piece in split(whole)]


@VERSIONS
@given(
    st.binary(min_size=2, max_size=4000),
    st.integers(1, 1448),
    st.booleans(),
    st.tuples(st.integers(0, 60), st.integers(14, 2000), st.integers(1, 255)) | st.none(),
    st.integers(0, 60),
)
def test_those_that_came_together_are_taken_like_each_alone(
    version: int,
    text: bytes,
    gso_bytes: int,
    is_open: bool,
    damage: tuple[int, int, int] | None,
    pushed: int,
) -> None:
    gso_bytes = max(gso_bytes, len(text) // 60 + 1)
    whole = segment(text, version, flags=tcp.ACK, gso_bytes=gso_bytes, partial=True)
    pieces = [bytearray(piece.data) for piece in (cut_inside if is_open else split)(whole)]
    if pushed < len(pieces):
        piece, start = pieces[pushed], V6_END if version == 6 else V4_END
        piece[start + 13] |= tcp.PSH
        if not is_open:
            check = int.from_bytes(piece[start + 16 : start + 18], "big")
            changed = update(check, tcp.ACK, tcp.ACK | tcp.PSH)
            piece[start + 16 : start + 18] = changed.to_bytes(2, "big")
    if damage is not None and damage[0] < len(pieces):
        piece = pieces[damage[0]]
        piece[damage[1] % (len(piece) - 14) + 14] ^= damage[2]
    frames = [Frame(bytes(piece)) for piece in pieces]
    alone = gathered(frames)
    together = gathered_at_once(frames)
    assert [described(frame) for frame in together] == [described(frame) for frame in alone]


@VERSIONS
def test_one_that_is_damaged_ends_it_and_goes_on_as_it_is(version: int) -> None:
    pieces = split(segment(bytes(range(250)) * 4, version, gso_bytes=100, partial=True))
    for at in range(14, len(pieces[4].data)):
        data = bytearray(pieces[4].data)
        data[at] ^= 0x40
        damaged = Frame(bytes(data))
        found = gathered([*pieces[:4], damaged, *pieces[5:]])
        assert [len(frame.data) for frame in found[::2]] == [
            len(pieces[0].data) + 300,
            len(pieces[0].data) + 400,
        ]
        assert found[1].data == damaged.data


@pytest.mark.parametrize(
    "other",
    [
        {"seq": SEQ + 101},
        {"flags": tcp.ACK | tcp.FIN},
        {"flags": tcp.ACK | tcp.ECE},
        {"tos": 3},
        {"flags_offset": 0},
        {"text": bytes(101)},
        {"text": b""},
        {"version": 6},
    ],
)
def test_what_does_not_go_on_with_it_stays_alone(other: dict[str, object]) -> None:
    words: dict[str, object] = {"text": bytes(100), "seq": SEQ + 100, **other}
    next_one = segment(**words)  # type: ignore[arg-type]
    first = segment(bytes(100))
    found = gathered([first, next_one])
    assert [frame.data for frame in found] == [first.data, next_one.data]


def test_what_was_pushed_or_is_short_is_the_last() -> None:
    frames = [
        segment(bytes(100)),
        segment(bytes(100), seq=SEQ + 100, flags=tcp.ACK | tcp.PSH),
        segment(bytes(100), seq=SEQ + 200),
        segment(bytes(99), seq=SEQ + 300),
        segment(bytes(99), seq=SEQ + 399),
    ]
    lengths = [len(frame) for frame in gathered(frames)]
    headers_bytes = len(segment(b""))
    assert [length - headers_bytes for length in lengths] == [200, 199, 99]


def test_no_more_than_64_kib_waits() -> None:
    frames = [segment(bytes(1448), seq=SEQ + 1448 * number) for number in range(100)]
    found = gathered(frames)
    headers_bytes = len(segment(b""))
    sizes = [len(frame) - headers_bytes for frame in found]
    assert sum(sizes) == 144_800
    assert max(sizes) <= SUPER_TEXT_BYTES
    assert len(sizes) == 3


@given(st.binary(max_size=120), st.sampled_from([b"\x08\x00\x45", b"\x86\xdd\x60", b""]))
def test_any_bytes_are_taken_or_not(data: bytes, kind: bytes) -> None:
    hostile = bytearray(12) + kind + data
    for at, value in ((23, ipv4.TCP), (20, 0x40 if kind[:1] == b"\x08" else ipv4.TCP)):
        if len(hostile) > at:
            hostile[at] = value
    first = segment(bytes(20))
    found = gathered([first, Frame(bytes(hostile)), first])
    assert found[0].data == first.data

"""Ladders of anything: all is shown or counted, no label lies over another, nothing raises."""

import re
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from pystack.observe.ladder import NOTES, Ladder
from pystack.observe.ladder.layout import Layout
from pystack.observe.ladder.model import Arrow, Note
from pystack.observe.ladder.svg import Drawing
from pystack.observe.observer import Dropped
from pystack.observe.passage import ARRIVED, LOST, SEEN, UNDER_WAY, Change, Passage
from pystack.observe.recording import Item
from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.frame import Frame

NODES = ("a", "r", "a node with a long name", "b", "")
STATION = b"\x02\0\0\0\0\x0a"


def segment(sender: int, seq: int, flags: int, size: int) -> bytes:
    src, dst = (0x0A000001, 0x0A000002)[:: 1 if sender else -1]
    made = tcp.Segment(5, 80, seq, 7, flags, 1000, b"", bytes(size))
    body = tcp.pack_header(made, src, dst) + bytes(size)
    packet = ipv4.pack_header(src, dst, ipv4.TCP, len(body)) + body
    return ethernet.pack(STATION, STATION, ethernet.IPV4, packet)


FRAMES = st.one_of(
    st.binary(max_size=80),
    st.builds(
        segment,
        st.integers(0, 1),
        st.integers(0, 2**32 - 1),
        st.integers(0, 255),
        st.sampled_from((0, 1, 1460)),
    ),
    st.binary(max_size=60).map(lambda data: bytes(12) + b"\x08\x00" + data),
    st.binary(max_size=60).map(lambda data: bytes(12) + b"\x86\xdd\x60" + data),
)


@st.composite
def passages(draw: st.DrawFn) -> Passage:
    at = draw(st.floats(0, 10) | st.sampled_from((0.0, 1.0)))
    passage = Passage(
        "p", draw(st.sampled_from(NODES)), draw(st.sampled_from(NODES)), Frame(draw(FRAMES)), at
    )
    passage.end = draw(st.sampled_from((ARRIVED, ARRIVED, ARRIVED, LOST, SEEN, UNDER_WAY)))
    passage.ended_at = at + draw(st.sampled_from((0.0, 0.001, 0.02, 3.0)))
    if passage.end == ARRIVED or draw(st.booleans()):
        passage.sent_at = passage.begins_at = at
        passage.arrives_at = passage.ended_at
    if passage.end == LOST:
        passage.lost = draw(st.sampled_from(("", "loss", "pfifo_full")))
    if draw(st.integers(0, 9)) == 0:
        passage.changes = [Change("corrupt", at, "bit 3 of byte 41")]
    return passage


drops = st.builds(
    Dropped, st.floats(0, 10), st.sampled_from(NODES), st.none(), st.text(max_size=40), st.just(b"")
)


def in_order(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda item: item.entered_at if isinstance(item, Passage) else item.at)


recordings = st.lists(passages() | passages() | passages() | drops, max_size=40).map(in_order)


@given(recordings, st.integers(1, 12))
def test_every_passage_is_shown_counted_or_left_out(items: list[Item], most: int) -> None:
    ladder = Ladder.of(items, most=most, notes=NOTES)
    whole = sum(isinstance(item, Passage) for item in items)
    assert ladder.passages == whole
    assert sum(arrow.count for arrow in ladder.arrows) + ladder.left_out == whole
    assert len(ladder.arrows) <= most
    assert len(ladder.notes) + ladder.notes_left_out == len(items) - whole
    for lines in (ladder.lines(), ladder.lines(ascii_only=False, width=80)):
        assert all(line.isprintable() for line in lines)
    names = {line.name for line in ladder.lifelines}
    assert {arrow.sender for arrow in ladder.arrows} <= names


def boxes(drawing: Drawing, layout: Layout) -> Iterator[tuple[float, float, float, float]]:
    """Yield where labels are."""
    for number, row in enumerate(drawing.rows):
        if layout.shows_label[number]:
            space = drawing.space(row)
            y = layout.begin[number]
            yield space.left, space.right, y - space.above, y + space.below


@given(recordings, st.sampled_from((None, 0.001, 0.5)))
def test_no_label_lies_over_another(items: list[Item], scale_s: float | None) -> None:
    ladder = Ladder.of(items)
    drawing = Drawing(ladder, None, scale_s)
    for one, other in combinations(boxes(drawing, drawing.layout), 2):
        across = min(one[1], other[1]) - max(one[0], other[0])
        down = min(one[3], other[3]) - max(one[2], other[2])
        assert across <= 0 or down <= 0.01


@given(recordings, st.sampled_from((None, 0.001, 0.5)))
def test_time_goes_downwards_and_the_drawing_is_well_formed(
    items: list[Item], scale_s: float | None
) -> None:
    ladder = Ladder.of(items)
    drawing = Drawing(ladder, None, scale_s)
    layout = drawing.layout
    assert layout.heights == sorted(layout.heights)
    for number, row in enumerate(drawing.rows):
        assert layout.end[number] >= layout.begin[number]
        if isinstance(row, Arrow) and row.arrives_at is None and not row.lost:
            assert layout.end[number] - layout.begin[number] <= 12
        assert isinstance(row, Arrow | Note)
    svg = ladder.svg(scale_s=scale_s)
    root = ElementTree.fromstring(svg)
    assert all(re.fullmatch(r"\d+", root.get(side, "")) for side in ("width", "height"))
    assert int(root.get("height", "")) < 30_000
    assert "nan" not in svg

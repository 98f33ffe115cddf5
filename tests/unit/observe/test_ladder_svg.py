"""The ladder as SVG: well formed, self-contained, escaped, legible in light and in dark."""

import hashlib
import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from contrast import contrast

from pystack.observe.ladder import Arrow, Ladder, Lifeline, Note, Window, svg_style
from pystack.observe.ladder.model import KINDS
from pystack.observe.ladder.style import COLOURS

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</title><script>alert(1)</script>\"'&\x00\x1b\u202e"


def made(*, hostile: str = "") -> Ladder:
    """Return one with everything in it."""
    left, right = "client" + hostile, "server" + hostile
    arrows = [
        Arrow(left, right, 1.0, 1.02, "handshake", "SYN" + hostile, "text" + hostile, 1),
        Arrow(
            right, left, 1.02, 1.04, "handshake", "SYN ACK", "", 2, details=("win 1000", "mss 1460")
        ),
        Arrow(
            left,
            right,
            1.05,
            None,
            "data",
            "1,460 bytes",
            "",
            3,
            lost="loss" + hostile,
            lost_at=1.05,
        ),
        Arrow(left, right, 1.05, 1.07, "data", "9 segments", "", 4, count=9),
        Arrow(left, right, 1.5, 1.52, "again", "1,460 bytes", "", 13, ("again: rto",)),
        Arrow(right, left, 1.52, None, "ack", "ACK 1461", "", 14),
        Arrow(left, "", 1.53, None, "udp", "to nobody", "", 15),
    ]
    return Ladder(
        [Lifeline(left, "10.0.0.1" + hostile), Lifeline(right)],
        arrows,
        [
            Note(1.02, right, "SYN-RECEIVED" + hostile, "state"),
            Note(1.5, left, "timeout", "repair"),
        ],
        Window(
            left, ("10.0.0.1", 5), ("10.0.0.2", 80), [(1.0, 14600), (1.5, 1460)], [(1.05, 14600)]
        ),
        1.0,
        passages=15,
    )


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(svg: str) -> Iterator[str]:
    for element in parsed(svg).iter(f"{SVG}text"):
        yield "".join(element.itertext())


@pytest.mark.parametrize("fragment", [False, True])
@pytest.mark.parametrize("scale_s", [None, 0.005])
@pytest.mark.parametrize("hostile", ["", HOSTILE])
def test_it_is_well_formed_needs_nothing_and_runs_nothing(
    *, fragment: bool, scale_s: float | None, hostile: str
) -> None:
    svg = made(hostile=hostile).svg(fragment=fragment, scale_s=scale_s)
    root = parsed(svg)
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "g", "line", "path", "text", "circle"}
    assert ("style" in tags) is not fragment
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not attributes & {"id", "style", "href", "src"}
    assert not any(name.startswith("on") for name in attributes)
    assert root.get("role") == "img"
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert "url(" not in svg


def test_each_arrow_has_its_label_its_tooltip_and_its_number() -> None:
    svg = made().svg()
    groups = [each for each in parsed(svg).iter(f"{SVG}g") if each.get("data-number")]
    assert {each.get("data-number") for each in groups} == {"1", "2", "3", "4", "13", "14", "15"}
    titles = ["".join(each.itertext()) for each in parsed(svg).iter(f"{SVG}title")]
    assert "#1, client to server, sent at 0 ms, there after 20 ms\ntext" in titles
    assert "#3, client to server, sent at 50 ms, lost: loss\n1,460 bytes" in titles
    assert (
        "9 frames from #4 on, client to server, sent at 50 ms, there after 20 ms\n9 segments"
        in (titles)
    )
    shown = list(texts(svg))
    assert {"SYN", "win 1000", "mss 1460", "1,460 bytes (loss)", "SYN-RECEIVED"} <= set(shown)
    assert "1,460 bytes (again: rto)" in shown
    assert {"TCP handshake", "sent again", "client", "10.0.0.1"} <= set(shown)
    assert parsed(svg).findtext(f"{SVG}desc") == (
        "15 frames on links, 1 lost, 1 sent again. Time goes downwards."
    )


def test_a_lost_one_ends_in_a_cross_where_it_was_lost() -> None:
    ladder = made()
    for part in (0.15, 0.5, 0.9):
        ladder.arrows[2].lost_part = part
        svg = ladder.svg()
        (cross,) = re.findall(r'class="l-cross" d="M([\d.]+)', svg)
        (left, right) = [
            float(each.get("x1", ""))
            for each in parsed(svg).iter(f"{SVG}line")
            if each.get("class") == "l-life"
        ][:2]
        assert float(cross) + 5 == pytest.approx(left + (right - left) * part, abs=0.2)


def test_the_slant_is_the_delay_where_time_is_to_scale() -> None:
    svg = made().svg(scale_s=0.01)
    (first, *_rest) = [
        each.find(f"{SVG}path")
        for each in parsed(svg).iter(f"{SVG}g")
        if each.get("data-number") == "1"
    ]
    line = next(
        each.find(f"{SVG}line")
        for each in parsed(svg).iter(f"{SVG}g")
        if each.get("data-number") == "1"
    )
    assert first is not None
    assert line is not None
    head = re.match(r"M([\d.]+) ([\d.]+)", first.get("d", ""))
    assert head is not None
    assert float(head[2]) - float(line.get("y1", "")) == pytest.approx(36.0)  # two rows


def test_equal_ladders_give_equal_drawings_to_the_byte() -> None:
    assert made().svg() == made().svg()
    digest = hashlib.sha256(made().svg(fragment=True).encode()).hexdigest()
    assert digest == "412364bc84969ec39c6c95e7ec2eee679c29d4b8a8e5ec41c00c475a2d567830"


def test_a_width_is_kept_and_labels_are_cut_to_it() -> None:
    ladder = made()
    ladder.arrows[0].label = "x" * 200
    svg = ladder.svg(width=420, window=False, times=False, legend=False)
    assert parsed(svg).get("width") == "420"
    assert max(map(len, texts(svg))) < 60
    assert any(text.startswith("xxx") and text.endswith("\u2026") for text in texts(svg))


def test_nothing_seen_is_an_empty_drawing() -> None:
    assert parsed(Ladder().svg()).findtext(f"{SVG}title") == "Ladder diagram: nothing was seen"
    assert Ladder()._repr_svg_() == Ladder().svg()


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("name", sorted(COLOURS.keys() - {"paper"}))
def test_every_colour_has_the_contrast_of_wcag_aa(name: str, scheme: int) -> None:
    assert contrast(COLOURS[name][scheme], COLOURS["paper"][scheme]) >= 4.5


def test_the_style_sheet_knows_every_kind_in_both_schemes() -> None:
    css = svg_style()
    for kind in KINDS:
        assert css.count(f"--l-{kind}:") == 2
        assert f".l-{kind}{{--l-c:var(--l-{kind})}}" in css
    assert css.count("prefers-color-scheme:dark") == 1
    assert css.count("{") == css.count("}")

"""A lab as a drawing in SVG, which needs nothing beside itself."""

from __future__ import annotations

from html import escape
from typing import Final

from pystack.topology.drawing import Drawing, Line
from pystack.topology.layout import CHAR_PX, LINE_PX, Placed, label_size, lay_out, wrap

_MARGIN: Final = 24
_TITLE_PX: Final = 40
_PARALLEL_PX: Final = 14  # between the lines of parallel links
_STYLE: Final = """
svg{--ink:#1f2430;--soft:#5b6477;--paper:#fff;--host:#e8f0fe;--router:#fff1d6;--switch:#e6f5ea;
--real:#f3e8fd;background:var(--paper)}
@media(prefers-color-scheme:dark){svg{--ink:#e6e9f0;--soft:#a0a8ba;--paper:#14171f;--host:#1d2b45;
--router:#42341a;--switch:#1c3826;--real:#36264a}}
text{font:12px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--ink)}
text.title{font-weight:bold}
text.soft,text.label{fill:var(--soft)}
rect{stroke:var(--ink);stroke-width:1.2;fill:var(--host)}
rect.router{fill:var(--router)}rect.switch{fill:var(--switch)}
rect.tap,rect.namespace,rect.port,rect.station{fill:var(--real);stroke-dasharray:5 3}
rect.paper{fill:var(--paper);stroke:none}
line{stroke:var(--ink);stroke-width:1.4}
"""


def as_svg(drawing: Drawing) -> str:
    """Return the drawing as the text of an SVG file; equal drawings give equal texts."""
    placed = lay_out(drawing)
    for box in placed.values():
        box.x += _MARGIN
        box.y += _MARGIN + _TITLE_PX
    bottom = max(box.y + box.height / 2 for box in placed.values()) + _MARGIN
    width = max(box.x + box.width / 2 for box in placed.values())
    notes = ["timeline", *drawing.timeline] if drawing.timeline else []
    width = max([width, *(_MARGIN + len(row) * CHAR_PX for row in [drawing.title, *notes])])
    lines, labels = _links(drawing, placed)
    rows = [
        _text(_MARGIN, bottom + number * LINE_PX, row, "" if number else "soft", "start")
        for number, row in enumerate(notes)
    ]
    height = bottom + len(notes) * LINE_PX
    size = f"{width + _MARGIN:.0f} {height:.0f}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}"'
            f' width="{width + _MARGIN:.0f}" height="{height:.0f}" role="img">',
            f"<title>{escape(drawing.title)}</title>",
            f"<style>{_STYLE}</style>",
            _text(_MARGIN, _MARGIN + 4, drawing.title, "title", "start"),
            *lines,
            *labels,
            *(_box(drawing, name, box) for name, box in placed.items()),
            *rows,
            "</svg>\n",
        ]
    )


def _box(drawing: Drawing, name: str, placed: Placed) -> str:
    box = drawing.boxes[name]
    left, top = placed.x - placed.width / 2, placed.y - placed.height / 2
    round_px = 4 if box.kind == "host" else 14
    parts = [
        f'<rect class="{box.kind}" x="{left:.1f}" y="{top:.1f}" width="{placed.width:.1f}"'
        f' height="{placed.height:.1f}" rx="{round_px}"/>'
    ]
    rows = [(f"{box.kind} {name}", "title")]
    rows += [(address, "") for address in box.addresses]
    rows += [(note, "soft") for note in box.notes]
    for number, (row, kind) in enumerate(rows):
        parts.append(_text(placed.x, top + 20 + number * LINE_PX, row, kind))
    return f"<g>{''.join(parts)}</g>"


def _links(drawing: Drawing, placed: dict[str, Placed]) -> tuple[list[str], list[str]]:
    """Return the lines, and the labels that lie over them."""
    lines: list[str] = []
    labels: list[str] = []
    parallel: dict[frozenset[str], int] = {}
    for number, line in enumerate(drawing.lines):
        pair = frozenset((line.a, line.b))
        nth = parallel[pair] = parallel.get(pair, -1) + 1
        a, b = placed[line.a], placed[line.b]
        shift = nth * _PARALLEL_PX
        lines.append(
            f'<line x1="{a.x:.1f}" y1="{a.y + shift:.1f}" x2="{b.x:.1f}" y2="{b.y + shift:.1f}"/>'
        )
        width, height = label_size(drawing, number)
        if height:
            x, y = _label_at(drawing, line, placed, width)
            labels.append(_label(line, placed, x, y + nth * (height + 4), width, height))
    return lines, labels


def _label_at(
    drawing: Drawing, line: Line, placed: dict[str, Placed], width: float
) -> tuple[float, float]:
    """Return the middle of a label: between the boxes, nearer to a node that is a leaf."""
    a, b = line.a, line.b
    is_leaf = {name: len({other for _line, other in drawing.around(name)}) == 1 for name in (a, b)}
    if is_leaf[b] and not is_leaf[a]:
        a, b = b, a
    one, other = placed[a], placed[b]
    # The part of the line that is between the boxes, not under them.
    start = _leaves_at(one, other)
    end = 1 - _leaves_at(other, one)
    share = 0.5
    if is_leaf[a] and not is_leaf[b]:
        free_px = abs(other.x - one.x) - (one.width + other.width) / 2
        share = 0.38 if free_px <= 0 else min(max(0.38, (width / 2 + 8) / free_px), 0.5)
    at = start + (end - start) * share
    return one.x + (other.x - one.x) * at, one.y + (other.y - one.y) * at


def _leaves_at(box: Placed, towards: Placed) -> float:
    """Return at which part of the line from middle to middle it leaves the box."""
    dx, dy = abs(towards.x - box.x), abs(towards.y - box.y)
    return min(
        box.width / 2 / dx if dx else 1.0,
        box.height / 2 / dy if dy else 1.0,
    )


def _label(
    line: Line, placed: dict[str, Placed], x: float, y: float, width: float, height: float
) -> str:
    a, b = placed[line.a], placed[line.b]
    if abs(b.x - a.x) >= abs(b.y - a.y):
        there, back = ("\u2192", "\u2190") if b.x >= a.x else ("\u2190", "\u2192")
    else:
        there, back = ("\u2193", "\u2191") if b.y >= a.y else ("\u2191", "\u2193")
    rows = wrap(line.words)
    rows += [f"{there} {row}" for row in wrap(line.a_to_b)]
    rows += [f"{back} {row}" for row in wrap(line.b_to_a)]
    top = y - height / 2
    parts = [
        f'<rect class="paper" x="{x - width / 2:.1f}" y="{top - 2:.1f}" width="{width:.1f}"'
        f' height="{height + 4:.1f}"/>'
    ]
    for number, row in enumerate(rows):
        parts.append(_text(x, top + 12 + number * LINE_PX, row, "label"))
    return f"<g>{''.join(parts)}</g>"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "middle") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

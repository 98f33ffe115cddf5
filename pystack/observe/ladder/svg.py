"""A ladder as SVG: text that stays text, colours by kind, a tooltip for each arrow; no script.

Nothing in it has an id, so that several can stand in one page. Every value from the network is
escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from pystack.observe.amounts import span
from pystack.observe.ladder.layout import Layout, Space, label_space, lay_out, note_space, tip_space
from pystack.observe.ladder.model import KINDS, Arrow, Diagram, Note, Window
from pystack.observe.ladder.style import svg_style
from pystack.observe.ladder.words import befell, left_out, plain

_CHAR_PX: Final = 7.25  # the widest of the fonts
_SMALL_PX: Final = 6.65
_MARGIN_PX: Final = 12
_TIME_PX: Final = 84  # the column of instants
_WINDOW_PX: Final = 190  # the columns of cwnd and flight
_CURVE_PX: Final = 150
_NARROW_PX: Final = 110.0  # between two lifelines, at the least
_WIDE_PX: Final = 300.0
_NAMES_PX: Final = 50
_LINE_PX: Final = 15
_HEAD_PX: Final = 10
_TIP_PX: Final = 60  # of an arrow's end, where nothing else is written


def draw_svg(
    diagram: Diagram,
    *,
    width: int | None = None,
    fragment: bool = False,
    scale_s: float | None = None,
    window: bool = True,
    legend: bool = True,
    times: bool = True,
) -> str:
    """Return the text of an SVG; equal ladders give equal texts.

    `width`: in pixels; None: as the labels need it. `fragment`: without the style sheet, which the
    page has once (`svg_style`). `scale_s`: how long a row lasts; None: compressed. `legend`: which
    colour means what. `times`: a column of them.
    """
    return "\n".join(
        Drawing(diagram, width, scale_s, window=window, legend=legend, times=times).lines(
            fragment=fragment
        )
    )


class Drawing:
    """One drawing on its way."""

    def __init__(
        self,
        diagram: Diagram,
        width: int | None,
        scale_s: float | None,
        *,
        window: bool = True,
        legend: bool = True,
        times: bool = True,
    ) -> None:
        """See `draw_svg`."""
        self.diagram = diagram
        self.rows = diagram.rows()
        self.window = diagram.window if window else None
        self.legend = legend
        self.times = times
        self._written: dict[int, list[str]] = {}
        self._groups: dict[int, str] = {}  # how the group of each arrow begins
        self._stand(width)
        missing = left_out(diagram)
        self.top = _NAMES_PX + (26 if missing else 12) + self._first_label_px()
        spaces = {number: self.space(row) for number, row in enumerate(self.rows)}
        self.layout: Layout = lay_out(diagram, spaces, self._tips(), self.top, scale_s)
        self.missing = missing

    def _first_label_px(self) -> float:
        first = self.rows[0] if self.rows else None
        return 12 + _LINE_PX * len(first.details) if isinstance(first, Arrow) else 0

    def _stand(self, width: int | None) -> None:
        """Give each lifeline its place."""
        left: float = _MARGIN_PX + (_TIME_PX if self.times else 0)
        right: float = _MARGIN_PX + (_WINDOW_PX if self.window else 0)
        lines = self.diagram.lifelines
        names = [max(len(line.name) * _CHAR_PX, len(line.detail) * _SMALL_PX) for line in lines]
        left += min(names[0] / 2, 70) if names else 0
        right += max(min(names[-1] / 2, 70), self._last_notes_px()) if names else 0
        count = max(len(lines) - 1, 1)
        apart: float
        if width is None:
            labels = [len(_label(row)) for row in self.rows if isinstance(row, Arrow)]
            apart = min(max([_NARROW_PX, *(n * _CHAR_PX + 24 for n in labels)]), _WIDE_PX)
        else:
            apart = max((width - left - right) / count, _NARROW_PX)
        self.apart = max([apart, *(name + 14 for name in names)]) if width is None else apart
        self.x = {line.name: left + number * self.apart for number, line in enumerate(lines)}
        self.last_x = left + (len(lines) - 1) * self.apart if lines else left
        self.width = max(self.last_x + right, float(width or 0))

    def _last_notes_px(self) -> float:
        """Return what notes at the last lifeline need on its right."""
        last = self.diagram.lifelines[-1].name
        texts = [len(row.text) for row in self.rows if isinstance(row, Note) and row.node == last]
        return min(max(texts, default=0) * _SMALL_PX + 16, 260)

    def _cut(self, text: str, room_px: float, char_px: float = _CHAR_PX) -> str:
        most = max(int(room_px / char_px), 4)
        return text if len(text) <= most else text[: most - 1] + "\u2026"

    def _ends(self, arrow: Arrow) -> tuple[float, float]:
        """Return where an arrow begins and where it would end."""
        start = self.x[arrow.sender]
        if arrow.receiver:
            return start, self.x[arrow.receiver]
        is_last = start >= self.last_x and len(self.x) > 1
        return start, start + (-0.6 if is_last else 0.6) * self.apart

    def _room_px(self, arrow: Arrow) -> float:
        start, end = self._ends(arrow)
        return max(abs(end - start), self.apart * 0.6) - 16

    def space(self, row: Arrow | Note) -> Space:
        """Return what the label of a row takes."""
        if isinstance(row, Note):
            left = self.x.get(row.node, _MARGIN_PX) + 8
            size = len(self._note_text(row)) * _SMALL_PX
            return note_space(left - 14, left + size)
        start, end = self._ends(row)
        texts = self._texts(row)
        size = max(len(text) for text in texts) * _CHAR_PX + 10
        if end >= start:
            return label_space(start, start + size, len(texts))
        return label_space(start - size, start, len(texts))

    def _tips(self) -> dict[int, Space]:
        """Return what the ends of arrows take, near the receiver."""
        tips = {}
        for number, row in enumerate(self.rows):
            if isinstance(row, Arrow) and row.arrives_at is not None and not row.lost:
                start, end = self._ends(row)
                reach = min(abs(end - start), _TIP_PX)
                tips[number] = tip_space(*sorted((end, end - math.copysign(reach, end - start))))
        return tips

    def _texts(self, arrow: Arrow) -> list[str]:
        """Return the lines of an arrow's label, cut to the room that there is."""
        if (known := self._written.get(id(arrow))) is not None:
            return known
        room = self._room_px(arrow)
        texts = [self._cut(_label(arrow), room)]
        texts += [self._cut(plain(detail), room, _SMALL_PX) for detail in arrow.details]
        self._written[id(arrow)] = texts
        return texts

    def _note_text(self, note: Note) -> str:
        x = self.x.get(note.node, _MARGIN_PX)
        room = self.apart - 20 if x < self.last_x else 250
        return self._cut(plain(note.text), room, _SMALL_PX)

    # drawing

    def lines(self, *, fragment: bool) -> list[str]:
        """Return the whole of it."""
        body = [
            *self._lives(),
            *(self._gap(y, seconds) for y, seconds in self.layout.gaps),
            *(self._row(number, row) for number, row in enumerate(self.rows)),
            *self._labels(),
            *(self._times() if self.times else ()),
            *(self._window(self.window) if self.window else ()),
        ]
        bottom = self.layout.bottom + 24
        below = self._below(bottom)
        height = bottom + len(below) * 18 + 6
        size = f"{math.ceil(self.width)} {math.ceil(height)}"
        wide, high = size.split()
        return [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="pystack-ladder" viewBox="0 0 {size}"'
            f' width="{wide}" height="{high}" role="img">',
            f"<title>{self._title()}</title>",
            f"<desc>{self._desc()}</desc>",
            *(() if fragment else (f"<style>{svg_style()}</style>",)),
            *body,
            *below,
            "</svg>\n",
        ]

    def _title(self) -> str:
        names = [_safe(line.name) for line in self.diagram.lifelines]
        return f"Ladder diagram: {', '.join(names) if names else 'nothing was seen'}"

    def _desc(self) -> str:
        diagram = self.diagram
        lost = sum(arrow.count for arrow in diagram.arrows if arrow.lost)
        again = sum(arrow.count for arrow in diagram.arrows if arrow.kind == "again")
        words = [f"{diagram.passages:,} frames on links", f"{lost:,} lost", f"{again:,} sent again"]
        if self.missing:
            words.append(self.missing)
        return f"{', '.join(words)}. Time goes downwards."

    def _lives(self) -> list[str]:
        top, bottom = _NAMES_PX, self.layout.bottom + 14
        parts = []
        for line in self.diagram.lifelines:
            x = self.x[line.name]
            room = self.apart - 8
            name = _safe(self._cut(line.name, room))
            parts.append(_text(x, 22, name, "l-name", "middle"))
            if line.detail:
                detail = _safe(self._cut(line.detail, room, _SMALL_PX))
                parts.append(_text(x, 38, detail, "l-soft", "middle"))
            parts.append(_line(x, top, x, bottom, "l-life"))
        if self.missing:
            parts.append(_text(_MARGIN_PX, _NAMES_PX + 16, _safe(f"({self.missing})"), "l-soft"))
        return parts

    def _gap(self, y: float, seconds: float) -> str:
        text = f"{span(seconds)} later"
        if self.times:
            said = _text(_MARGIN_PX, y - 3, text, "l-soft")
        else:
            first = next(iter(self.x.values()), _MARGIN_PX)
            said = _text(first + self.apart / 2, y - 3, text, "l-soft", "middle")
        return _line(_MARGIN_PX, y, self.last_x, y, "l-gap") + said

    def _row(self, number: int, row: Arrow | Note) -> str:
        y = self.layout.begin[number]
        if isinstance(row, Note):
            x = self.x.get(row.node, _MARGIN_PX)
            text = ""
            if self.layout.shows_label[number]:
                text = _text(x + 8, y + 4, _safe(self._note_text(row)), "l-soft")
            return (
                f'<g class="l-note l-{row.kind}"><title>{_safe(self._since(row.at))} '
                f'{_safe(row.text)}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>{text}</g>'
            )
        group = self._groups[id(row)] = self._group(row)
        return f"{group}{self._arrow(row, y, self.layout.end[number])}</g>"

    def _group(self, arrow: Arrow) -> str:
        classes = ["l-arrow", f"l-{arrow.kind}"]
        if arrow.count > 1:
            classes.append("l-many")
        if arrow.arrives_at is None and not arrow.lost:
            classes.append("l-open")
        data = f' data-number="{arrow.number}"' if arrow.number else ""
        title = f"<title>{_safe(self._tooltip(arrow))}</title>"
        return f'<g class="{" ".join(classes)}"{data}>{title}'

    def _labels(self) -> Iterator[str]:
        """Yield the labels of arrows: after all lines, so that none is written over."""
        for number, row in enumerate(self.rows):
            if isinstance(row, Arrow) and self.layout.shows_label[number]:
                label = self._label(row, self.layout.begin[number])
                yield f"{self._groups[id(row)]}{label}</g>"

    def _arrow(self, arrow: Arrow, y: float, end_y: float) -> str:
        start, end = self._ends(arrow)
        if start == end:
            return f'<path d="M{start - 3:.1f} {y:.1f}h6v3h-6z"/>'
        if arrow.lost:
            end = start + (end - start) * arrow.lost_part
            cross = f"M{end - 5:.1f} {end_y - 5:.1f}l10 10m0-10l-10 10"
            return _line(start, y, end, end_y) + f'<path class="l-cross" d="{cross}"/>'
        if arrow.arrives_at is None:
            return _line(start, y, start + (end - start) * 0.6, y)
        length = math.hypot(end - start, end_y - y)
        ux, uy = (end - start) / length, (end_y - y) / length
        bx, by = end - ux * _HEAD_PX, end_y - uy * _HEAD_PX
        head = (
            f"M{end:.1f} {end_y:.1f}L{bx - uy * 4.5:.1f} {by + ux * 4.5:.1f}"
            f"L{bx + uy * 4.5:.1f} {by - ux * 4.5:.1f}z"
        )
        return _line(start, y, bx, by) + f'<path d="{head}"/>'

    def _label(self, arrow: Arrow, y: float) -> str:
        start, end = self._ends(arrow)
        x, anchor = (start + 7, "start") if end >= start else (start - 7, "end")
        texts = self._texts(arrow)
        # Above the line, whose slant leads away from it.
        first = y - 4 - (len(texts) - 1) * _LINE_PX
        return "".join(
            _text(x, first + nth * _LINE_PX, _safe(text), "l-soft" if nth else "", anchor)
            for nth, text in enumerate(texts)
        )

    def _tooltip(self, arrow: Arrow) -> str:
        words = [f"#{arrow.number}"] if arrow.number else []
        if arrow.count > 1:
            words[:] = [f"{arrow.count} frames from #{arrow.number} on"]
        words.append(f"{arrow.sender} to {arrow.receiver or 'nobody known'}")
        if arrow.arrives_at == arrow.sent_at:
            words.append(f"at {self._since(arrow.sent_at)}")
        else:
            words.append(f"sent at {self._since(arrow.sent_at)}")
        if arrow.lost:
            words.append(f"lost: {arrow.lost}")
        elif arrow.arrives_at is None:
            words.append("not there before the end")
        elif arrow.arrives_at > arrow.sent_at:
            words.append(f"there after {span(arrow.arrives_at - arrow.sent_at)}")
        return f"{', '.join([*words, *arrow.marks])}\n{arrow.text or arrow.label}"

    def _since(self, at: float) -> str:
        return span(at - self.diagram.origin) if at > self.diagram.origin else "0 ms"

    def _times(self) -> list[str]:
        parts = []
        last = -math.inf
        ends = [row.at if isinstance(row, Note) else row.ends_at for row in self.rows]
        is_long = bool(ends) and max(ends) - self.diagram.origin >= 1.0

        def since(seconds: float) -> str:
            seconds = max(seconds, 0.0)
            return f"{seconds:.6f} s" if is_long else f"{seconds * 1e3:.3f} ms"

        for number, row in enumerate(self.rows):
            y = self.layout.begin[number]
            if y >= last + 14:
                at = row.at if isinstance(row, Note) else row.sent_at
                parts.append(_text(_MARGIN_PX, y + 4, since(at - self.diagram.origin), "l-soft"))
                last = y
        return parts

    def _window(self, window: Window) -> list[str]:
        left = self.width - _WINDOW_PX
        most = max(
            (value for series in (window.cwnd, window.flight) for _, value in series), default=0
        )
        # cwnd before the first loss may be without bound; what is under way is of interest.
        most = max(min(most, 4 * max((v for _, v in window.flight), default=1)), 1)
        name = _safe(self._cut(f"{window.node}, to {most:,} bytes", _WINDOW_PX, _SMALL_PX))
        parts = [
            _text(left, 22, "in flight", "l-soft l-flight-name"),
            _text(left + 90, 22, "cwnd", "l-soft l-cwnd-name"),
            _text(left, 38, name, "l-soft"),
            _line(left, _NAMES_PX, left, self.layout.bottom + 14, "l-life"),
        ]
        for kind, series in (("flight", window.flight), ("cwnd", window.cwnd)):
            if series:
                parts.append(f'<path class="l-{kind}" d="{self._curve(series, left, most)}"/>')
        return parts

    def _curve(self, series: Sequence[tuple[float, int]], left: float, most: int) -> str:
        points = []
        for at, value in series:
            x = left + min(value / most, 1.0) * _CURVE_PX
            points.append((x, self.layout.height_at(at)))
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        path += "".join(f"V{y:.1f}H{x:.1f}" for x, y in points[1:])
        return f"{path}V{self.layout.bottom:.1f}"

    def _below(self, bottom: float) -> list[str]:
        """Return the lines under the ladder: what the colours mean, and what is not shown."""
        if not self.legend:
            return []
        used = {arrow.kind for arrow in self.diagram.arrows}
        rows, x, y = [], float(_MARGIN_PX), bottom + 8
        for kind, name in KINDS.items():
            if kind not in used:
                continue
            size = 26 + len(name) * _SMALL_PX + 16
            if x > _MARGIN_PX and x + size > self.width:
                x, y = float(_MARGIN_PX), y + 18
            if x == _MARGIN_PX:
                rows.append("")
            rows[-1] += (
                f'<g class="l-arrow l-{kind}">{_line(x, y, x + 20, y)}'
                f"{_text(x + 26, y + 4, name, 'l-soft')}</g>"
            )
            x += size
        hidden = self.layout.shows_label.count(False)
        notes = []
        if self.layout.scale_s is not None:
            notes.append(f"{span(self.layout.scale_s)} to a line")
        if hidden:
            notes.append(f"{hidden} labels have no room, and are shown when pointed at")
        if notes:
            y = bottom + 8 + len(rows) * 18
            rows.append(_text(_MARGIN_PX, y + 4, "; ".join(notes), "l-soft"))
        return rows


def _label(arrow: Arrow) -> str:
    also = befell(arrow)
    return plain(arrow.label) + (f" ({'; '.join(also)})" if also else "")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<line{attribute} x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text{attributes} x="{x:.1f}" y="{y:.1f}">{text}</text>'


def _safe(text: str) -> str:
    """Return text for XML."""
    if text.isprintable():
        return escape(text)
    return escape("\n".join(map(plain, text.split("\n"))))

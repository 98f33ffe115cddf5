"""A ladder in text: one rung for each hop of a frame, or two where something happens in between.

    time           client         r1       server
    0.000000         |----------->|          |     ARP, Request who-has 10.0.0.254 tell 10.0.0.1
    0.020000         |<-----------|          |     ARP, Reply 10.0.0.254 is-at 02:00:00:00:00:fe
    0.040000         |-----x      |          |     client.49152 > server.80: Flags [S], ... (loss)

An arrow that ends in an `x` did not arrive, or not before the end; one that is bent arrives at the
rung where its other half is. A `*` is something that happened at one node.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pystack.observe.amounts import span
from pystack.observe.ladder.layout import GAP_ROWS, longest_step
from pystack.observe.ladder.model import Arrow, Diagram, Note, Window
from pystack.observe.ladder.words import befell, left_out, plain

MAX_LIFELINES: Final = 6  # of more nodes the names are written into the lines
_TIME_WIDTH: Final = 12
_LOST_WIDTH: Final = 6
_LONG_TEXT: Final = 70  # characters that tcpdump's line needs; with less, a few words
_LIFELINES_PART: Final = 0.4  # of a line, at the most
_MOST_EMPTY: Final = 100  # lines that one frame under way makes, to scale
_APART: Final = 4  # characters between two lifelines at the least, beside the names
_BYTES_WIDTH: Final = 9


@dataclass(frozen=True, slots=True)
class _Pens:
    """What lines are drawn with."""

    life: str
    gap: str
    across: str
    right: str
    left: str
    lost: str
    note: str
    falls_right: str  # an arrow that goes on at another rung
    falls_left: str
    cut: str  # where a line is too long


_ASCII: Final = _Pens("|", ":", "-", ">", "<", "x", "*", "\\", "/", "...")
_UNICODE: Final = _Pens("│", "┊", "─", "▶", "◀", "✗", "●", "╲", "\u2571", "…")


@dataclass(slots=True)
class _Rung:
    """One line to be."""

    at: float
    row: Arrow | Note | None  # None: a gap
    half: str = ""  # "begin", "end" of an arrow; "": all of it
    text: str = ""


def draw_text(
    diagram: Diagram,
    *,
    width: int | None = None,
    ascii_only: bool = True,
    scale_s: float | None = None,
    window: bool = True,
) -> list[str]:
    """Return a heading and the rungs as lines; [] if there is nothing.

    `width`: the most characters of a line; None: as many as it takes. `scale_s`: how long a line
    lasts; None: each as long as it takes until something happens. `window`: show that too.
    """
    if not diagram.arrows and not diagram.notes:
        return []
    pens = _ASCII if ascii_only else _UNICODE
    names = [plain(line.name, ascii_only=ascii_only) for line in diagram.lifelines]
    places = {line.name: number for number, line in enumerate(diagram.lifelines)}
    columns, wide = _columns(names)
    # Texts need room too: names in front of them take less than lifelines.
    has_lives = len(names) <= MAX_LIFELINES and (width is None or wide <= width * _LIFELINES_PART)
    if not has_lives:
        wide = max(len(_route(row)) for row in diagram.rows())
    shown = diagram.window if window else None
    sizes_head = _sizes_head(shown)
    room = math.inf if width is None else width - _TIME_WIDTH - wide - len(sizes_head)
    rungs = list(_rungs(diagram, scale_s, is_brief=room < _LONG_TEXT, may_bend=has_lives))
    if has_lives:
        pictures = [_lifelines(rung, places, columns, wide, pens) for rung in rungs]
        heading = _heading(names, columns)
    else:
        pictures = [plain(_route(rung.row), ascii_only=ascii_only) for rung in rungs]
        heading = ""
    lines = [f"{'time':<{_TIME_WIDTH}} {heading:<{wide}}{sizes_head}"]
    if shown:
        lines[0] += f"  of {plain(shown.node, ascii_only=ascii_only)}, bytes"
    if missing := left_out(diagram):
        lines.append(f"({missing})")
    for rung, picture, sizes in zip(rungs, pictures, _beside(rungs, shown), strict=True):
        at = "" if rung.row is None else f"{rung.at - diagram.origin:.6f}"
        text = plain(rung.text, ascii_only=ascii_only)
        lines.append(f"{at:<{_TIME_WIDTH}} {picture:<{wide}}{sizes}  {text}")
    return [_cut(line.rstrip(), width, pens) for line in lines]


def _rungs(
    diagram: Diagram, scale_s: float | None, *, is_brief: bool, may_bend: bool
) -> Iterator[_Rung]:
    """Yield what is to be a line, gaps too. `is_brief`: with few words."""
    rows = diagram.rows()
    instants = sorted(row.at if isinstance(row, Note) else row.sent_at for row in rows)
    bent = set(_bent(rows)) if scale_s is None else set()
    rungs: list[_Rung] = []
    for row in rows:
        if isinstance(row, Note):
            rungs.append(_Rung(row.at, row, text=f"* {row.text}"))
            continue
        arrives_at = row.arrives_at
        if arrives_at is None or row.lost or not may_bend:
            is_bent = False
        else:
            is_bent = id(row) in bent or arrives_at - row.sent_at >= (scale_s or math.inf)
        if not is_bent or arrives_at is None:
            rungs.append(_Rung(row.sent_at, row, text=_text(row, is_brief=is_brief)))
            continue
        took = span(arrives_at - row.sent_at)
        rungs.append(_Rung(row.sent_at, row, "begin", _text(row, is_brief=is_brief)))
        rungs.append(_Rung(arrives_at, row, "end", f"  there after {took}: {row.label}"))
    rungs.sort(key=lambda rung: (rung.at, rung.half != "end"))  # stable: else as they began
    longest = longest_step(instants)
    busy_until = -math.inf
    before: float | None = None
    for rung in rungs:
        if before is not None:
            yield from _between(before, rung.at, busy_until, longest, scale_s)
        before = rung.at
        if isinstance(rung.row, Arrow):
            busy_until = max(busy_until, rung.row.ends_at)
        yield rung


def _bent(rows: Sequence[Arrow | Note]) -> Iterator[int]:
    """Yield the identities of arrows during whose way something happens that they are not to hide.

    That is: one comes the other way, or overtakes; or something happens where they will arrive.
    """
    under_way: dict[frozenset[str], list[Arrow]] = {}
    towards: dict[str, list[Arrow]] = {}
    for row in rows:
        if isinstance(row, Note):
            yield from (id(arrow) for arrow in _passed(towards.get(row.node, []), row.at))
            continue
        if row.arrives_at is None or row.lost:
            continue
        pair = frozenset((row.sender, row.receiver))
        known = under_way[pair] = _passed(under_way.get(pair, []), row.sent_at)
        for arrow in known:
            if arrow.receiver != row.receiver:
                yield from (id(arrow), id(row))
            elif row.arrives_at < arrow.ends_at:
                yield id(arrow)
        known.append(row)
        there = towards[row.receiver] = _passed(towards.get(row.receiver, []), row.sent_at)
        there.append(row)


def _passed(arrows: Sequence[Arrow], at: float) -> list[Arrow]:
    """Return those that are still to arrive after an instant."""
    return [arrow for arrow in arrows if arrow.ends_at > at]


def _between(
    before: float, at: float, busy_until: float, longest: float, scale_s: float | None
) -> Iterator[_Rung]:
    """Yield the empty lines between two rungs: the time that passes."""
    idle = at - max(before, busy_until)
    gap = _Rung(before, None, text=f"{span(idle)} later")
    if scale_s is None:
        if idle > longest:
            yield gap
        return
    empty = int((at - before) / scale_s + 1e-9) - 1
    if idle > GAP_ROWS * scale_s:
        yield gap
    elif empty > _MOST_EMPTY:
        yield _Rung(before, None, text=f"{span(at - before)} later")
    else:
        yield from [_Rung(before, None)] * max(empty, 0)


def _text(arrow: Arrow, *, is_brief: bool) -> str:
    also = befell(arrow)
    text = arrow.label if is_brief or not arrow.text else arrow.text
    return text + (f" ({'; '.join(also)})" if also else "")


def _route(row: Arrow | Note | None) -> str:
    match row:
        case Arrow() as arrow if arrow.arrives_at is not None and not arrow.lost:
            return f"{arrow.sender} -> {arrow.receiver}"
        case Arrow() as arrow:
            return f"{arrow.sender} -x {arrow.receiver}".rstrip()
        case Note() as note:
            return note.node
        case _:
            return ""


def _columns(names: Sequence[str]) -> tuple[list[int], int]:
    """Return where each lifeline stands, and the width of all of them."""
    columns: list[int] = []
    edge = 0
    for number, name in enumerate(names):
        left = len(name) // 2
        at = edge + left
        if number:
            at = max(at, columns[-1] + 14)
        columns.append(at)
        edge = at - left + len(name) + _APART
    return columns, max(edge - _APART, columns[-1] + 1) if columns else 1


def _heading(names: Sequence[str], columns: Sequence[int]) -> str:
    row = ""
    for name, at in zip(names, columns, strict=True):
        row = row.ljust(at - len(name) // 2) + name
    return row


def _lifelines(
    rung: _Rung, places: dict[str, int], columns: Sequence[int], width: int, pens: _Pens
) -> str:
    cells = [" "] * width
    for at in columns:
        cells[at] = pens.life if rung.row is not None or not rung.text else pens.gap
    match rung.row:
        case Note() as note:
            if note.node in places:
                cells[columns[places[note.node]]] = pens.note
        case Arrow() as arrow:
            start = columns[places[arrow.sender]]
            end = columns[places[arrow.receiver]] if arrow.receiver else None
            if end is not None and arrow.arrives_at is not None and not arrow.lost:
                _arrow(cells, start, end, rung.half, pens)
            else:
                _lost(cells, start, end, pens, room_right=start < columns[-1])
        case _:
            pass
    return "".join(cells)


def _arrow(cells: list[str], start: int, end: int, half: str, pens: _Pens) -> None:
    step = 1 if end > start else -1
    if start == end:
        return
    falls = pens.falls_right if step > 0 else pens.falls_left
    middle = (start + end) // 2
    for at in range(start + step, end, step):
        before = (middle - at) * step > 0
        if not half or (half == "begin") == before:
            cells[at] = pens.across
    if half:
        cells[middle] = falls
    if half != "begin":
        cells[end - step] = pens.right if step > 0 else pens.left


def _lost(cells: list[str], start: int, end: int | None, pens: _Pens, *, room_right: bool) -> None:
    """Draw the beginning of an arrow. `end`: where it was to arrive; None: nobody knows."""
    step = 1 if (end > start if end is not None else room_right) else -1
    for distance in range(1, _LOST_WIDTH):
        if 0 <= start + step * distance < len(cells):
            cells[start + step * distance] = pens.across
    if 0 <= start + step * _LOST_WIDTH < len(cells):
        cells[start + step * _LOST_WIDTH] = pens.lost


def _sizes_head(window: Window | None) -> str:
    if window is None:
        return ""
    cwnd = f"  {'cwnd':>{_BYTES_WIDTH}}" if window.cwnd else ""
    return f"{cwnd}  {'in flight':>{_BYTES_WIDTH}}"


def _beside(rungs: Sequence[_Rung], window: Window | None) -> list[str]:
    """Return for each rung what the window is then, where it has changed."""
    if window is None:
        return [""] * len(rungs)
    columns = [
        series for series in (window.cwnd, window.flight) if series or series is window.flight
    ]
    found = []
    at, said = [0, 0], ["", ""]
    for number, rung in enumerate(rungs):
        # As it is when all is done that happens at that instant.
        is_last = number + 1 == len(rungs) or rungs[number + 1].at > rung.at
        cells = ["", ""]
        for nth, series in enumerate(columns):
            while is_last and at[nth] < len(series) and series[at[nth]][0] <= rung.at:
                at[nth] += 1
            value = f"{series[at[nth] - 1][1]:,}" if at[nth] else ""
            if value != said[nth] and rung.row is not None:
                cells[nth] = said[nth] = value
        found.append("".join(f"  {cell:>{_BYTES_WIDTH}}" for cell in cells[: len(columns)]))
    return found


def _cut(line: str, width: int | None, pens: _Pens) -> str:
    if width is None or len(line) <= width:
        return line
    return line[: max(width - len(pens.cut), 0)] + pens.cut

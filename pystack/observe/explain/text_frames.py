"""A frame as text: its envelopes as nested boxes, or each of its bytes with what it means."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Final

from pystack.observe.explain.pieces import Line, clip, length, table, wrap
from pystack.observe.explain.story import Box, Header, Shown
from pystack.observe.explain.wording import cells, fate, layers_short, sizes

_A_ROW: Final = 8  # bytes beside their field
_A_DUMP_ROW: Final = 16  # bytes that no field explains
_MOST_DUMPED: Final = 512
_BYTES_WIDTH: Final = 6 + 3 * _A_ROW + 1  # offset, bytes, space


def frame_lines(shown: Shown, columns: int, *, with_bytes: bool) -> Iterator[Line]:
    """Yield a frame: a line that says what it is, then its boxes, or its bytes."""
    yield from wrap(f"frame {shown.number}: {fate(shown)}", columns, "bold")
    if with_bytes and shown.data:
        yield from byte_lines(shown, columns)
    else:
        yield from box_lines(shown.boxes, columns)


def box_lines(boxes: Sequence[Box], columns: int) -> Iterator[Line]:
    """Yield nested boxes, the outermost first, each with its header fields and sizes."""
    if not boxes:
        return
    box, style = boxes[0], boxes[0].layer5
    right = f" {layers_short(box.layer5, box.layer7)} · {sizes(box)} "
    left = f"─ {clip(box.title, columns - 6)} "
    rule = columns - 3 - cells(left) - cells(right)
    if rule < 1:  # too narrow for both
        right, rule = "", columns - 3 - cells(left)
    right += "─"
    yield [("┌" + left + "─" * rule + right + "┐", style)]
    for line in _inside(boxes, columns - 4):
        pad = columns - 4 - length(line)
        yield [("│ ", style), *line, (" " * pad + " │", style)]
    yield [("└" + "─" * (columns - 2) + "┘", style)]


def _inside(boxes: Sequence[Box], columns: int) -> Iterator[Line]:
    rows = [(header.name, header.value, header.meaning) for header in boxes[0].headers]
    yield from table(rows, columns)
    yield from box_lines(boxes[1:], columns)


def byte_lines(shown: Shown, columns: int) -> Iterator[Line]:
    """Yield every byte of a frame once, with the field that it belongs to."""
    data, at = shown.data, 0
    for box in shown.boxes:
        at = yield from _dumped(data, at, min(box.start, len(data)), "dim", columns)
        yield [
            (clip(box.title, columns // 2), box.layer5),
            (clip(f"  {layers_short(box.layer5, box.layer7)} · {sizes(box)}", columns // 2), "dim"),
        ]
        fields = [header for header in box.headers if header.bits > 0 and header.start_bit >= 0]
        for header in sorted(fields, key=lambda header: header.start_bit):
            first = header.start_bit // 8
            if first > at:  # bytes of this layer that no field has
                at = yield from _dumped(data, at, min(first, len(data)), box.layer5, columns)
            yield from _field(data, header, box.layer5, columns)
            at = max(at, min((header.start_bit + header.bits + 7) // 8, len(data)))
        yield from table(
            [(h.name, h.value, h.meaning) for h in box.headers if h not in fields], columns
        )
    yield from _dumped(data, at, len(data), "dim", columns)


def _field(data: bytes, header: Header, style: str, columns: int) -> Iterator[Line]:
    """Yield a field: its bytes at the left, what they mean at the right."""
    first, end = header.start_bit // 8, (header.start_bit + header.bits + 7) // 8
    own = data[first:end]
    if header.start_bit % 8 or header.bits % 8:
        rows = [_bits(own, header)]
    else:
        rows = [own[n : n + _A_ROW].hex(" ") for n in range(0, len(own), _A_ROW)]
    words: list[Line] = [[(f"{header.name}  ", "dim"), (header.value, "bold")]]
    if header.meaning:
        words[0].append((f"  {header.meaning}", ""))
    room = columns - _BYTES_WIDTH
    if length(words[0]) > room:
        first_line = wrap(f"{header.name}  {header.value}", room, "bold")
        if length(words[0][:2]) <= room:
            first_line = [words[0][:2]]
        words = [*first_line, *wrap(header.meaning, room)]
    for number in range(max(len(rows), len(words))):
        line: Line = [
            (f"{first + number * _A_ROW:04x}  " if number < len(rows) else " " * 6, "dim")
        ]
        line.append((f"{rows[number] if number < len(rows) else '':<{_BYTES_WIDTH - 6}}", style))
        yield [*line, *(words[number] if number < len(words) else [])]


def _bits(own: bytes, header: Header) -> str:
    """Return the bits of a field that has no whole bytes, dots for those beside it."""
    whole = f"{int.from_bytes(own, 'big'):0{8 * len(own)}b}"
    begin = header.start_bit % 8
    shown = "".join(
        bit if begin <= number < begin + header.bits else "." for number, bit in enumerate(whole)
    )
    if len(own) > 2:  # there is no room for more than two bytes in bits
        return own[:_A_ROW].hex(" ")
    return " ".join(shown[n : n + 8] for n in range(0, len(shown), 8))


def _dumped(data: bytes, at: int, end: int, style: str, columns: int) -> Generator[Line, None, int]:
    """Yield bytes as hexadecimal and text; return where the next begin."""
    shown = min(end, at + _MOST_DUMPED)
    size = _A_DUMP_ROW if columns >= 6 + 4 * _A_DUMP_ROW else _A_ROW
    for start in range(at, shown, size):
        row = data[start : min(start + size, shown)]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield [(f"{start:04x}  ", "dim"), (f"{row.hex(' '):<{3 * size}}", style), (text, "")]
    if shown < end:
        yield [(f"      and {end - shown} bytes more", "dim")]
    return max(at, end)

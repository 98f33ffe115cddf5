"""Makes docs/what-happens.md true: its listings and pictures are of real runs, in virtual time.

Of the page's console blocks each is what `pystack` prints just now; the words around them are
written by hand. `scripts/docs --pages` writes both, tests/docs/test_what_happens.py compares.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from pystack.apps.explain.record import record
from pystack.cli.main import main
from pystack.core.tcp_events import TcpMeasured
from pystack.observe.dissect import dissect
from pystack.observe.observer import Milestone
from pystack.observe.passage import ARRIVED, Passage
from pystack.observe.recording import Recording
from pystack.wire import ipv4, tcp

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
PAGE: Final = DOCS / "what-happens.md"
README: Final = DOCS.parent / "README.md"
IMAGES: Final = DOCS / "images"
COLUMNS: Final = 84
_CONSOLE: Final = re.compile(r"^```console\n((?:.*\n)*?)```$", re.MULTILINE)
_TYPED: Final = re.compile(r"^\$ scripts/pystack (.*)$", re.MULTILINE)

# One transfer, three lines
SIZE_BYTES: Final = 200_000
SEED: Final = 7
LOSSES: Final = ("0%", "1%", "10%")


def page(path: Path = PAGE, columns: int = COLUMNS) -> str:
    """Return a page, docs/what-happens.md, with all its listings of `explain` made anew."""
    return _CONSOLE.sub(lambda block: _made_anew(block, columns), path.read_text("utf-8"))


def _made_anew(block: re.Match[str], columns: int) -> str:
    typed = _TYPED.findall(block[1])
    if not typed or not all(words.startswith("explain ") for words in typed):
        return block[0]
    rows = [f"$ scripts/pystack {words}\n{printed(words, columns)}" for words in typed]
    made = "\n".join(["```console", *rows, "```"])
    if "https" in block[1] and _without_sizes(made) == _without_sizes(block[0]):
        return block[0]
    return made


def _without_sizes(block: str) -> str:
    """Return a listing without the numbers of TLS, whose signatures may be a byte longer.

    What has other numbers has other times and bars, and is wrapped in another way.
    """
    return re.sub(r"[\s┃█▏]+", " ", re.sub(r"\d[\d.,]*", "N", block))


@cache
def printed(typed: str, columns: int) -> str:
    """Return what `pystack` prints for these words of a shell, without colours.

    They may end in `| head -N`.
    """
    typed, _, most = typed.partition(" | head -")
    kept = io.BytesIO()
    said = io.TextIOWrapper(kept, encoding="utf-8", write_through=True)
    with _surroundings(COLUMNS=str(columns), NO_COLOR="1"), redirect_stdout(said):
        argv, sys.argv = sys.argv, ["pystack", *shlex.split(typed)]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
        finally:
            sys.argv = argv
    text = kept.getvalue().decode()
    return "\n".join(text.splitlines()[: int(most) if most else None])


@contextmanager
def _surroundings(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@cache
def pictures() -> Mapping[str, str]:
    """Return the pictures of the page, by the names of their files."""
    return {
        "envelopes.svg": envelopes(),
        "transfer-at-loss.svg": transfers(),
        "window-and-flight.svg": window(),
    }


def envelopes() -> str:
    """Draw the request in its envelopes, with the bytes that each layer adds."""
    recording = record("http://server/")
    request = next(
        passage
        for passage in recording.passages()
        if passage.sender == recording.client
        and (segment := _segment(passage)) is not None
        and segment.payload
    )
    boxes, colours = dissect(request.frame.data), ("d", "b", "a", "e")
    rows = [
        f'<text class="t" x="24" y="30">GET / as it leaves the client: '
        f"{len(request.frame.data)} bytes</text>"
    ]
    for number, box in enumerate(boxes):
        x, y = 24 + 22 * number, 46 + 46 * number
        wide, high = _WIDTH - 2 * x, 68 * (len(boxes) - number) - 14
        name, layer = box.title, f"{box.layer5}, OSI {box.layer7[0]}"
        size = (
            f"{box.header_bytes} bytes of header"
            if box.payload_bytes
            else (f"{box.header_bytes} bytes")
        )
        colour = colours[min(number, len(colours) - 1)]
        rows.append(
            f'<rect class="box {colour}" x="{x}" y="{y}" width="{wide}" height="{high}" rx="8"/>'
        )
        rows.append(f'<text class="t {colour}" x="{x + 14}" y="{y + 22}">{escape(name)}</text>')
        rows.append(
            f'<text x="{_WIDTH - x - 14}" y="{y + 22}" text-anchor="end">'
            f"{escape(layer)}: {size}</text>"
        )
        said = ", ".join(
            f"{header.name} {header.value}"
            for header in box.headers
            if header.name in _ON_THE_ENVELOPE
        )
        rows.append(f'<text x="{x + 14}" y="{y + 39}">{escape(said)}</text>')
    return _svg(rows, "One request in its envelopes", 46 + 68 * len(boxes) + 8)


def transfers() -> str:
    """Draw how much of one file has come at which time, over a line that loses none, some, more."""
    lines = [
        _arrived(record("http://server/", {"loss": loss}, size_bytes=SIZE_BYTES, seed=SEED))
        for loss in LOSSES
    ]
    names = [
        f"{loss} lost: {points[-1][0] * 1e3:.0f} ms"
        for loss, points in zip(LOSSES, lines, strict=True)
    ]
    return _chart(
        lines,
        names,
        title=f"{SIZE_BYTES:,} bytes by HTTP, delay 10 ms, 50 Mbit/s: what the program has when",
    )


def window() -> str:
    """Draw a congestion window and what is in flight under it, over a line that loses 1 %."""
    words = {"loss": "1%", "delay": "20ms"}
    recording = record("http://server/", words, size_bytes=600_000, seed=SEED)
    began = _instant(recording, "request")
    cwnd = [
        (item.at - began, item.value)
        for item in recording.items
        if isinstance(item, TcpMeasured)
        and item.host == recording.server
        and item.name == "cwnd_bytes"
    ]
    flight = _flight(recording, began)
    end = flight[-1][0]
    cwnd = [point for point in cwnd if 0 <= point[0] <= end]
    return _chart(
        [_stairs(flight, end), _stairs(cwnd, end)],
        ["bytes in flight", "congestion window"],
        title="600,000 bytes over a line that loses 1 %: window, and what is under way",
    )


def _instant(recording: Recording, what: str) -> float:
    return next(
        item.at for item in recording.items if isinstance(item, Milestone) and item.what == what
    )


def _segment(passage: Passage) -> tcp.Segment | None:
    """Return the TCP segment of a frame; None where there is none."""
    data = memoryview(passage.frame.data)
    if data[12:14] != b"\x08\x00" or data[23] != ipv4.TCP:
        return None
    return tcp.parse(ipv4.parse(data[14:], checksum_good=True))


def _arrived(recording: Recording) -> list[tuple[float, float]]:
    """Return how many bytes in a row the client has, over the time since it asked."""
    began = _instant(recording, "request")
    points, have = [(0.0, 0.0)], dict[int, int]()
    first: int | None = None
    reached = 0
    for passage in recording.passages():
        if passage.receiver != recording.client or passage.end != ARRIVED:
            continue
        segment = _segment(passage)
        if segment is None or not segment.payload:
            continue
        first = segment.seq if first is None else min(first, segment.seq)
        have[segment.seq] = len(segment.payload)
        before = reached
        while first + reached in have:
            reached += have[first + reached]
        if reached > before and passage.arrives_at is not None:
            points += [
                (passage.arrives_at - began, float(before)),
                (passage.arrives_at - began, float(reached)),
            ]
    return points


def _flight(recording: Recording, began: float) -> list[tuple[float, float]]:
    """Return how many bytes the server has sent that it has no acknowledgment of."""
    points, sent, acked = [(0.0, 0.0)], 0, 0
    origin: int | None = None
    moments: list[tuple[float, bool, int]] = []
    for passage in recording.passages():
        segment = _segment(passage)
        if segment is None:
            continue
        if passage.sender == recording.server and segment.payload:
            moments.append((passage.entered_at, True, segment.seq + len(segment.payload)))
            origin = segment.seq if origin is None else origin
        elif passage.receiver == recording.server and passage.arrives_at is not None:
            moments.append((passage.arrives_at, False, segment.ack))
    assert origin is not None
    for at, is_sent, number in sorted(moments):
        if is_sent:
            sent = max(sent, number - origin)
        elif 0 <= number - origin <= SIZE_BYTES * 10:
            acked = max(acked, number - origin)
        points.append((at - began, float(max(sent - acked, 0))))
    last = max(at for at, is_sent, _ in moments if is_sent) - began
    return [point for point in points if 0 <= point[0] <= last]


def _stairs(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Return points of a value that stays until it changes."""
    found: list[tuple[float, float]] = []
    for at, value in points:
        if found:
            found.append((at, found[-1][1]))
        found.append((at, value))
    return [*found, (end, found[-1][1])]


_ON_THE_ENVELOPE: Final = {
    "Destination", "Source", "Source Address", "Destination Address", "TTL",
    "Source Port", "Destination Port", "method", "request-target", "HTTP-version", "Host",
}  # fmt: skip
_STYLE: Final = """
svg{--ink:#1c1e24;--soft:#5a5f6b;--line:#d8d4ca;--a:#2f4bb5;--b:#0b6b5f;--c:#b3261e;--d:#855000;--e:#9c2764;--paper:#faf8f3}
@media(prefers-color-scheme:dark){svg{--ink:#e9e7e1;--soft:#a3a8b4;--line:#3a3f49;--a:#9db1ff;
--b:#5fd3c2;--c:#ff8a80;--d:#f0b765;--e:#ff8fbf;--paper:#14161a}}
rect{fill:var(--paper)}text{font:13px system-ui,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
.t{fill:var(--ink);font-weight:600}
path{fill:none;stroke-width:2;stroke-linejoin:round}path.g{stroke:var(--line);stroke-width:1}
.l0{stroke:var(--a)}.l1{stroke:var(--b)}.l2{stroke:var(--c)}
rect.box{fill:none;stroke-width:1.5}rect.a{stroke:var(--a)}rect.b{stroke:var(--b)}
rect.d{stroke:var(--d)}rect.e{stroke:var(--e)}text.a{fill:var(--a)}text.b{fill:var(--b)}
text.d{fill:var(--d)}text.e{fill:var(--e)}
text.n0{fill:var(--a)}text.n1{fill:var(--b)}text.n2{fill:var(--c)}
"""
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 340, 58, 62, 24, 38


def _chart(
    lines: Sequence[Sequence[tuple[float, float]]], names: Sequence[str], *, title: str
) -> str:
    """Draw lines over time, named above."""
    end = max(at for points in lines for at, _ in points)
    top = max(value for points in lines for _, value in points)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(at: float, value: float) -> str:
        return f"{_LEFT + at / end * wide:.0f} {_TOP + high - value / top * high:.0f}"

    rows = [f'<text class="t" x="{_LEFT}" y="22">{escape(title)}</text>']
    x = _LEFT
    for number, name in enumerate(names):
        rows.append(f'<text class="n{number}" x="{x}" y="46">{escape(name)}</text>')
        x += 8 * len(name) + 24
    for value in _ticks(top / 1e3):
        y = _TOP + high - value * 1e3 / top * high
        rows.append(f'<path class="g" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        rows.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for at in _ticks(end * 1e3):
        x_at = _LEFT + at / 1e3 / end * wide
        rows.append(
            f'<text x="{x_at:.1f}" y="{_HEIGHT - 14}" text-anchor="middle">{at:g} ms</text>'
        )
    rows.append(f'<text x="8" y="{_TOP - 12}">kB</text>')
    for number, points in enumerate(lines):
        way = "L".join(one for one, _ in groupby(place(*point) for point in points))
        rows.append(f'<path class="l{number}" d="M{way}"/>')
    return _svg(rows, title, _HEIGHT)


def _svg(rows: Sequence[str], title: str, height: int) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect width="{_WIDTH}" height="{height}" rx="10"/>',
            *rows,
            "</svg>\n",
        ]
    )


def _ticks(most: float) -> list[float]:
    """Return four or so round numbers from 0 to that."""
    step = 10 ** (len(str(int(most))) - 1)
    step = next(s for s in (step / 5, step / 2, step, step * 2, step * 5) if most / s <= 6)
    return [step * n for n in range(int(most / step) + 1)]


def write() -> None:
    """Write the page and its pictures."""
    IMAGES.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        (IMAGES / name).write_text(picture, "utf-8")
    PAGE.write_text(page(), "utf-8")
    README.write_text(page(README, 80), "utf-8")  # as its own test runs it


if __name__ == "__main__":
    write()

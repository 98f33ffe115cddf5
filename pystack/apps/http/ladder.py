"""The ladder of a connection as inline SVG: who sent what, downwards in time.

It is drawn 384 units wide, so that its text stays readable on a telephone. Distances in time are
not to scale: a handshake takes a millisecond, and a page may be reloaded after an hour.
"""

from dataclasses import dataclass
from typing import Final

from pystack.apps.http.story import Connection, Story
from pystack.apps.http.wording import duration, host_port, safe

_CLIENT_X: Final = 14
_SERVER_X: Final = 304
_MIDDLE_X: Final = (_CLIENT_X + _SERVER_X) // 2
_TIME_X: Final = _SERVER_X + 10
_TOP_Y: Final = 57
_LINE: Final = 16
_SLANT: Final = 14
_OPTION_CHARS: Final = 42


@dataclass(frozen=True, slots=True)
class _Rung:
    """One arrow."""

    to_server: bool
    name: str
    detail: list[str]
    at: float
    is_http: bool = False


def ladder(story: Story, connection: Connection) -> str:
    """Return the drawing."""
    rungs = _rungs(story, connection)
    parts: list[str] = []
    y = _TOP_Y
    gap_at = 0
    for rung in rungs:
        if rung.is_http and not gap_at:
            gap_at = y + 4
            y += 26
        drawn, y = _draw(rung, y, rungs[0].at)
        parts.append(drawn)
    bottom = y + 6
    lives = "".join(_life(x, gap_at, bottom) for x in (_CLIENT_X, _SERVER_X))
    client = safe(host_port(connection.remote_address))
    server = safe(host_port(connection.local_address))
    return (
        f'<svg class="ladder" viewBox="0 0 384 {bottom + 6}" role="img" '
        'aria-label="Ladder diagram of the handshake, the request and the answer">'
        f'<text x="2" y="14">you</text><text class="s" x="2" y="31">{client}</text>'
        f'<text x="{_SERVER_X + 14}" y="14" text-anchor="end">this host</text>'
        f'<text class="s" x="{_SERVER_X + 14}" y="31" text-anchor="end">{server}</text>'
        f"{lives}{''.join(parts)}</svg>"
    )


def _rungs(story: Story, connection: Connection) -> list[_Rung]:
    rungs = []
    for segment in connection.handshake:
        numbers = f", seq {segment.seq}" + (
            f", ack {segment.ack}" if "ACK" in segment.flags else ""
        )
        detail = _wrap(f"win {segment.wnd}" + (f", {segment.options}" if segment.options else ""))
        rungs.append(_Rung(not segment.sent, segment.flags + numbers, detail, segment.at))
    line = f"{story.method} {story.target}"
    line = line if len(line) <= 36 else line[:35] + "\u2026"
    nth = "" if story.number == 1 else f"request {story.number} on this connection"
    rungs.append(_Rung(True, line, [nth] if nth else [], story.received_at, True))
    rungs.append(_Rung(False, "200 OK, this page", [], story.now, True))
    return rungs


def _wrap(options: str) -> list[str]:
    lines: list[str] = []
    for option in options.split(", "):
        if lines and len(lines[-1]) + len(option) + 2 <= _OPTION_CHARS:
            lines[-1] += f", {option}"
        else:
            lines.append(option)
    return lines


def _draw(rung: _Rung, y: int, zero: float) -> tuple[str, int]:
    """Return the arrow with its words, and the y below it."""
    words = _text("name", y, rung.name)
    for line in rung.detail:
        y += _LINE
        words += _text("s", y, line)
    y += 8
    start, end = (_CLIENT_X, _SERVER_X) if rung.to_server else (_SERVER_X, _CLIENT_X)
    inward = -1 if rung.to_server else 1
    tip, tip_y = end + 2 * inward, y + _SLANT
    seen_y = tip_y if rung.to_server else y
    arrow = (
        f'<line class="msg" x1="{start}" y1="{y}" x2="{tip + 6 * inward}" y2="{tip_y}"/>'
        f'<path class="head" d="M{tip} {tip_y}l{10 * inward}-5v10z"/>'
        f'<text class="s" x="{_TIME_X}" y="{seen_y + 4}">{safe(_since(rung.at - zero))}</text>'
    )
    kind = ' class="app"' if rung.is_http else ""
    return f"<g{kind}>{words}{arrow}</g>", tip_y + 28


def _text(kind: str, y: int, text: str) -> str:
    return f'<text class="{kind}" x="{_MIDDLE_X}" y="{y}" text-anchor="middle">{safe(text)}</text>'


def _since(seconds: float) -> str:
    return "0" if seconds <= 0 else f"+{duration(seconds)}"


def _life(x: int, gap_at: int, bottom: int) -> str:
    top = _TOP_Y - 12
    return (
        f'<line class="life" x1="{x}" y1="{top}" x2="{x}" y2="{gap_at - 10}"/>'
        f'<line class="gap" x1="{x}" y1="{gap_at - 10}" x2="{x}" y2="{gap_at + 10}"/>'
        f'<line class="life" x1="{x}" y1="{gap_at + 10}" x2="{x}" y2="{bottom}"/>'
    )

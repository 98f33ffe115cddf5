"""The ladder of a connection that the page shows: its handshake, the request, and the answer."""

from typing import Final

from pystack.apps.http.story import Connection, Story
from pystack.apps.http.wording import duration, short
from pystack.core.addresses import host_port
from pystack.observe.ladder.model import Arrow, Diagram, Kind, Lifeline

_CLIENT: Final = "you"
_SERVER: Final = "this host"
_OPTION_CHARS: Final = 42
_LINE_CHARS: Final = 36


def ladder_of(story: Story, connection: Connection) -> Diagram:
    """Return it: instants are those at which this host saw things."""
    arrows: list[Arrow] = []
    zero = connection.handshake[0].at if connection.handshake else story.received_at

    def add(to_server: bool, at: float, label: str, details: list[str], *, is_http: bool) -> None:
        ends = (_CLIENT, _SERVER) if to_server else (_SERVER, _CLIENT)
        since = f"after {duration(at - zero)}" if at > zero else "at first"
        kind: Kind = "data" if is_http else "handshake"
        details = [*details, since]
        arrows.append(Arrow(*ends, at, at, kind, label, label, details=tuple(details)))

    for segment in connection.handshake:
        ack = f", ack {segment.ack}" if "ACK" in segment.flags else ""
        options = f"win {segment.wnd}" + (f", {segment.options}" if segment.options else "")
        label = f"{segment.flags}, seq {segment.seq}{ack}"
        add(not segment.sent, segment.at, label, _wrap(options), is_http=False)
    line = short(f"{story.method} {story.target}", _LINE_CHARS)
    nth = "" if story.number == 1 else f"request {story.number} on this connection"
    add(True, story.received_at, line, [nth] if nth else [], is_http=True)
    add(False, story.now, "200 OK, this page", [], is_http=True)
    lifelines = [
        Lifeline(_CLIENT, host_port(*connection.remote_address)),
        Lifeline(_SERVER, host_port(*connection.local_address)),
    ]
    return Diagram(lifelines, arrows, origin=zero, passages=len(arrows))


def _wrap(options: str) -> list[str]:
    lines: list[str] = []
    for option in options.split(", "):
        if lines and len(lines[-1]) + len(option) + 2 <= _OPTION_CHARS:
            lines[-1] += f", {option}"
        else:
            lines.append(option)
    return lines

"""A ladder diagram in text: who sent what to whom, downwards in time.

    time           client         r1       server
    0.000000         |----------->|          |     ARP, Request who-has 10.0.0.254 tell 10.0.0.1
    0.020000         |<-----------|          |     ARP, Reply 10.0.0.254 is-at 02:00:00:00:00:fe
    0.040000         |-----x      |          |     client.49152 > server.80: Flags [S], seq 1, ...

One rung for each hop of a frame, at the instant at which it was sent. An arrow that ends in an `x`
did not arrive, or not before the end. A `*` is an event at one host; an `o` is a frame that arrived
and whose sending was not seen, or not like this: a second copy, or one that was corrupted.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pystack.core.tcp_events import TcpRetransmitted
from pystack.observe.log import describe
from pystack.observe.observer import Dropped, Event, FrameSeen
from pystack.observe.summary import summarize
from pystack.wire import ethernet
from pystack.wire.frame import Frame

MAX_LIFELINES: Final = 6  # of more hosts the names are written into the lines
_TIME_WIDTH: Final = 12
_LOST_WIDTH: Final = 6
_GAP: Final = 4  # characters between two lifelines at the least, beside the names
_DIRECTIONS: Final = ("a_to_b", "b_to_a")  # where a drop is a link's, this is its "interface"
_OPTIONS: Final = re.compile(r", options \[[^\]]*\]")
_ADDRESS: Final = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b"
    # IPv6; what follows may be a colon, but no more of the address
    r"|(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?<=::))(?![0-9a-f]|:[0-9a-f:])"
)


@dataclass(slots=True, eq=False)
class Rung:
    """One frame between two hosts; or, without `to`, something that happened at one."""

    at: float
    host: str
    text: str
    to: list[str] = field(default_factory=list)  # where it arrived
    is_frame: bool = False
    lost: str = ""  # why it did not arrive, as far as that is known
    towards: str | None = None  # whose MAC address it has; None: not known, or for all


class LadderRecorder:
    """An observer that keeps the last events, and draws them when asked."""

    def __init__(self, events: int = 400) -> None:
        """`events`: how many are kept. A frame is one when sent, and one when it arrives."""
        self._events: deque[Event] = deque(maxlen=events)
        self._stopped = False

    def on_event(self, event: Event) -> None:
        """Keep it."""
        if not self._stopped:
            self._events.append(event)

    def stop(self) -> None:
        """Keep nothing of what happens from now on."""
        self._stopped = True

    def lines(
        self,
        *,
        rungs: int = 40,
        names: Mapping[str, str] | None = None,
        order: Sequence[str] = (),
        origin: float = 0.0,
    ) -> list[str]:
        """Return the last `rungs` as lines; [] if nothing was seen.

        `names`: what to write for an address. `order`: of the hosts from left to right; others
        follow as they appear. `origin`: the instant that is shown as 0.
        """
        found = _rungs(self._events)
        return draw(found[-rungs:], names=names or {}, order=order, origin=origin)


def draw(
    rungs: Sequence[Rung],
    *,
    names: Mapping[str, str],
    order: Sequence[str] = (),
    origin: float = 0.0,
) -> list[str]:
    """Return a heading and a line for each rung."""
    if not rungs:
        return []
    seen = list(dict.fromkeys(name for rung in rungs for name in _hosts(rung)))
    hosts = [name for name in order if name in seen]
    hosts += [name for name in seen if name not in hosts]
    if len(hosts) > MAX_LIFELINES:
        width = max(len(_route(rung)) for rung in rungs)
        rows = [(rung, _route(rung).ljust(width)) for rung in rungs]
        heading = "".ljust(width)
    else:
        columns, width = _columns(hosts)
        rows = [(rung, _lifelines(rung, hosts, columns, width)) for rung in rungs]
        heading = _heading(hosts, columns, width)
    lines = [f"{'time':<{_TIME_WIDTH}} {heading}".rstrip()]
    for rung, picture in rows:
        text = _ADDRESS.sub(lambda match: names.get(match[0], match[0]), rung.text)
        text += f" ({rung.lost})" if rung.lost else ""
        lines.append(f"{rung.at - origin:<{_TIME_WIDTH}.6f} {picture}  {text}".rstrip())
    return lines


def _rungs(events: Sequence[Event] | deque[Event]) -> list[Rung]:
    """Return a rung for each event, the arrival of a frame put together with its sending."""
    rungs: list[Rung] = []
    # Frames keep their bytes on the way over links and switches; of equal ones (a retransmission)
    # the first that is still on its way arrives first.
    on_their_way: dict[bytes, list[Rung]] = {}
    stations = {
        event.frame.data[ethernet.SRC]: event.host
        for event in events
        if isinstance(event, FrameSeen) and event.sent
    }
    for event in events:
        match event:
            case FrameSeen(sent=True):
                rung = Rung(event.at, event.host, _summary(event.frame), is_frame=True)
                rung.towards = stations.get(event.frame.data[ethernet.DST])
                rungs.append(rung)
                on_their_way.setdefault(event.frame.data, []).append(rung)
            case FrameSeen():
                _arrived(event, rungs, on_their_way)
            case Dropped() if event.interface in _DIRECTIONS:
                _lost_on_link(event, rungs, on_their_way)
            case Dropped() if event.reason.startswith("switch_"):
                pass  # what a switch does not pass on is part of its work
            case Dropped() | TcpRetransmitted():
                rungs.append(Rung(event.at, event.host, f"* {_note(event)}"))
            case _:
                pass  # what else changes can be seen from the frames
    return rungs


def _arrived(event: FrameSeen, rungs: list[Rung], on_their_way: Mapping[bytes, list[Rung]]) -> None:
    """Let the arrow end where the frame has arrived."""
    for rung in on_their_way.get(event.frame.data, ()):
        if not rung.lost and event.host != rung.host and event.host not in rung.to:
            rung.to.append(event.host)
            return
    rungs.append(Rung(event.at, event.host, f"> {_summary(event.frame)}"))


def _lost_on_link(
    event: Dropped, rungs: list[Rung], on_their_way: Mapping[bytes, list[Rung]]
) -> None:
    """Let the arrow say why it ends."""
    open_ended = [
        rung for rung in on_their_way.get(event.data, ()) if not rung.to and not rung.lost
    ]
    if open_ended:
        # Of equal frames the one that was sent just now, if it was lost at once; else the oldest.
        last = open_ended[-1]
        (last if last.at == event.at else open_ended[0]).lost = event.reason
        return
    rungs.append(Rung(event.at, event.host, f"* {_note(event)}"))


def _summary(frame: Frame) -> str:
    text = _OPTIONS.sub("", summarize(frame))
    return text.removeprefix("IP ").removeprefix("IP6 ")


def _note(event: Dropped | TcpRetransmitted) -> str:
    text = describe(event)
    return text.removeprefix(f"{event.host} ")


def _hosts(rung: Rung) -> tuple[str, ...]:
    return (rung.host, *rung.to, *((rung.towards,) if rung.towards else ()))


def _route(rung: Rung) -> str:
    if not rung.is_frame:
        return rung.host
    if rung.to:
        return f"{rung.host} -> {', '.join(rung.to)}"
    return f"{rung.host} -x {rung.towards or ''}".rstrip()


def _columns(hosts: Sequence[str]) -> tuple[list[int], int]:
    """Return where each lifeline stands, and the width of all of them."""
    columns: list[int] = []
    edge = 0
    for number, name in enumerate(hosts):
        left = len(name) // 2
        at = edge + left
        if number:
            at = max(at, columns[-1] + 14)
        columns.append(at)
        edge = at - left + len(name) + _GAP
    return columns, max(edge - _GAP, columns[-1] + 1)


def _heading(hosts: Sequence[str], columns: Sequence[int], width: int) -> str:
    row = ""
    for name, at in zip(hosts, columns, strict=True):
        row = row.ljust(at - len(name) // 2) + name
    return row.ljust(width)


def _lifelines(rung: Rung, hosts: Sequence[str], columns: Sequence[int], width: int) -> str:
    row = [" "] * width
    for at in columns:
        row[at] = "|"
    start = columns[hosts.index(rung.host)]
    if not rung.is_frame:
        row[start] = "*" if rung.text.startswith("*") else "o"
    elif rung.to:
        for name in rung.to:
            _arrow(row, start, columns[hosts.index(name)])
    else:
        end = columns[hosts.index(rung.towards)] if rung.towards else None
        _lost(row, start, end, room_right=len(hosts) > 1 and start < columns[-1])
    return "".join(row)


def _arrow(row: list[str], start: int, end: int) -> None:
    step = 1 if end > start else -1
    for at in range(start + step, end, step):
        row[at] = "-"
    row[end - step] = ">" if step > 0 else "<"


def _lost(row: list[str], start: int, end: int | None, *, room_right: bool) -> None:
    """Draw the beginning of an arrow. `end`: where it was to arrive; None: nobody knows."""
    step = 1 if (end > start if end is not None else room_right) else -1
    for distance in range(1, _LOST_WIDTH):
        if 0 <= start + step * distance < len(row):
            row[start + step * distance] = "-"
    if 0 <= start + step * _LOST_WIDTH < len(row):
        row[start + step * _LOST_WIDTH] = "x"

"""What happens, in a log for programs: one JSON object per event.

`event` is the event's name; `time` is the wall clock's in ISO 8601, in virtual time the time since
the start; the rest is what the event has, bytes in hexadecimal. A frame has its `summary` too.
"""

import json
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime

from pystack.core.tcp_events import TcpMeasured
from pystack.observe.observer import Event, FrameSeen
from pystack.observe.summary import summarize


class JsonObserver:
    """An observer that hands on a line for each event, as `LogObserver` does."""

    def __init__(
        self, say: Callable[[str], object], *, packets: bool, wall_clock_offset_s: float = 0.0
    ) -> None:
        """`say` takes each line; `packets`: there is one for each frame too."""
        self._say = say
        self._packets = packets
        self._offset_s = wall_clock_offset_s

    def on_event(self, event: Event) -> None:
        """Log the event; a frame only if packets are wanted."""
        if isinstance(event, TcpMeasured) or (isinstance(event, FrameSeen) and not self._packets):
            return
        line: dict[str, object] = {"time": self._time(event.at), "event": type(event).__name__}
        for each in fields(event):
            if each.name not in ("at", "frame"):
                line[each.name] = _value(getattr(event, each.name))
        if isinstance(event, FrameSeen):
            line["frame"] = bytes(event.frame.data).hex()
            line["summary"] = summarize(event.frame)
        self._say(json.dumps(line))

    def _time(self, at: float) -> str | float:
        if not self._offset_s:
            return round(at, 9)
        return datetime.fromtimestamp(at + self._offset_s, UTC).isoformat()


def _value(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value

"""What a viewer may ask: a frame down to its bits, a ladder, the map, what a counter means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from pystack.apps.live.map import map_of
from pystack.core.counters import explanations
from pystack.core.errors import ConfigError, WireError
from pystack.core.tcp_events import TcpEvent
from pystack.observe.dissect import dissect
from pystack.observe.ladder import Ladder
from pystack.observe.passage import Passage
from pystack.wire.frame import Frame, completed

if TYPE_CHECKING:
    from pystack.apps.live.feed import Feed
    from pystack.apps.live.tape import Kept

MOST_RUNGS: Final = 400  # items that a ladder is made of, the newest; to make one takes 5 ms
MOST_ARROWS: Final = 60  # of more, those that are alike are drawn as one
LEAST_WIDTH: Final = 360  # in pixels
USUAL_WIDTH: Final = 800
MOST_WIDTH: Final = 1600
SCALE_S: Final = 0.004  # of a line, where a ladder is drawn to scale

Asked = Mapping[str, object]
End = tuple[str, int]


def answer(feed: Feed, name: object, asked: Asked) -> object:
    """Return what was asked for, as values that JSON has. Raises ConfigError."""
    question = QUESTIONS.get(name) if isinstance(name, str) else None
    if question is None:
        raise ConfigError(f"there is no such question; try {', '.join(sorted(QUESTIONS))}")
    return question(feed, asked)


def _frame(feed: Feed, asked: Asked) -> object:
    """Return the bytes of a frame, and what they mean."""
    number = asked.get("number")
    kept = feed.tape.find(number) if isinstance(number, int) else None
    if kept is None or not isinstance(kept.item, Passage):
        raise ConfigError("that frame is not kept any more")
    data = whole(kept.item.frame)
    boxes = [_box(asdict(box)) for box in dissect(data)]
    return {"data": data.hex(), "bytes": kept.wire_bytes, "boxes": boxes}


def _box(box: dict[str, object]) -> dict[str, object]:
    headers = box["headers"]
    assert isinstance(headers, list)
    for header in headers:
        header["start"] = header.pop("start_bit")
    return box


def _ladder(feed: Feed, asked: Asked) -> object:
    """Return the ladder of one connection, as SVG."""
    ends = _ends(asked.get("ends"))
    until, to_scale = asked.get("until"), asked.get("scale") is True
    if not isinstance(until, int | float | None):
        raise ConfigError("until is an instant")
    width = asked.get("width")
    if not isinstance(width, int) or not LEAST_WIDTH <= width <= MOST_WIDTH:
        width = USUAL_WIDTH
    key = f"{sorted(ends)} {until} {to_scale} {width}"
    return feed.remembered(key, lambda: _drawn(feed, ends, until, width, to_scale=to_scale))


def _drawn(
    feed: Feed, ends: tuple[End, End], until: float | None, width: int, *, to_scale: bool
) -> object:
    wanted = frozenset(ends)
    kept = [each for each in feed.tape.items() if _is_of(each, wanted, until)][-MOST_RUNGS:]
    if not kept:
        return {"svg": "", "words": "Nothing of this connection is kept any more."}
    ladder = Ladder.of(
        [each.item for each in kept],
        names=feed.world.names(),
        between=ends,
        origin=_at(kept[0]),
        most=MOST_ARROWS,
        notes=("drop", "repair", "state", "milestone"),
    )
    return {
        "svg": ladder.svg(
            width=width, fragment=True, scale_s=SCALE_S if to_scale else None, window=False
        ),
        "words": f"{len(kept)} frames and events of it.",
        "began": _at(kept[0]),
    }


def _is_of(kept: Kept, ends: frozenset[End], until: float | None) -> bool:
    item = kept.item
    if isinstance(item, TcpEvent):
        found = item.local in ends and item.remote in ends
    else:
        found = kept.ends == ends
    return found and (until is None or _at(kept) <= until)


def _at(kept: Kept) -> float:
    item = kept.item
    return item.entered_at if isinstance(item, Passage) else item.at


def _ends(value: object) -> tuple[End, End]:
    """Return two ends, as JSON has them. Raises ConfigError."""
    match value:
        case [[str(a), int(p)], [str(b), int(q)]]:
            return (a, p), (b, q)
        case _:
            raise ConfigError("a ladder is of two ends, each an address and a port")


def _map(feed: Feed, asked: Asked) -> object:
    """Return where the nodes and links of a lab are on its map."""
    return map_of(feed.world, feed.control)


def _counters(feed: Feed, asked: Asked) -> object:
    """Return a sentence for each counter."""
    return {name: each.sentence for name, each in explanations().items()}


def whole(frame: Frame) -> bytes:
    """Return the bytes of a frame with its checksum filled in, if it was to be."""
    try:
        return completed(frame).data
    except (WireError, ValueError):
        return frame.data


QUESTIONS: Final[dict[str, Callable[[Feed, Asked], object]]] = {
    "counters": _counters,
    "frame": _frame,
    "ladder": _ladder,
    "map": _map,
}

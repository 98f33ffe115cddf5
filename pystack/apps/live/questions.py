"""What a viewer may ask: a frame down to its bits, a ladder, the map, what a counter means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from pystack.apps.live.hops import over
from pystack.apps.live.map import map_of
from pystack.core.errors import ConfigError, WireError
from pystack.core.ranges import Range
from pystack.core.tcp_events import TcpEvent
from pystack.observe.dissect import dissect
from pystack.observe.ladder import Ladder
from pystack.observe.passage import Passage
from pystack.observe.recording import Item
from pystack.wire.frame import Frame, completed

if TYPE_CHECKING:
    from pystack.apps.live.feed import Feed
    from pystack.apps.live.tape import Kept

MOST_RUNGS: Final = 400  # items that a ladder is made of, the newest; to make one takes 5 ms
MOST_ARROWS: Final = 60  # of more, those that are alike are drawn as one
LEAST_WIDTH: Final = 360  # in pixels
USUAL_WIDTH: Final = 800
MOST_WIDTH: Final = 1600
MOST_LINES: Final = 1500  # of one that is drawn to scale, about: 27,000 pixels
MOST_HIDDEN: Final = 100

_INSTANTS: Final = Range(-1e12, 1e12, whole=False)
_SCALES: Final = Range(0, 1e9, whole=False, above=True)

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


@dataclass(slots=True, frozen=True)
class _Wanted:
    """The ladder that is asked for."""

    ends: tuple[End, End]
    until: float | None  # None: now
    scale_s: float | None  # of a line; None: each as long as it takes until something happens
    width: int
    hidden: tuple[str, ...]  # nodes that are not drawn: packets pass by them


def _ladder(feed: Feed, asked: Asked) -> object:
    """Return the ladder of one connection, as SVG, and which nodes it comes by."""
    until = _number(asked.get("until"), _INSTANTS, "until is an instant")
    scale_s = _number(asked.get("scale"), _SCALES, "scale is the seconds of a line")
    hidden = asked.get("hidden", [])
    if (
        not isinstance(hidden, list)
        or len(hidden) > MOST_HIDDEN
        or not all(isinstance(name, str) for name in hidden)
    ):
        raise ConfigError("hidden is a list of nodes")
    width = asked.get("width")
    if not isinstance(width, int) or not LEAST_WIDTH <= width <= MOST_WIDTH:
        width = USUAL_WIDTH
    names = tuple(sorted(hidden))
    wanted = _Wanted(_ends(asked.get("ends")), until, scale_s, width, names)
    return feed.remembered(repr(wanted), lambda: _drawn(feed, wanted))


def _drawn(feed: Feed, wanted: _Wanted) -> object:
    ends = frozenset(wanted.ends)
    feed.took_long()
    found = (each for each in feed.tape.newest_first() if _is_of(each, ends, wanted.until))
    kept = [*islice(found, MOST_RUNGS)][::-1]
    if not kept:
        return {"svg": "", "words": "Nothing of this connection is kept any more."}
    # By their numbers here, which are those of `frame`
    passages = [
        replace(each.item, number=each.number) for each in kept if isinstance(each.item, Passage)
    ]
    nodes = dict.fromkeys(name for each in passages for name in (each.sender, each.receiver))
    events = [each.item for each in kept if not isinstance(each.item, Passage)]
    items = [*over(passages, wanted.hidden), *events]
    began, last = _at(kept[0]), _at(kept[-1])
    scale_s = wanted.scale_s
    ladder = Ladder.of(
        sorted(items, key=_when),
        names=feed.world.names(),
        between=wanted.ends,
        origin=began,
        most=MOST_ARROWS,
        notes=("drop", "repair", "state", "milestone"),
    )
    return {
        "svg": ladder.svg(
            width=wanted.width,
            fragment=True,
            scale_s=None if scale_s is None else max(scale_s, (last - began) / MOST_LINES),
            window=False,
        ),
        "words": f"{len(kept)} frames and events of it.",
        "began": began,
        "nodes": [name for name in nodes if name],
    }


def _is_of(kept: Kept, ends: frozenset[End], until: float | None) -> bool:
    item = kept.item
    if isinstance(item, TcpEvent):
        found = item.local in ends and item.remote in ends
    else:
        found = kept.ends == ends
    return found and (until is None or _at(kept) <= until)


def _at(kept: Kept) -> float:
    return _when(kept.item)


def _when(item: Item) -> float:
    return item.entered_at if isinstance(item, Passage) else item.at


def _number(value: object, within: Range, sentence: str) -> float | None:
    """Return a number that may be left out. Raises ConfigError."""
    if value is None:
        return None
    if not isinstance(value, int | float) or not within.allows(value):
        raise ConfigError(sentence)
    return value


def _ends(value: object) -> tuple[End, End]:
    """Return two ends, as JSON has them. Raises ConfigError."""
    match value:
        case [[str(a), int(p)], [str(b), int(q)]]:
            return (a, p), (b, q)
        case _:
            raise ConfigError("a ladder is of two ends, each an address and a port")


def _map(feed: Feed, asked: Asked) -> object:
    """Return where the nodes and links of a lab are on its map."""
    return feed.remembered("map", lambda: map_of(feed.world, feed.control))


def _counters(feed: Feed, asked: Asked) -> object:
    """Return a sentence for each counter."""
    return {name: each.sentence for name, each in feed.control.world.explanations.items()}


def whole(frame: Frame) -> bytes:
    """Return the bytes of a frame with its checksum filled in, if it was to be."""
    try:
        return completed(frame).data
    except (WireError, ValueError):
        return frame.data


DEAR: Final = ("ladder",)  # what takes long: see `Feed.free`
QUESTIONS: Final[dict[str, Callable[[Feed, Asked], object]]] = {
    "counters": _counters,
    "frame": _frame,
    "ladder": _ladder,
    "map": _map,
}

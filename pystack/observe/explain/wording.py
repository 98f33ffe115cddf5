"""Values as all the renderers write them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from pystack.observe.amounts import duration
from pystack.observe.explain.story import Box, Header, Shown, Step, Story

# TCP/IP's five layers have no official numbers; books count them from below, as OSI does.
LAYERS5: Final = ("physical", "data link", "network", "transport", "application")
_FIGURE: Final = 24  # characters
_SAME_S: Final = 1e-4
# Whose doing a part of the time is: a bar has the colours of layers.
SPAN_LAYERS: Final[Mapping[str, str]] = {
    "propagation": "physical",
    "serialization": "data link",
    "queueing": "network",
    "retransmission": "transport",
}


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in {"W", "F"} else 1
        for c in text
    )


def instant(story: Story, at: float) -> str:
    """Return an instant as the reader sees it: since the story began."""
    since = at - story.began_at
    return f"{since * 1e3:.1f} ms" if since < 1 else f"{since:.3f} s"


def figures(story: Story) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return a story's facts in two: figures, and what takes a sentence to say.

    But for the total, which stands above them.
    """
    facts = [(name, value) for name, value in story.facts.items() if name != "total"]
    short = [(name, value) for name, value in facts if len(value) <= _FIGURE]
    return short, [(name, value) for name, value in facts if len(value) > _FIGURE]


def chains(story: Story) -> list[list[str]]:
    """Return the way from the first node to the farthest, then what branches off on it.

    Two alone, of which no link is known, are the ends of a capture: something joins them.
    """
    if not story.links and len(story.places) == 2:
        return [list(story.places)]
    near: dict[str, list[str]] = {place: [] for place in story.places}
    for one, other, _ in story.links:
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    left, found = dict.fromkeys(near), list[list[str]]()
    begins = story.places[:1]
    while left:
        way = _longest_way(begins, near, left) or [next(iter(left))]
        found.append(way)
        for place in way:
            left.pop(place, None)
        begins = [place for chain in found for place in chain]
    return found


def _longest_way(
    begins: Sequence[str], near: Mapping[str, Sequence[str]], left: Mapping[str, None]
) -> list[str]:
    """Return the way to the node that is farthest from these, through those that are left.

    Of equally long ones that from the first, to the node that comes first. []: there is none.
    """
    before = dict.fromkeys(begins, "")
    origin = {begin: -number for number, begin in enumerate(begins)}
    steps = dict.fromkeys(begins, 0)
    queue = list(begins)
    for here in queue:
        for there in near[here]:
            if there in left and there not in before:
                before[there], origin[there] = here, origin[here]
                steps[there] = steps[here] + 1
                queue.append(there)
    reached = [place for place in left if steps.get(place)]
    if not reached:
        return []
    way = [max(reached, key=lambda place: (steps[place], origin[place]))]
    while before[way[-1]]:
        way.append(before[way[-1]])
    return way[::-1]


def layers_short(layer5: str, layer7: Sequence[int]) -> str:
    """Return the same in a few characters: "transport · OSI 4"."""
    return f"{layer5} · OSI {'+'.join(map(str, layer7))}" if layer7 else layer5


def who(step: Step) -> str:
    """Return who acts on whom: "client → router"."""
    return " → ".join(step.actors)


def alike(one: Step, other: Step) -> bool:
    """Tell whether two steps of a comparison are the same to a reader."""
    took = abs((one.until - one.at) - (other.until - other.at))
    return one.title == other.title and took < _SAME_S


def byte_range(header: Header) -> str:
    """Return where in the frame a field stands: "bytes 14-15", "byte 14, bits 0-3", or ""."""
    if header.start_bit < 0 or header.bits <= 0:
        return ""
    first, last = header.start_bit // 8, (header.start_bit + header.bits - 1) // 8
    if header.start_bit % 8 or header.bits % 8:
        begin = header.start_bit % 8
        end = (header.start_bit + header.bits - 1) % 8
        if first == last:
            bits = f"bit {begin}" if begin == end else f"bits {begin}-{end}"
            return f"byte {first}, {bits}"
        return f"bytes {first}-{last}, from bit {begin}"
    return f"byte {first}" if first == last else f"bytes {first}-{last}"


def sizes(box: Box) -> str:
    """Return what a layer added to what it carries: "20 + 512 bytes"."""
    return f"{box.header_bytes} + {box.payload_bytes} bytes"


def total_s(story: Story) -> float:
    """Return how long it all took."""
    return story.ended_at - story.began_at


def after(story: Story) -> str:
    """Return when what was wanted was there, and when all was over, if that took longer."""
    total = duration(total_s(story))
    last = story.waterfall[-1] if len(story.waterfall) > 1 else None
    if last is None or last.name != "close":
        return f"after {total}"
    return f"after {duration(last.begin - story.began_at)}; closed after {total}"


def percent(part: float, whole: float) -> str:
    """Return a part of a whole: "17 %"."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "0 %"


def fate(shown: Shown) -> str:
    """Return a frame in one line: who sent it to whom, what it is, and what befell it."""
    way = f"{shown.sender or '?'} → {shown.receiver or '?'}"
    return f"{way}  {shown.summary}" + (f" ({shown.fate})" if shown.fate else "")

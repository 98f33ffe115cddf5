"""Recording: what was seen of a network, in order: what explanations and ladders are made of.

It may come from a world of ours, with all that happened inside of the hosts, or from a capture of
somebody else's, which knows frames at one or a few places and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pystack.observe.observer import Event, FrameSeen
from pystack.observe.passage import SEEN, UNDER_WAY, Passage

# What a recording consists of, in the order in which it began
Item = Passage | Event

MOST_ITEMS: Final = 100_000


@dataclass(slots=True)
class Recording:
    """Items in order, and who is who."""

    items: Sequence[Item] = ()
    names: Mapping[str, str] = field(default_factory=dict)  # of nodes, by their addresses
    order: Sequence[str] = ()  # nodes from left to right
    began_at: float = 0.0  # the instant that is shown as 0
    wall_clock_offset_s: float = 0.0  # what to add to instants for seconds since 1970; 0: made up
    knows_inside: bool = True  # events of the hosts are here too; False: frames alone
    vantage: str = ""  # where frames were seen, if at one place alone: "the client's side" ...; ""
    secrets: str = ""  # TLS secrets in NSS' key log format; "": none
    left_out: int = 0  # items that found no room
    left_out_after: int = 0  # so many were kept before those; 0: they are of the beginning
    title: str = ""  # what was done: "http://server/"; "": nobody knows
    outcome: str = ""  # what came of it, as far as the program knows: "200, 10,000 bytes"
    client: str = ""  # the node that acted; "": not known
    server: str = ""  # the node that it wanted something of
    links: Sequence[tuple[str, str, str]] = ()  # two nodes, and how the link between them behaves
    unknown: list[str] = field(default_factory=list)  # sentences: what it cannot know
    setting: str = ""  # where it took place, in a sentence; "": that is plain

    def passages(self) -> Iterator[Passage]:
        """Yield the frames alone."""
        return (item for item in self.items if isinstance(item, Passage))


class Recorder:
    """An observer that keeps the last of what happens: `net.observe(Recorder())`."""

    def __init__(self, items: int = MOST_ITEMS, *, first: int = 0) -> None:
        """`items`: how many are kept; the oldest go first, and are counted in `left_out`.

        `first`: so many of the very first stay, too: how something began tells more than its
        middle.
        """
        self.left_out = 0
        self._first = first
        self._beginning: list[Item] = []
        self._items: deque[Item] = deque(maxlen=items - first)
        self._number = 0

    def on_event(self, event: Event) -> None:
        """Keep it, but for frames, each of which is a passage as well."""
        if not isinstance(event, FrameSeen):
            self._keep(event)

    def on_passage(self, passage: Passage) -> None:
        """Keep it, when it begins."""
        if passage.end in (UNDER_WAY, SEEN):  # else it is told a second time, when it has ended
            self._number += 1
            passage.number = passage.number or self._number  # another recorder may have counted it
            self._keep(passage)

    def items(self) -> list[Item]:
        """Return what is kept, in order."""
        return [*self._beginning, *self._items]

    def clear(self) -> None:
        """Forget what was kept."""
        self._beginning.clear()
        self._items.clear()

    def _keep(self, item: Item) -> None:
        if len(self._beginning) < self._first:
            self._beginning.append(item)
            return
        if len(self._items) == self._items.maxlen:
            self.left_out += 1
        self._items.append(item)

"""Story: what was told of a recording: steps in order, where the time went, and what is not known.

Made by `telling.tell`, shown by the renderers. All values are those of the run. Texts are plain:
a renderer escapes, colours and wraps them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

Layer5 = Literal["application", "transport", "network", "data link", "physical"]
Depth = Literal["story", "fields", "bytes"]  # how much is shown
# OSI's, by number; a step may be about several of them
LAYERS7: Final = {
    7: "application",
    6: "presentation",
    5: "session",
    4: "transport",
    3: "network",
    2: "data link",
    1: "physical",
}


@dataclass(slots=True)
class Header:
    """A field of a header, with its real value."""

    name: str  # as the RFC names it
    value: str
    meaning: str = ""  # what it means here, in a few words; "": the value says it
    start_bit: int = -1  # from the beginning of the frame; -1: not in the frame
    bits: int = 0


@dataclass(slots=True)
class Box:
    """One envelope of the nested ones: what one layer put around what the layer above gave it."""

    layer5: Layer5
    layer7: tuple[int, ...]
    title: str  # "TCP segment", "Ethernet frame"
    header_bytes: int  # what this layer added in front (and behind)
    payload_bytes: int  # what is inside
    start: int = 0  # where it begins in the frame, in bytes
    headers: list[Header] = field(default_factory=list)


@dataclass(slots=True)
class Shown:
    """A frame of a step: which passage, its boxes from outside to inside, its bytes."""

    number: int  # `Passage.number`
    at: float
    sender: str
    receiver: str
    summary: str  # in one line
    boxes: list[Box] = field(default_factory=list)
    data: bytes = b""
    fate: str = ""  # "arrived after 20 ms, 3 ms of them in the queue", "lost: pfifo_full"


@dataclass(slots=True)
class Step:
    """One thing that happened, told."""

    kind: str  # key of `knowledge.toml`: "resolve", "route", "neighbor", "handshake", "request" ...
    at: float
    until: float  # >= at
    title: str  # in one line, with the real names and numbers
    text: str  # some sentences: what happened here, and why
    layer5: Layer5
    layer7: tuple[int, ...]
    actors: tuple[str, ...] = ()  # the nodes that it is about, the acting one first
    details: list[tuple[str, str, str]] = field(default_factory=list)  # name, value, meaning
    frames: list[Shown] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)  # node, what its end is now
    owner: str = ""  # who does this in a real system: "your code", "the kernel" ...
    sources: list[str] = field(default_factory=list)  # "RFC 9293 section 3.5"
    commands: list[tuple[str, str]] = field(default_factory=list)  # what to type, what it shows
    in_node: str = ""  # what Node's http, net or dgram does here; "": nothing to say
    in_python: str = ""  # the same of asyncio and http.client
    is_trouble: bool = False  # a loss, a time-out, a reset


@dataclass(slots=True)
class Span:
    """A stretch of the total time. Those of one level add up to their parent's."""

    name: str  # "dns", "connect", "tls", "waiting", "transfer" ...; below: "propagation" ...
    begin: float
    end: float
    seconds: float  # of it: spans below another need not be in one piece
    parts: list[Span] = field(default_factory=list)
    text: str = ""  # what it was spent on


@dataclass(slots=True)
class Story:
    """All that is told."""

    title: str  # "GET http://server/ over HTTP/1.1"
    places: list[str] = field(default_factory=list)  # the nodes, from left to right
    links: list[tuple[str, str, str]] = field(default_factory=list)  # two nodes, how it behaves
    began_at: float = 0.0
    ended_at: float = 0.0
    steps: list[Step] = field(default_factory=list)
    waterfall: list[Span] = field(default_factory=list)  # adds up to the total
    facts: dict[str, str] = field(default_factory=dict)  # "round trips": "4", "frames lost": "0"
    unknown: list[str] = field(default_factory=list)  # sentences: what this recording cannot know
    outcome: str = ""  # "200, 14,023 bytes", or what went wrong
    setting: str = ""  # where it took place, in a sentence; "": that is plain


@dataclass(slots=True)
class Difference:
    """A figure or a fact in which two stories differ."""

    name: str  # "total", "frames lost", "round trips"
    left: str
    right: str
    text: str = ""  # why; "": that is plain


@dataclass(slots=True)
class Comparison:
    """Two stories side by side."""

    left: Story
    right: Story
    names: tuple[str, str]  # what the two are: ("loss=0", "loss=5%"), ("tcp", "udp")
    differences: list[Difference] = field(default_factory=list)
    # Indices of steps that correspond, in order; None: the other story alone has such a step.
    pairs: list[tuple[int | None, int | None]] = field(default_factory=list)
    text: str = ""  # what it comes to, in some sentences


class Drawn(Protocol):
    """A ladder of what is told, as renderers ask for it (`observe/ladder` has it)."""

    def lines(self, *, width: int, ascii_only: bool, window: bool) -> list[str]:
        """Return it as text. `window`: with cwnd and bytes in flight."""
        ...

    def svg(self, *, fragment: bool) -> str:
        """Return it as a picture. `fragment`: to stand in a page, which has its style."""
        ...

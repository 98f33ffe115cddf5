"""What is kept of a conversation: frames that are shown, turns, losses, windows, both sides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pystack.core.tcp_events import TcpRetransmitted
from pystack.observe.explain.ledger import Leg
from pystack.observe.explain.reading import Read
from pystack.observe.passage import SEEN, Passage

MOST_SIZES: Final = 48  # segments of a turn of which the bytes are listed
HEAD_BYTES: Final = 16_384  # of a message, to see what it is


@dataclass(slots=True)
class Kept:
    """A frame of which more is shown."""

    passage: Passage  # on the first link that it crosses
    read: Read
    arrived_at: float | None = None  # where it was to go; None: not (yet), or nobody knows
    was: str = ""  # of a file: what the segment was to its conversation (`SegmentKind`)
    is_first: bool = True  # of a file: these bytes were not seen before
    guess: str = ""  # of a file: why it was sent again, most likely: "rto", "fast", "tlp", "syn"
    lost_on: Passage | None = None  # the link behind the first on which it was lost

    @property
    def lost(self) -> str:
        """Return why it did not arrive; "": it did, or nobody knows."""
        gone = self.lost_on or self.passage
        if gone.refused.startswith("tcp_") and "checksum" not in gone.refused:
            return gone.lost  # it was there, and TCP had no use for it
        return gone.lost or gone.refused

    @property
    def is_lost(self) -> bool | None:
        """Tell whether it did not arrive; None: nobody knows."""
        return True if self.lost else None if self.passage.end == SEEN else False

    @property
    def there_at(self) -> float:
        """Return when it was there, or else when it was sent."""
        return self.passage.entered_at if self.arrived_at is None else self.arrived_at


@dataclass(slots=True)
class Round:
    """What was sent until the first of it was acknowledged."""

    at: float
    first_seq: int
    segments: int = 0
    size: int = 0
    cwnd_bytes: int = 0  # 0: not known


@dataclass(slots=True)
class Turn:
    """What one side says until the other speaks: a request, an answer."""

    side: int  # 0: the client speaks
    begin: int  # sequence numbers, from the first byte of the stream
    end: int
    first_at: float
    last_at: float
    segments: int = 0
    arrived_at: float | None = None  # its first byte, at the other side
    delivered_at: float | None = None  # its last one, and all before it
    acked_at: float | None = None  # the sender knows
    sizes: list[tuple[int, int]] = field(default_factory=list)  # from where, how many bytes
    kept: list[Kept] = field(default_factory=list)
    last: Kept | None = None
    head: bytearray = field(default_factory=bytearray)
    ahead: dict[int, bytes] = field(default_factory=dict)  # behind a hole of the head: from where
    rounds: list[Round] = field(default_factory=list)
    acks: list[Kept] = field(default_factory=list)
    ack_count: int = 0
    delayed: list[tuple[float, float]] = field(default_factory=list)  # when, how long it waited
    ack_delay_s: float = 0.0  # the longest
    queued_s: float = 0.0  # the longest wait of a segment for a link to be free
    queued_sum_s: float = 0.0
    queued_at: str = ""  # where that was
    queued: Kept | None = None
    least_wnd: int | None = None  # the smallest window that was offered meanwhile
    marked: int = 0  # ECN: segments with CE
    limit: tuple[float, int, int] | None = None  # the peer's window held it back: when, that, cwnd
    starts_phase: str = ""  # the milestone that it follows

    @property
    def there_at(self) -> float:
        """Return when all of it was at the other side, or else when it was sent."""
        return self.last_at if self.delivered_at is None else self.delivered_at

    @property
    def size(self) -> int:
        """Return how many bytes it has."""
        return self.end - self.begin

    def put(self, begin: int, data: bytes) -> None:
        """Take bytes that were not seen before, in whatever order they come."""
        if begin < self.begin:
            self.sizes = [(at + self.begin - begin, size) for at, size in self.sizes]
            self.ahead[self.begin] = bytes(self.head)
            self.head.clear()
            self.begin = begin
        if len(self.sizes) < MOST_SIZES:
            self.sizes.append((begin - self.begin, len(data)))
        if begin - self.begin < HEAD_BYTES:
            self.ahead[begin] = bytes(data)
        while len(self.head) < HEAD_BYTES:
            more = self.ahead.pop(self.begin + len(self.head), b"")
            if not more:
                return
            self.head += more


@dataclass(slots=True)
class Loss:
    """A segment that did not arrive."""

    at: float
    side: int
    kept: Kept
    reason: str
    begin: int
    end: int  # == begin: without text, SYN or FIN
    repaired_at: float | None = None


@dataclass(slots=True)
class Again:
    """A segment that was sent again."""

    at: float
    side: int
    kept: Kept
    begin: int
    end: int
    first_at: float | None
    was_lost: bool | None  # None: not known
    event: TcpRetransmitted | None = None  # why; None: the sender has not told
    reason: str = ""  # the event's, or "mtu": it was too large for the path


@dataclass(slots=True)
class Window:
    """A window that was closed for a while."""

    side: int  # whose window
    at: float
    kept: Kept
    opened_at: float | None = None
    probes: int = 0


@dataclass(slots=True)
class Side:
    """One end: what it sends, and what has come of it."""

    node: str  # with its port, where both are programs of one host
    address: str
    port: int
    syn: Kept | None = None
    syn_at: float = 0.0
    origin: int | None = None  # sequence number of the first byte; None: nothing was seen
    next_new: int = 0  # from the origin: what was never sent yet
    acked: int = 0  # what the other side is known to have, by this one
    delivered: int = 0  # what the other side has in order
    gaps: list[tuple[int, int]] = field(default_factory=list)  # what it has beyond that
    flight: list[tuple[int, int, float, Leg, bool | None]] = field(default_factory=list)
    segments: int = 0
    text_bytes: int = 0  # without what was sent again
    again: int = 0
    wnd_shift: int = 0
    wnd: int = 0
    fin: Kept | None = None
    fin_seq: int | None = None
    fin_acked: Kept | None = None
    rst: Kept | None = None
    round: Round | None = None
    unacked_since: float | None = None  # text has come that this side has not acknowledged
    cwnd_bytes: int = 0
    states: list[tuple[float, str]] = field(default_factory=list)
    rtts: list[tuple[float, float]] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Return the node and its port, which may stand in the node's name already."""
        said = self.node.endswith(f":{self.port}")
        return self.node if said else f"{self.node} port {self.port}"

"""What a ladder consists of: lifelines, arrows between them, notes at them, a window beside them.

All times are the world's, in seconds. Texts are plain: whoever draws them escapes and cuts them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal[
    "neighbor",  # ARP, neighbor discovery
    "handshake",  # SYN, SYN ACK and the ACK that completes it
    "data",
    "ack",
    "again",  # a retransmission
    "fin",
    "rst",
    "icmp",
    "dns",
    "udp",
    "tls",
    "other",
]
KINDS: Final[dict[Kind, str]] = {
    "neighbor": "ARP and neighbor discovery",
    "handshake": "TCP handshake",
    "data": "TCP data",
    "ack": "TCP acknowledgment",
    "again": "sent again",
    "fin": "TCP end",
    "rst": "TCP reset",
    "icmp": "ICMP",
    "dns": "DNS",
    "udp": "UDP",
    "tls": "TLS records",
    "other": "other frames",
}

End = tuple[str, int]  # address as text, port


@dataclass(slots=True)
class Lifeline:
    """One node, downwards in time."""

    name: str
    detail: str = ""  # a second line below its name: an address


@dataclass(slots=True, eq=False)
class Arrow:
    """One frame on one link, or several like it."""

    sender: str  # names of lifelines
    receiver: str  # "": nobody knows: it ends in the open
    sent_at: float  # when it was put on the link
    arrives_at: float | None  # None: it did not arrive, or not before the end
    kind: Kind
    label: str  # in a few words: "SYN", "1,460 bytes, seq 1"
    text: str = ""  # in one line, as tcpdump has it
    number: int = 0  # of its passage in the recording, the first one's of several; 0: none
    marks: tuple[str, ...] = ()  # what befell it: "rto", "copy", "corrupt (bit 3 of byte 41)"
    details: tuple[str, ...] = ()  # more lines below its label
    lost: str = ""  # why it did not arrive
    lost_at: float | None = None  # when; None: not known
    lost_part: float = 0.5  # where: 0 at the sender's, 1 at the receiver's
    count: int = 1  # how many passages it stands for

    @property
    def ends_at(self) -> float:
        """When there is no more of it to be drawn."""
        last = self.lost_at if self.lost else self.arrives_at
        return self.sent_at if last is None else max(last, self.sent_at)


@dataclass(slots=True, eq=False)
class Note:
    """Something that happened at one node, or in the middle of a link."""

    at: float
    node: str  # the lifeline's name; "": of none
    text: str
    kind: str  # "drop", "again", "repair", "state", "milestone", "name", "route", "neighbor"


@dataclass(slots=True)
class Window:
    """Of the sender of one connection: what it may have under way, and what it has."""

    node: str
    local: End
    remote: End
    cwnd: list[tuple[float, int]] = field(default_factory=list)  # instant, bytes: from then on
    flight: list[tuple[float, int]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Diagram:
    """All that is drawn."""

    lifelines: list[Lifeline] = field(default_factory=list)  # from left to right
    arrows: list[Arrow] = field(default_factory=list)  # in the order in which they were sent
    notes: list[Note] = field(default_factory=list)  # in their order
    window: Window | None = None  # None: not known, or of no interest
    origin: float = 0.0  # the instant that is shown as 0
    passages: int = 0  # that there were to show: counted by an arrow, or left out
    left_out: int = 0  # passages before the first arrow, for which there was no room
    notes_left_out: int = 0  # notes before the first one

    def rows(self) -> list[Arrow | Note]:
        """Return arrows and notes in the order in which they began.

        What a node notes it does because of what has arrived, or before it sends: a note goes
        before an arrow of the same instant.
        """
        notes, arrows = self.notes, self.arrows
        rows: list[Arrow | Note] = []
        at = 0
        for arrow in arrows:
            while at < len(notes) and notes[at].at <= arrow.sent_at:
                rows.append(notes[at])
                at += 1
            rows.append(arrow)
        return rows + notes[at:]

"""Passage: one frame's way over one link, with all that befell it there.

The one thing that captures, ladders, `explain` and the live page are made of. A link that somebody
watches makes one for each frame that is put on it, and fills it in as things happen. Where there is
no link (a TAP device, a capture of somebody else's) it is made of what an interface saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from pystack.wire.frame import Frame

UNDER_WAY: Final = ""  # `Passage.end` until it has ended
ARRIVED: Final = "arrived"
LOST: Final = "lost"
SEEN: Final = "seen"  # at one place; nobody knows how it went on


@dataclass(slots=True)
class Change:
    """Something that was done to a frame on its way, after which it went on."""

    what: str  # "corrupt", "duplicate", "reorder", or a queue's mark: "codel_mark"
    at: float
    detail: str = ""  # "bit 3 of byte 41"; "" where there is no more to say


@dataclass(slots=True, eq=False)
class Passage:
    """A frame on a link. Instants are the world's; None: not (yet) known."""

    place: str  # the link's name, or "host/interface" where there is no link
    sender: str  # names of nodes; "": not known
    receiver: str
    frame: Frame  # as it was put on the link
    entered_at: float  # when the sender put it there: it may have to wait in the queue
    number: int = 0  # its place in a recording, from 1; 0: it is in none
    begins_at: float | None = None  # its first bit goes out; before that it waited in the queue
    sent_at: float | None = None  # its last bit is out: serialization ends, propagation begins
    arrives_at: float | None = None  # is due at the other end, or was there
    end: str = UNDER_WAY
    ended_at: float | None = None
    lost: str = ""  # why, by the name of the counter: "loss", "pfifo_full", "link_down" ...
    changes: list[Change] = field(default_factory=list)
    copy_of: Passage | None = None  # None: it is no duplicate
    arrived: Frame | None = None  # None: as it was put on, or not there (yet)
    refused: str = ""  # why the receiving host dropped it, as far as it did so at once

    @property
    def queued_s(self) -> float | None:
        """How long it waited for the line to be free; None: not known."""
        return None if self.begins_at is None else self.begins_at - self.entered_at

    @property
    def serialization_s(self) -> float | None:
        """How long its bits took to go out; None: not known."""
        return (
            None
            if self.sent_at is None or self.begins_at is None
            else self.sent_at - self.begins_at
        )

    @property
    def propagation_s(self) -> float | None:
        """How long the last bit was on its way, jitter included; None: not known."""
        return (
            None
            if self.arrives_at is None or self.sent_at is None
            else self.arrives_at - self.sent_at
        )


@runtime_checkable
class PassageWatcher(Protocol):
    """An observer that is also told of frames on links. Without any, links do nothing for it."""

    def on_passage(self, passage: Passage) -> None:
        """Take note: called when a frame is put on a link, and again when its passage has ended.

        It is the same object both times. The receiver gets what has arrived after that, so that
        `refused` is filled in a moment later, at the same instant. One that is under way when the
        link is reconfigured, or the world ends, may never end.
        """
        ...

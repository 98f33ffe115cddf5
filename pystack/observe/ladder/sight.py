"""A passage as a ladder looks at it."""

from __future__ import annotations

from dataclasses import dataclass

from pystack.observe.ladder.frames import Look
from pystack.observe.passage import LOST, Passage


@dataclass(slots=True, eq=False)
class Sight:
    """One passage, and what it is."""

    passage: Passage
    look: Look
    sender: str  # also where the passage itself does not know
    receiver: str
    at: float
    seen_as: str = ""  # something of note, as frames alone tell: "dup ack"; "": nothing
    again: str = ""  # why it is a retransmission; "": it is none

    @property
    def is_plain(self) -> bool:
        """Tell whether it is one like many: nothing is lost when it is counted and not drawn."""
        passage, look = self.passage, self.look
        return (
            look.kind in ("data", "ack", "tls", "udp")
            and not self.again
            and self.seen_as in ("", "dup ack")
            and not passage.changes
            and not passage.refused
            and passage.copy_of is None
            and passage.end != LOST
            and not (look.is_tcp and look.starts_something)
        )

"""What the engine tells its owner, in the order in which it happened.

The owner fetches events with `Connection.next_event` after each input; a transition itself has no
effect outside of the connection.
"""

from dataclasses import dataclass
from enum import Enum

from pystack.tcp.states import TcpState


class Signal(Enum):
    """Something that the owner may have been waiting for."""

    ESTABLISHED = "established"
    READABLE = "readable"  # data, or the peer's end of data
    WRITABLE = "writable"  # room in the send buffer again
    URGENT = "urgent"  # the peer's urgent pointer is new, or has moved on
    CLOSED = "closed"  # the end; `Connection.error` says whether it was a good one


@dataclass(slots=True)
class StateChange:
    """The connection entered another state."""

    old: TcpState
    new: TcpState


@dataclass(slots=True)
class Retransmission:
    """A segment was sent again."""

    reason: str  # "rto", "dupack", or "syn": our SYN again, in answer to the peer's
    seq: int
    payload_bytes: int


@dataclass(slots=True)
class SoftError:
    """Something is wrong with the path, and the connection goes on (RFC 9293 section 3.9.1.8)."""

    number: int  # errno
    reason: str  # "icmp", or "retransmitting": the threshold R1 is reached


Event = Signal | StateChange | Retransmission | SoftError

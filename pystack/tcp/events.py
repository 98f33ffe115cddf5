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
    """The connection entered another state; only where somebody watches."""

    old: TcpState
    new: TcpState


@dataclass(slots=True)
class Retransmission:
    """A segment was sent again."""

    # why: "rto", "rack", "sack" or "dupack" (by which loss recovery), "tlp": a tail loss probe;
    # "probe": an old number, which asks for an answer (zero window, keep-alive); or "syn": our SYN
    # again, in answer to the peer's
    reason: str
    seq: int
    payload_bytes: int


@dataclass(slots=True)
class SoftError:
    """Something is wrong with the path, and the connection goes on (RFC 9293 section 3.9.1.8)."""

    number: int  # errno
    reason: str  # "icmp", or "retransmitting": the threshold R1 is reached


@dataclass(slots=True)
class Repair:
    """Loss recovery begins or ends; only where somebody watches."""

    what: str  # "recovery", "timeout", "recovered", or "undo": it was for nothing


@dataclass(slots=True)
class Measured:
    """A variable has a new value; only where somebody watches."""

    name: str  # "rtt_s", a single measurement; "cwnd_bytes"
    value: float


Event = Signal | StateChange | Retransmission | SoftError | Repair | Measured

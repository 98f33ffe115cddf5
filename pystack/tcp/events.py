"""What the engine tells its owner, in the order in which it happened.

The owner fetches events with `Connection.next_event` after each input; a transition itself has no
effect outside of the connection. All but the signals are what observers are shown; state changes,
repairs and measurements are only made where somebody watches.
"""

from enum import Enum

from pystack.core.tcp_events import (
    TcpMeasured,
    TcpRepair,
    TcpRetransmitted,
    TcpSoftError,
    TcpStateChanged,
)
from pystack.tcp.congestion.guarded import ControlError


class Signal(Enum):
    """Something that the owner may have been waiting for."""

    ESTABLISHED = "established"
    READABLE = "readable"  # data, or the peer's end of data
    WRITABLE = "writable"  # room in the send buffer again
    URGENT = "urgent"  # the peer's urgent pointer is new, or has moved on
    CLOSED = "closed"  # the end; `Connection.error` says whether it was a good one


Event = (
    Signal
    | ControlError
    | TcpStateChanged
    | TcpRetransmitted
    | TcpSoftError
    | TcpRepair
    | TcpMeasured
)

"""What happens to a TCP connection: made by the engine, shown to observers as it is.

The engine says what happened; whose connection it is, and when, is filled in by its host, and only
where somebody looks on. One class for both, so that nothing is copied from one to the other.
"""

import math
from dataclasses import dataclass

NOBODY = ("", 0)  # an end that nobody has filled in


@dataclass(slots=True)
class TcpEvent:
    """Something that happened to a connection."""

    at: float = math.nan  # the world's time in seconds
    host: str = ""  # the name of the host whose connection it is
    local: tuple[str, int] = NOBODY  # its address and port
    remote: tuple[str, int] = NOBODY


@dataclass(slots=True)
class TcpStateChanged(TcpEvent):
    """A connection went from one state of RFC 9293 into another; their names are the RFC's."""

    old: str = ""
    new: str = ""


@dataclass(slots=True)
class TcpRetransmitted(TcpEvent):
    """A segment was sent again."""

    # "rto", "rack", "sack" or "dupack" (by which loss recovery), "tlp": a tail loss probe; "probe":
    # an old number, which asks for an answer (zero window, keep-alive); or "syn": our SYN again, in
    # answer to the peer's
    reason: str = ""
    seq: int = 0  # as on the wire
    payload_bytes: int = 0
    # Why just then: the time-out ("rto") or the wait for a probe ("tlp") that ran out, 0.0: none
    # did; the round trip (smoothed, 0.0: not measured; its deviation) and the window for reordering
    timer_s: float = 0.0
    srtt_s: float = 0.0
    rttvar_s: float = 0.0
    reo_wnd_s: float = 0.0


@dataclass(slots=True)
class TcpSoftError(TcpEvent):
    """A connection has trouble and goes on; its user is told too, who may have turned that off.

    RFC 9293 section 3.9.1.8.
    """

    number: int = 0  # errno
    reason: str = ""  # "icmp", or "retransmitting": again and again without an answer (R1)


@dataclass(slots=True)
class TcpRepair(TcpEvent):
    """Loss recovery began or ended; the sizes are those after it."""

    what: str = ""  # "recovery", "timeout", "recovered", or "undo": it was for nothing
    cwnd_bytes: int = 0
    ssthresh_bytes: int = 0
    timer_s: float = 0.0  # of a time-out: how long it was; else 0.0


@dataclass(slots=True)
class TcpMeasured(TcpEvent):
    """A connection measured a round trip, or has another congestion window."""

    name: str = ""  # "rtt_s", a single measurement, or "cwnd_bytes"
    value: float = 0.0

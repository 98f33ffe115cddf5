"""The eleven states of a connection and the legal ways between them (RFC 9293 section 3.3.2).

`LEGAL` lists what is allowed, not what triggers it: the triggers follow the RFC's prose in
`arrives.py`, `handshake.py` and `calls.py`, and every change of state goes through `enter`, which
holds it against the table.
"""

from enum import Enum
from typing import Final


class TcpState(Enum):
    """The states of RFC 9293, by their names there."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    __hash__ = object.__hash__  # Enum's own is a Python function; states are looked up per segment


# Every state may go to CLOSED: by a reset, a time-out, an abort, or its regular end.
LEGAL: Final[dict[TcpState, frozenset[TcpState]]] = {
    TcpState.CLOSED: frozenset({TcpState.LISTEN, TcpState.SYN_SENT, TcpState.SYN_RECEIVED}),
    TcpState.LISTEN: frozenset({TcpState.SYN_RECEIVED, TcpState.SYN_SENT, TcpState.CLOSED}),
    TcpState.SYN_SENT: frozenset({TcpState.SYN_RECEIVED, TcpState.ESTABLISHED, TcpState.CLOSED}),
    TcpState.SYN_RECEIVED: frozenset(
        {TcpState.ESTABLISHED, TcpState.FIN_WAIT_1, TcpState.CLOSE_WAIT, TcpState.CLOSED}
    ),
    TcpState.ESTABLISHED: frozenset({TcpState.FIN_WAIT_1, TcpState.CLOSE_WAIT, TcpState.CLOSED}),
    TcpState.FIN_WAIT_1: frozenset(
        {TcpState.FIN_WAIT_2, TcpState.CLOSING, TcpState.TIME_WAIT, TcpState.CLOSED}
    ),
    TcpState.FIN_WAIT_2: frozenset({TcpState.TIME_WAIT, TcpState.CLOSED}),
    TcpState.CLOSE_WAIT: frozenset({TcpState.LAST_ACK, TcpState.CLOSED}),
    TcpState.CLOSING: frozenset({TcpState.TIME_WAIT, TcpState.CLOSED}),
    TcpState.LAST_ACK: frozenset({TcpState.CLOSED}),
    TcpState.TIME_WAIT: frozenset({TcpState.CLOSED}),
}

# Where nothing of the connection is left but its name
OVER: Final = frozenset({TcpState.CLOSED, TcpState.TIME_WAIT})
# Where the user may still write, section 3.10.2 (in SYN-SENT and SYN-RECEIVED it is queued)
MAY_WRITE: Final = frozenset(
    {TcpState.SYN_SENT, TcpState.SYN_RECEIVED, TcpState.ESTABLISHED, TcpState.CLOSE_WAIT}
)
# Where the peer may still send text, section 3.10.7.4, seventh
MAY_RECEIVE: Final = frozenset({TcpState.ESTABLISHED, TcpState.FIN_WAIT_1, TcpState.FIN_WAIT_2})
# Where data and a FIN of ours may be in flight, and be sent (again)
MAY_SEND: Final = frozenset(
    {
        TcpState.ESTABLISHED,
        TcpState.CLOSE_WAIT,
        TcpState.FIN_WAIT_1,
        TcpState.CLOSING,
        TcpState.LAST_ACK,
    }
)

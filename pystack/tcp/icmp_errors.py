"""What ICMP tells a connection (RFC 9293 section 3.9.2.2, RFC 5927); its MTU: `path_mtu.py`."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pystack.core.tcp_events import TcpSoftError
from pystack.tcp.seq import unwrap
from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection


def concerns(conn: Connection, wire_seq: int) -> bool:
    """Tell whether an error quotes a segment that is on its way now (RFC 5927 section 4.1)."""
    tcb = conn.tcb
    # For Fast Open the SYN-ACK is as good as acknowledged, but it is on its way.
    first = tcb.iss if conn.state is TcpState.SYN_RECEIVED else tcb.snd_una
    return first <= unwrap(wire_seq, tcb.snd_nxt) < tcb.snd_nxt


def unreachable(conn: Connection, number: int, *, hard: bool, not_accepted: bool = False) -> None:
    """Take an error that names the errno `number`.

    A connection that exists goes on (MUST-56: soft errors end nothing, and RFC 5927 section 5.2
    takes hard ones for soft). One that is only being opened ends with it, as in Linux and in what
    RFC 5461 found elsewhere, so that the user does not wait three minutes for a known fact.
    `not_accepted`: so does a listener's that has text by Fast Open, and no user yet.
    """
    waits = conn.state is TcpState.SYN_SENT or not_accepted
    if waits and (hard or conn.config.soft_errors_end_opening):
        conn.finish(number if number != errno.ENOPROTOOPT else errno.ECONNREFUSED)
    else:
        conn.drops.append("tcp_soft_error")
        conn.soft_error = number
        conn.events.append(TcpSoftError(number=number, reason="icmp"))

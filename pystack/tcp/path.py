"""What ICMP tells a connection about its path (RFC 9293 section 3.9.2.2, RFC 1191, RFC 5927)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from pystack.tcp.events import SoftError
from pystack.tcp.seq import unwrap
from pystack.tcp.states import TcpState
from pystack.tcp.timestamps import OPTION_BYTES

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

MIN_PATH_MSS_BYTES: Final = 512  # as Linux's min_pmtu of 552: less is an attack more likely


def concerns(conn: Connection, wire_seq: int) -> bool:
    """Tell whether an error quotes a segment that is on its way now (RFC 5927 section 4.1)."""
    tcb = conn.tcb
    return tcb.snd_una <= unwrap(wire_seq, tcb.snd_nxt) < tcb.snd_nxt


def unreachable(conn: Connection, number: int, *, hard: bool) -> None:
    """Take an error that names the errno `number`.

    A connection that exists goes on (MUST-56: soft errors end nothing, and RFC 5927 section 5.2
    takes hard ones for soft). One that is only being opened ends with it, as in Linux and in what
    RFC 5461 found elsewhere, so that the user does not wait three minutes for a known fact.
    """
    if conn.state is TcpState.SYN_SENT and (hard or conn.config.soft_errors_end_opening):
        conn.finish(number if number != errno.ENOPROTOOPT else errno.ECONNREFUSED)
    else:
        conn.drops.append("tcp_soft_error")
        conn.soft_error = number
        conn.events.append(SoftError(number, "icmp"))


def packet_too_big(conn: Connection, path_mss: int) -> None:
    """Send smaller segments from now on, beginning with those that did not get through."""
    tcb = conn.tcb
    path_mss -= OPTION_BYTES * tcb.timestamps + tcb.ip_option_bytes
    path_mss = max(path_mss, min(MIN_PATH_MSS_BYTES, tcb.snd_mss))
    if path_mss >= tcb.snd_mss:
        return
    tcb.snd_mss = path_mss
    conn.recovery.on_too_big()  # not congestion: the control is not told (RFC 1191 section 6.5)

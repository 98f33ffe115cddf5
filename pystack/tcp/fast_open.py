"""TCP Fast Open: text in the SYN (RFC 7413), the connection's part of it.

The client asks for a cookie in one connection, and shows it in the next with the first text. A
server that knows its cookie takes the text at once, and answers, while the handshake still goes on.
What is remembered between connections is the host's: `pystack.stack.fast_open`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pystack.tcp.states import TcpState
from pystack.wire.tcp import Segment
from pystack.wire.tcp_options import FastOpenCookie, TcpOptions

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection


@dataclass(slots=True)
class FastOpen:
    """What an active open knows of its peer from before, and whom it tells of news."""

    cookie: FastOpenCookie  # to be shown; without bytes it asks for one
    mss: int  # that the peer had then: no window is known yet, nor an MSS
    learned: Callable[[FastOpenCookie, int], None]
    failed: Callable[[], None]  # the SYN with text got no answer
    syn_text_bytes: int = 0


def option(conn: Connection) -> FastOpenCookie | None:
    """Return what our SYN or SYN-ACK shows; a SYN that is sent again shows nothing (4.2.1)."""
    if conn.state is not TcpState.SYN_SENT:
        return conn.fast_open_reply
    request = conn.fast_open
    if request is None:
        return None
    if conn.tcb.retries:
        if request.syn_text_bytes and conn.tcb.retries == 1:
            request.failed()
        return None
    return request.cookie


def text_room_bytes(conn: Connection, options_bytes: int) -> int:
    """Return how much text our first SYN may take beside its options; 0 without a cookie."""
    request = conn.fast_open
    if request is None or not request.cookie.value or conn.state is not TcpState.SYN_SENT:
        return 0
    return max(min(request.mss, conn.tcb.mtu_mss) - options_bytes, 0)


def add_text(conn: Connection, syn: Segment) -> None:
    """Put the first of what is queued into our first SYN, where a cookie goes with it."""
    request, tcb = conn.fast_open, conn.tcb
    size = min(len(conn.send_buffer), text_room_bytes(conn, len(syn.options)))
    if request is None or not size:
        return
    syn.payload = conn.send_buffer.slice(tcb.iss + 1, size)
    request.syn_text_bytes = size
    conn.bytes_sent += size
    tcb.snd_nxt += size


def answered(conn: Connection, theirs: TcpOptions) -> None:
    """Take the SYN-ACK's cookie, if it has one."""
    request = conn.fast_open
    if request is not None and theirs.fast_open is not None and theirs.fast_open.value:
        request.learned(theirs.fast_open, conn.tcb.snd_mss)


def settle(conn: Connection, ack: int) -> None:
    """See what of the SYN's text was taken; the rest counts as never sent (4.1.3)."""
    request, tcb = conn.fast_open, conn.tcb
    if request is None or not request.syn_text_bytes:
        return
    taken = ack - (tcb.iss + 1)
    conn.send_buffer.acknowledge(ack)
    conn.bytes_acked += taken
    conn.syn_data_acked = taken > 0
    if ack < tcb.snd_nxt:
        tcb.snd_nxt = ack
        conn.drops.append("tcp_syn_data_refused")

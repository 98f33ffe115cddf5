"""TCP Fast Open: text in the SYN (RFC 7413), the connection's part of it.

The client asks for a cookie in one connection, and shows it in the next with the first text. A
server that knows its cookie takes the text at once, and answers, while the handshake still goes on.
What is remembered between connections is the host's: `pystack.stack.fast_open`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pystack.tcp.states import TcpState
from pystack.wire.tcp import Segment
from pystack.wire.tcp_options import MAX_BYTES, FastOpenCookie, TcpOptions

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

MIN_ADVERTISED_MSS_BYTES: Final = 256  # as Linux's min_adv_mss: no path is believed to take less


@dataclass(slots=True)
class FastOpen:
    """What an active open knows of its peer from before, and whom it tells of news."""

    # To be shown; without bytes it asks for one. None: text goes without (`fast_open_cookieless`)
    cookie: FastOpenCookie | None
    mss: int  # that the peer had then: no window is known yet, nor an MSS
    learned: Callable[[FastOpenCookie | None, int], None]  # no cookie: only the MSS is news
    failed: Callable[[], None]  # the SYN with text got no answer
    syn_text_bytes: int = 0
    sent: bool = False  # our first SYN is on its way, or has been
    too_big: bool = False  # a router said so of its text


def option(conn: Connection) -> FastOpenCookie | None:
    """Return what our SYN or SYN-ACK shows; a SYN that is sent again shows nothing (4.2.1)."""
    if conn.state is not TcpState.SYN_SENT:
        return conn.fast_open_reply
    request = conn.fast_open
    if request is None:
        return None
    if conn.tcb.retries == 1 and request.syn_text_bytes and not request.too_big:
        request.failed()
    return None if request.sent else request.cookie


def text_room_bytes(conn: Connection) -> int:
    """Return how much text our first SYN may take; 0 where a cookie is to be had first.

    As Linux, all the room that options can have stays free: what stands between the two ends may
    add some of its own, and a SYN that is too large then is a round trip lost.
    """
    request, tcb = conn.fast_open, conn.tcb
    if request is None or conn.state is not TcpState.SYN_SENT:
        return 0
    if request.cookie is not None and not request.cookie.value:
        return 0
    mss = min(request.mss, tcb.rcv_mss)
    if tcb.path_mss is not None:
        mss = min(mss, tcb.path_mss)
    return max(mss - tcb.ip_option_bytes - MAX_BYTES, 0)


def add_text(conn: Connection, syn: Segment) -> None:
    """Put the first of what is queued into our first SYN, where a cookie goes with it."""
    request, tcb = conn.fast_open, conn.tcb
    if request is None:
        return
    request.sent = True
    size = min(len(conn.send_buffer), text_room_bytes(conn))
    if not size:
        return
    syn.payload = conn.send_buffer.slice(tcb.iss + 1, size)
    request.syn_text_bytes = size
    conn.bytes_sent += size
    tcb.snd_nxt += size


def answered(conn: Connection, theirs: TcpOptions) -> None:
    """Take the SYN-ACK's cookie, or keep the one we had; with the MSS as the peer tells it now."""
    request = conn.fast_open
    if request is None:
        return
    cookie = theirs.fast_open if request.cookie is not None else None  # else nobody asked for it
    if cookie is None or not cookie.value:
        cookie = request.cookie
    if cookie is None or cookie.value:
        request.learned(cookie, theirs.mss or conn.tcb.sizes.default_mss)


def too_big(conn: Connection, claimed_mss: int) -> bool:
    """ICMP says that our SYN was too large: send it again, without text; True: it is believed.

    Only for the text's sake, so once at most: no router refuses the 60 bytes of a SYN without.
    """
    request, tcb = conn.fast_open, conn.tcb
    claimed_mss = max(claimed_mss, MIN_ADVERTISED_MSS_BYTES)
    if request is None or not request.syn_text_bytes or request.too_big:
        conn.drops.append("tcp_mtu_doubted")
        return False
    if claimed_mss >= tcb.rcv_mss:
        conn.drops.append("tcp_mtu_not_smaller")
        return False
    request.too_big = True
    # What the path takes of ours it will hardly take of the peer's.
    tcb.rcv_mss = tcb.path_mss = tcb.snd_mss = claimed_mss
    tcb.syn_now = True
    return True


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

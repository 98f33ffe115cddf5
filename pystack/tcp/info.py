"""What a connection tells about itself: a snapshot of its variables (after Linux's `tcp_info`).

Sequence numbers are given as they stand on the wire, modulo 2**32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pystack.tcp import pacing, send_buffer, urgent
from pystack.tcp.accurate_ecn import INITIAL_BYTES, AccurateEcn
from pystack.tcp.seq import MASK
from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

_NO_MARKS: Final = AccurateEcn()


@dataclass(frozen=True, slots=True)
class HandshakeSegment:
    """One segment of the three-way handshake, as it was sent or as it arrived."""

    at: float  # the world's time, seconds
    sent: bool  # True: by this host; False: by the peer
    flags: str  # in words, "SYN", "SYN ACK", "ACK"
    seq: int
    ack: int  # 0 where the ACK flag is not set
    wnd: int  # the window field as on the wire, before any scaling
    options: str  # in tcpdump's manner: "mss 1460, wscale 7"; empty for none


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpInfo:
    """A snapshot of one connection. Sizes in bytes, times in seconds.

    Fields with a default need not be given when a snapshot is made by hand, for a test.
    """

    state: TcpState
    congestion: str  # name of the congestion control: "cubic", "newreno", ...

    # sequence space, RFC 9293 section 3.3.1
    iss: int
    irs: int
    snd_una: int
    snd_nxt: int
    rcv_nxt: int
    snd_wnd_bytes: int
    rcv_wnd_bytes: int

    # what the two ends agreed on
    snd_mss_bytes: int  # largest payload that we send in one segment
    rcv_mss_bytes: int  # largest payload that we told the peer to send
    snd_wind_shift: int | None  # None: window scaling was not agreed on
    rcv_wind_shift: int | None
    sack_permitted: bool
    timestamps: bool
    ts_recent: int = 0  # the peer's clock, as we echo it (RFC 7323); 0 without timestamps
    last_ack_sent: int = 0  # RFC 7323 section 4.3
    ecn: bool = False  # RFC 3168
    ecn_seen: bool = False  # a segment with ECT or CE has come

    # path
    srtt_s: float | None  # None until the first measurement
    rttvar_s: float
    min_rtt_s: float | None  # None until the first measurement
    rto_s: float
    cwnd_bytes: int
    ssthresh_bytes: int
    flight_size_bytes: int

    # counts since the connection began
    segments_sent: int
    segments_received: int
    bytes_sent: int  # payload, retransmissions included
    bytes_acked: int
    bytes_received: int  # payload handed to the receive buffer in order
    retransmits: int  # segments sent again
    rcv_space_bytes: int = 0  # what the user read in the last round trip
    rcv_rtt_s: float | None = None  # the round trip as the receiver sees it; None: not measured
    rcv_buffer_bytes: int = 0  # its size now
    readable_bytes: int = 0  # waits for the user
    out_of_order_bytes: int = 0  # waits behind a gap
    urgent_bytes: int = 0  # to be read up to the end of what the peer calls urgent
    syn_data_acked: bool = False  # Fast Open: the text of our SYN was taken
    fast_opened: bool = False  # Fast Open: the peer's SYN opened it, before the handshake's end
    syn_data_taken: bool = False  # with text, which was taken
    quick_acks: int = 0  # so many more ACKs are not delayed
    ce_received: int = 0  # segments with text that were marked on the way, where ECN was agreed on
    ece_received: int = 0  # ACKs that told of such marks
    accurate_ecn: bool = False  # RFC 9768; then `ce_received` counts all packets, and these hold:
    accurate_ecn_option: bool = False  # the peer's option gets through
    accurate_ecn_silent: str = ""  # the counter that says why no ECT is set; "": it is
    ce_delivered: int = 0  # packets of ours that came marked, as the peer tells
    ce_delivered_bytes: int = 0  # of text
    ce_received_bytes: int = 0  # of text that came marked, ...
    ect0_received_bytes: int = 0  # ... with ECT(0), ...
    ect1_received_bytes: int = 0  # ... and with ECT(1)
    dsacks_sent: int = 0  # ranges that came twice, and of which the peer was told (RFC 2883)
    established_at: float | None  # None until ESTABLISHED; the world's time

    # loss recovery
    recovery: str = ""  # its name: "rack", "sack", "newreno", ...
    loss_state: str = "open"  # "open", "disorder", "recovery" or "loss", as Linux names them
    pipe_bytes: int = 0  # RFC 6675's estimate of what is in flight
    sacked_bytes: int = 0  # selectively acknowledged
    lost_bytes: int = 0  # considered lost, sent again or not
    retransmitted_bytes: int = 0  # in flight again
    reordering: int = 3  # segments that may overtake one before it is considered lost
    reordering_seen: bool = False
    reo_wnd_s: float = 0.0  # RFC 8985's window for reordering
    losses: int = 0  # times that a loss made the window smaller, time-outs included
    undos: int = 0  # times that it turned out to be none
    retries: int = 0  # time-outs, or window probes, in a row without an answer
    persist_backoff: int = 0  # window probes since the window was last open

    # sending
    delivered_bytes: int = 0  # acknowledged, selectively too
    delivery_rate_bps: float | None = None  # None: the control asks for no rates, or no sample yet
    app_limited: bool = False  # that rate is the user's, not the path's
    pacing_bps: float | None = None  # None: as fast as the window lets
    not_sent_bytes: int = 0  # waits in the send buffer
    send_buffer_bytes: int = 0  # its size now
    # Time in which text or a FIN waited for its ACK, up to when none did; and in which only the
    # peer's window held it back, up to when it last went on
    busy_s: float = 0.0
    window_limited_s: float = 0.0
    bytes_retransmitted: int = 0
    heard_at: float = 0.0  # when a segment last came in; the world's time
    soft_error: int | None = None  # errno of trouble that ends nothing; None: none since new data


def snapshot(conn: Connection) -> TcpInfo:
    """Return all that a connection tells about itself, as it is now."""
    tcb, rtt, recovery, rates = conn.tcb, conn.rtt, conn.recovery, conn.rates
    loss = recovery.info()
    marks = tcb.accurate or _NO_MARKS
    return TcpInfo(
        state=conn.state,
        congestion=conn.congestion.name,
        iss=tcb.iss & MASK,
        irs=tcb.irs & MASK,
        snd_una=tcb.snd_una & MASK,
        snd_nxt=tcb.snd_nxt & MASK,
        rcv_nxt=tcb.rcv_nxt & MASK,
        snd_wnd_bytes=tcb.snd_wnd,
        rcv_wnd_bytes=tcb.rcv_wnd,
        snd_mss_bytes=tcb.snd_mss,
        rcv_mss_bytes=tcb.rcv_mss,
        snd_wind_shift=tcb.snd_wind_shift,
        rcv_wind_shift=None if tcb.snd_wind_shift is None else tcb.rcv_wind_shift,
        sack_permitted=tcb.sack_permitted,
        timestamps=tcb.timestamps,
        ts_recent=tcb.ts_recent,
        last_ack_sent=tcb.last_ack_sent & MASK,
        srtt_s=rtt.srtt_s,
        rttvar_s=rtt.rttvar_s,
        min_rtt_s=rtt.min_rtt_s,
        rto_s=rtt.rto_s,
        cwnd_bytes=conn.congestion.cwnd_bytes,
        ssthresh_bytes=conn.congestion.ssthresh_bytes,
        flight_size_bytes=tcb.flight_size_bytes,
        segments_sent=conn.segments_sent,
        segments_received=conn.segments_received,
        bytes_sent=conn.bytes_sent,
        bytes_acked=conn.bytes_acked,
        bytes_received=conn.bytes_received,
        retransmits=conn.retransmits,
        soft_error=conn.soft_error,
        dsacks_sent=conn.dsacks_sent,
        rcv_space_bytes=tcb.space_bytes,
        rcv_rtt_s=tcb.rcv_rtt_s,
        rcv_buffer_bytes=tcb.rcv_buf_bytes,
        readable_bytes=conn.receive_buffer.readable_bytes,
        out_of_order_bytes=conn.receive_buffer.out_of_order.size_bytes,
        syn_data_acked=conn.syn_data_acked,
        fast_opened=conn.fast_opened,
        syn_data_taken=conn.syn_data_taken,
        quick_acks=tcb.quick_acks,
        urgent_bytes=urgent.unread_bytes(conn),
        ecn=tcb.ecn,
        ecn_seen=tcb.ecn_seen,
        ce_received=conn.ce_received,
        ece_received=conn.ece_received,
        accurate_ecn=marks.agreed,
        accurate_ecn_option=marks.option_seen and not marks.options_ignored,
        accurate_ecn_silent=marks.silent,
        ce_delivered=marks.told_packets,
        ce_delivered_bytes=marks.told_bytes,
        ce_received_bytes=marks.r_ceb,
        ect0_received_bytes=marks.r_e0b - INITIAL_BYTES,
        ect1_received_bytes=marks.r_e1b - INITIAL_BYTES,
        established_at=conn.established_at,
        # loss recovery and sending
        recovery=recovery.name,
        loss_state=loss.state,
        pipe_bytes=recovery.pipe_bytes(),
        sacked_bytes=loss.sacked_bytes,
        lost_bytes=loss.lost_bytes,
        retransmitted_bytes=loss.retransmitted_bytes,
        reordering=loss.reordering,
        reordering_seen=loss.reordering_seen,
        reo_wnd_s=loss.reo_wnd_s,
        losses=conn.losses,
        undos=conn.undos,
        retries=tcb.retries,
        persist_backoff=tcb.persist_backoff,
        delivered_bytes=conn.bytes_acked + loss.sacked_bytes,
        delivery_rate_bps=None if rates is None else rates.last_rate_bps,
        app_limited=rates is not None and rates.app_limited_until > 0,
        pacing_bps=None if conn.pacer is None else pacing.rate_bps(conn),
        not_sent_bytes=max(conn.send_buffer.end - max(tcb.snd_nxt, tcb.iss + 1), 0),
        send_buffer_bytes=send_buffer.limit_bytes(conn),
        busy_s=tcb.busy_s,
        window_limited_s=tcb.window_limited_s,
        bytes_retransmitted=conn.bytes_retransmitted,
        heard_at=tcb.heard_at,
    )

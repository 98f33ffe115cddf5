"""What `Connection.info` returns: its variables, gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pystack.tcp import pacing, send_space, urgent
from pystack.tcp.info import TcpInfo
from pystack.tcp.seq import MASK

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection


def snapshot(conn: Connection) -> TcpInfo:
    """Return all that a connection tells about itself, as it is now."""
    tcb, rtt, recovery, rates = conn.tcb, conn.rtt, conn.recovery, conn.rates
    loss = recovery.info()
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
        send_buffer_bytes=send_space.limit_bytes(conn),
        busy_s=tcb.busy_s,
        window_limited_s=tcb.window_limited_s,
        bytes_retransmitted=conn.bytes_retransmitted,
        heard_at=tcb.heard_at,
    )

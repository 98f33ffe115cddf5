"""TCP_INFO as Linux has it, from our `TcpInfo`: the tcpi_ names for Python in a script."""

from __future__ import annotations

from typing import Final

from pystack.tcp.connection import Connection
from pystack.tcp.recovery.newreno import NewRenoRecovery
from pystack.tcp.recovery.sack import TIMEOUT, SackRecovery
from pystack.tcp.states import TcpState

_STATES: Final = {
    TcpState.ESTABLISHED: 1,
    TcpState.SYN_SENT: 2,
    TcpState.SYN_RECEIVED: 3,
    TcpState.FIN_WAIT_1: 4,
    TcpState.FIN_WAIT_2: 5,
    TcpState.TIME_WAIT: 6,
    TcpState.CLOSED: 7,
    TcpState.CLOSE_WAIT: 8,
    TcpState.LAST_ACK: 9,
    TcpState.LISTEN: 10,
    TcpState.CLOSING: 11,
}
_INFINITE_SSTHRESH: Final = 0x7FFFFFFF
OPT_TIMESTAMPS: Final = 1
OPT_SACK: Final = 2
OPT_WSCALE: Final = 4
OPT_ECN: Final = 8
OPT_ECN_SEEN: Final = 16


_CA_OPEN: Final = 0
_CA_DISORDER: Final = 1
_CA_CWR: Final = 2
_CA_RECOVERY: Final = 3
_CA_LOSS: Final = 4


def _loss_state(connection: Connection, mss: int) -> dict[str, int | float]:
    """Return what loss recovery knows, in Linux's words."""
    recovery = connection.recovery
    lost = sacked = again = 0
    reordering = 3
    state = _CA_RECOVERY if recovery.in_recovery else _CA_OPEN
    if isinstance(recovery, SackRecovery):
        board = recovery.board
        lost, sacked = -(-board.lost_bytes // mss), -(-board.sacked_bytes // mss)
        again = -(-board.retransmitted_bytes // mss)
        reordering = recovery.dup_thresh
        if recovery.phase == TIMEOUT:
            state = _CA_LOSS
        elif state == _CA_OPEN and sacked:
            state = _CA_DISORDER
    elif isinstance(recovery, NewRenoRecovery) and connection.tcb.retries:
        state = _CA_LOSS
    tcb = connection.tcb
    if state == _CA_OPEN and tcb.ecn and tcb.snd_una < tcb.cwr_seq:
        state = _CA_CWR
    return {
        "tcpi_ca_state": state,
        "tcpi_lost": lost,
        "tcpi_sacked": sacked,
        "tcpi_retrans": again,
        "tcpi_reordering": reordering,
    }


def tcp_info(connection: Connection) -> dict[str, int | float]:
    """Return the fields: times in microseconds, windows in segments, as in Linux."""
    info = connection.info()
    tcb = connection.tcb
    mss = max(info.snd_mss_bytes, 1)
    options = OPT_TIMESTAMPS if info.timestamps else 0
    options |= OPT_SACK if info.sack_permitted else 0
    options |= OPT_WSCALE if info.snd_wind_shift is not None else 0
    options |= OPT_ECN if info.ecn else 0
    options |= OPT_ECN_SEEN if info.ecn_seen else 0
    ssthresh = info.ssthresh_bytes // mss
    if info.ssthresh_bytes >= 1 << 30:
        ssthresh = _INFINITE_SSTHRESH
    not_sent = connection.send_buffer.end - max(tcb.snd_nxt, tcb.iss + 1)
    return _loss_state(connection, mss) | {
        "tcpi_state": _STATES[info.state],
        "tcpi_options": options,
        "tcpi_snd_wscale": info.snd_wind_shift or 0,
        "tcpi_rcv_wscale": info.rcv_wind_shift or 0,
        "tcpi_rto": round(info.rto_s * 1e6),
        "tcpi_snd_mss": info.snd_mss_bytes,
        "tcpi_rcv_mss": tcb.ack_mss,
        "tcpi_advmss": info.rcv_mss_bytes,
        "tcpi_unacked": -(-info.flight_size_bytes // mss),
        "tcpi_rtt": round((info.srtt_s or 0.0) * 1e6),
        "tcpi_rttvar": round(info.rttvar_s * 1e6),
        "tcpi_min_rtt": round((info.min_rtt_s or 0.0) * 1e6),
        "tcpi_snd_cwnd": info.cwnd_bytes // mss,
        "tcpi_snd_ssthresh": ssthresh,
        "tcpi_pmtu": tcb.mtu_mss + 40,
        "tcpi_retransmits": tcb.retries,
        "tcpi_backoff": tcb.retries,
        "tcpi_probes": tcb.persist_backoff,
        "tcpi_total_retrans": info.retransmits,
        "tcpi_bytes_acked": info.bytes_acked,
        "tcpi_bytes_received": info.bytes_received,
        "tcpi_bytes_sent": info.bytes_sent,
        "tcpi_segs_out": info.segments_sent,
        "tcpi_segs_in": info.segments_received,
        "tcpi_notsent_bytes": max(not_sent, 0),
        "tcpi_snd_wnd": info.snd_wnd_bytes,
        "tcpi_rcv_wnd": info.rcv_wnd_bytes,
    }

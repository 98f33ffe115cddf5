"""struct tcp_info of <linux/tcp.h>, for programs that ask for TCP_INFO: from our `TcpInfo`.

Linux counts in segments what we count in bytes, and in microseconds. What has no counterpart is 0.
"""

from __future__ import annotations

import struct
from typing import Final

from pystack.tcp.info import TcpInfo
from pystack.tcp.states import TcpState

# Eight bytes of small fields, 24 words, then a mix of long and short ones up to tcpi_snd_wnd. It
# has kept its order since Linux 2.4 and only grown; "=" and the explicit sizes keep out padding.
_STRUCT: Final = struct.Struct("=8B24I4Q6I4Q2I2Q4I")
INFO_BYTES: Final = _STRUCT.size

STATES: Final = {
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
_CA_STATES: Final = {"open": 0, "disorder": 1, "recovery": 3, "loss": 4}
_OPT_TIMESTAMPS: Final = 1
_OPT_SACK: Final = 2
_OPT_WSCALE: Final = 4
_OPT_ECN: Final = 8
_OPT_ECN_SEEN: Final = 16
_OPT_SYN_DATA: Final = 32
_WORD: Final = 0xFFFFFFFF
_LONG: Final = (1 << 64) - 1
# In the struct's order, by Linux's names without their tcpi_; `scales` are two half bytes.
_NAMES: Final = (
    "state",
    "ca_state",
    "retransmits",
    "probes",
    "backoff",
    "options",
    "scales",
    "delivery_rate_app_limited",
    "rto",
    "ato",
    "snd_mss",
    "rcv_mss",
    "unacked",
    "sacked",
    "lost",
    "retrans",
    "fackets",
    "last_data_sent",
    "last_ack_sent",
    "last_data_recv",
    "last_ack_recv",
    "pmtu",
    "rcv_ssthresh",
    "rtt",
    "rttvar",
    "snd_ssthresh",
    "snd_cwnd",
    "advmss",
    "reordering",
    "rcv_rtt",
    "rcv_space",
    "total_retrans",
    "pacing_rate",
    "max_pacing_rate",
    "bytes_acked",
    "bytes_received",
    "segs_out",
    "segs_in",
    "notsent_bytes",
    "min_rtt",
    "data_segs_in",
    "data_segs_out",
    "delivery_rate",
    "busy_time",
    "rwnd_limited",
    "sndbuf_limited",
    "delivered",
    "delivered_ce",
    "bytes_sent",
    "bytes_retrans",
    "dsack_dups",
    "reord_seen",
    "rcv_ooopack",
    "snd_wnd",
)
# What we do not count: 0 in the struct
_WITHOUT: Final = frozenset(
    [
        "ato",
        "fackets",
        "last_data_sent",
        "last_ack_sent",
        "last_data_recv",
        "last_ack_recv",
        "data_segs_in",
        "data_segs_out",
        "sndbuf_limited",
    ]
)


def pack_tcp_info(info: TcpInfo, headers_bytes: int) -> bytes:
    """Return the struct as getsockopt(2) gives it; `headers_bytes`: those of IP and TCP."""
    return _STRUCT.pack(*_bytes(info), *_words(info, headers_bytes), *_longs(info))


def known_fields(info: TcpInfo, headers_bytes: int = 40) -> dict[str, int]:
    """Return the struct's fields by name (without tcpi_), but those that have no counterpart."""
    values = zip(_NAMES, (*_bytes(info), *_words(info, headers_bytes), *_longs(info)), strict=True)
    return {name: value for name, value in values if name not in _WITHOUT}


def _bytes(info: TcpInfo) -> tuple[int, ...]:
    scales = (info.snd_wind_shift or 0) | (info.rcv_wind_shift or 0) << 4
    return (
        STATES[info.state],
        _CA_STATES.get(info.loss_state, 0),
        min(info.retries, 255),
        min(info.persist_backoff, 255),
        min(info.retries, 255),
        _options(info),
        scales,
        int(info.app_limited),
    )


def _words(info: TcpInfo, headers_bytes: int) -> tuple[int, ...]:
    mss = max(info.snd_mss_bytes, 1)
    return (
        _us(info.rto_s),
        0,  # ato
        info.snd_mss_bytes,
        info.rcv_mss_bytes,
        _segments(info, info.flight_size_bytes),
        _segments(info, info.sacked_bytes),
        _segments(info, info.lost_bytes),
        _segments(info, info.retransmitted_bytes),
        0,  # fackets
        0,  # last_data_sent
        0,  # last_ack_sent
        0,  # last_data_recv
        0,  # last_ack_recv
        info.rcv_mss_bytes + headers_bytes,  # pmtu
        info.rcv_wnd_bytes,  # rcv_ssthresh
        _us(info.srtt_s),
        _us(info.rttvar_s),
        min(info.ssthresh_bytes // mss, 0x7FFFFFFF),
        max(info.cwnd_bytes // mss, 1),
        info.rcv_mss_bytes,  # advmss
        info.reordering,
        _us(info.rcv_rtt_s),
        info.rcv_space_bytes & _WORD,
        info.retransmits & _WORD,
    )


def _longs(info: TcpInfo) -> tuple[int, ...]:
    rate_bps, pacing_bps = info.delivery_rate_bps or 0.0, info.pacing_bps
    pacing = _LONG if pacing_bps is None else min(int(min(pacing_bps, 1e18) / 8), _LONG)
    return (
        pacing,
        _LONG,  # max_pacing_rate
        info.bytes_acked,
        info.bytes_received,
        info.segments_sent & _WORD,
        info.segments_received & _WORD,
        info.not_sent_bytes & _WORD,
        _us(info.min_rtt_s),
        0,  # data_segs_in
        0,  # data_segs_out
        int(rate_bps / 8),
        _us(info.busy_s),
        _us(info.window_limited_s),
        0,  # sndbuf_limited
        _segments(info, info.delivered_bytes),
        (info.ce_delivered if info.accurate_ecn else info.ece_received) & _WORD,  # delivered_ce
        info.bytes_sent,
        info.bytes_retransmitted,
        info.dsacks_sent & _WORD,  # dsack_dups
        int(info.reordering_seen),
        _segments(info, info.out_of_order_bytes),
        info.snd_wnd_bytes & _WORD,
    )


def _segments(info: TcpInfo, size_bytes: int) -> int:
    return min(-(-size_bytes // max(info.snd_mss_bytes, 1)), _WORD)


def _us(span_s: float | None) -> int:
    return min(round((span_s or 0.0) * 1e6), _WORD)


def _options(info: TcpInfo) -> int:
    flags = _OPT_TIMESTAMPS * info.timestamps | _OPT_SACK * info.sack_permitted
    flags |= _OPT_WSCALE * (info.snd_wind_shift is not None)
    flags |= _OPT_SYN_DATA * (info.syn_data_acked or info.syn_data_taken)
    return flags | _OPT_ECN * info.ecn | _OPT_ECN_SEEN * info.ecn_seen

"""TCP_INFO as Linux has it, from our `TcpInfo`: the tcpi_ names for Python in a script."""

from __future__ import annotations

import math
from typing import Final

from pystack.runtime.socket.tcp_info_struct import known_fields
from pystack.tcp.connection import Connection

_HEADERS_BYTES: Final = 40
_INFINITE_SSTHRESH: Final = 0x7FFFFFFF
_CA_OPEN: Final = 0
_CA_CWR: Final = 2


def tcp_info(connection: Connection, now: float) -> dict[str, int | float]:
    """Return the fields: times in microseconds, windows in segments, as in Linux."""
    info = connection.info()
    tcb = connection.tcb
    fields = known_fields(info)
    del fields["scales"]
    known: dict[str, int | float] = {f"tcpi_{name}": value for name, value in fields.items()}
    # As in Linux, a connection without text counts from its handshake.
    opened_at = -math.inf if connection.established_at is None else connection.established_at
    known |= {
        "tcpi_snd_wscale": info.snd_wind_shift or 0,
        "tcpi_rcv_wscale": info.rcv_wind_shift or 0,
        "tcpi_rcv_mss": tcb.ack_mss,
        "tcpi_pmtu": tcb.mtu_mss + _HEADERS_BYTES,
        "tcpi_rcv_wnd": info.rcv_wnd_bytes,
        # With what goes on right now
        "tcpi_busy_time": _microseconds(tcb.busy_s, tcb.waiting_at, now),
        "tcpi_rwnd_limited": _microseconds(tcb.window_limited_s, tcb.window_limited_at, now),
        "tcpi_last_data_recv": _milliseconds(now - max(tcb.text_at, opened_at)),
        "tcpi_last_ack_recv": _milliseconds(now - info.heard_at),
    }
    if info.ssthresh_bytes >= 1 << 30:
        known["tcpi_snd_ssthresh"] = _INFINITE_SSTHRESH
    if fields["ca_state"] == _CA_OPEN and tcb.ecn and tcb.snd_una < tcb.cwr_seq:
        known["tcpi_ca_state"] = _CA_CWR
    return known


def _microseconds(before_s: float, since: float, now: float) -> int:
    return round((before_s + max(now - since, 0.0)) * 1e6)


def _milliseconds(span_s: float) -> int:
    return round(span_s * 1000) if math.isfinite(span_s) else 0

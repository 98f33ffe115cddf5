"""The options of tcp(7) on a connection of ours: what each changes, and what it is read as.

Most are fields of the connection's `TcpConfig`, set before it is opened or while it is; a few are
switches of the connection itself. Which of them work is in `option_table.py`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError, error_of
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket.tcp_info_struct import INFO_BYTES, STATES, pack_tcp_info
from pystack.tcp import ack_policy
from pystack.tcp.congestion.registry import CONTROLS, ControlLike
from pystack.tcp.listener import MAX_BACKLOG
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import DEFAULT_SEND_MSS_BYTES, NEVER, Timer

if TYPE_CHECKING:
    from pystack.tcp.config import TcpConfig
    from pystack.tcp.connection import Connection

TCP: Final = int(socket.IPPROTO_TCP)
# That hold for a socket before it is connected
SWITCHES: Final = (numbers.TCP_NODELAY, numbers.TCP_CORK)
KEEPALIVE: Final = (int(socket.SOL_SOCKET), numbers.SO_KEEPALIVE)

Key = tuple[int, int]
Changes = dict[str, object]

_MAX_SECONDS: Final = 32767  # as Linux's MAX_TCP_KEEPIDLE
_MAX_COUNT: Final = 127  # MAX_TCP_KEEPCNT, MAX_TCP_SYNCNT
_MAX_FIN_WAIT_S: Final = 120  # TCP_FIN_TIMEOUT_MAX
_MAX_UNSENT: Final = (1 << 32) - 1
_MIN_MAXSEG: Final = 88  # TCP_MIN_MSS
_MAX_MAXSEG: Final = 32767  # MAX_TCP_WINDOW
_MIN_CLAMP_BYTES: Final = 1152  # half of SOCK_MIN_RCVBUF
_MAX_DEFERRED: Final = 255
_MAX_DEFERRED_RTO_S: Final = 120  # TCP_RTO_MAX
_MIN_RTO_MAX_MS: Final = 1000
_MAX_RTO_MS: Final = 120_000


def _within(number: int, most: int, least: int = 1) -> int:
    if not least <= number <= most:
        raise error_of(errno.EINVAL)
    return number


# What Linux calls otherwise
_LINUX_NAMES: Final = {"reno": "newreno"}
_OUR_NAMES: Final = {ours: theirs for theirs, ours in _LINUX_NAMES.items()}


def _control(name: bytes, others: Iterable[ControlLike]) -> ControlLike:
    """Return the control of that name; `others`: those that are there without having one."""
    text = name.split(b"\0")[0].decode("ascii", "replace")
    for other in others:
        if not isinstance(other, str) and _control_name(other) == text:
            return other
    text = _LINUX_NAMES.get(text, text)
    try:
        CONTROLS.recall(text)
    except ConfigError as error:
        raise OSError(errno.ENOENT, str(error)) from None
    return text


def _control_name(value: ControlLike) -> str:
    name = value if isinstance(value, str) else CONTROLS.recall(value).name
    return _OUR_NAMES.get(name, name)


def _user_timeout(number: int) -> float | None:
    return _within(number, 1 << 31, 0) / 1000 or None


def _linger2(number: int) -> float:
    if number == 0:
        return 60.0  # the default
    return float(min(max(number, 0), _MAX_FIN_WAIT_S))


def _deferred_retries(seconds: int) -> int:
    """Return how many time-outs of a SYN-ACK cover that time, as Linux counts them."""
    retries, period_s, timeout_s = 0, 0, 1
    while period_s < seconds and retries < _MAX_DEFERRED:
        period_s += timeout_s
        timeout_s = min(2 * timeout_s, _MAX_DEFERRED_RTO_S)
        retries += 1
    return retries


def _deferred_s(retries: int) -> int:
    return sum(min(1 << min(count, 10), _MAX_DEFERRED_RTO_S) for count in range(retries))


def _clamp(number: int, *, in_use: bool) -> int | None:
    if number == 0:
        if in_use:
            raise error_of(errno.EINVAL)
        return None
    return max(number, _MIN_CLAMP_BYTES)


def _fast_open(number: int, config: TcpConfig, *, connected: bool) -> Changes:
    if number < 0 or connected:
        raise error_of(errno.EINVAL)
    client = config.fast_open in ("client", "both")
    if not number:
        return {"fast_open": "client" if client else "off"}
    pending = min(number, MAX_BACKLOG)
    return {"fast_open": "both" if client else "server", "fast_open_pending": pending}


def changes(
    key: Key,
    number: int,
    data: bytes,
    config: TcpConfig,
    *,
    ours: TcpConfig,
    listening: bool = False,
    connected: bool = False,
) -> Changes:
    """Return the fields of a `TcpConfig` that an option sets; none where it sets none of them.

    `config`: what the socket has; `ours`: what those of its host begin with; `listening`,
    `connected`: what it does already. OSError: EINVAL and the like, for what Linux refuses.
    """
    if key == KEEPALIVE:
        return {"keepalive": bool(number)}
    if key[0] != TCP:
        return {}
    match key[1]:
        case numbers.TCP_MAXSEG:
            most = _within(number, _MAX_MAXSEG, _MIN_MAXSEG) if number else None
            return {"max_segment_bytes": most}
        case numbers.TCP_KEEPIDLE:
            return {"keepalive_idle_s": float(_within(number, _MAX_SECONDS))}
        case numbers.TCP_KEEPINTVL:
            return {"keepalive_interval_s": float(_within(number, _MAX_SECONDS))}
        case numbers.TCP_KEEPCNT:
            return {"keepalive_probes": _within(number, _MAX_COUNT)}
        case numbers.TCP_SYNCNT:
            return {"syn_retries": _within(number, _MAX_COUNT)}
        case numbers.TCP_LINGER2:
            return {"fin_wait_2_s": _linger2(number)}
        case numbers.TCP_DEFER_ACCEPT:
            return {"defer_accept_retries": _deferred_retries(number)}
        case numbers.TCP_WINDOW_CLAMP:
            return {"window_clamp_bytes": _clamp(number, in_use=listening or connected)}
        case numbers.TCP_CONGESTION:
            return {"congestion": _control(data, (config.congestion, ours.congestion))}
        case numbers.TCP_THIN_DUPACK:
            _within(number, 1, 0)
        case numbers.TCP_USER_TIMEOUT:
            return {"user_timeout_s": _user_timeout(number)}
        case numbers.TCP_FASTOPEN:
            return _fast_open(number, config, connected=connected)
        case numbers.TCP_NOTSENT_LOWAT:
            unsent = number & _MAX_UNSENT  # an unsigned number in tcp(7)
            return {"notsent_lowat_bytes": unsent or None}
        case numbers.TCP_FASTOPEN_CONNECT:
            _within(number, 1, 0)
            if listening or connected:
                raise error_of(errno.EINVAL)
        case numbers.TCP_FASTOPEN_NO_COOKIE:
            _within(number, 1, 0)
            if connected:
                raise error_of(errno.EINVAL)
            return {"fast_open_cookieless": "both" if number else "off"}
        case numbers.TCP_RTO_MAX_MS:
            return {"max_rto_s": _within(number, _MAX_RTO_MS, _MIN_RTO_MAX_MS) / 1000}
    return {}


def with_fast_open(config: TcpConfig) -> TcpConfig:
    """Return what a client's connection has that asks for Fast Open, whatever its host does."""
    if config.fast_open in ("client", "both"):
        return config
    return replace(config, fast_open="both" if config.fast_open == "server" else "client")


def switch(conn: Connection, key: Key, number: int) -> bool:
    """Set a switch of the connection itself; False: the option is none."""
    tcb = conn.tcb
    if key == (TCP, numbers.TCP_NODELAY):
        conn.set_no_delay(no_delay=bool(number))
    elif key == (TCP, numbers.TCP_CORK):
        conn.cork(corked=bool(number))
    elif key == (TCP, numbers.TCP_QUICKACK):
        if number:
            tcb.ack_now |= tcb.timers[Timer.DELAYED_ACK] != NEVER
            ack_policy.be_quick(conn)
        else:
            ack_policy.answer_expected(tcb)
    else:
        return False
    return True


def read(key: Key, config: TcpConfig, conn: Connection | None) -> int | str | bytes | None:
    """Return an option as it is; None: it is not one of these. `conn`: None before there is one."""
    if key == KEEPALIVE:
        return int(config.keepalive)
    if key[0] != TCP:
        return None
    reader = _OF_CONFIG.get(key[1])
    if reader is not None:
        return reader(config)
    if conn is None:
        unconnected = _UNCONNECTED.get(key[1])
        return None if unconnected is None else unconnected(config)
    match key[1]:
        case numbers.TCP_NODELAY:
            return int(conn.tcb.no_delay)
        case numbers.TCP_MAXSEG:
            return conn.tcb.snd_mss
        case numbers.TCP_CORK:
            return int(conn.tcb.cork)
        case numbers.TCP_WINDOW_CLAMP:
            return config.window_clamp_bytes or conn.tcb.rcv_buf_max_bytes
        case numbers.TCP_INFO:
            return pack_tcp_info(conn.info(), conn.tcb.sizes.headers_bytes)
        case numbers.TCP_QUICKACK:
            return int(not conn.tcb.ping_pong)
    return None


def info_without_connection(*, listening: bool) -> bytes:
    """Return TCP_INFO of a socket that has no connection: its state, and nothing else."""
    return bytes((STATES[TcpState.LISTEN if listening else TcpState.CLOSED],)).ljust(
        INFO_BYTES, b"\0"
    )


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number


_OF_CONFIG: Final[dict[int, Callable[[TcpConfig], int | str]]] = {
    numbers.TCP_KEEPIDLE: lambda config: round(config.keepalive_idle_s),
    numbers.TCP_KEEPINTVL: lambda config: round(config.keepalive_interval_s),
    numbers.TCP_KEEPCNT: lambda config: config.keepalive_probes,
    numbers.TCP_SYNCNT: lambda config: config.syn_retries,
    numbers.TCP_LINGER2: lambda config: round(config.fin_wait_2_s) or -1,
    numbers.TCP_DEFER_ACCEPT: lambda config: _deferred_s(config.defer_accept_retries),
    numbers.TCP_CONGESTION: lambda config: _control_name(config.congestion),
    numbers.TCP_THIN_DUPACK: lambda _config: 0,
    numbers.TCP_USER_TIMEOUT: lambda config: round((config.user_timeout_s or 0.0) * 1000),
    numbers.TCP_FASTOPEN: lambda config: (
        config.fast_open_pending if config.fast_open in ("server", "both") else 0
    ),
    numbers.TCP_FASTOPEN_NO_COOKIE: lambda config: int(config.fast_open_cookieless != "off"),
    numbers.TCP_NOTSENT_LOWAT: lambda config: _signed(config.notsent_lowat_bytes or 0),
    numbers.TCP_IS_MPTCP: lambda _config: 0,
    numbers.TCP_RTO_MAX_MS: lambda config: round(config.max_rto_s * 1000),
}
_UNCONNECTED: Final[dict[int, Callable[[TcpConfig], int]]] = {
    numbers.TCP_MAXSEG: lambda config: config.max_segment_bytes or DEFAULT_SEND_MSS_BYTES,
    numbers.TCP_WINDOW_CLAMP: lambda config: config.window_clamp_bytes or 0,
}

"""The options of tcp(7) on a connection of ours: what each changes, and what it is read as.

Most are fields of the connection's `TcpConfig`, set before it is opened or while it is; a few are
switches of the connection itself. Numbers are Linux's, as not every platform names all of them.
`TABLE` has them all, and says which work: whatever else is asked for is refused, never swallowed.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pystack.core.errors import ConfigError
from pystack.runtime.tcp_info_struct import INFO_BYTES, STATES, pack_tcp_info
from pystack.tcp import ack_policy
from pystack.tcp.congestion.registry import congestion_control
from pystack.tcp.listener import MAX_BACKLOG
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import DEFAULT_SEND_MSS_BYTES, NEVER, Timer

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.tcb import TcpConfig

TCP: Final = int(socket.IPPROTO_TCP)
NODELAY: Final = 1
MAXSEG: Final = 2
CORK: Final = 3
KEEPIDLE: Final = 4
KEEPINTVL: Final = 5
KEEPCNT: Final = 6
SYNCNT: Final = 7
LINGER2: Final = 8
DEFER_ACCEPT: Final = 9
WINDOW_CLAMP: Final = 10
INFO: Final = 11
QUICKACK: Final = 12
CONGESTION: Final = 13
THIN_DUPACK: Final = 17
USER_TIMEOUT: Final = 18
FASTOPEN: Final = 23
NOTSENT_LOWAT: Final = 25
FASTOPEN_CONNECT: Final = 30
FASTOPEN_NO_COOKIE: Final = 34
IS_MPTCP: Final = 43
RTO_MAX_MS: Final = 44
SWITCHES: Final = (NODELAY, CORK)  # that hold for a socket before it is connected
KEEPALIVE: Final = (int(socket.SOL_SOCKET), int(socket.SO_KEEPALIVE))

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
_NUMBER_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Option:
    """One option of level SOL_TCP."""

    number: int
    name: str  # with TCP_ before it
    works: Literal["as Linux", "otherwise", "refused"]
    note: str = ""


TABLE: Final = (
    Option(1, "NODELAY", "as Linux", "set, it flushes what a cork holds"),
    Option(2, "MAXSEG", "as Linux", "offered in the SYN, and bounds what is sent"),
    Option(3, "CORK", "as Linux", "200 ms at most"),
    Option(4, "KEEPIDLE", "as Linux"),
    Option(5, "KEEPINTVL", "as Linux"),
    Option(6, "KEEPCNT", "as Linux"),
    Option(7, "SYNCNT", "as Linux", "7 where it is not set, not 6"),
    Option(8, "LINGER2", "as Linux"),
    Option(9, "DEFER_ACCEPT", "as Linux", "counted in SYN-ACKs, whose time-outs grow to 60 s"),
    Option(10, "WINDOW_CLAMP", "otherwise", "bounds the receive buffer, what is unread included"),
    Option(11, "INFO", "otherwise", "232 bytes; fields without a counterpart are 0"),
    Option(12, "QUICKACK", "as Linux"),
    Option(13, "CONGESTION", "as Linux", "the names of `pystack plugins`; reno is newreno"),
    Option(14, "MD5SIG", "refused"),
    Option(16, "THIN_LINEAR_TIMEOUTS", "refused"),
    Option(17, "THIN_DUPACK", "as Linux", "without any effect, as there since 4.16"),
    Option(18, "USER_TIMEOUT", "as Linux"),
    Option(19, "REPAIR", "refused"),
    Option(20, "REPAIR_QUEUE", "refused"),
    Option(21, "QUEUE_SEQ", "refused"),
    Option(22, "REPAIR_OPTIONS", "refused"),
    Option(23, "FASTOPEN", "otherwise", "enough by itself; on a host with `fast_open` 0 is off"),
    Option(24, "TIMESTAMP", "refused"),
    Option(25, "NOTSENT_LOWAT", "as Linux"),
    Option(26, "CC_INFO", "refused"),
    Option(27, "SAVE_SYN", "refused"),
    Option(28, "SAVED_SYN", "refused"),
    Option(29, "REPAIR_WINDOW", "refused"),
    Option(30, "FASTOPEN_CONNECT", "as Linux", "enough by itself"),
    Option(31, "ULP", "refused", "TLS is the program's: `trio.SSLStream`"),
    Option(32, "MD5SIG_EXT", "refused"),
    Option(33, "FASTOPEN_KEY", "refused"),
    Option(34, "FASTOPEN_NO_COOKIE", "as Linux"),
    Option(35, "ZEROCOPY_RECEIVE", "refused"),
    Option(36, "INQ", "refused"),
    Option(37, "TX_DELAY", "refused", "the link's `delay`"),
    Option(38, "AO_ADD_KEY", "refused"),
    Option(39, "AO_DEL_KEY", "refused"),
    Option(40, "AO_INFO", "refused"),
    Option(41, "AO_GET_KEYS", "refused"),
    Option(42, "AO_REPAIR", "refused"),
    Option(43, "IS_MPTCP", "as Linux", "read only; 0"),
    Option(44, "RTO_MAX_MS", "otherwise", "60 s where it is not set, not 120; to the millisecond"),
    Option(45, "RTO_MIN_US", "refused"),
    Option(46, "DELACK_MAX_US", "refused"),
)
_BY_NUMBER: Final = {option.number: option for option in TABLE}
_READ_ONLY: Final = frozenset({INFO, IS_MPTCP})


def check(name: int, data: memoryview | None = None, *, setting: bool) -> None:
    """Refuse an option of SOL_TCP that does not work. `data`: the value, where that is bytes.

    OSError: ENOPROTOOPT, and EINVAL for too few bytes.
    """
    option = _BY_NUMBER.get(name)
    short = data is not None and len(data) < (1 if name == CONGESTION else _NUMBER_BYTES)
    if (
        option is None
        or option.works == "refused"
        or (setting and name in _READ_ONLY and not short)
    ):
        what = f"TCP option {name}" if option is None else f"TCP_{option.name}"
        raise OSError(errno.ENOPROTOOPT, f"{os.strerror(errno.ENOPROTOOPT)}: {what}")
    if short:
        raise _invalid()


def _invalid() -> OSError:
    return OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _within(number: int, most: int, least: int = 1) -> int:
    if not least <= number <= most:
        raise _invalid()
    return number


# What Linux calls otherwise
_LINUX_NAMES: Final = {"reno": "newreno"}
_OUR_NAMES: Final = {ours: theirs for theirs, ours in _LINUX_NAMES.items()}


def _control(name: bytes) -> str:
    text = name.split(b"\0")[0].decode("ascii", "replace")
    text = _LINUX_NAMES.get(text, text)
    try:
        congestion_control(text)
    except ConfigError as error:
        raise OSError(errno.ENOENT, str(error)) from None
    return text


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
            raise _invalid()
        return None
    return max(number, _MIN_CLAMP_BYTES)


def _fast_open(number: int, config: TcpConfig, *, connected: bool) -> Changes:
    if number < 0 or connected:
        raise _invalid()
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
    listening: bool = False,
    connected: bool = False,
) -> Changes:
    """Return the fields of a `TcpConfig` that an option sets; none where it sets none of them.

    `listening`, `connected`: what the socket does already. OSError: EINVAL and the like, for what
    Linux refuses.
    """
    if key == KEEPALIVE:
        return {"keepalive": bool(number)}
    if key[0] != TCP:
        return {}
    match key[1]:
        case 2:
            most = _within(number, _MAX_MAXSEG, _MIN_MAXSEG) if number else None
            return {"max_segment_bytes": most}
        case 4:
            return {"keepalive_idle_s": float(_within(number, _MAX_SECONDS))}
        case 5:
            return {"keepalive_interval_s": float(_within(number, _MAX_SECONDS))}
        case 6:
            return {"keepalive_probes": _within(number, _MAX_COUNT)}
        case 7:
            return {"syn_retries": _within(number, _MAX_COUNT)}
        case 8:
            return {"fin_wait_2_s": _linger2(number)}
        case 9:
            return {"defer_accept_retries": _deferred_retries(number)}
        case 10:
            return {"window_clamp_bytes": _clamp(number, in_use=listening or connected)}
        case 13:
            return {"congestion": _control(data)}
        case 17:
            _within(number, 1, 0)
        case 18:
            return {"user_timeout_s": _user_timeout(number)}
        case 23:
            return _fast_open(number, config, connected=connected)
        case 25:
            unsent = number & _MAX_UNSENT  # an unsigned number in tcp(7)
            return {"notsent_lowat_bytes": unsent or None}
        case 30:
            _within(number, 1, 0)
            if listening or connected:
                raise _invalid()
        case 34:
            _within(number, 1, 0)
            if connected:
                raise _invalid()
            return {"fast_open_cookieless": "both" if number else "off"}
        case 44:
            return {"max_rto_s": _within(number, _MAX_RTO_MS, _MIN_RTO_MAX_MS) / 1000}
    return {}


def switch(conn: Connection, key: Key, number: int) -> bool:
    """Set a switch of the connection itself; False: the option is none."""
    tcb = conn.tcb
    if key == (TCP, NODELAY):
        conn.set_no_delay(no_delay=bool(number))
    elif key == (TCP, CORK):
        conn.cork(corked=bool(number))
    elif key == (TCP, QUICKACK):
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
        case 1:
            return int(conn.tcb.no_delay)
        case 2:
            return conn.tcb.snd_mss
        case 3:
            return int(conn.tcb.cork)
        case 10:
            return config.window_clamp_bytes or conn.tcb.rcv_buf_max_bytes
        case 11:
            return pack_tcp_info(conn.info())
        case 12:
            return int(not conn.tcb.ping_pong)
    return None


def info_without_connection(*, listening: bool) -> bytes:
    """Return TCP_INFO of a socket that has no connection: its state, and nothing else."""
    return bytes((STATES[TcpState.LISTEN if listening else TcpState.CLOSED],)).ljust(
        INFO_BYTES, b"\0"
    )


def as_number(value: int | str | bytes) -> int:
    """Return what getsockopt without a length makes of an option: its first four bytes."""
    if isinstance(value, int):
        return value
    data = value if isinstance(value, bytes) else value.encode("ascii")
    (number,) = struct.unpack("=i", data[:_NUMBER_BYTES].ljust(_NUMBER_BYTES, b"\0"))
    return int(number)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number


_OF_CONFIG: Final[dict[int, Callable[[TcpConfig], int | str]]] = {
    KEEPIDLE: lambda config: round(config.keepalive_idle_s),
    KEEPINTVL: lambda config: round(config.keepalive_interval_s),
    KEEPCNT: lambda config: config.keepalive_probes,
    SYNCNT: lambda config: config.syn_retries,
    LINGER2: lambda config: round(config.fin_wait_2_s) or -1,
    DEFER_ACCEPT: lambda config: _deferred_s(config.defer_accept_retries),
    CONGESTION: lambda config: _OUR_NAMES.get(config.congestion, config.congestion),
    THIN_DUPACK: lambda _config: 0,
    USER_TIMEOUT: lambda config: round((config.user_timeout_s or 0.0) * 1000),
    FASTOPEN: lambda config: (
        config.fast_open_pending if config.fast_open in ("server", "both") else 0
    ),
    FASTOPEN_NO_COOKIE: lambda config: int(config.fast_open_cookieless != "off"),
    NOTSENT_LOWAT: lambda config: _signed(config.notsent_lowat_bytes or 0),
    IS_MPTCP: lambda _config: 0,
    RTO_MAX_MS: lambda config: round(config.max_rto_s * 1000),
}
_UNCONNECTED: Final[dict[int, Callable[[TcpConfig], int]]] = {
    MAXSEG: lambda config: config.max_segment_bytes or DEFAULT_SEND_MSS_BYTES,
    WINDOW_CLAMP: lambda config: config.window_clamp_bytes or 0,
}

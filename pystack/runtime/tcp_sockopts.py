"""The options of tcp(7) on a connection of ours: what each changes, and what it is read as.

Most are fields of the connection's `TcpConfig`, set before it is opened or while it is; a few are
switches of the connection itself. Numbers are Linux's, as not every platform names all of them.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError
from pystack.runtime.tcp_info_struct import pack_tcp_info
from pystack.tcp.congestion.registry import congestion_control

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.tcb import TcpConfig

TCP: Final = int(socket.IPPROTO_TCP)
NODELAY: Final = 1
CORK: Final = 3
KEEPIDLE: Final = 4
KEEPINTVL: Final = 5
KEEPCNT: Final = 6
SYNCNT: Final = 7
LINGER2: Final = 8
INFO: Final = 11
QUICKACK: Final = 12
CONGESTION: Final = 13
USER_TIMEOUT: Final = 18
NOTSENT_LOWAT: Final = 25
SWITCHES: Final = (NODELAY, CORK)  # that hold for a socket before it is connected
KEEPALIVE: Final = (int(socket.SOL_SOCKET), int(socket.SO_KEEPALIVE))

Key = tuple[int, int]
Changes = dict[str, object]

_MAX_SECONDS: Final = 32767  # as Linux's MAX_TCP_KEEPIDLE
_MAX_COUNT: Final = 127  # MAX_TCP_KEEPCNT, MAX_TCP_SYNCNT
_MAX_UNSENT: Final = (1 << 32) - 1


def _within(number: int, most: int) -> int:
    if not 1 <= number <= most:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return number


def _control(name: bytes) -> str:
    text = name.split(b"\0")[0].decode("ascii", "replace")
    try:
        congestion_control(text)
    except ConfigError as error:
        raise OSError(errno.ENOENT, str(error)) from None
    return text


def _user_timeout(number: int) -> float | None:
    if number < 0:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return number / 1000 if number else None


def _linger2(number: int, config: TcpConfig) -> float:
    return config.fin_wait_2_s if number == 0 else max(float(number), 0.0)


def changes(key: Key, number: int, data: bytes, config: TcpConfig) -> Changes:
    """Return the fields of a `TcpConfig` that an option sets; none where it sets none of them.

    OSError: EINVAL and the like, for what Linux refuses.
    """
    if key == KEEPALIVE:
        return {"keepalive": bool(number)}
    if key[0] != TCP:
        return {}
    match key[1]:
        case 4:
            return {"keepalive_idle_s": float(_within(number, _MAX_SECONDS))}
        case 5:
            return {"keepalive_interval_s": float(_within(number, _MAX_SECONDS))}
        case 6:
            return {"keepalive_probes": _within(number, _MAX_COUNT)}
        case 7:
            return {"syn_retries": _within(number, _MAX_COUNT)}
        case 8:
            return {"fin_wait_2_s": _linger2(number, config)}
        case 13:
            return {"congestion": _control(data)}
        case 18:
            return {"user_timeout_s": _user_timeout(number)}
        case 25:
            unsent = number & _MAX_UNSENT  # an unsigned number in tcp(7)
            return {"notsent_lowat_bytes": unsent or None}
    return {}


def switch(conn: Connection, key: Key, number: int) -> bool:
    """Set a switch of the connection itself; False: the option is none."""
    if key == (TCP, NODELAY):
        conn.tcb.no_delay = bool(number)
    elif key == (TCP, CORK):
        conn.cork(corked=bool(number))
    elif key == (TCP, QUICKACK):
        conn.tcb.quick_acks = conn.config.quick_acks if number else 0
        conn.tcb.ack_now = conn.tcb.ack_now or (number > 0 and conn.ack_is_owed)
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
        return None
    match key[1]:
        case 1:
            return int(conn.tcb.no_delay)
        case 3:
            return int(conn.tcb.cork)
        case 11:
            return pack_tcp_info(conn.info())
        case 12:
            return int(conn.tcb.quick_acks > 0)
    return None


_OF_CONFIG: Final[dict[int, Callable[[TcpConfig], int | str]]] = {
    KEEPIDLE: lambda config: round(config.keepalive_idle_s),
    KEEPINTVL: lambda config: round(config.keepalive_interval_s),
    KEEPCNT: lambda config: config.keepalive_probes,
    SYNCNT: lambda config: config.syn_retries,
    LINGER2: lambda config: round(config.fin_wait_2_s),
    CONGESTION: lambda config: config.congestion,
    USER_TIMEOUT: lambda config: round((config.user_timeout_s or 0.0) * 1000),
    NOTSENT_LOWAT: lambda config: config.notsent_lowat_bytes or 0,
}

"""The options of a TCP socket: what they mean to the stack, and what they are read as."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pystack.runtime.socket import tcp_sockopts
from pystack.runtime.socket.tcp_sockopts import Changes
from pystack.stack import tcp_socket
from pystack.tcp.config import TcpConfig
from pystack.testing.packetdrill.constants import VALUES
from pystack.testing.packetdrill.cookies import KEY_BYTES
from pystack.testing.packetdrill.sysctls import (
    all_listeners_fast_open,
    congestion_name,
    fast_open_of_clients,
)

if TYPE_CHECKING:
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.testing.packetdrill.streams import Stream

_SOCKET: Final = VALUES["SOL_SOCKET"]
_TCP: Final = VALUES["SOL_TCP"]
_MIN_SNDBUF_BYTES: Final = 4608  # Linux's SOCK_MIN_SNDBUF and SOCK_MIN_RCVBUF
_MIN_RCVBUF_BYTES: Final = 2304
_IP: Final = VALUES["SOL_IP"]
_IPV6: Final = VALUES["SOL_IPV6"]
_CONGESTION: Final = VALUES["TCP_CONGESTION"]


class StreamOptions:
    """Options by level and name; those that the stack knows are handed on to it."""

    __slots__ = ("_changes", "_stream", "_values", "fast_open_keys", "linger_s")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._values: dict[tuple[int, int], list[int]] = {}
        self.linger_s: float | None = None  # None: SO_LINGER is off
        self.fast_open_keys = b""  # TCP_FASTOPEN_KEY; empty: the host's
        self._changes: Changes = {}  # of the host's TcpConfig, by this socket's options

    def copy_for(self, stream: Stream) -> StreamOptions:
        """Return the options that an accepted socket takes over."""
        other = StreamOptions(stream)
        other._values.update(self._values)
        other.linger_s = self.linger_s
        other._changes.update(self._changes)
        return other

    def apply(self, config: TcpConfig) -> TcpConfig:
        """Return what new connections of the socket are to do."""
        if (size := self._first(_SOCKET, "SO_RCVBUF")) is not None:
            size = max(size, _MIN_RCVBUF_BYTES // 2)
            config = replace(config, receive_buffer_bytes=size, receive_buffer_max_bytes=size)
        if (size := self._first(_SOCKET, "SO_SNDBUF")) is not None:
            config = replace(config, send_buffer_bytes=max(2 * size, _MIN_SNDBUF_BYTES))
        if pending := self._first(_TCP, "TCP_FASTOPEN"):
            config = replace(config, fast_open_pending=pending)
        asked = self._first(_TCP, "TCP_FASTOPEN")
        if not asked and not all_listeners_fast_open(self._stream.program.sysctls):
            config = fast_open_of_clients(config)
        return replace(config, **self._changes)  # type: ignore[arg-type]

    def settle(self) -> None:
        """Hand to a connection what the socket was told before it had one."""
        socket = self._stream.socket
        if socket is not None:
            connection = socket.connection
            # What it has from its listener is not set again: a new congestion control starts anew.
            changes = {
                name: value
                for name, value in self._changes.items()
                if getattr(connection.config, name) != value
            }
            connection.configure(self._stream.program.now, **changes)
        for (level, name), values in self._values.items():
            self._hand_on(level, name, values)

    def set(self, level: int, name: int, values: list[int]) -> int:
        """Set an option to numbers; return an errno, 0 for none."""
        if level == _SOCKET and name == VALUES["SO_LINGER"]:
            if len(values) != 2:
                return errno.EINVAL
            self.linger_s = float(values[1]) if values[0] else None
            return 0
        if not values:
            return errno.EINVAL
        problem = self._problem(level, name, values[0]) or self._change(level, name, values[0])
        if (level, name) == (_TCP, VALUES["TCP_FASTOPEN_CONNECT"]) and not problem:
            allowed = self._stream.config.fast_open in ("client", "both")
            problem = 0 if allowed else errno.EOPNOTSUPP
        if not problem and level == _SOCKET and name == VALUES["SO_TIMESTAMPING"]:
            problem = self._stamp(values[0])
        if problem:
            return problem
        self._values[level, name] = values
        self._hand_on(level, name, values)
        if self._stream.listener is not None:
            self._stream.use_config()
        return 0

    def set_text(self, level: int, name: int, text: bytes) -> int:
        """Set an option to a text; return an errno, 0 for none."""
        if (level, name) == (_TCP, VALUES["TCP_FASTOPEN_KEY"]):
            if len(text) not in (KEY_BYTES, 2 * KEY_BYTES):
                return errno.EINVAL
            self.fast_open_keys = text
            self.name_keys()
            return 0
        if (level, name) != (_TCP, _CONGESTION):
            return 0  # taken, and without a meaning: a device to bind to
        known = congestion_name(text.decode("latin-1"))
        if known is None:
            return errno.ENOENT
        number = self._change(level, name, 0, known.encode())
        if self._stream.listener is not None:
            self._stream.use_config()
        return number

    def name_keys(self) -> None:
        """Let the host know the keys of this listener's cookies, once it is one."""
        stream = self._stream
        if stream.listener is not None and self.fast_open_keys:
            stream.program.world.cookies.of_listener[stream.listener] = self.fast_open_keys

    def get(self, level: int, name: int) -> list[int] | bytes | int:
        """Return an option as its numbers or text; a single number is an errno."""
        stream = self._stream
        if level == _SOCKET:
            match name:
                case 3:  # SO_TYPE
                    return [1]
                case 4:  # SO_ERROR
                    return [stream.take_error()]
                case 13:  # SO_LINGER
                    linger_s = self.linger_s
                    return [0, 0] if linger_s is None else [1, int(linger_s)]
                case 30:  # SO_ACCEPTCONN
                    return [int(stream.listener is not None)]
                case 7:  # SO_SNDBUF
                    return [self._config().send_buffer_bytes]
                case 8:  # SO_RCVBUF, which Linux tells with its overhead
                    return [2 * self._config().receive_buffer_bytes]
                case _:
                    return self._values.get((level, name)) or self._as_it_is(level, name)
        if level == _TCP:
            opened = None if stream.socket is None else stream.socket.connection
            known = tcp_sockopts.read((_TCP, name), self._config(), opened)
            if isinstance(known, str):
                return known.encode("ascii")
            if isinstance(known, int):
                return [known]
        if level not in (_TCP, _IP, _IPV6):
            return errno.EOPNOTSUPP
        return self._values.get((level, name)) or self._as_it_is(level, name)

    def _as_it_is(self, level: int, name: int) -> list[int]:
        """Return an option that the script has not set."""
        known = tcp_sockopts.read(_key(level, name), self._config(), None)
        return [known if isinstance(known, int) else _DEFAULTS.get((level, name), 0)]

    @property
    def tells_waiting(self) -> bool:
        """Tell whether recvmsg is to say how much is left (TCP_INQ)."""
        return bool(self._first(_TCP, "TCP_INQ"))

    @property
    def waits_for_text(self) -> bool:
        """Tell whether connect leaves the SYN to the first write, where that may take text."""
        return bool(self._first(_TCP, "TCP_FASTOPEN_CONNECT"))

    @property
    def local_port(self) -> int:
        """Return the port that IP_LOCAL_PORT_RANGE leaves to a connection; 0: any."""
        bounds = self._first(_IP, "IP_LOCAL_PORT_RANGE") or 0
        low, high = bounds & 0xFFFF, bounds >> 16
        return low if low == high else 0

    def _config(self) -> TcpConfig:
        stream = self._stream
        if stream.socket is not None:
            return stream.socket.connection.config
        return stream.config

    def _first(self, level: int, name: str) -> int | None:
        values = self._values.get((level, VALUES[name]))
        return None if values is None else values[0]

    def _problem(self, level: int, name: int, value: int) -> int:
        lowest, highest = _LIMITS.get((level, name), (-(1 << 31), 0xFFFFFFFF))
        return 0 if lowest <= value <= highest else errno.EINVAL

    def _change(self, level: int, name: int, value: int, text: bytes = b"") -> int:
        """Take an option that is a part of what connections are to do; return an errno."""
        try:
            config = self._config()
            changes = tcp_sockopts.changes(_key(level, name), value, text, config, ours=config)
        except OSError as error:
            return error.errno or errno.EINVAL
        self._changes.update(changes)
        stream = self._stream
        if changes and stream.socket is not None:
            stream.socket.connection.configure(stream.program.now, **changes)
            stream.program.world.host.tcp.pump(stream.socket, stream.program.now)
        return 0

    def _stamp(self, flags: int) -> int:
        socket = self._stream.socket
        try:
            self._stream.notices.stamp(flags, None if socket is None else socket.connection)
        except ValueError:
            return errno.EINVAL
        return 0

    def _hand_on(self, level: int, name: int, values: list[int]) -> None:
        stream = self._stream
        if level == _SOCKET and name == VALUES["SO_SNDBUF"]:
            stream.resize(send_bytes=max(2 * values[0], _MIN_SNDBUF_BYTES))
        elif level == _SOCKET and name == VALUES["SO_RCVBUF"]:
            stream.resize(receive_bytes=max(values[0], _MIN_RCVBUF_BYTES // 2))
        elif level == _SOCKET and name == VALUES["SO_ZEROCOPY"]:
            stream.notices.zero_copy = bool(values[0])
        elif level == _TCP and stream.socket is not None:
            self._hand_on_tcp(stream.socket, name, values[0])
        elif (level, name) in _TOS and stream.socket is not None:
            tcp_socket.set_tos(stream.socket, values[0])
        elif (level, name) in _TTL and stream.socket is not None:
            tcp_socket.set_ttl(stream.socket, values[0])

    def _hand_on_tcp(self, socket: TcpSocket, name: int, value: int) -> None:
        connection, program = socket.connection, self._stream.program
        if tcp_sockopts.switch(connection, (_TCP, name), value):
            program.world.host.tcp.pump(socket, program.now)


def _key(level: int, name: int) -> tcp_sockopts.Key:
    """Return level and name as `tcp_sockopts` knows them: keep-alive's are the platform's own."""
    own = (level, name) == (_SOCKET, VALUES["SO_KEEPALIVE"])
    return tcp_sockopts.KEEPALIVE if own else (level, name)


# Of IPv4 and of IPv6; a socket of packetdrill has one version of them
_TOS: Final = ((_IP, VALUES["IP_TOS"]), (_IPV6, VALUES["IPV6_TCLASS"]))
_TTL: Final = ((_IP, VALUES["IP_TTL"]), (_IPV6, VALUES["IPV6_UNICAST_HOPS"]))
_LIMITS: Final = {
    (_SOCKET, VALUES["SO_ZEROCOPY"]): (0, 1),
    (_TCP, VALUES["TCP_MAXSEG"]): (88, 32767),
    (_TCP, VALUES["TCP_FASTOPEN"]): (0, (1 << 31) - 1),
    (_IP, VALUES["IP_TTL"]): (1, 255),
    (_IPV6, VALUES["IPV6_UNICAST_HOPS"]): (1, 255),
}
_DEFAULTS: Final = {
    (_IP, VALUES["IP_TTL"]): 64,
    (_IPV6, VALUES["IPV6_UNICAST_HOPS"]): 64,
    (_IP, VALUES["IP_MTU_DISCOVER"]): 1,
}

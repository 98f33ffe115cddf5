"""What a SOCK_STREAM socket of a host is: unbound, bound, listening, connecting or connected."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import UNSPECIFIED, Ip, is_multicast, is_v6
from pystack.core.errors import error_of
from pystack.core.tcp_events import TcpSoftError
from pystack.runtime.socket import error_queue, stream_state, tcp_sockopts
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket.option_table import IP, SOCKET, TCP, Option
from pystack.runtime.socket.socket_addresses import Place, check_zone, is_wild, nowhere
from pystack.runtime.socket.socket_calls import (
    MSG_EOR,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_ZEROCOPY,
    Received,
)
from pystack.runtime.socket.socket_ends import SocketEnd
from pystack.runtime.socket.socket_options import SocketOptions
from pystack.runtime.socket.stream_state import NO_PEER, peer_is_done
from pystack.runtime.socket.tcp_sockopts import Changes, with_fast_open
from pystack.stack import tcp_socket
from pystack.stack.tcp_ports import Binding
from pystack.tcp import fast_open, send_buffer
from pystack.tcp.events import Signal
from pystack.tcp.states import OVER, TcpState
from pystack.wire.ip_options import find_source_route

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost
    from pystack.stack.notices import Notices
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.tcp.config import TcpConfig
    from pystack.tcp.listener import Listener

_OPENING: Final = frozenset({TcpState.SYN_SENT, TcpState.SYN_RECEIVED})


class _State(Enum):
    """What `connect` thinks of, as Linux's socket_state for sockets that do not block."""

    UNCONNECTED = 0
    CONNECTING = 1  # until another call has seen that it came about, or not
    CONNECTED = 2
    DISCONNECTING = 3


class StreamEnd(SocketEnd):
    """A TCP socket; its calls make it what it is."""

    def __init__(
        self,
        host: BareHost,
        proto: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
        options: SocketOptions | None = None,
    ) -> None:
        super().__init__(host, socket.SOCK_STREAM, proto, family, options)
        self.bound: Place | None = None  # None: not bound
        self._binding: Binding | None = None  # None: the host holds no port for it
        self.listener: Listener[TcpSocket] | None = None  # None: not listening
        self.socket: TcpSocket | None = None  # None: not connected, nor about to be
        self._state = _State.UNCONNECTED
        self.deferred = False  # connected as far as it knows: the SYN waits for the first text
        self._port_given = False  # by `bind`
        self._bound_again = False  # since the connection that there was is over
        self._last_port = 0  # of a connection that did not come about, or of a listener that ended
        self.notices: Notices | None = None  # None: nothing is told of what is sent
        self.error_told = False
        self.waits_for_more = self.options.is_set(SOCKET, numbers.SO_RCVLOWAT)
        self.urgent_taken = 0  # of the peer's numbers: the urgent byte that MSG_OOB has read
        self.changes: Changes = {}  # of the host's TcpConfig, by this socket's options
        self.soft_error = 0  # errno; with IP_RECVERR the next call raises it, once

    # addresses

    def name(self) -> Place:
        """Return address and port of this end; zeros before it has any."""
        if self.socket is not None and not self._bound_again:
            return self.socket.local, self.socket.connection.local_port
        local, port = self.bound or (nowhere(self.family), 0)
        return local, port or self._last_port

    def peer(self) -> Place:
        """Return address and port of the other end. OSError (ENOTCONN)."""
        connected = self.socket
        if connected is None or connected.connection.state in NO_PEER:
            raise error_of(errno.ENOTCONN)
        return connected.remote, connected.connection.remote_port

    def bind(self, local: Ip, port: int) -> None:
        """Take an address and a port. OSError: EADDRNOTAVAIL, EINVAL, EADDRINUSE."""
        connected = self.socket
        in_use = connected is not None and connected.connection.state not in OVER
        has_port = self.bound is not None and self.bound[1] != 0
        self.check_local(local, bound=has_port or in_use or self.listener is not None)
        if is_v6(local) and not is_wild(local) and is_multicast(local):
            raise error_of(errno.EINVAL)
        self._port_given, self._bound_again = port != 0, connected is not None
        self._last_port = 0
        if port or not self.flag(IP, numbers.IP_BIND_ADDRESS_NO_PORT):
            port = self._take_port(local, port).port
        self.bound = local, port
        self.note_bound(local)

    def _take_port(self, local: Ip, port: int) -> Binding:
        wanted = Binding(
            local,
            port,
            reuse_address=self.flag(SOCKET, numbers.SO_REUSEADDR),
            reuse_port=self.flag(SOCKET, numbers.SO_REUSEPORT),
            device=self.device,
        )
        self._binding = self.host.tcp.ports.bind(wanted, foreign=self.foreign)
        return self._binding

    def listen(self, backlog: int) -> None:
        """Let connections in. OSError: EADDRINUSE, EINVAL."""
        if self._state is not _State.UNCONNECTED:
            raise error_of(errno.EINVAL)
        if self.listener is not None:
            self.listener.backlog = backlog
            return
        local, port = self.bound or (self.everywhere, 0)
        binding = self._binding or self._take_port(local, port)
        self.bound = local, binding.port
        self.listener = self.host.tcp.listeners.listen(binding, backlog)
        self.listener.on_ready = self.became_readable
        self._inherit()

    def _inherit(self) -> None:
        """Let a listener's connections have what was set on it."""
        if self.listener is not None:
            self.listener.configure(**self.changes)
            self.listener.device = self.device

    # connections

    def accept(self) -> StreamEnd | None:
        """Return the next connection; None: there is none now. OSError (EINVAL)."""
        if self.listener is None:
            raise error_of(errno.EINVAL)
        if self.listener.broken:
            raise error_of(errno.ENETDOWN, self.host.name)
        if not self.listener.ready:
            return None
        ready = self.listener.ready.popleft()
        ready.listener = None
        accepted = StreamEnd(self.host, self.proto, self.family, self.options.copy())
        accepted.changes = dict(self.changes)
        accepted.device, accepted.bound_to_six = self.device, self.bound_to_six
        accepted._state = _State.CONNECTED
        accepted._adopt(ready)
        return accepted

    def connect(self, remote: Ip, port: int, text: memoryview | None = None) -> TcpSocket:
        """Begin to open a connection. OSError: EISCONN, EALREADY, ENETUNREACH and the like.

        `text`: for the SYN, if may be (MSG_FASTOPEN); None: there is none yet.
        """
        if self.listener is not None or self._state is _State.CONNECTED:
            raise error_of(errno.EISCONN)
        if self._state is _State.DISCONNECTING:
            raise error_of(errno.EINVAL)
        if self.socket is not None:
            return self._connect_again(self.socket)
        self.check_family(remote)
        if not is_multicast(remote):
            check_zone(remote, self.device)
        table, now = self.host.tcp, self.host.now()
        local, local_port = self.bound or (self.everywhere, 0)
        if is_v6(remote) and not is_v6(local):
            raise error_of(errno.EAFNOSUPPORT)
        if is_wild(local):
            local = UNSPECIFIED
        elif is_v6(local) is not is_v6(remote):
            raise error_of(errno.ENETUNREACH)
        source_route = find_source_route(self.options.data(IP, numbers.IP_OPTIONS))
        fast = text is not None or self.flag(TCP, numbers.TCP_FASTOPEN_CONNECT)
        config = self.config if self.changes or fast else None
        opening_socket = table.connect(
            remote,
            port,
            now,
            local=local,
            local_port=local_port,
            config=with_fast_open(config) if config is not None and fast else config,
            source_route=source_route,
            route=self.route_to(remote),
            text=memoryview(b"") if fast and text is None else text,
        )
        opening_socket.connection.mute = self.write_shut
        opening_socket.reuse_address = self.flag(SOCKET, numbers.SO_REUSEADDR)
        opening_socket.reuse_port = self.flag(SOCKET, numbers.SO_REUSEPORT)
        self._state, self._bound_again = _State.CONNECTING, False
        if self._binding is not None and is_wild(self._binding.local):
            self._binding.local = opening_socket.local  # its port is free at the others again
        self._adopt(opening_socket)
        room_bytes = fast_open.text_room_bytes(opening_socket.connection)
        self.deferred = fast and text is None and room_bytes > 0
        if not self.deferred:
            table.pump(opening_socket, now)
        return opening_socket

    def _connect_again(self, before: TcpSocket) -> TcpSocket:
        """Be told once what became of the first `connect`; after that it is EISCONN, or begins."""
        if before.connection.state in _OPENING:
            raise error_of(errno.EALREADY)
        if before.connection.state in OVER:
            self._last_port = before.connection.local_port
            number = self.take_error() or errno.ECONNABORTED
            self.socket, self._state = None, _State.UNCONNECTED
            self._disconnected()
            raise error_of(number)
        self._state = _State.CONNECTED
        return before

    def _disconnected(self) -> None:
        self.read_shut = self.write_shut = False
        if self._binding is not None and self.bound is not None:
            self._binding.local = self.bound[0]

    def shutdown(self, how: int) -> None:
        """End sending, receiving or both; before there is a connection, for the one to come.

        OSError (ENOTCONN): there is none; what was said holds all the same, as on Linux.
        """
        if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise error_of(errno.EINVAL)
        if self._state is _State.CONNECTING and self.socket is not None:
            none_yet = self.socket.connection.state in OVER | _OPENING
            self._state = _State.DISCONNECTING if none_yet else _State.CONNECTED
        if self.listener is not None:
            if how != socket.SHUT_WR:
                self._stop_listening(keep_port=True)
                self._disconnected()
                self.became_readable()
            return
        connected = self.socket
        if connected is not None and connected.connection.state is TcpState.SYN_SENT:
            self._give_up(connected)
            return
        if connected is not None and connected.connection.state in OVER:
            connected = None
        if how != socket.SHUT_WR:
            self.read_shut = True
            self.became_readable()
        if how != socket.SHUT_RD:
            self.write_shut = True
            if connected is not None:
                self.host.tcp.close(connected, self.host.now())
            self.became_writable()
        if connected is None:
            raise error_of(errno.ENOTCONN)
        connected.connection.is_deaf = self.read_shut and self.write_shut

    def _give_up(self, opening: TcpSocket) -> None:
        """The opening has failed: its waiters are told, and may try again, as on Linux."""
        self._last_port = opening.connection.local_port
        self.socket, self._state, self.soft_error = None, _State.UNCONNECTED, errno.ECONNRESET
        opening.on_signal = opening.on_error = None
        self.host.tcp.abort(opening, self.host.now())
        self._disconnected()
        self.became_readable()
        self.became_writable()

    def release(self) -> None:
        """Close the connection, or the port."""
        self._stop_listening(keep_port=False)
        if self._binding is not None:
            self.host.tcp.ports.release(self._binding)
        if self.socket is None:
            return
        table = self.host.tcp
        (table.abort if self.options.resets_on_close else table.release)(
            self.socket, self.host.now()
        )
        self.socket.on_signal = None

    def _stop_listening(self, *, keep_port: bool) -> None:
        if self.listener is None:
            return
        keep_port = keep_port and self._port_given  # as Linux: one that was only found is lost
        listeners, now = self.host.tcp.listeners, self.host.now()
        listeners.unlisten(self.listener, now, keep_port=keep_port)
        self.listener = None
        if not keep_port and self.bound is not None:
            self._last_port = self.bound[1]  # getsockname goes on saying it, as on Linux
            self._binding, self.bound = None, (self.bound[0], 0)

    # data; None: not now

    def try_send(self, view: memoryview, flags: int) -> int | None:
        """Queue as much as there is room for."""
        connected = self.socket
        if connected is not None and self.deferred:
            self.deferred = False
            view = view[: fast_open.text_room_bytes(connected.connection)]
            return self.host.tcp.write(connected, view, self.host.now())
        if connected is not None and connected.connection.state is TcpState.SYN_SENT:
            return None
        stream_state.raise_error(self)
        if connected is None or self.write_shut:
            raise error_of(errno.EPIPE)
        if not view:
            if connected.connection.state in OVER:
                raise error_of(errno.EPIPE)
            return 0
        # None while there is no room; BrokenPipeError after the end.
        written = self.host.tcp.write(
            connected,
            view,
            self.host.now(),
            urgent=bool(flags & MSG_OOB),
            more_comes=bool(flags & MSG_MORE),
            record_ends=bool(flags & MSG_EOR),
            zero_copy=bool(flags & MSG_ZEROCOPY),
        )
        if not written and not send_buffer.must_wait(connected.connection):
            return self.try_send(view, flags)  # it let go what MSG_MORE had held back
        return written or None

    def try_receive(self, size: int, flags: int, *, woken: bool = False) -> Received | None:
        """Take what has arrived. `woken`: as much as SO_RCVLOWAT says should be there."""
        connected = self.socket
        if flags & MSG_ERRQUEUE:
            return error_queue.take(self)
        if connected is None and self.read_shut and not (self.listener or flags & MSG_OOB):
            return Received(b"", 0)
        if connected is None or self.deferred:
            out_of_line = flags & MSG_OOB and self.listener is None
            raise error_of(errno.EINVAL if out_of_line else errno.ENOTCONN)
        if flags & MSG_OOB:
            return self._try_urgent(connected, size, flags)
        if woken and not self.is_readable():
            return None
        data = stream_state.read(self, connected, size, peek=bool(flags & MSG_PEEK))
        # Nothing is asked for: returns once there is something
        if data or (size == 0 and connected.connection.receive_buffer.readable_bytes):
            return Received(b"" if flags & MSG_TRUNC else data, len(data))
        if connected.connection.state is TcpState.SYN_SENT:
            return None
        if not peer_is_done(connected) or self.soft_error:
            stream_state.raise_error(self)
        at_end = self.read_shut or connected.connection.at_eof
        return Received(b"", 0) if at_end else None

    def _try_urgent(self, connected: TcpSocket, size: int, flags: int) -> Received | None:
        """MSG_OOB: the last byte of what the peer calls urgent, once."""
        if self.flag(SOCKET, numbers.SO_OOBINLINE):
            raise error_of(errno.EINVAL)
        received = stream_state.look_at_urgent(connected, size, taken=self.urgent_taken)
        if received is not None and not flags & MSG_PEEK:
            self.urgent_taken = connected.connection.tcb.rcv_up
        return received

    def is_readable(self) -> bool:
        """Tell whether receiving or accepting would return (or raise) at once."""
        return stream_state.is_readable(self)

    def try_writable(self) -> bool | None:
        """Tell whether sending would not have to wait; None: not now."""
        return stream_state.try_writable(self)

    # what lies below

    def _adopt(self, connected: TcpSocket) -> None:
        self.socket = connected
        self.error_told = False
        self.urgent_taken = 0
        connected.on_signal = self._on_signal
        connected.on_error = self._on_error
        error_queue.adopted(self)
        number = self.options.number
        for name in tcp_sockopts.SWITCHES:
            key = TCP, name
            tcp_sockopts.switch(connected.connection, key, number(*key))
        if not number(TCP, numbers.TCP_QUICKACK):
            tcp_sockopts.switch(connected.connection, (TCP, numbers.TCP_QUICKACK), 0)
        tos_key, ttl_key = stream_state.tos_key(self), stream_state.ttl_key(self)
        if self.options.is_set(*tos_key):
            tcp_socket.set_tos(connected, max(number(*tos_key), 0))
        self._set_ttl(number(*ttl_key) if self.options.is_set(*ttl_key) else -1)

    def _set_ttl(self, ttl: int) -> None:
        if self.socket is not None and 1 <= ttl <= 255:
            tcp_socket.set_ttl(self.socket, ttl)

    def _on_signal(self, signal: Signal) -> None:
        if signal is not Signal.WRITABLE:
            self.became_readable()
        if signal is not Signal.READABLE:
            self.became_writable()

    def _on_error(self, error: TcpSoftError) -> None:
        # ip(7): with IP_RECVERR, TCP passes all errors on at once; else only those that end it.
        if error.reason == "icmp" and self.flag(*stream_state.errors_key(self)):
            self.soft_error = error.number
            self.became_readable()
            self.became_writable()

    def take_error(self) -> int:
        """Return what went wrong, for SO_ERROR, once; 0 for nothing."""
        if self.soft_error:
            number, self.soft_error = self.soft_error, 0
            return number
        if self.socket is None or self.error_told:
            return 0
        number = self.socket.connection.error or 0
        self.error_told = number != 0
        return number

    def keep_error(self, error: OSError) -> None:
        """Leave for the next call an error that ended one which had done some of its work."""
        if error.errno not in (None, errno.EAGAIN, errno.EPIPE):
            self.soft_error = error.errno

    # options

    def most_waited_for(self) -> int:
        """Return the most that SO_RCVLOWAT can be."""  # half of what the buffer may grow to
        return self.config.receive_limit_bytes // 2

    @property
    def config(self) -> TcpConfig:
        """Return what its connection has, or will have."""
        if self.socket is not None:
            return self.socket.connection.config
        return replace(self.host.tcp.config, **self.changes)  # type: ignore[arg-type]

    def known_option(self, row: Option) -> int | str | bytes | None:
        """Return an option that says something of the socket; None for one just remembered."""
        known = stream_state.known_option(self, row)
        return super().known_option(row) if known is None else known

    def option_set(self, row: Option, data: bytes, number: int) -> int | None:
        """Do what an option means; return what is remembered, None: the value itself. OSError."""
        key = row.key
        found = super().option_set(row, data, number)
        error_queue.set_option(self, row, number)
        self.waits_for_more |= key == (SOCKET, numbers.SO_RCVLOWAT)
        changes = tcp_sockopts.changes(
            key,
            number,
            data,
            self.config,
            ours=self.host.tcp.config,
            listening=self.listener is not None,
            connected=self.socket is not None,
        )
        if changes:
            self._change(changes)
        if self._binding is not None:
            if key == (SOCKET, numbers.SO_REUSEADDR):
                self._binding.reuse_address = number != 0
            elif key == (SOCKET, numbers.SO_REUSEPORT):
                self._binding.reuse_port = number != 0
        if self.socket is not None and not changes:
            connection = self.socket.connection
            if tcp_sockopts.switch(connection, key, number):
                self.host.tcp.pump(self.socket, self.host.now())
            elif key == stream_state.tos_key(self):
                tcp_socket.set_tos(self.socket, max(number, 0))
            elif key == stream_state.ttl_key(self):
                self._set_ttl(self.host.tcp.config.ttl if number == -1 else number)
        return found

    def _change(self, changes: Changes) -> None:
        self.changes.update(changes)
        if self.socket is not None:
            self.socket.connection.configure(self.host.now(), **changes)
        self._inherit()

    def resize(self, name: int, size_bytes: int) -> None:
        """Have a buffer of that size, which follows no window any more."""
        which = "send" if name == numbers.SO_SNDBUF else "receive"
        self._change({f"{which}_buffer_bytes": size_bytes, f"{which}_buffer_max_bytes": size_bytes})
        if self.socket is not None and which == "receive":
            self.socket.connection.set_receive_buffer(size_bytes)

    def bind_to(self, name: str) -> None:
        """Be of one interface alone; with "" of all again. OSError (ENODEV)."""
        super().bind_to(name)
        if self._binding is not None:
            self._binding.device = self.device
        self._inherit()

"""A TCP socket as BSD programs know it, over the stack of the world's host.

Calls that may have to wait are generators: they yield, and look again when something has happened.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from pystack.core.addresses import Ip, is_v6
from pystack.stack.notices import Notices
from pystack.stack.ports import ANY
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp import fast_open, send_buffer, urgent
from pystack.tcp.config import TcpConfig
from pystack.tcp.events import Signal
from pystack.tcp.listener import Listener
from pystack.tcp.states import MAY_WRITE, TcpState
from pystack.testing.packetdrill.constants import VALUES
from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.files import Outcome, Program, Steps, failed
from pystack.testing.packetdrill.inject import pattern
from pystack.testing.packetdrill.messages import Message, of_notice, of_waiting
from pystack.testing.packetdrill.stream_options import StreamOptions
from pystack.testing.packetdrill.sysctls import tcp_config, tcp_limits
from pystack.testing.packetdrill.world import START

_OPENING: Final = frozenset({TcpState.SYN_SENT, TcpState.SYN_RECEIVED})
_PEER_DONE: Final = frozenset(
    {TcpState.CLOSE_WAIT, TcpState.LAST_ACK, TcpState.CLOSING, TcpState.TIME_WAIT}
)
_DONTWAIT: Final = VALUES["MSG_DONTWAIT"]
_OOB: Final = VALUES["MSG_OOB"]
_PEEK: Final = VALUES["MSG_PEEK"]
_WAITALL: Final = VALUES["MSG_WAITALL"]
_MORE: Final = VALUES["MSG_MORE"]
_EOR: Final = VALUES["MSG_EOR"]
_ZEROCOPY: Final = VALUES["MSG_ZEROCOPY"]


class Stream:
    """A TCP socket: new, listening, or with a connection."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nonblocking = False
        self.options = StreamOptions(self)
        self.bound: tuple[Ip, int] | None = None  # None: not bound
        self.listener: Listener[TcpSocket] | None = None  # None: not listening
        self.socket: TcpSocket | None = None  # None: not connected
        self.notices = Notices(self._changed)  # its error queue
        self._watchers: list[Callable[[], None]] = []
        self._error_told = False
        self._written = self._read = 0  # offsets in the two streams
        self._peeked = b""
        self._read_shut = self._write_shut = False
        self._syn_reported = False  # connect told EINPROGRESS, and not its end yet
        self._deferred = False  # connected as far as it knows: the SYN waits for the first write

    # opening

    @property
    def config(self) -> TcpConfig:
        """Return what connections of this socket are to do."""
        return self.options.apply(
            tcp_config(self.program.sysctls, TcpConfig(timestamps_required=False))
        )

    def bind(self, local: Ip, port: int) -> Outcome:
        """Bind to an address and port."""
        if self.bound is not None or self.socket is not None:
            return failed(errno.EINVAL)
        self.bound = (local, port)
        return Outcome(0)

    def listen(self, backlog: int) -> Outcome:
        """Open the port."""
        if self.socket is not None:
            return failed(errno.EINVAL)
        tcp = self.program.world.host.tcp
        if self.listener is not None:
            self.listener.backlog = max(backlog, 1)
            return Outcome(0)
        local, port = self.bound or (ANY, 0)
        # As in Linux the queue has room for one more than it is told.
        self.listener = tcp.listen(local, port, backlog + 1)
        self.bound = (local, self.listener.local_port)
        self.listener.on_ready = self._changed
        self.options.name_keys()
        self.use_config()
        self.program.on_subject(self)
        return Outcome(0)

    def use_config(self) -> None:
        """Let connections that come into being now do what this socket asks for."""
        tcp = self.program.world.host.tcp
        tcp.config, tcp.limits = self.config, tcp_limits(self.program.sysctls)

    def accept(self) -> Steps:
        """Wait for a connection; the outcome's value is 0, `accepted` has the socket."""
        while True:
            if self.listener is None:
                return failed(errno.EINVAL)
            if self.listener.ready:
                return Outcome(0)
            if self.nonblocking:
                return failed(errno.EAGAIN)
            yield

    def accepted(self) -> Stream:
        """Take the connection that has waited longest."""
        assert self.listener is not None
        ready = self.listener.ready.popleft()
        ready.listener = None
        stream = Stream(self.program)
        stream.options = self.options.copy_for(stream)
        stream._adopt(ready)
        return stream

    def connect(self, remote: Ip, port: int) -> Steps:
        """Open a connection."""
        if self.listener is not None:
            return failed(errno.EISCONN)
        if self.socket is not None:
            state = self.socket.connection.state
            if self._deferred:
                return failed(errno.EISCONN)
            if state in _OPENING:
                return failed(errno.EALREADY)
            if self._syn_reported:
                self._syn_reported = False
                number = self.take_error()
                return failed(number) if number else Outcome(0)
            return failed(errno.EISCONN)
        problem = self._open(remote, port, fast=self.options.waits_for_text)
        if problem:
            return failed(problem)
        assert self.socket is not None
        self._deferred = self._syn_room_bytes() > 0
        if self._deferred:
            return Outcome(0)
        self.program.world.host.tcp.pump(self.socket, self.program.now)
        if self.nonblocking:
            self._syn_reported = True
            return failed(errno.EINPROGRESS)
        return (yield from self._opened())

    def _open(self, remote: Ip, port: int, *, fast: bool) -> int:
        """Make a connection that has sent nothing yet; `fast`: with a cookie. Return an errno."""
        program = self.program
        self.use_config()
        local, local_port = self.bound or (ANY, self.options.local_port)
        try:
            socket = program.world.host.tcp.connect(
                remote,
                port,
                program.now,
                local=local,
                local_port=local_port,
                text=memoryview(b"") if fast else None,
            )
        except OSError as error:
            return error.errno or errno.EINVAL
        self._adopt(socket)
        program.on_subject(self)
        return 0

    def _opened(self) -> Steps:
        """Wait for the end of the handshake."""
        assert self.socket is not None
        while self.socket.connection.state in _OPENING:
            yield
        number = self.take_error()
        if number or self.socket.connection.state is TcpState.CLOSED:
            return failed(number or errno.ECONNABORTED)
        return Outcome(0)

    def connect_with(
        self, remote: Ip, port: int, size: int, text: bytes | None, flags: int
    ) -> Steps:
        """Open a connection with the first of its text in the SYN (MSG_FASTOPEN)."""
        if self._deferred:
            return (yield from self._write_first(size, text, flags))
        if self.socket is not None:
            if self.socket.connection.state in _OPENING:
                return failed(errno.EALREADY)
            if not self._syn_reported:
                return failed(errno.EISCONN)
            self._syn_reported = False  # as Linux: this call finds out that it is connected
            return (yield from self.write(size, text, flags))
        if self.config.fast_open not in ("client", "both"):
            return failed(errno.EOPNOTSUPP)
        problem = self._open(remote, port, fast=True)
        if problem:
            return failed(problem)
        return (yield from self._write_first(size, text, flags))

    def _syn_room_bytes(self) -> int:
        assert self.socket is not None
        return fast_open.text_room_bytes(self.socket.connection)

    def _write_first(self, size: int, text: bytes | None, flags: int) -> Steps:
        """Send the SYN, with what goes into it; the rest follows where the call may wait."""
        assert self.socket is not None
        connection, now = self.socket.connection, self.program.now
        self._deferred = False
        waits = not (self.nonblocking or flags & _DONTWAIT)
        # What waits in a call that blocks goes with the ACK of the SYN-ACK.
        data = self._data(size if waits else min(size, self._syn_room_bytes()), text)
        done = connection.write(memoryview(data), now)
        if done:
            self.notices.written(connection, zero_copy=bool(flags & _ZEROCOPY))
        self._written += done
        self.program.world.host.tcp.pump(self.socket, now)
        if not waits:
            self._syn_reported = True
            return Outcome(done) if done else failed(errno.EINPROGRESS)
        opened = yield from self._opened()
        if opened.error or done == size:
            return opened if opened.error else Outcome(done)
        rest = yield from self.write(size - done, None if text is None else text[done:], flags)
        return rest if rest.error else Outcome(done + rest.value)

    def _adopt(self, socket: TcpSocket) -> None:
        self.socket = socket
        socket.on_signal = self._signal
        socket.notices = self.notices
        self.options.settle()

    def _signal(self, _signal: Signal) -> None:
        self._changed()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Tell `watcher` from now on whenever something has happened to the socket."""
        self._watchers.append(watcher)

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher()

    # data

    def write(self, size: int, text: bytes | None, flags: int = 0) -> Steps:
        """Queue `size` bytes (of the pattern, where there is no text)."""
        if self._deferred:
            return (yield from self._write_first(size, text, flags))
        done = 0
        while True:
            problem = self._write_problem()
            if problem:
                return Outcome(done) if done else failed(problem)
            socket = self.socket
            assert socket is not None
            if self._may_send:
                data = self._data(size - done, None if text is None else text[done:])
                waits = not (self.nonblocking or flags & _DONTWAIT)
                try:
                    taken = self.program.world.host.tcp.write(
                        socket,
                        memoryview(data),
                        self.program.now,
                        urgent=bool(flags & _OOB),
                        more_comes=bool(flags & _MORE),
                        record_ends=bool(flags & _EOR),
                        zero_copy=bool(flags & _ZEROCOPY),
                        goes_on=waits and send_buffer.room_bytes(socket.connection) < len(data),
                    )
                except BrokenPipeError:
                    return failed(self.take_error() or errno.EPIPE)
                done += taken
                self._written += taken
                if done == size:
                    return Outcome(done)
            if self.nonblocking or flags & _DONTWAIT:
                return Outcome(done) if done else failed(errno.EAGAIN)
            yield

    def _data(self, size: int, text: bytes | None) -> bytes:
        """Return the next bytes to write: of the pattern, where there is no text."""
        if text is None:
            return pattern(self._written, size)
        self.program.patterned = False
        return text[:size]

    @property
    def _may_send(self) -> bool:
        """Tell whether the handshake is over, or need not be."""
        assert self.socket is not None
        connection = self.socket.connection
        return connection.state not in _OPENING or connection.fast_opened

    def _write_problem(self) -> int:
        if self.socket is None:
            return errno.EPIPE
        number = self.take_error()
        if number:
            return number
        state = self.socket.connection.state
        gone = state not in MAY_WRITE and state not in _OPENING
        return errno.EPIPE if self._write_shut or gone else 0

    def read(self, size: int, flags: int = 0) -> Steps:
        """Take what has arrived, at most `size` bytes."""
        data = b""
        while True:
            if self.socket is None:
                return failed(errno.ENOTCONN)
            data += self._take(size - len(data), peek=bool(flags & _PEEK))
            wants_more = flags & _WAITALL and len(data) < size and not flags & _PEEK
            if (data and not wants_more) or size == 0 or self._read_shut:
                return Outcome(len(data), text=data)
            number = self.take_error()
            if number and not data:
                return failed(number)
            if self.socket.connection.at_eof or number:
                return Outcome(len(data), text=data)
            if self.nonblocking or flags & _DONTWAIT:
                return Outcome(len(data), text=data) if data else failed(errno.EAGAIN)
            yield

    def _take(self, size: int, *, peek: bool) -> bytes:
        assert self.socket is not None
        data, self._peeked = self._peeked[:size], self._peeked[size:]
        if len(data) < size:
            tcp = self.program.world.host.tcp
            data += tcp.read(self.socket, size - len(data), self.program.now)
        if data != pattern(self._read, len(data)):
            raise MismatchError("what was read is not what the packets of the script carried")
        if peek:
            self._peeked = data + self._peeked
        else:
            self._read += len(data)
        return data

    def message(self) -> Message:
        """Return what recvmsg gives besides data: with TCP_INQ, how much is left."""
        if not self.options.tells_waiting or self.socket is None:
            return Message()
        left = self.readable_bytes
        return of_waiting(left or int(self.socket.connection.at_eof))  # the end counts as one

    def queued_error(self, _size: int) -> Outcome:
        """Take the oldest entry of the error queue."""
        if not self.notices.queue:
            return failed(errno.EAGAIN)
        notice = self.notices.queue.popleft()
        v6 = is_v6(self.program.settings.local_ip)
        return Outcome(0, text=b"", message=of_notice(notice, START, is_v6=v6))

    # the end

    def shutdown(self, how: int) -> Outcome:
        """Close one direction or both."""
        if self.listener is not None and how != VALUES["SHUT_WR"]:
            self._unlisten()
            return Outcome(0)
        if self.socket is None or self.socket.connection.state is TcpState.CLOSED:
            return failed(errno.ENOTCONN)
        if how != VALUES["SHUT_WR"]:
            self._read_shut = True
        if how != VALUES["SHUT_RD"]:
            self._write_shut = True
            self.program.world.host.tcp.close(self.socket, self.program.now)
        self.socket.connection.is_deaf = self._read_shut and self._write_shut
        self._changed()
        return Outcome(0)

    def close(self) -> Steps:
        """Go away; with SO_LINGER, wait for the end."""
        self._unlisten()
        socket = self.socket
        if socket is None:
            return Outcome(0)
        tcp, now = self.program.world.host.tcp, self.program.now
        linger_s = self.options.linger_s
        if socket.connection.state is TcpState.SYN_SENT or linger_s == 0:
            tcp.abort(socket, now)
            return Outcome(0)
        tcp.release(socket, now)
        if linger_s is not None and not self.nonblocking:
            until = now + linger_s
            waiter = self.program.wake_at(until)
            while self.program.now < until and len(socket.connection.send_buffer):
                yield
            waiter.cancel()
        return Outcome(0)

    def disconnect(self) -> Outcome:
        """End the connection, so that the socket may be used anew (connect to AF_UNSPEC)."""
        if self.socket is not None:
            self.socket.on_signal = None
            self.program.world.host.tcp.abort(self.socket, self.program.now)
        self._unlisten()
        self.socket = None
        self._written = self._read = 0
        self._error_told = self._read_shut = self._write_shut = self._syn_reported = False
        self._deferred = False
        return Outcome(0)

    def _unlisten(self) -> None:
        if self.listener is not None:
            self.program.world.host.tcp.unlisten(self.listener, self.program.now)
            self.listener = None

    # what can be asked

    def take_error(self) -> int:
        """Return the errno of the connection's end, once."""
        if self.socket is None or self._error_told:
            return 0
        number = self.socket.connection.error or 0
        self._error_told = number != 0
        return number

    @property
    def has_error(self) -> bool:
        """Tell whether `take_error` would give one."""
        return bool(
            self.socket is not None and self.socket.connection.error and not self._error_told
        )

    @property
    def readable_bytes(self) -> int:
        """Return how much `read` would give."""
        if self.socket is None:
            return 0
        return len(self._peeked) + self.socket.connection.receive_buffer.readable_bytes

    def control(self, request: int) -> int | None:
        """Return what ioctl tells of the socket's queues; None: it can't be asked that."""
        if self.socket is None:
            return None
        connection = self.socket.connection
        if request == VALUES["SIOCINQ"]:
            return self.readable_bytes
        if request == VALUES["SIOCATMARK"]:
            return int(connection.tcb.rcv_up > 0 and urgent.unread_bytes(connection) == 1)
        if request == VALUES["SIOCOUTQ"]:
            return len(connection.send_buffer)
        if request == VALUES["SIOCOUTQNSD"]:
            return connection.send_buffer.end - connection.tcb.snd_nxt
        return None

    def poll_mask(self) -> int:
        """Return the poll bits that hold now, as tcp_poll in Linux has them."""
        value = VALUES
        if self.listener is not None:
            return value["POLLIN"] | value["POLLRDNORM"] if self.listener.ready else 0
        if self.socket is None:
            return value["POLLOUT"] | value["POLLWRNORM"] | value["POLLHUP"]
        connection = self.socket.connection
        state = connection.state
        closed = state is TcpState.CLOSED
        peer_done = state in _PEER_DONE or self._read_shut or closed
        mask = value["POLLERR"] if self.has_error or self.notices.queue else 0
        if closed or (peer_done and self._write_shut):
            mask |= value["POLLHUP"]
        if peer_done:
            mask |= value["POLLIN"] | value["POLLRDNORM"] | value["POLLRDHUP"]
        if self._deferred:
            return mask | value["POLLOUT"] | value["POLLWRNORM"]
        if not self._may_send:
            return mask
        if urgent.unread_bytes(connection):
            mask |= value["POLLPRI"]
        if self.readable_bytes:
            mask |= value["POLLIN"] | value["POLLRDNORM"]
        if closed or self._write_shut or self._has_room():
            mask |= value["POLLOUT"] | value["POLLWRNORM"]
        return mask

    def _has_room(self) -> bool:
        assert self.socket is not None
        connection = self.socket.connection
        queued = len(connection.send_buffer)
        room = send_buffer.limit_bytes(connection) - queued
        lowat = connection.config.notsent_lowat_bytes
        unsent = connection.send_buffer.end - connection.tcb.snd_nxt
        if room >= queued // 2 and (lowat is None or 2 * unsent < lowat):
            return True
        connection.write_blocked = True  # it is to say so when there is room again
        return False

    def resize(self, *, send_bytes: int | None = None, receive_bytes: int | None = None) -> None:
        """Give the connection other buffers."""
        if self.socket is None:
            return
        connection = self.socket.connection
        if send_bytes is not None:
            connection.config = replace(connection.config, send_buffer_bytes=send_bytes)
        if receive_bytes is not None:
            connection.set_receive_buffer(receive_bytes)

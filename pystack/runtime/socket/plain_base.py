"""What `socket.socket` is on a pystack host: its number, its end, its timeout, its options.

Its part that is written in C stays without a descriptor. What it does is in `plain_socket.py`.
"""

from __future__ import annotations

import errno
import socket
import sys
import warnings
from collections.abc import Callable
from operator import index
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

from pystack.core.errors import error_of
from pystack.runtime.current import current_host
from pystack.runtime.socket import waits
from pystack.runtime.socket.datagram_ends import DatagramEnd
from pystack.runtime.socket.descriptors import Descriptor, find, open_descriptor
from pystack.runtime.socket.given_addresses import check_form, given
from pystack.runtime.socket.option_table import linux_number
from pystack.runtime.socket.pair_ends import PairEnd
from pystack.runtime.socket.plain_names import look_up_now
from pystack.runtime.socket.readiness import ANYWAY
from pystack.runtime.socket.socket_addresses import Place
from pystack.runtime.socket.socket_calls import (
    INTERNET,
    KIND_MASK,
    MSG_DONTWAIT,
    c_int,
    check_kind,
    option_value,
)
from pystack.runtime.socket.socket_ends import SocketEnd
from pystack.runtime.socket.stream_ends import StreamEnd

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_NONBLOCK: Final = getattr(socket, "SOCK_NONBLOCK", 0)
_UNDER: Final[Any] = socket.socket.__base__  # what is written in C
_MOST_TIMEOUT_S: Final = 9_223_372_036.0  # as CPython: nanoseconds of 63 bits

# Calls that SO_RCVTIMEO is for; SO_SNDTIMEO for the others
_RECEIVING: Final = ("accept", "recv", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into")

# What socket.setdefaulttimeout said on a host
default_timeouts: Final[WeakKeyDictionary[BareHost, float | None]] = WeakKeyDictionary()


# What setblocking takes: from CPython 3.12 on whatever is true or not
_truth: Final[Callable[[Any], object]] = bool if sys.version_info >= (3, 12) else index


class PlainBase(socket.socket):
    """A socket by its number, its end and its timeout."""

    _descriptor: Descriptor
    _timeout_s: float | None  # None: waits for ever; 0: never

    def __new__(cls, *_args: object, **_words: object) -> Self:
        """Return one that has nothing yet: `__init__` or `over` gives it an end."""
        made: Self = _UNDER.__new__(cls)
        return made

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the standard library's word
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        """Open a socket on the host that the caller is on; or stand for one that there is."""
        kind = socket.SOCK_STREAM if type == -1 else type
        here = current_host.get()
        if fileno is not None:
            found = None if isinstance(fileno, float) else find(index(fileno))
            if found is None:
                raise error_of(errno.EBADF)
            descriptor = found
        else:
            if here is None:
                raise RuntimeError("a PlainSocket is made on a host")
            family = socket.AF_INET if family == -1 else family
            descriptor = waits.call(
                here, _open, here, family, kind & KIND_MASK, 0 if proto == -1 else proto
            )
        self._take(descriptor, 0.0 if kind & _NONBLOCK else default_timeout(here))

    @classmethod
    def over(cls, end: SocketEnd, timeout_s: float | None = None) -> Self:
        """Return a new socket for an end, with a descriptor of its own."""
        made = cls.__new__(cls)
        made._take(open_descriptor(end), timeout_s)
        return made

    def _take(self, descriptor: Descriptor, timeout_s: float | None) -> None:
        self._descriptor, self._timeout_s = descriptor, timeout_s
        if timeout_s is not None:
            descriptor.nonblocking = True
        self._io_refs, self._closed = 0, False
        self._gone = False  # closed for good, or detached

    def __del__(self) -> None:
        """Close it, with CPython's warning, where the program has forgotten it."""
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is None or self._gone or descriptor.closed:
            return
        stack = descriptor.end.host.stack
        if not stack.closed and stack.powered:  # else its kernel has ended all that was open
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        waits.later(descriptor.end.host.driver, descriptor.close)

    # what it is

    @property
    def family(self) -> socket.AddressFamily:
        """Return AF_INET or AF_INET6; of a pair AF_UNIX."""
        return self._descriptor.end.family

    @property
    def type(self) -> socket.SocketKind:
        """Return SOCK_STREAM or SOCK_DGRAM, without flags."""
        return self._descriptor.end.kind

    @property
    def proto(self) -> int:
        """Return the protocol as it was asked for, 0 for the usual one."""
        return self._descriptor.end.proto

    @property
    def timeout(self) -> float | None:
        """Return how long calls wait, in seconds; None: for ever."""
        return self._timeout_s

    def fileno(self) -> int:
        """Return a number that is known in this world alone; -1 once closed."""
        return -1 if self._gone or self._descriptor.closed else self._descriptor.number

    def poll(self) -> int:
        """Return what poll(2) finds, as a mask of EPOLL*."""
        return self._open_descriptor().poll()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call `watcher` each time that `poll` may have another answer, and when it is closed."""
        self._open_descriptor().watch(watcher)

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Call it no more."""
        self._descriptor.unwatch(watcher)

    def gettimeout(self) -> float | None:
        """Return how long calls wait, in seconds; None: for ever."""
        return self._timeout_s

    def settimeout(self, value: float | None, /) -> None:
        """Let calls wait so long. ValueError: less than 0, OverflowError: too long."""
        self._set_timeout(checked_timeout(value))

    def getblocking(self) -> bool:
        """Tell whether calls wait."""
        return self._timeout_s != 0.0

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - the standard library's
        """Let calls wait for ever, or not at all."""
        self._set_timeout(None if _truth(flag) else 0.0)

    def _set_timeout(self, timeout_s: float | None) -> None:
        self._open_descriptor().nonblocking = timeout_s is not None
        self._timeout_s = timeout_s

    def get_inheritable(self) -> bool:
        """Return False: no other process can have it."""
        return False

    def set_inheritable(self, inheritable: bool) -> None:  # noqa: FBT001 - the same
        """Do nothing: servers ask for it in case they start processes, which the seal refuses."""

    # its end of life

    def detach(self) -> int:
        """Return the number, which `socket.socket(fileno=...)` takes on this host; be closed."""
        number = self.fileno()
        self._closed = self._gone = True
        return number

    def dup(self) -> Self:
        """Return another descriptor of the same socket, which ends when all are closed."""
        end = self.end
        if type(self).__init__ is PlainBase.__init__:
            return self._call(type(self).over, end, self._timeout_s)
        # As CPython, for classes that build on it: by their own way to be made
        token = current_host.set(end.host)
        try:
            number = self._call(open_descriptor, end).number
            made = type(self)(self.family, self.type, self.proto, fileno=number)
        finally:
            current_host.reset(token)
        made.settimeout(self._timeout_s)
        return made

    def _real_close(self, _ss: object = None) -> None:
        if not self._gone:
            self._gone = True
            self._call(self._descriptor.close)

    # options

    def getsockopt(self, level: int, optname: int, buflen: int | None = None, /) -> Any:  # noqa: ANN401 - the standard library's
        """Return an option: a number, or bytes where a length is given."""
        level, optname = c_int(level), c_int(optname)
        length = None if buflen is None else c_int(buflen) or None  # 0: it is a number
        number = linux_number(level, optname)
        return self._call(self.end.get_option, level, number, length)

    def setsockopt(
        self, level: int, optname: int, value: object, optlen: int | None = None, /
    ) -> None:
        """Set an option. OSError (ENOPROTOOPT) for those that are none here."""
        level, optname = c_int(level), c_int(optname)
        data, number = option_value(value, optlen), linux_number(level, optname)
        self._call(self.end.set_option, level, number, data)

    # addresses

    def bind(self, address: object, /) -> None:
        """Take a local address and port (0: any free one). OSError: EADDRINUSE, EADDRNOTAVAIL."""
        place = self._resolve("bind", address, local=True)
        self._call(self.end.bind, *place)

    def getsockname(self) -> Any:  # noqa: ANN401 - the same
        """Return the address of this end; zeros before it has one."""
        end = self.end
        return self._call(lambda: end.shown(*end.name()))

    def getpeername(self) -> Any:  # noqa: ANN401 - the same
        """Return the address of the other end. OSError (ENOTCONN) where there is none."""
        end = self.end
        remote, port = self._call(end.peer)
        if not port:
            raise error_of(errno.ENOTCONN)
        return end.shown(remote, port)

    def shutdown(self, how: int, /) -> None:
        """End sending, receiving or both. OSError (ENOTCONN) without another end."""
        self._call(self.end.shutdown, c_int(how))

    # below

    def _call(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        return waits.call(self._descriptor.end.host, fn, *args)

    def _now(self) -> float:
        """Return the world's time, which in real time is known in its own thread alone."""
        return self._call(self._descriptor.end.host.now)

    def _deadline(self) -> float | None:
        """Return when a whole operation that begins now has timed out; None: never."""
        return None if self._timeout_s is None else self._now() + self._timeout_s

    @property
    def end(self) -> SocketEnd:
        """Return what it stands for. OSError (EBADF): closed."""
        return self._open_descriptor().end

    def _open_descriptor(self) -> Descriptor:
        if self._gone or self._descriptor.closed:
            raise error_of(errno.EBADF)
        return self._descriptor

    def _stream(self, what: str) -> StreamEnd:
        end = self.end
        if not isinstance(end, StreamEnd):
            raise error_of(errno.EOPNOTSUPP if isinstance(end, DatagramEnd) else errno.EINVAL)
        return end

    def _wait(
        self,
        what: str,
        attempt: Callable[[], T | None],
        flags: int = 0,
        timeout_s: float | None = None,
        *,
        first: int = 0,
    ) -> T:
        """Do `attempt` until it returns something, as long as the socket waits.

        `timeout_s`: what is left of its timeout; None: all. `first`: what a socket with a timeout
        is polled for before the attempt, as CPython does; it may be ready for no good.
        Raises BlockingIOError where it does not wait, TimeoutError afterwards.
        """
        descriptor = self._descriptor
        if first and self._timeout_s:
            at_once, wanted = attempt, first | ANYWAY

            def attempt() -> T | None:
                return at_once() if descriptor.poll() & wanted else None

        result = self._call(attempt)
        if result is not None:
            return result
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        if self._timeout_s == 0.0 or (
            self._timeout_s is None and (flags & MSG_DONTWAIT or descriptor.nonblocking)
        ):
            raise error_of(errno.EAGAIN)

        def attempt_open() -> T | None:
            # As Linux: what waits for ever is in the kernel, and goes on; what waits for a while
            # looks at the number again.
            if timeout_s is not None and descriptor.closed:
                raise error_of(errno.EBADF)
            return attempt()

        kernel_s = None
        if self._timeout_s is None:
            timeout_s = kernel_s = self.end.options.waits_s(sends=what not in _RECEIVING)
        words = f"socket.{what} (timeout {self._timeout_s})"
        found = waits.until(words, descriptor, attempt_open, timeout_s)
        if found is None:
            if kernel_s is not None:
                raise error_of(errno.EINPROGRESS if what == "connect" else errno.EAGAIN)
            raise TimeoutError("timed out")
        return found

    def _resolve(self, what: str, address: object, *, local: bool) -> Place:
        """Return an address of the BSD calls as it is below. OSError, TypeError."""
        end = self.end
        if isinstance(end, PairEnd):
            raise error_of(errno.EISCONN)
        check_form(what, end, address)
        asked = given(end, address, local=local)
        if asked.known is not None:
            return asked.place()
        # As CPython, which knows no mapped addresses here; Trio does
        family, kind, proto, _ = asked.hints()
        found = look_up_now(end.host, asked.name, asked.port, family, kind, proto)
        return asked.found(found[0][4])


def open_end(host: BareHost, family: int, kind: int, proto: int) -> SocketEnd:
    """Return a new end of a host. OSError for sockets that hosts do not have."""
    if family not in INTERNET:
        raise OSError(errno.EAFNOSUPPORT, f"no sockets of family {family} on {host.name}")
    check_kind(kind, proto, host.name)
    made = StreamEnd if kind == socket.SOCK_STREAM else DatagramEnd
    return made(host, proto, socket.AddressFamily(family))


def default_timeout(host: BareHost | None) -> float | None:
    """Return what new sockets of a host wait for; None: for ever."""
    return None if host is None else default_timeouts.get(host)


def checked_timeout(value: object) -> float | None:
    """Return a timeout in seconds as CPython takes it. ValueError, OverflowError, TypeError."""
    if value is None:
        return None
    seconds = float(value if isinstance(value, float) else index(value))  # type: ignore[arg-type] # TypeError
    if seconds != seconds:
        raise ValueError("Invalid value NaN (not a number)")
    if seconds < 0:
        raise ValueError("Timeout value out of range")
    if seconds > _MOST_TIMEOUT_S:
        raise OverflowError("timestamp too large to convert to C PyTime_t")
    return seconds


def _open(host: BareHost, family: int, kind: int, proto: int) -> Descriptor:
    return open_descriptor(open_end(host, family, kind, proto))

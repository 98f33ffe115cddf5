"""Sockets and names of the standard library: on a host, `socket.socket` makes one of that host's.

By context, as all that is borrowed: code on no host gets the machine's, and so does a block
`with pystack.unsealed()`. Names that a program has bound early follow, since the class stays the
same one, and so do the functions. Sockets of other families (AF_UNIX) are left to the seal.
"""

from __future__ import annotations

import _socket
import errno
import socket
from collections.abc import Callable
from functools import cache
from operator import index
from typing import Any, Final
from weakref import WeakKeyDictionary

import trio

from pystack.core.errors import error_of
from pystack.runtime.bare_host import BareHost
from pystack.runtime.borrowed.loan import Borrow
from pystack.runtime.current import current_host
from pystack.runtime.socket import plain_names, seal, waits
from pystack.runtime.socket.datagram_ends import DatagramEnd
from pystack.runtime.socket.datagram_sockets import DatagramSocket
from pystack.runtime.socket.descriptors import find, open_descriptor
from pystack.runtime.socket.pair_ends import FAMILY, PairEnd, make_pair
from pystack.runtime.socket.pair_sockets import PairSocket
from pystack.runtime.socket.plain_base import checked_timeout, default_timeouts
from pystack.runtime.socket.plain_socket import PlainSocket
from pystack.runtime.socket.socket_calls import INTERNET, KIND_MASK
from pystack.runtime.socket.socket_ends import SocketEnd
from pystack.runtime.socket.sockets import HostSocket
from pystack.runtime.socket.stream_ends import StreamEnd
from pystack.runtime.socket.stream_sockets import StreamSocket

Function = Callable[..., Any]
OnHost = Callable[..., Any]  # the same function, with the host before its arguments

_UNDER: Final[Any] = _socket.socket
_mixed: Final[WeakKeyDictionary[type, type[PlainSocket]]] = WeakKeyDictionary()


def lend(borrow: Borrow) -> None:
    """Lend what makes sockets, and what tells of names and interfaces."""
    _lend_class()
    for name, on_host in _FUNCTIONS.items():
        function = getattr(_socket, name, None)
        if function is not None:
            borrow.function(function, _by_host(on_host))
    borrow.python_function(trio.socket.from_stdlib_socket, _from_stdlib_socket)


def host_of_code() -> BareHost | None:
    """Return the host whose sockets the running code gets; None: the machine's."""
    return None if seal.is_broken() else current_host.get()


def _by_host(on_host: OnHost) -> Callable[[Function], Function]:
    def make(original: Function) -> Function:
        def stand_in(*args: object, **words: object) -> object:
            here = current_host.get()
            if here is None or seal.is_broken():
                return original(*args, **words)
            found = on_host(here, *args, **words)
            return original(*args, **words) if found is NotImplemented else found

        return stand_in

    return make


# the class


@cache
def _lend_class() -> None:
    """Have `socket.socket` be made by context, for good.

    Each change of a class makes all code that uses it look anew, and from Python 3.13 on one that
    has changed a thousand times is not remembered any more: it is not taken back and lent again.
    """
    cls: Any = socket.socket
    cls.__init__ = _init_for(cls.__init__)
    cls.__new__ = _new


def _new(
    cls: type[socket.socket],
    family: object = -1,
    kind: object = -1,
    proto: object = -1,
    fileno: object = None,
    *_args: object,
    **words: object,
) -> socket.socket:
    """Be `socket.socket.__new__`: of a class that is its own, or one that builds on it."""
    here = host_of_code()
    if here is not None and not issubclass(cls, PlainSocket):
        number = words.get("fileno", fileno)
        if number is not None:
            wanted = isinstance(number, int) and find(number) is not None
        else:
            wanted_family = words.get("family", family)
            wanted = not isinstance(wanted_family, int) or wanted_family in (-1, *INTERNET)
        if wanted:
            cls = _class_for(cls)
    made: socket.socket = _UNDER.__new__(cls)
    return made


def _class_for(cls: type[socket.socket]) -> type[PlainSocket]:
    """Return a class that is `cls` and a PlainSocket: what `cls` calls by `super()` is ours."""
    if cls is socket.socket:
        return PlainSocket
    found = _mixed.get(cls)
    if found is None:
        members = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        found = _mixed[cls] = type(cls.__name__, (cls, PlainSocket), members)
    return found


def _init_for(original: Function) -> Function:
    plain: Function = PlainSocket.__init__

    def init(self: socket.socket, *args: object, **words: object) -> None:
        # Of a class that calls it by name, and not by `super()`
        (plain if isinstance(self, PlainSocket) else original)(self, *args, **words)

    return init


def _from_stdlib_socket(original: Function) -> Function:
    """Let Trio have a socket of a host too, as AnyIO's listeners do, and Hypercorn under Trio."""

    def from_stdlib_socket(sock: socket.socket) -> trio.socket.SocketType:
        if type(sock) is not PlainSocket:
            made: trio.socket.SocketType = original(sock)
            return made
        end = sock.end
        kind = _OF_TRIO[type(end)]
        found = kind(end)
        sock.setblocking(False)
        found.source = sock
        return found

    return from_stdlib_socket


_OF_TRIO: Final[dict[type[SocketEnd], type[HostSocket]]] = {
    StreamEnd: StreamSocket,
    DatagramEnd: DatagramSocket,
    PairEnd: PairSocket,
}


# functions


class _Opened:
    """What `_socket.socketpair` gives: something whose number is taken over."""

    def __init__(self, number: int) -> None:
        self._number = number

    def detach(self) -> int:
        return self._number

    def fileno(self) -> int:
        return self._number


def _socketpair(
    here: BareHost, family: int = FAMILY, kind: int = socket.SOCK_STREAM, proto: int = 0
) -> object:
    if family != FAMILY or proto:
        raise OSError(errno.EOPNOTSUPP, f"pairs on {here.name} are of AF_UNIX, protocol 0")
    wanted = socket.SocketKind(kind & KIND_MASK)
    ends = waits.call(here, make_pair, here, wanted, socket.AddressFamily(family))
    return tuple(_Opened(open_descriptor(end).number) for end in ends)


def _dup(here: BareHost, fileno: int) -> object:
    found = find(index(fileno), here.driver)
    return NotImplemented if found is None else waits.call(here, open_descriptor, found.end).number


def _close(here: BareHost, fileno: int) -> object:
    found = find(index(fileno), here.driver)
    if found is None:
        return NotImplemented
    waits.call(here, found.close)
    return None


def _getaddrinfo(
    here: BareHost,
    host: object,
    port: object,
    family: int = 0,
    type: int = 0,  # noqa: A002 - the standard library's word
    proto: int = 0,
    flags: int = 0,
) -> object:
    return plain_names.look_up_now(here, host, port, family, type, proto, flags)


def _gethostbyname(here: BareHost, name: str) -> str:
    return plain_names.addresses_of(here, name)[2][0]


def _sethostname(here: BareHost, _name: object) -> None:
    raise error_of(errno.EPERM, f"{here.name} is called so by its network")


def _setdefaulttimeout(here: BareHost, seconds: object) -> None:
    default_timeouts[here] = checked_timeout(seconds)


_FUNCTIONS: Final[dict[str, OnHost]] = {
    "socketpair": _socketpair,
    "dup": _dup,
    "close": _close,
    "getaddrinfo": _getaddrinfo,
    "getnameinfo": plain_names.name_now,
    "gethostbyname": _gethostbyname,
    "gethostbyname_ex": plain_names.addresses_of,
    "gethostbyaddr": plain_names.host_of,
    "gethostname": lambda here: here.name,
    "sethostname": _sethostname,
    "if_nameindex": plain_names.interfaces,
    "if_nametoindex": plain_names.interface_number,
    "if_indextoname": plain_names.interface_name,
    "setdefaulttimeout": _setdefaulttimeout,
    "getdefaulttimeout": lambda here: default_timeouts.get(here),
}

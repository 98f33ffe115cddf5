"""Trio's hooks: where a program is on a host, `trio.socket.socket` makes a socket of that host.

Trio keeps one socket factory and one resolver for a whole run. Ours are put in when the first
network of a run opens and taken out when the last one closes; what they do depends on the host that
the caller is on (`current.py`). On none, they do what was done before.
"""

from __future__ import annotations

import socket
from typing import Final

import trio

from pystack.core.errors import ConfigError
from pystack.runtime.borrowed import descriptor_calls, libraries, selecting, sockets, tls
from pystack.runtime.borrowed.loan import Loan
from pystack.runtime.current import current_host
from pystack.runtime.names.resolver import HostResolver
from pystack.runtime.socket import seal
from pystack.runtime.socket.datagram_sockets import DatagramSocket
from pystack.runtime.socket.socket_calls import INTERNET, KIND_MASK, check_kind
from pystack.runtime.socket.sockets import HostSocket
from pystack.runtime.socket.stream_sockets import StreamSocket


class HostSocketFactory(trio.abc.SocketFactory):
    """Makes sockets on the host that the caller is on; on none, whoever made them before does."""

    def __init__(self, previous: trio.abc.SocketFactory | None) -> None:
        """`previous`: of the program's own; None: Trio's."""
        self.previous = previous

    def socket(
        self,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,  # noqa: A002 - the caller's word
        proto: int = 0,
    ) -> trio.socket.SocketType:
        """Return a new socket. OSError for what hosts have no sockets of (SOCK_RAW)."""
        here = current_host.get()
        # Sockets of other families (AF_UNIX) are not of the network; the seal judges them.
        if here is not None and family in INTERNET:
            return _make(family, type & KIND_MASK, proto)
        if here is not None:
            seal.check(f"a socket of family {family} opened")
        if self.previous is not None:
            return self.previous.socket(family, type, proto)
        return trio.socket.from_stdlib_socket(socket.socket(family, type, proto))


_LOAN: Final = Loan(sockets.lend, selecting.lend, tls.lend, descriptor_calls.lend, libraries.lend)


def _lent() -> bool:
    """Borrow the standard library's; False where Python's own cannot be changed."""
    try:
        _LOAN.take()
    except ConfigError:
        return False
    return True


class _Installed:
    """What `install` has done in one run."""

    def __init__(self) -> None:
        self.networks = 1
        seal.add_hook()
        self.lent = _lent()
        self.factory = HostSocketFactory(None)
        self.resolver = HostResolver(None)
        self.factory.previous = trio.socket.set_custom_socket_factory(self.factory)
        self.resolver.previous = trio.socket.set_custom_hostname_resolver(self.resolver)

    def take_out(self) -> None:
        """Put back what was there, unless the program has put in something else since."""
        factory = trio.socket.set_custom_socket_factory(self.factory.previous)
        if factory is not self.factory:
            trio.socket.set_custom_socket_factory(factory)
        resolver = trio.socket.set_custom_hostname_resolver(self.resolver.previous)
        if resolver is not self.resolver:
            trio.socket.set_custom_hostname_resolver(resolver)
        if self.lent:
            _LOAN.give_back()


_installed: Final[trio.lowlevel.RunVar[_Installed | None]] = trio.lowlevel.RunVar(
    "pystack_sockets", None
)


def install() -> None:
    """Put the hooks into this Trio run, for one more network."""
    installed = _installed.get()
    if installed is None:
        _installed.set(_Installed())
    else:
        installed.networks += 1


def uninstall() -> None:
    """One network less; after the last, take the hooks out. One too many does nothing."""
    installed = _installed.get()
    if installed is None:
        return
    installed.networks -= 1
    if installed.networks == 0:
        installed.take_out()
        _installed.set(None)


def _make(family: int, kind: int, proto: int) -> HostSocket:
    here = current_host.get()
    assert here is not None
    check_kind(kind, proto, here.name)
    made = StreamSocket if kind == socket.SOCK_STREAM else DatagramSocket
    return made.make(here, proto, socket.AddressFamily(family))

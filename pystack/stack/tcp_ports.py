"""Which TCP ports of a host are taken, and by whom they may be shared (socket(7), SO_REUSEADDR).

A port is held by whatever has bound it, and by its connections, including those in TIME-WAIT.
The rules are those of Linux's inet_csk_bind_conflict.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pystack.core.addresses import Ip
from pystack.stack.ports import Holder, check_bindable, collide, random_port

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface


class Binding:
    """An address and a port that somebody has bound: he may listen, or connect from there."""

    __slots__ = ("device", "listening", "local", "port", "reuse_address", "reuse_port")

    def __init__(
        self,
        local: Ip,
        port: int,
        *,
        reuse_address: bool = False,
        reuse_port: bool = False,
        device: Interface | None = None,
    ) -> None:
        self.local = local
        self.port = port
        self.reuse_address = reuse_address
        self.reuse_port = reuse_port
        self.device = device  # None: all of them
        self.listening = False


class TcpPorts:
    """The TCP ports of one host."""

    __slots__ = ("_host", "bindings", "connections")

    def __init__(self, host: Host) -> None:
        self._host = host
        self.bindings: dict[int, list[Binding]] = {}
        # Those in TIME-WAIT among them. Most ports have one: a dict for it alone takes 0.23 kB.
        self.connections: dict[int, Holder | dict[Holder, None]] = {}

    def bind(self, wanted: Binding, *, foreign: bool = False) -> Binding:
        """Take a port, 0 for any free one. OSError: ENETDOWN, EADDRINUSE, EADDRNOTAVAIL, EINVAL.

        `foreign`: the address need not be one of this host.
        """
        check_bindable(self._host, wanted.local, wanted.port, foreign=foreign)
        if wanted.port == 0:
            wanted.port = random_port(self._host.rng, self._is_free)
            if wanted.port == 0:
                raise OSError(errno.EADDRINUSE, "all ephemeral TCP ports are taken")
        else:
            self.check(wanted)
        self.bindings.setdefault(wanted.port, []).append(wanted)
        return wanted

    def check(self, wanted: Binding) -> None:
        """Raise OSError (EADDRINUSE) where a port may not be had, or not be listened on."""
        port = wanted.port
        if any(
            old is not wanted
            and collide(wanted, old, (wanted.device, old.device), listening=old.listening)
            for old in self.bindings.get(port, ())
        ) or any(collide(wanted, old) for old in self._holders(port)):
            raise OSError(errno.EADDRINUSE, f"TCP port {port} is taken on {self._host.name}")

    def release(self, binding: Binding) -> None:
        """Give a port back. Its connections hold it as long as they live. Twice is nothing."""
        known = self.bindings.get(binding.port, [])
        if binding in known:
            known.remove(binding)
            if not known:
                del self.bindings[binding.port]

    def hold(self, holder: Holder, port: int) -> None:
        """A connection has this port. One of an intercepted address takes it away from nobody."""
        if self._host.interceptor is not None and not self._host.is_own(holder.local):
            return
        holders = self.connections.get(port)
        if holders is None:
            self.connections[port] = holder
        elif isinstance(holders, dict):
            holders[holder] = None
        elif holders is not holder:
            self.connections[port] = {holders: None, holder: None}

    def let_go(self, holder: Holder, port: int) -> None:
        """A connection has it no more. A second time is nothing."""
        holders = self.connections.get(port)
        if isinstance(holders, dict):
            holders.pop(holder, None)
            if len(holders) == 1:
                (self.connections[port],) = holders
        elif holders is holder:
            del self.connections[port]

    def clear(self) -> None:
        """Forget all: the power is off."""
        self.bindings.clear()
        self.connections.clear()

    def _holders(self, port: int) -> Iterable[Holder]:
        holders = self.connections.get(port, {})
        return holders if isinstance(holders, dict) else (holders,)

    def _is_free(self, port: int) -> bool:
        return port not in self.bindings and port not in self.connections

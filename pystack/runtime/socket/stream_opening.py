"""How a stream socket opens its connection: by which route, and with text in the SYN."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

from pystack.core.addresses import Ip4, Prefix
from pystack.core.errors import error_of
from pystack.runtime.socket.option_numbers import SO_DONTROUTE
from pystack.runtime.socket.option_table import SOCKET
from pystack.runtime.socket.socket_ends import SocketEnd
from pystack.stack.routes import Route

if TYPE_CHECKING:
    from pystack.tcp.tcb import TcpConfig


def route_of(end: SocketEnd, remote: Ip4) -> Route | None:
    """Return a route of the socket's own, by its options; None: the host's. OSError."""
    routes = end.host.stack.routes
    if end.device is not None:
        route = routes.lookup_by(end.device, remote)
        found = route or Route(Prefix.of(remote, 32), end.device, None, end.device.address)
    else:
        known = routes.lookup(remote)
        if known is None or not end.flag(SOCKET, SO_DONTROUTE):
            return None
        found = known
    if found.gateway is not None and end.flag(SOCKET, SO_DONTROUTE):
        raise error_of(errno.ENETUNREACH)
    return found


def with_fast_open(config: TcpConfig) -> TcpConfig:
    """Return what a client's connection has that asks for Fast Open, whatever its host does."""
    if config.fast_open in ("client", "both"):
        return config
    return replace(config, fast_open="both" if config.fast_open == "server" else "client")

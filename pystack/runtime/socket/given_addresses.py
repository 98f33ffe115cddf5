"""An address as a program gives it to a socket: read, looked up if need be, and as it is below."""

from __future__ import annotations

import socket
from operator import index
from typing import Final, NamedTuple

from pystack.core.addresses import (
    LIMITED_BROADCAST,
    LOOPBACK,
    LOOPBACK6,
    UNSPECIFIED,
    UNSPECIFIED6,
    Ip,
    has_zone,
    with_zone,
    zone_of,
)
from pystack.runtime.names.zones import numeric_on
from pystack.runtime.socket.socket_addresses import Place, local_place, remote_place
from pystack.runtime.socket.socket_ends import SocketEnd

MAX_PORT: Final = 0xFFFF
_MAX_FLOW: Final = 0xFFFFF
_EMPTY: Final = (LOOPBACK, UNSPECIFIED)  # what no name stands for: of another end, of this one
_EMPTY6: Final = (LOOPBACK6, UNSPECIFIED6)


class Given(NamedTuple):
    """An address that a call was given: what it says by itself, and what is to be looked up."""

    end: SocketEnd
    name: object
    port: object
    beside: tuple[object, ...]  # flow and scope of IPv6
    local: bool
    known: Ip | None  # None: it is a name, or its port is one

    def place(self) -> Place:
        """Return the address as it is below. OSError, OverflowError."""
        assert self.known is not None
        return _placed(self.end, self.known, self.port, self.beside, local=self.local)

    def hints(self) -> tuple[int, int, int, int]:
        """Return what getaddrinfo is to look for: family, kind, protocol, flags."""
        end, flags = self.end, socket.AI_PASSIVE if self.local else 0
        if end.is_v6 and not end.v6_only:
            flags |= socket.AI_V4MAPPED
        return end.family, end.kind, end.proto, int(flags)

    def found(
        self, where: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
    ) -> Place:
        """Return the address as it is below, by an entry of getaddrinfo. OSError, OverflowError."""
        name, number, *rest = where
        text = f"{name}%{rest[1]}" if rest and rest[1] else str(name)
        address = numeric_on(self.end.host.stack, text)
        assert address is not None
        return _placed(self.end, address, int(number), self.beside, local=self.local)


def given(end: SocketEnd, address: object, *, local: bool) -> Given:
    """Read an address of the BSD calls; `local`: for this end. ValueError, TypeError."""
    is_v6 = end.is_v6
    if not isinstance(address, tuple) or not 2 <= len(address) <= (4 if is_v6 else 2):
        form = "(host, port, [flowinfo, [scopeid]])" if is_v6 else "(host, port)"
        raise ValueError(f"address should be a {form} tuple")
    name, port, *beside = address
    known = None
    if hasattr(port, "__index__"):
        if name == "<broadcast>" and not is_v6:
            known = LIMITED_BROADCAST
        elif name is None or name == "":
            known = (_EMPTY6 if is_v6 else _EMPTY)[local]
    if known is None and name is not None and name != "":
        number = _as_number(end, name)
        known = number if hasattr(port, "__index__") else None
    return Given(end, name, port, tuple(beside), local, known)


def check_form(call: str, end: SocketEnd, address: object) -> None:
    """Raise TypeError for what CPython's sockets take for no address."""
    family = end.family.name
    if not isinstance(address, tuple):
        was = type(address).__name__
        raise TypeError(f"{call}(): {family} address must be tuple, not {was}")
    if not 2 <= len(address) <= (4 if end.is_v6 else 2):
        form = "tuple (host, port[, flowinfo[, scopeid]])" if end.is_v6 else "pair (host, port)"
        raise TypeError(f"{family} address must be a {form}")
    index(address[1])


def _as_number(end: SocketEnd, name: object) -> Ip | None:
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    if not isinstance(text, str):
        raise TypeError(f"a host is a str or bytes, not {name!r}")
    return numeric_on(end.host.stack, text) if end.is_v6 is (":" in text) else None


def _placed(
    end: SocketEnd, found: Ip, port: object, beside: tuple[object, ...], *, local: bool
) -> Place:
    number = index(port)  # type: ignore[arg-type] # it has an __index__
    if not 0 <= number <= MAX_PORT:
        raise OverflowError(f"port must be 0-65535, not {number}")
    if not end.is_v6:
        return found, number
    found = _with_scope(found, *beside)
    device = end.device
    if device is not None and has_zone(found) and not zone_of(found):
        found = with_zone(found, device.index)
    if local:
        return local_place(found, v6_only=end.v6_only), number
    return remote_place(found), number


def _with_scope(address: Ip, flow: object = 0, scope: object = 0) -> Ip:
    """Return an address with what a tuple of four says beside it; a flow means nothing here."""
    if not 0 <= index(flow) <= _MAX_FLOW:  # type: ignore[arg-type] # TypeError for no number
        raise OverflowError("flowinfo must be 0-1048575.")
    zone = index(scope) & 0xFFFFFFFF  # type: ignore[arg-type] # as CPython packs it
    return with_zone(address, zone) if zone and has_zone(address) else address

"""getaddrinfo and getnameinfo on a host of ours.

They know the names of the network's hosts, and no others; on a host with name servers (`host.dns`)
they ask those, and know only the host itself.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

import trio

from pystack.core.addresses import (
    LOOPBACK,
    UNSPECIFIED,
    Ip4,
    format_ip4,
    is_loopback,
    parse_ip4,
)
from pystack.core.errors import ConfigError
from pystack.core.idna import from_ascii
from pystack.runtime.current import current_host
from pystack.runtime.socket import seal

if TYPE_CHECKING:
    from pystack.runtime.host import TrioHost

# What getaddrinfo(3) gives for each kind of socket: type and protocol.
_KINDS: Final = (
    (socket.SOCK_STREAM, int(socket.IPPROTO_TCP)),
    (socket.SOCK_DGRAM, int(socket.IPPROTO_UDP)),
)
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_A: Final = 1  # types of records: pystack.wire.dns, which needs its library, says the same
_AAAA: Final = 28
_EAI_ADDRFAMILY: Final = getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME)

AddressInfo4 = tuple[
    Literal[socket.AddressFamily.AF_INET], socket.SocketKind, int, str, tuple[str, int]
]
AddressInfo6 = tuple[
    Literal[socket.AddressFamily.AF_INET6],
    socket.SocketKind,
    int,
    str,
    tuple[str, int, int, int] | tuple[int, bytes],
]


class HostResolver(trio.abc.HostnameResolver):
    """Asks the host that the caller is on; on none, whoever was asked before."""

    def __init__(self, previous: trio.abc.HostnameResolver | None) -> None:
        """`previous`: of the program's own; None: the operating system's."""
        self.previous = previous

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the caller's word
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo4 | AddressInfo6]:
        """Return addresses as `socket.getaddrinfo` does; raises `socket.gaierror`."""
        here = current_host.get()
        if here is not None:
            await trio.lowlevel.checkpoint()
            return await look_up(here, host, port, family, type, proto, flags)
        if self.previous is not None:
            return await self.previous.getaddrinfo(host, port, family, type, proto, flags)
        seal.check(f"a real look-up of {_text(host)!r}")
        return await trio.to_thread.run_sync(
            socket.getaddrinfo, host, port, family, type, proto, flags, abandon_on_cancel=True
        )

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        """Return the names of an address and a port, as numbers where they have none."""
        here = current_host.get()
        if here is not None:
            await trio.lowlevel.checkpoint()
            return await _name_of(here, sockaddr, flags)
        if self.previous is not None:
            return await self.previous.getnameinfo(sockaddr, flags)
        seal.check(f"a real look-up of {sockaddr[0]!r}")
        return await trio.to_thread.run_sync(
            socket.getnameinfo, sockaddr, flags, abandon_on_cancel=True
        )


async def look_up(
    here: TrioHost,
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    kind: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[AddressInfo4 | AddressInfo6]:
    """Return what getaddrinfo(3) would, on the host `here`. Raises `socket.gaierror`."""
    families = _FAMILIES if here.resolver is not None else (socket.AF_INET,)
    if family != socket.AF_UNSPEC and family not in families:
        raise socket.gaierror(_EAI_ADDRFAMILY, f"{_text(host)!r} has IPv4 addresses only")
    number = _port_of(port)
    name = _text(host) if host else ""
    kinds = [
        (each, its_proto)
        for each, its_proto in _KINDS
        if kind in (0, each) and proto in (0, its_proto)
    ]
    if not kinds:
        raise socket.gaierror(socket.EAI_SOCKTYPE, f"no sockets of type {kind}, protocol {proto}")
    canonical, addresses = await _addresses_of(here, name, family, flags)
    return [
        _entry(address, number, each, its_proto, canonical if flags & socket.AI_CANONNAME else "")
        for address in addresses
        for each, its_proto in kinds
    ]


def _entry(
    address: str, port: int, kind: socket.SocketKind, proto: int, canonical: str
) -> AddressInfo4 | AddressInfo6:
    if ":" in address:
        return socket.AF_INET6, kind, proto, canonical, (address, port, 0, 0)
    return socket.AF_INET, kind, proto, canonical, (address, port)


async def _addresses_of(
    here: TrioHost, name: str, family: int, flags: int
) -> tuple[str, tuple[str, ...]]:
    """Return the canonical name and the addresses, best first."""
    number = _numeric(name, flags)
    if number is not None:
        return name, (_only_ip4(name, number, family),)
    if flags & socket.AI_NUMERICHOST:
        raise _unknown(here, name)
    resolver = here.resolver
    for spelling in _spellings(name):
        try:
            own = here.known_address(spelling) if resolver is None else here.own_address(spelling)
        except OSError:
            continue
        if own is not None:
            return name, (_only_ip4(name, own, family),)
    if resolver is None:
        raise _unknown(here, name)
    found = await resolver.addresses(name, _wanted(family, flags))
    return found.canonical, found.addresses


def _numeric(name: str, flags: int) -> Ip4 | None:
    if not name:
        return UNSPECIFIED if flags & socket.AI_PASSIVE else LOOPBACK
    try:
        return parse_ip4(name)
    except ConfigError:
        return None


def _only_ip4(name: str, address: Ip4, family: int) -> str:
    if family == socket.AF_INET6:
        raise socket.gaierror(_EAI_ADDRFAMILY, f"{name!r} has an IPv4 address only")
    return format_ip4(address)


def _wanted(family: int, flags: int) -> tuple[int, ...]:
    """Return the kinds of records to ask for."""
    if family == socket.AF_INET6:
        return (_AAAA,)
    # With AI_ADDRCONFIG only what the host has addresses of itself: that is IPv4.
    if family == socket.AF_INET or flags & socket.AI_ADDRCONFIG:
        return (_A,)
    return (_A, _AAAA)


def _unknown(here: TrioHost, name: str) -> socket.gaierror:
    return socket.gaierror(socket.EAI_NONAME, here.why_unknown(name))


def _spellings(name: str) -> list[str]:
    """Return how a host may be called that is asked for as `name`, best first.

    Names in the DNS have no case, may end in a dot, and are ASCII: Trio and httpx make "Büro" into
    "xn--bro-hoa" before anybody is asked.
    """
    plain = name.removesuffix(".")
    lower = plain.lower()
    spellings = [plain, lower]
    if "xn--" in lower:
        with suppress(ValueError):  # it may only look like IDNA
            spellings.append(from_ascii(lower))
    if lower.endswith(".localhost"):
        spellings.append("localhost")  # RFC 6761 section 6.3
    return spellings


def _port_of(port: bytes | str | int | None) -> int:
    if port is None or isinstance(port, int):
        return port or 0
    text = _text(port)
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return socket.getservbyname(text)
    except OSError:
        raise socket.gaierror(socket.EAI_SERVICE, f"no service {text!r}") from None


async def _name_of(
    here: TrioHost, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
) -> tuple[str, str]:
    address, port = sockaddr[0], sockaddr[1]
    found = None if flags & socket.NI_NUMERICHOST else await _host_name_of(here, address)
    if found is None and flags & socket.NI_NAMEREQD:
        raise socket.gaierror(socket.EAI_NONAME, f"{address} has no name")
    service = str(port)
    if not flags & socket.NI_NUMERICSERV:
        with suppress(OSError):  # a port without a name is given as a number
            service = socket.getservbyport(port, "udp" if flags & socket.NI_DGRAM else "tcp")
    return found or address, service


async def _host_name_of(here: TrioHost, address: str) -> str | None:
    if ":" not in address and is_loopback(parse_ip4(address)):
        return "localhost"
    if here.resolver is None:
        return None
    if address in here.addresses:
        return here.name
    try:
        return await here.resolver.name_of(address)
    except ValueError:  # no address: one with a zone, "fe80::1%eth0"
        return None


def _text(name: bytes | str | None) -> str:
    if name is None:
        return ""
    return name.decode("ascii", "replace") if isinstance(name, bytes) else name

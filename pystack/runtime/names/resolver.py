"""getaddrinfo and getnameinfo on a pystack host.

They know the names of the network's hosts, and no others; on a host with name servers (`host.dns`)
they ask those, and know only the host itself.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from operator import index
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import trio

from pystack.core.addresses import (
    LOOPBACK,
    LOOPBACK6,
    UNSPECIFIED,
    UNSPECIFIED6,
    Ip,
    format_ip,
    is_loopback,
    is_v6,
    mapped,
    unmapped,
    without_zone,
    zone_of,
)
from pystack.core.idna import from_ascii
from pystack.runtime.current import current_host
from pystack.runtime.names.ordering import has_version
from pystack.runtime.names.zones import Version, format_on, numeric_on
from pystack.runtime.socket import seal

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

# What getaddrinfo(3) gives for each kind of socket: type and protocol.
_KINDS: Final = (
    (socket.SOCK_STREAM, int(socket.IPPROTO_TCP)),
    (socket.SOCK_DGRAM, int(socket.IPPROTO_UDP)),
)
# As plain numbers: those of `socket` are enums, of which each `&` takes as long as a call
_PASSIVE: Final = int(socket.AI_PASSIVE)
_CANONNAME: Final = int(socket.AI_CANONNAME)
_NUMERICHOST: Final = int(socket.AI_NUMERICHOST)
_NUMERICSERV: Final = int(socket.AI_NUMERICSERV)
_V4MAPPED: Final = int(socket.AI_V4MAPPED)
_ALL: Final = int(socket.AI_ALL)
_ADDRCONFIG: Final = int(socket.AI_ADDRCONFIG)
_FLAGS: Final = _PASSIVE | _CANONNAME | _NUMERICHOST | _NUMERICSERV | _V4MAPPED | _ALL | _ADDRCONFIG
_MAX_PORT: Final = 0xFFFF
_MAX_FLOW: Final = 0xFFFFF
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


FAMILIES: Final[dict[Version | None, socket.AddressFamily]] = {
    None: socket.AF_UNSPEC,
    4: socket.AF_INET,
    6: socket.AF_INET6,
}


def text_of(where: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    """Return the address of what getaddrinfo gave, in text: "fe80::1%2" where it has a scope."""
    scope = where[3] if len(where) > 3 else 0
    return f"{where[0]}%{scope}" if scope else str(where[0])


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
            return await name_of(here, sockaddr, flags)
        if self.previous is not None:
            return await self.previous.getnameinfo(sockaddr, flags)
        seal.check(f"a real look-up of {sockaddr[0]!r}")
        return await trio.to_thread.run_sync(
            socket.getnameinfo, sockaddr, flags, abandon_on_cancel=True
        )


async def look_up(
    here: BareHost,
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    kind: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[AddressInfo4 | AddressInfo6]:
    """Return what getaddrinfo(3) would, on the host `here`. Raises `socket.gaierror`."""
    asked = _asked(host, port, family, kind, proto, flags)
    known = _known_addresses(here, asked)
    return asked.entries(*(await _ask(here, asked) if known is None else known))


def look_up_at_once(
    here: BareHost,
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int = 0,
    kind: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[AddressInfo4 | AddressInfo6] | None:
    """Return what `look_up` does; None: name servers have to be asked. `socket.gaierror`."""
    asked = _asked(host, port, family, kind, proto, flags)
    known = _known_addresses(here, asked)
    return None if known is None else asked.entries(*known)


class _Asked(NamedTuple):
    """What is looked up."""

    name: str
    port: int
    family: int
    kinds: list[tuple[socket.SocketKind, int]]
    flags: int

    def entries(
        self, canonical: str, addresses: tuple[Ip, ...]
    ) -> list[AddressInfo4 | AddressInfo6]:
        """Return the answer, by what was found."""
        if not self.flags & _CANONNAME:
            canonical = ""
        return [
            _entry(address, self.port, each, its_proto, canonical)
            for address in addresses
            for each, its_proto in self.kinds
        ]


def _asked(
    host: bytes | str | None,
    port: bytes | str | int | None,
    family: int,
    kind: int,
    proto: int,
    flags: int,
) -> _Asked:
    flags = int(flags)
    if flags & ~_FLAGS or (flags & _CANONNAME and not host):
        raise socket.gaierror(socket.EAI_BADFLAGS, f"bad flags for a look-up: {flags:#x}")
    if family not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
        raise socket.gaierror(socket.EAI_FAMILY, f"addresses of family {family} are not known")
    if (not host and port is None) or (host is not None and not host):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    if isinstance(host, str):
        host = host.encode("idna")  # as CPython; UnicodeError for an empty or too long label
    number = _port_of(port, flags)
    kinds = [
        (each, its_proto)
        for each, its_proto in _KINDS
        if kind in (0, each) and proto in (0, its_proto)
    ]
    if not kinds:
        raise socket.gaierror(socket.EAI_SOCKTYPE, f"no sockets of type {kind}, protocol {proto}")
    return _Asked(_text(host) if host else "", number, family, kinds, flags)


def _entry(
    address: Ip, port: int, kind: socket.SocketKind, proto: int, canonical: str
) -> AddressInfo4 | AddressInfo6:
    if is_v6(address):
        where = format_ip(without_zone(address)), port, 0, zone_of(address)
        return socket.AF_INET6, kind, proto, canonical, where
    return socket.AF_INET, kind, proto, canonical, (format_ip(address), port)


def _known_addresses(here: BareHost, asked: _Asked) -> tuple[str, tuple[Ip, ...]] | None:
    """Return the canonical name and the addresses, best first; None: ask name servers."""
    name, _, family, _, flags = asked
    if not name:
        wild = UNSPECIFIED, UNSPECIFIED6
        both = wild if flags & _PASSIVE else (LOOPBACK6, LOOPBACK)
        return name, _of_family(both, name, family, flags)
    number = _numeric(here, name)
    if number is not None:
        if family == socket.AF_INET:
            number = unmapped(number)
        other = socket.AF_INET if is_v6(number) else socket.AF_INET6
        if family == other and not (flags & _V4MAPPED and other == socket.AF_INET6):
            raise socket.gaierror(_EAI_ADDRFAMILY, "Address family for hostname not supported")
        return name, _of_family((number,), name, family, flags)
    if flags & _NUMERICHOST and _older_form(name) is None:
        raise _unknown(here, name)
    known, resolver, older = here.names.known, here.names.resolver, _older_form(name)
    for spelling in _spellings(name):
        try:
            own = known.addresses(spelling) if resolver is None else known.own(spelling)
        except OSError:
            continue
        if own:
            known.tell(spelling, own)
            return name, _of_family(_configured(here, own, flags), name, family, flags)
    if older is not None:
        return name, _of_family((older,), name, family, flags)
    if resolver is None:
        raise _unknown(here, name)
    return None


async def _ask(here: BareHost, asked: _Asked) -> tuple[str, tuple[Ip, ...]]:
    """Return what name servers say."""
    assert here.names.resolver is not None
    name, _, family, _, flags = asked
    versions: tuple[Version, ...] = (4, 6)
    if family == socket.AF_INET:
        versions = (4,)
    elif family == socket.AF_INET6 and not flags & _V4MAPPED:
        versions = (6,)
    if flags & _ADDRCONFIG:
        versions = tuple(it for it in versions if has_version(here.stack, v6=it == 6)) or (4,)
    found = await here.names.resolver.addresses(name, versions)
    return found.canonical, _of_family(found.addresses, name, family, flags)


def _configured(here: BareHost, found: tuple[Ip, ...], flags: int) -> tuple[Ip, ...]:
    """Leave out, with AI_ADDRCONFIG, what the host has no addresses of itself."""
    if not flags & _ADDRCONFIG or len(found) == 1:
        return found
    own = [one for one in found if is_loopback(one) or has_version(here.stack, v6=is_v6(one))]
    return tuple(own) or found


def _numeric(here: BareHost, name: str) -> Ip | None:
    if ":" not in name and not name[:1].isdigit():  # a name: it costs no exception
        return None
    return numeric_on(here.stack, name)


def _older_form(name: str) -> Ip | None:
    """Return an address of IPv4 in one of inet_aton's forms, "127.1" or "0x7f000001"; None: none.

    Hosts that are called "1" and "2" go before.
    """
    if not name[:1].isdigit() or (not name.isalnum() and not name.replace(".", "").isalnum()):
        return None
    try:
        return Ip(int.from_bytes(socket.inet_aton(name), "big"))
    except OSError:
        return None


def _of_family(found: tuple[Ip, ...], name: str, family: int, flags: int) -> tuple[Ip, ...]:
    """Return those of a family; with AI_V4MAPPED those of IPv4 count as of IPv6 where need be."""
    if family == socket.AF_UNSPEC:
        return found
    six = family == socket.AF_INET6
    wanted = tuple([one for one in found if (one >> 32 != 0) is six])
    if six and flags & _V4MAPPED:
        others = tuple(mapped(one) for one in found if not is_v6(one))
        if not wanted or flags & _ALL:
            wanted += others
    if not wanted:
        version = "IPv4" if family == socket.AF_INET else "IPv6"
        raise socket.gaierror(_EAI_ADDRFAMILY, f"{name!r} has no {version} address")
    return wanted


def _unknown(here: BareHost, name: str) -> socket.gaierror:
    return socket.gaierror(socket.EAI_NONAME, here.names.known.why_unknown(name))


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


def _port_of(port: bytes | str | int | None, flags: int) -> int:
    if port is None or isinstance(port, int):
        if port is not None and port < 0:
            raise socket.gaierror(socket.EAI_SERVICE, f"no service {port}")
        return (port or 0) & _MAX_PORT  # as glibc, of larger numbers too
    if not isinstance(port, str | bytes):
        raise OSError("Int or String expected")  # CPython's words
    text = _text(port)
    if text.isascii() and text.isdigit():
        return int(text) & _MAX_PORT
    if flags & _NUMERICSERV:
        raise socket.gaierror(socket.EAI_NONAME, f"{text!r} is not the number of a port")
    try:
        return socket.getservbyname(text)
    except OSError:
        raise socket.gaierror(socket.EAI_SERVICE, f"no service {text!r}") from None


async def name_of(
    here: BareHost, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
) -> tuple[str, str]:
    """Return what getnameinfo(3) would, on the host `here`. Raises `socket.gaierror`."""
    asked = _named(here, sockaddr, flags)
    known = _known_name(here, asked)
    if known is _ASK:
        assert here.names.resolver is not None
        known = await here.names.resolver.name_of(format_ip(unmapped(asked.address)))
    return asked.answer(here, known)


def name_at_once(
    here: BareHost, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
) -> tuple[str, str] | None:
    """Return what `name_of` does; None: name servers have to be asked. `socket.gaierror`."""
    asked = _named(here, sockaddr, flags)
    known = _known_name(here, asked)
    return None if known is _ASK else asked.answer(here, known)


_ASK: Final = ""  # no host is called so


class _Named(NamedTuple):
    """An address and a port whose names are wanted."""

    address: Ip
    text: str
    port: int
    flags: int

    def answer(self, here: BareHost, found: str | None) -> tuple[str, str]:
        """Return both; `found`: the host's name, None: it has none."""
        if found is None and self.flags & socket.NI_NAMEREQD:
            raise socket.gaierror(socket.EAI_NONAME, f"{self.text} has no name")
        service = str(self.port)
        if not self.flags & socket.NI_NUMERICSERV:
            with suppress(OSError):  # a port without a name is given as a number
                kind = "udp" if self.flags & socket.NI_DGRAM else "tcp"
                service = socket.getservbyport(self.port, kind)
        return found or format_on(here.stack, self.address), service


def _named(
    here: BareHost, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
) -> _Named:
    text, port, scope = _parts_of(sockaddr)
    if scope:  # it goes before a zone in the text
        text = f"{text.partition('%')[0]}%{scope}"
    address = numeric_on(here.stack, text)
    if address is None:  # as glibc, which takes nothing but numbers here
        raise socket.gaierror(socket.EAI_NONAME, f"{text!r} is not an address")
    return _Named(address, text, port, flags)


def _parts_of(sockaddr: object) -> tuple[str, int, int]:
    """Return host, port and scope of what getnameinfo was given. TypeError, OverflowError."""
    if not isinstance(sockaddr, tuple) or not 2 <= len(sockaddr) <= 4:
        raise TypeError("getnameinfo() argument 1 must be a tuple of 2 to 4")
    host, *numbers = sockaddr
    if not isinstance(host, str):
        raise TypeError(f"a host is a str, not {host!r}")
    port, flow, scope = (*map(index, numbers), 0, 0)[:3]
    if not 0 <= flow <= _MAX_FLOW:
        raise OverflowError("getnameinfo(): flowinfo must be 0-1048575")
    if not 0 <= port <= _MAX_PORT:
        raise socket.gaierror(socket.EAI_SERVICE, "Servname not supported for ai_socktype")
    return host, port, scope & 0xFFFFFFFF


def _known_name(here: BareHost, asked: _Named) -> str | None:
    """Return the name of a host; None: it has none; `_ASK`: ask name servers."""
    address = unmapped(asked.address)
    if asked.flags & socket.NI_NUMERICHOST:
        return None
    if is_loopback(address):
        return "localhost"
    if here.names.resolver is None:
        return None
    if here.stack.is_own(address):
        return here.name
    # Of a zone no name server knows what link that is.
    return None if zone_of(address) else _ASK


def _text(name: bytes | str | None) -> str:
    if name is None:
        return ""
    return name.decode("ascii", "replace") if isinstance(name, bytes) else name

"""The small laboratory: a client at home, the line, and the network where the server is.

    client -- home -- (the line) -- provider -- switch -- server
                                                    \\---- resolver

All addresses are those that are kept for documentation (RFC 5737, RFC 3849), and none is
translated: what the client is called at home it is called everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

from pystack import NetemWords, TcpConfig
from pystack.apps.explain.target import RESOLVER, Target
from pystack.core.addresses import (
    V6,
    Ip,
    Prefix,
    format_ip,
    is_link_local,
    is_usable_source,
    is_v6,
    looks_like_address,
    parse_ip,
)
from pystack.core.errors import ConfigError
from pystack.runtime.host import Host
from pystack.runtime.names.name_servers import NameServer
from pystack.runtime.names.zones import Version
from pystack.runtime.network import Network

# What the line is like where nobody says a word about it: a decent one at home.
LINE: Final[NetemWords] = {"delay": "10ms", "rate": "50mbit", "limit": 100}
# Of those, what other words take the place of
_INSTEAD: Final[Mapping[str, Sequence[str]]] = {"qdisc": ("limit",), "trace": ("rate",)}
_AT_HOME: Final[NetemWords] = {"delay": "200us", "rate": "1gbit"}
_AT_THE_SERVER: Final[NetemWords] = {"delay": "50us", "rate": "1gbit"}
_NO_NAME: Final = ".invalid"  # RFC 6761 section 6.4: nobody is called so
_NAMES_HOLD: Final = "5min"  # for so long what the resolver says may be kept

# RFC 5737: TEST-NET-1, 3 and 2
_NETS: Final = tuple(Ip(net) for net in (0xC0000200, 0xCB007100, 0xC6336400))
_DOCS: Final = V6 | 0x20010DB8 << 96  # RFC 3849
_NETS6: Final = tuple(Ip(_DOCS | number << 64) for number in (1, 2, 3))
_BITS: Final = {4: 24, 6: 64}
# The last part of the addresses
_ROUTER, _CLIENT, _SERVER, _RESOLVER = 1, 10, 10, 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How the line behaves."""

    words: Mapping[str, Any] = field(default_factory=dict)  # of tc-netem(8), for each direction
    preset: str | None = None
    mtu_bytes: int = 1500

    @property
    def all_words(self) -> Mapping[str, Any]:
        """Return the words, with those of a decent line where there are no others."""
        if self.preset is not None:
            return self.words
        given = {other for word in self.words for other in _INSTEAD.get(word, ())}
        usual = {word: value for word, value in LINE.items() if word not in given}
        return {**usual, **self.words}


@dataclass(frozen=True, slots=True, kw_only=True)
class Laboratory:
    """What was built: the network and who is who in it."""

    net: Network
    client: Host
    server: Host
    resolver: NameServer


def build(
    net: Network, target: Target, line: Line, *, version: Version | None, tcp: TcpConfig
) -> Laboratory:
    """Build it. `version`: of IP, 4 or 6; None: both. Raises ConfigError."""
    names, places = _names(target), _Places(target)

    def addresses(*where: tuple[int, Mapping[int, int]]) -> _AddressWords:
        found: _AddressWords = {}
        if version != 6:
            found["address"] = [places.text(4, net, last) for net, last in where]
        if version != 4:
            found["address6"] = [places.text(6, net, last) for net, last in where]
        return found

    client = net.host(names["client"], tcp=tcp, **addresses((0, _same(_CLIENT))))
    home = net.router(names["home"], **addresses((0, _same(_ROUTER)), (1, _same(_ROUTER))))
    provider = net.router(
        names["provider"], **addresses((1, _same(_ROUTER + 1)), (2, places.router))
    )
    switch = net.switch(names["switch"])
    server = net.host(names["server"], tcp=tcp, **addresses((2, places.server)))
    resolver = server
    if names["resolver"] != names["server"]:
        resolver = net.host(names["resolver"], **addresses((2, places.resolver)))
    net.link(client, home, **_AT_HOME)
    net.link(home, provider, preset=line.preset, mtu_bytes=line.mtu_bytes, **line.all_words)
    net.link(provider, switch, **_AT_THE_SERVER)
    for host in dict.fromkeys((server, resolver)):
        net.link(switch, host, **_AT_THE_SERVER)
    name_server = net.dns(resolver, hosts=[client], ttl=_NAMES_HOLD)
    return Laboratory(net=net, client=client, server=server, resolver=name_server)


class _AddressWords(TypedDict, total=False):
    """As `Network.host` takes them: one address for each link."""

    address: list[str]
    address6: list[str]


def _names(target: Target) -> dict[str, str]:
    """Return what the nodes are called: as what they are, but where the server is called so."""
    resolver = RESOLVER if looks_like_address(target.server) else target.server
    nobody = target.is_address or target.host.endswith(_NO_NAME)
    names = {"resolver": resolver, "server": "server" if nobody else target.host}
    for role in ("client", "home", "provider", "switch"):
        name = role
        while name in names.values():
            name += "-2"
        names[role] = name
    return names


def _same(last: int) -> dict[int, int]:
    return {4: last, 6: last}


class _Places:
    """The networks, and the last parts of the addresses in them.

    Where the server (or the resolver) is called by its address, its network is the one round that.
    """

    def __init__(self, target: Target) -> None:
        self._nets = {4: list(_NETS), 6: list(_NETS6)}
        self.router, self.server, self.resolver = map(_same, (_ROUTER, _SERVER, _RESOLVER))
        said = target.server if target.scheme == "dns" else target.host
        if not looks_like_address(said):
            return
        address = parse_ip(said)
        version = 6 if is_v6(address) else 4
        prefix = Prefix.of(address, _BITS[version])
        if (
            not is_usable_source(address)
            or is_link_local(address)
            or (version == 4 and address in (prefix.network, prefix.broadcast))
        ):
            raise ConfigError(f"{said} is not an address that a server elsewhere can have")
        nets = [net for net in self._nets[version] if net != prefix.network]
        self._nets[version] = [*nets[:2], prefix.network]
        last = address - prefix.network
        mine, other = self.server, self.resolver
        if target.scheme == "dns":
            mine, other = other, mine
        mine[version] = last
        # Whoever has it goes one further
        for taken in (other, self.router):
            while taken[version] in (last, *(() if taken is other else (other[version],))):
                taken[version] += 1

    def text(self, version: int, net: int, last: Mapping[int, int]) -> str:
        """Return an address with its prefix, as text."""
        return f"{format_ip(self._nets[version][net] | last[version])}/{_BITS[version]}"

"""Name servers of a network: `net.dns("ns1", records=[...])`, and who asks them."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Unpack

import trio

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.ranges import Range, check_switch
from pystack.core.rng import component_rng
from pystack.core.units import parse_time_s
from pystack.dns.config import DnsWords, ResolverConfig, ResolverWords, parse_resolver

if TYPE_CHECKING:
    from pystack.dns.faults import FaultWords
    from pystack.dns.server import DnsServer
    from pystack.runtime.bare_network import BareNetwork
    from pystack.runtime.host import Host
    from pystack.runtime.lab.attach import Lab
    from pystack.stack.udp import UdpTable


_TTL: Final = Range(0, (1 << 31) - 1)  # RFC 2181 section 8


class NameServer:
    """A host that serves DNS. What it answers may be changed at any time: `answers`."""

    def __init__(self, host: Host, answers: DnsServer, nursery: trio.Nursery) -> None:
        self.host = host
        self.answers = answers
        self._coming_up = trio.Lock()
        # The ports that it has; None: none. A host whose power comes back has others.
        self._served: UdpTable | None = None
        self._is_awaited = False  # True: whoever awaits it hears what is wrong
        nursery.start_soon(self._up_by_itself)

    @property
    def name(self) -> str:
        """Return the host's name."""
        return self.host.name

    @property
    def address(self) -> str:
        """Return the host's address, as text."""
        return self.host.address

    async def up(self) -> None:
        """Wait until it answers; after the host's power had gone, let it answer again. OSError."""
        async with self._coming_up:
            stack = self.host.stack
            if not stack.powered or self._served is not stack.udp:
                await self.host.start(self._serve)

    def set(self, *records: str) -> None:
        """Replace the records of their names and kinds: `DnsServer.set`."""
        self.answers.set(*records)

    def remove(self, name: str, kind: str | None = None) -> None:
        """Take out a name's records: `DnsServer.remove`."""
        self.answers.remove(name, kind)

    def fault(self, name: str = "*", **words: Unpack[FaultWords]) -> None:
        """Do something wrong from now on, `ns.fault("www", late="2s")`: `DnsServer.fault`."""
        self.answers.fault(name, **words)

    def clear_faults(self) -> None:
        """Do nothing wrong any more."""
        self.answers.clear_faults()

    def __await__(self) -> Generator[Any, None, NameServer]:
        """Wait until it answers, and return it."""
        self._is_awaited = True
        yield from self.up().__await__()
        return self

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return f"<NameServer {self.name}>"

    async def _up_by_itself(self) -> None:
        if self._is_awaited:
            return
        try:
            await self.up()
        except trio.BrokenResourceError:
            if self.host.stack.powered:
                raise

    async def _serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        from pystack.runtime.names import dns_service

        ports = self._served = self.host.stack.udp
        try:
            await dns_service.serve_dns(self.host, self.answers, task_status=task_status)
        finally:
            if self._served is ports:  # and not those of the next one already
                self._served = None


def read_asks(words: ResolverWords | None) -> ResolverConfig | None:
    """Read whom a host is to ask, before anything is made of it. Raises ConfigError."""
    if words is None:
        return None
    need("dns", "a host that asks name servers")
    return parse_resolver(words)


def make_answers(
    net: Lab,
    name: str,
    *,
    records: Iterable[str] = (),
    faults: Iterable[str] = (),
    names: bool = True,
    ttl: str | float = 0,
) -> DnsServer:
    """Return what the host `name` is to answer, perhaps before it is there. Raises ConfigError.

    `names`: also those of the network, which may be kept for `ttl` ("30s"); records have their own.
    """
    from pystack.dns.server import DnsServer
    from pystack.runtime.names.dns_service import names_of

    check_switch("names", names)
    ttl_s = round(parse_time_s(ttl))
    _TTL.check("ttl", ttl_s)
    return DnsServer(
        records=records,
        faults=faults,
        names=names_of(net.topology) if names else None,
        ttl_s=ttl_s,
        host_name=name,
        rng=component_rng(net.seed, f"dns/{name}"),
    )


class Askers:
    """Which hosts are to ask a server, and how; all is checked before anything is changed."""

    def __init__(
        self,
        net: BareNetwork,
        server: str,
        hosts: Iterable[Host | str] | None,
        words: DnsWords,
    ) -> None:
        """`hosts`: None: all that were told nothing. Raises ConfigError."""
        self._net = net
        self._alone = parse_resolver({**words, "servers": [server]})
        self._keeps = not words
        if isinstance(hosts, str) or not isinstance(hosts, Iterable | None):
            raise ConfigError(f"hosts is a list of hosts, like [{hosts!r}]")
        self._hosts = None if hosts is None else [_host_of(net, host) for host in hosts]

    def ask(self, server: Host, asked: ResolverConfig | None) -> ResolverConfig | None:
        """Let them ask it, after those that they ask already.

        `asked`: whom those ask that were told nothing. Returns whom they ask now.
        """
        if self._hosts is not None:
            for host in self._hosts:
                host.dns = _also(host.dns, self._alone, keeps=self._keeps)
            return asked
        everybody = _also(asked, self._alone, keeps=self._keeps)
        for host in self._net.hosts.values():
            if host is not server and host.dns == asked:
                host.dns = everybody
        if server.dns == asked:  # it knows the network as well as itself
            server.dns = None
        return everybody


def _also(known: ResolverConfig | None, alone: ResolverConfig, *, keeps: bool) -> ResolverConfig:
    """Return what is known with one more server; `keeps`: all else stays as it was."""
    if known is None:
        return alone
    servers = tuple(dict.fromkeys((*known.servers, *alone.servers)))
    return replace(known if keeps else alone, servers=servers)


def _host_of(net: BareNetwork, host: Host | str) -> Host:
    name = host if isinstance(host, str) else getattr(host, "name", None)
    found = net.hosts.get(name) if isinstance(name, str) else None
    if found is None or (found is not host and not isinstance(host, str)):
        raise ConfigError(f"{host!r} is not a host of this network")
    return found

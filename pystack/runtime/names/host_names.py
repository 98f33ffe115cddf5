"""Names as one host looks them up: what it knows by itself, then the name servers that it asks."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pystack.dns.config import ResolverConfig, ResolverWords, parse_resolver
from pystack.runtime.names.known import KnownNames, Names

if TYPE_CHECKING:
    from pystack.core.addresses import Ip
    from pystack.runtime.bare_host import BareHost
    from pystack.runtime.names.stub_resolver import StubResolver
    from pystack.runtime.names.zones import Version


class HostNames:
    """How a host comes from a name to addresses."""

    def __init__(self, host: BareHost, table: Names | None) -> None:
        """`table`: the network's; None: there is none."""
        self._host = host
        self.known = KnownNames(host, table)  # what can be told without asking
        self.resolver: StubResolver | None = None  # None: names are in the network's own table

    @property
    def servers(self) -> ResolverConfig | None:
        """Return whom it asks; None: nobody."""
        return None if self.resolver is None else self.resolver.config

    def ask(self, words: ResolverWords | None) -> None:
        """Ask these from now on; None: nobody. Raises ConfigError."""
        if words is None:
            self.resolver = None
            return
        from pystack.runtime.names.stub_resolver import StubResolver  # it needs a library

        self.resolver = StubResolver(self._host, self.known, parse_resolver(words))

    def resolve(self, name: str, version: Version | None) -> Ip:
        """Return an address without waiting. See `Host.resolve`."""
        if self.resolver is None:
            return self.known.addresses(name, version)[0]
        found = self.known.own(name, version)
        if not found:
            raise OSError(
                errno.EAGAIN,
                f"{self._host.name} asks name servers, which takes time: "
                f"`await host.look_up({name!r})`",
            )
        return found[0]

    def told(self, name: str, version: Version | None) -> tuple[Ip, ...]:
        """Return all addresses where nobody is to be asked, and tell observers; else none."""
        if self.resolver is None:
            own = self.known.addresses(name, version)  # or raises
        else:
            own = self.known.own(name, version)
        if own:
            self.known.tell(name, own)
        return own

    async def asked(self, name: str, version: Version | None) -> tuple[Ip, ...]:
        """Return all addresses that name servers have. OSError."""
        assert self.resolver is not None  # else the network's table has it, or raises
        versions: tuple[Version, ...] = () if version is None else (version,)
        return (await self.resolver.addresses(name, versions)).addresses

    def forget(self) -> None:
        """Lose what is remembered, as when the power goes."""
        if self.resolver is not None:
            self.resolver.forget()

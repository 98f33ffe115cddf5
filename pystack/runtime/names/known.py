"""What a host can tell of names without asking: its own, the network's table, addresses in text."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import LOOPBACK, LOOPBACK6, Ip, is_v6, looks_like_address
from pystack.core.errors import ConfigError
from pystack.observe.observer import LookUp
from pystack.runtime.names.ordering import in_order
from pystack.runtime.names.zones import Version, check_asked, format_on
from pystack.stack.zones import parse_on

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

_LOOPBACKS: Final = (LOOPBACK, LOOPBACK6)
_MAX_ORDERS: Final = 1024

Names = Callable[[str], Sequence[Ip]]  # the addresses of a name; none: nobody is called so


class KnownNames:
    """The names that a host knows, and in which order addresses are tried from there."""

    def __init__(self, host: BareHost, table: Names | None) -> None:
        """`table`: the network's; None: there is none."""
        self._host = host
        self._table = table
        # Addresses of one name in the order in which they are tried, with these routes
        self._orders: tuple[int, dict[tuple[Ip, ...], tuple[Ip, ...]]] = (-1, {})

    def own(self, name: str, version: Version | None = None) -> tuple[Ip, ...]:
        """Return what needs no look-up: its own name, localhost, addresses in text. OSError."""
        check_asked(name, version)
        plain = name.removesuffix(".").lower()
        if plain == "localhost" or plain.endswith(".localhost"):  # RFC 6761 section 6.3
            return self.addresses("localhost", version)
        if plain == self._host.name.lower():
            return self.addresses(self._host.name, version)
        try:
            found = (parse_on(self._host.stack, name),)
        except ConfigError:
            return ()
        return self._of_version(found, name, version)

    def addresses(self, name: str, version: Version | None = None) -> tuple[Ip, ...]:
        """Return the addresses that the network's own table has, best first. OSError: none."""
        check_asked(name, version)
        found: Sequence[Ip] = ()
        if name == "localhost":
            found = [address for address in _LOOPBACKS if self._host.stack.is_own(address)]
        elif self._table is not None:
            found = self._table(name)
        if not found:
            try:
                found = (parse_on(self._host.stack, name),)
            except ConfigError:
                raise OSError(errno.ENOENT, self.why_unknown(name)) from None
        return self._of_version(found, name, version)

    def tell(self, name: str, addresses: Sequence[Ip]) -> None:
        """Tell observers of a name that was looked up here, without a packet."""
        host = self._host
        if host.stack.observers and not looks_like_address(name):
            found = tuple(format_on(host.stack, address) for address in addresses)
            host.stack.notify(LookUp(host.now(), host.name, name, "known", addresses=found))

    def in_order(self, addresses: tuple[Ip, ...]) -> tuple[Ip, ...]:
        """Return the addresses of a name as they are to be tried from here (RFC 6724)."""
        changes, known = self._orders
        stack = self._host.stack
        if changes != stack.routes.changes or len(known) >= _MAX_ORDERS:
            known = {}
            self._orders = stack.routes.changes, known
        ordered = known.get(addresses)
        if ordered is None:
            ordered = known[addresses] = in_order(stack, addresses)
        return ordered

    def why_unknown(self, name: str) -> str:
        """Return why a name has no address here, as a sentence."""
        if self._host.has_node(name):
            return f"{name!r} has no link yet, and so no address"
        return f"{self._host.name} knows no host {name!r}"

    def _of_version(
        self, found: Sequence[Ip], name: str, version: Version | None
    ) -> tuple[Ip, ...]:
        if version is not None:
            found = [address for address in found if is_v6(address) is (version == 6)]
            if not found:
                raise OSError(errno.EADDRNOTAVAIL, f"{name!r} has no IPv{version} address")
        if len(found) == 1:
            return (found[0],)
        return self.in_order(tuple(found))

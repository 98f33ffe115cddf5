"""Interface: a host's end of a Port, with its addresses on that link."""

from collections.abc import Sequence

from pystack.core.addresses import (
    ALL_HOSTS,
    LIMITED_BROADCAST,
    Ip4,
    Mac,
    Prefix,
    format_ip4,
    format_mac,
    is_multicast,
)
from pystack.link.port import Port
from pystack.stack.neighbors import NeighborTable


class Interface:
    """One attachment of a host to a link."""

    __slots__ = (
        "_addresses",
        "_broadcasts",
        "groups",
        "mac",
        "mtu_bytes",
        "name",
        "neighbors",
        "port",
    )

    def __init__(
        self,
        name: str,
        port: Port,
        mac: Mac,
        mtu_bytes: int,
        neighbors: NeighborTable | None,
    ) -> None:
        self.name = name
        self.port = port
        self.mac = mac
        self.mtu_bytes = mtu_bytes
        self.neighbors = neighbors  # None: a link without stations to find (loopback)
        self._addresses: list[tuple[Ip4, Prefix]] = []
        self._broadcasts = {LIMITED_BROADCAST}
        # How often each multicast group that is heard here was joined, see `groups.py`
        self.groups = {ALL_HOSTS: 1}

    @property
    def addresses(self) -> Sequence[tuple[Ip4, Prefix]]:
        """Return the addresses; the first is the source that is preferred."""
        return self._addresses

    def add_address(self, address: Ip4, prefix: Prefix) -> None:
        """Have one more."""
        self._addresses.append((address, prefix))
        if prefix.has_broadcast:
            self._broadcasts.add(prefix.broadcast)

    @property
    def address(self) -> Ip4:
        """Return the preferred source address on this link."""
        return self._addresses[0][0]

    def is_broadcast(self, address: int) -> bool:
        """Tell whether the address means every host on this link."""
        return address in self._broadcasts

    def hears(self, address: int) -> bool:
        """Tell whether what is sent to these many is for this host too: broadcast, or its group."""
        return address in self._broadcasts or address in self.groups

    def is_many(self, address: int) -> bool:
        """Tell whether the address means more than one host: broadcast or multicast."""
        return is_multicast(address) or self.is_broadcast(address)

    def __repr__(self) -> str:
        """Return it in the manner of `ip address`."""
        own = " ".join(
            f"{format_ip4(address)}/{block.length}" for address, block in self._addresses
        )
        mac = "" if self.neighbors is None else f" ether {format_mac(self.mac)}"
        return f"<{self.name} {own} mtu {self.mtu_bytes}{mac}>"

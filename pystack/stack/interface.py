"""Interface: a host's end of a Port, with its addresses on that link."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pystack.core.addresses import (
    ALL_HOSTS,
    ALL_NODES6,
    LIMITED_BROADCAST,
    Ip,
    Mac,
    Prefix,
    format_ip,
    format_mac,
    is_multicast,
    is_v6,
    solicited_node,
)
from pystack.link.port import Port
from pystack.stack.neighbors import NeighborTable, Timing
from pystack.wire import ipv6


class AddressState(Enum):
    """How far an address may be used (RFC 4862 section 5.5.4); one of IPv4 is always preferred."""

    TENTATIVE = "tentative"  # asked for on the link: not ours yet
    PREFERRED = "preferred"
    DEPRECATED = "deprecated"  # by what uses it already; nothing new begins with it
    DUPLICATED = "dadfailed"  # another station has it: never used


@dataclass(slots=True, eq=False)
class InterfaceAddress:
    """One address of an interface, with the block that its link has."""

    address: Ip  # with the interface's zone where it is link-local
    prefix: Prefix
    state: AddressState = AddressState.PREFERRED
    preferred_until: float = math.inf
    valid_until: float = math.inf
    is_temporary: bool = False  # RFC 8981
    is_automatic: bool = False  # made of a router's prefix (RFC 4862 section 5.5.3)

    @property
    def is_usable(self) -> bool:
        """Tell whether packets may come and go by it."""
        return self.state in (AddressState.PREFERRED, AddressState.DEPRECATED)

    def __str__(self) -> str:
        """Return it in the manner of `ip address`."""
        text = f"{format_ip(self.address)}/{self.prefix.length}"
        return text if self.state is AddressState.PREFERRED else f"{text} {self.state.value}"


class Interface:
    """One attachment of a host to a link."""

    __slots__ = (
        "_addresses",
        "_broadcasts",
        "groups",
        "hop_limit6",
        "index",
        "mac",
        "mtu6_bytes",
        "mtu_bytes",
        "name",
        "neighbors",
        "port",
        "proxied",
    )

    def __init__(
        self,
        name: str,
        index: int,
        port: Port,
        mac: Mac,
        mtu_bytes: int,
        neighbors: NeighborTable | None,
    ) -> None:
        self.name = name
        self.index = index  # 1 for a host's first: the zone of its link-local addresses
        self.port = port
        self.mac = mac
        self.mtu_bytes = mtu_bytes
        self.neighbors = neighbors  # None: a link without stations to find (loopback)
        self._addresses: list[InterfaceAddress] = []
        self.proxied: set[Ip] = set()  # none of ours, and answered for: `Host.add_proxy`
        self._broadcasts = {LIMITED_BROADCAST}
        self.mtu6_bytes = mtu_bytes  # of IPv6: a router may ask for less (RFC 4861 section 4.6.4)
        self.hop_limit6 = ipv6.DEFAULT_HOP_LIMIT  # a router may say another one
        # How often each multicast group that is heard here was joined, see `groups.py`
        self.groups = self.own_groups()

    def mtu_to(self, dst: Ip) -> int:
        """Return the largest packet that may go to an address on, or behind, its link."""
        return self.mtu6_bytes if is_v6(dst) else self.mtu_bytes

    @property
    def carries_ip6(self) -> bool:
        """Tell whether its link is wide enough for IPv6 (RFC 8200 section 5)."""
        return self.mtu_bytes >= ipv6.MIN_MTU_BYTES

    @property
    def addresses(self) -> Sequence[InterfaceAddress]:
        """Return the addresses; the first is the source that is preferred."""
        return self._addresses

    def add_address(self, own: InterfaceAddress) -> None:
        """Have one more."""
        self._addresses.append(own)
        if own.prefix.has_broadcast:
            self._broadcasts.add(own.prefix.broadcast)
        if own.prefix.is_v6:
            group = solicited_node(own.address)
            self.groups[group] = self.groups.get(group, 0) + 1

    def remove_address(self, own: InterfaceAddress) -> None:
        """Have one less."""
        self._addresses.remove(own)
        if own.prefix.is_v6:
            group = solicited_node(own.address)
            self.groups[group] -= 1
            if not self.groups[group]:
                del self.groups[group]
        blocks = [known.prefix for known in self._addresses if known.prefix.has_broadcast]
        self._broadcasts = {LIMITED_BROADCAST, *(block.broadcast for block in blocks)}

    def own_groups(self) -> dict[Ip, int]:
        """Return the groups that this interface hears for itself, and how often."""
        groups = Counter((ALL_HOSTS, ALL_NODES6))
        groups.update(solicited_node(own.address) for own in self._addresses if own.prefix.is_v6)
        groups.update(solicited_node(address) for address in self.proxied if is_v6(address))
        return dict(groups)

    def reset_ip6(self) -> None:
        """Forget what routers have said of the link."""
        self.mtu6_bytes = self.mtu_bytes
        self.hop_limit6 = ipv6.DEFAULT_HOP_LIMIT
        if self.neighbors is not None:
            self.neighbors.timing6 = Timing()

    def find(self, address: int) -> InterfaceAddress | None:
        """Return the entry of an address; None: it is not one of this interface."""
        return next((own for own in self._addresses if own.address == address), None)

    @property
    def address(self) -> Ip:
        """Return the preferred source address on this link."""
        return self._addresses[0].address

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
        own = " ".join(map(str, self._addresses))
        mac = "" if self.neighbors is None else f" ether {format_mac(self.mac)}"
        return f"<{self.name} {own} mtu {self.mtu_bytes}{mac}>"

"""The way of packets from one address to another: what TCP, UDP, ICMP and the forwarder send by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pystack.core.addresses import BROADCAST_MAC, ZERO_MAC, Ip, Mac, is_v6, multicast_mac
from pystack.wire.frame import SUPER_TEXT_BYTES
from pystack.wire.headers import template

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.routes import Route


class Way:
    """How packets get from one address to another: found once, true until the routes change."""

    __slots__ = (
        "changes",
        "dst",
        "flow_label",
        "interface",
        "is_v6",
        "mac",
        "next_hop",
        "route",
        "src",
        "template",
    )

    def __init__(self, host: Host, route: Route, src: Ip, dst: Ip, flow_label: int = 0) -> None:
        interface = route.interface
        self.changes = host.routes.changes
        self.route = route
        self.interface = interface
        self.src = src
        self.dst = dst
        self.is_v6 = is_v6(dst)
        self.next_hop = dst
        # The station that gets the frames, where it is known for good; None: a neighbour
        self.mac: Mac | None = None
        if interface.neighbors is None:
            self.mac = ZERO_MAC
        elif interface.is_many(dst):
            # What is for many is for this link: no gateway is asked to pass it on.
            self.mac = BROADCAST_MAC if interface.is_broadcast(dst) else multicast_mac(dst)
        elif route.gateway is not None:
            self.next_hop = route.gateway
        self.flow_label = flow_label
        self.template = template(interface.mac, src, dst, flow_label, interface.hop_limit6)

    @property
    def mtu_bytes(self) -> int:
        """Return the largest packet that the link takes."""
        interface = self.interface
        return interface.mtu6_bytes if self.is_v6 else interface.mtu_bytes

    @property
    def gso_max_bytes(self) -> int:
        """Return how much text a super-frame may have, whose length IPv6 must have a number for."""
        most = self.interface.port.gso_max_bytes
        return min(most, SUPER_TEXT_BYTES) if self.is_v6 else most

    def find_station(self, now: float) -> Mac | None:
        """Return who gets the frames; None: that has to be found out first (HOT)."""
        mac = self.mac
        if mac is None:
            neighbors = self.interface.neighbors
            assert neighbors is not None
            mac = neighbors.lookup(self.next_hop, now)
        return mac

"""Nodes and their ends of links: what a topology is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pystack.core.addresses import Ip, Mac, Prefix, format_ip, without_zone
from pystack.link.link import Link
from pystack.link.port import DEFAULT_MTU_BYTES, FrameSink, Port, PortBase, refusing, uso_max_bytes
from pystack.stack.host import Host
from pystack.stack.interface import Interface
from pystack.topology.doors import ClosedDoor, Guard, Wall
from pystack.topology.router import Router
from pystack.topology.switch import Switch
from pystack.wire.frame import Frame

HostAddress = tuple[Ip, Prefix]


class Station(PortBase):
    """The place of something that has a stack of its own: a TAP device, a network namespace.

    It is a Port: whoever brings the stack attaches to it and sends through it. The topology gives
    it addresses and gateways, which its owner hands on.
    """

    def __init__(self, name: str, mac: Mac) -> None:
        super().__init__(DEFAULT_MTU_BYTES)  # the link's, once there is one
        self.name = name
        self.mac = mac  # for whoever needs one
        self.uso_max_bytes = 0
        self.addresses: tuple[HostAddress, ...] = ()  # one of each IP version; (): no link yet
        self.gateways: tuple[Ip, ...] = ()  # likewise; (): there is no router on its segment
        self._send: FrameSink = refusing("station_no_link", self.counters.add)

    def plug(self, port: Port) -> None:
        """Take the port that leads to the network."""
        self.mtu_bytes = port.mtu_bytes
        self.gso_max_bytes = port.gso_max_bytes
        self.uso_max_bytes = uso_max_bytes(port)
        self.fills_checksums = port.fills_checksums
        self._send = port.send
        port.attach(self._arrived)

    def send(self, frame: Frame, now: float) -> None:
        """Send a frame into the network."""
        self._send(frame, now)

    def _arrived(self, frame: Frame, now: float) -> None:
        self.sink(frame, now)

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        own = " ".join(format_ip(address) for address, _ in self.addresses) or "no address"
        return f"<Station {self.name} {own}>"


class FarSide(Station):
    """Whoever is on another machine, behind a link that leaves this one."""


@dataclass(eq=False, slots=True)
class Node:
    """One node by its name, with what the topology knows of it."""

    name: str
    device: Host | Switch | Station
    order: int  # its place in the order of making
    # By hand, for eth0, eth1 ... (None: automatic), of IPv4 and of IPv6
    wanted: tuple[Sequence[HostAddress | None], Sequence[HostAddress | None]] = ((), ())
    ends: list[End] = field(default_factory=list)
    # Routes by hand: those that wait for the next settling, and the blocks of all.
    pending_routes: list[tuple[Prefix, str]] = field(default_factory=list)
    given_routes: set[Prefix] = field(default_factory=set)
    # Routes that the topology has filled in: block to end and gateway.
    filled_routes: dict[Prefix, tuple[End, Ip]] = field(default_factory=dict)
    powered: bool = True

    @property
    def is_switch(self) -> bool:
        """Tell whether it joins its links into one segment."""
        return isinstance(self.device, Switch)

    @property
    def is_router(self) -> bool:
        """Tell whether it forwards packets."""
        return isinstance(self.device, Router)

    @property
    def is_far(self) -> bool:
        """Tell whether it stands for what is on another machine."""
        return isinstance(self.device, FarSide)

    @property
    def given(self) -> list[HostAddress]:
        """Return the addresses that the topology has given it, those of eth0 first."""
        return [address for end in self.ends for address in end.given]

    @property
    def addresses(self) -> list[Ip]:
        """Return all addresses that it has now, in packets' form: also those for a link alone."""
        return [address for end in self.ends for address in end.addresses]

    def drop(self, reason: str, frame: Frame, now: float) -> None:
        """Count a frame that was lost at the node's door."""
        if isinstance(self.device, Host):
            self.device.drop(reason, now, None, frame.data)
        else:
            self.device.counters.add(reason)


@dataclass(eq=False, slots=True)
class End:
    """One end of a link (or of any port), at a node."""

    node: Node
    number: int  # among the node's ends
    port: Port
    order: int  # among all ends: the order of the links
    # What the topology has given it, one address of each IP version; none of a switch
    given: tuple[HostAddress, ...] = ()
    interface: Interface | None = None  # None: not settled yet, or no host's
    walls: tuple[Wall, ...] = ()  # what partitions put here, the strictest first
    leads_away: bool = False  # its segment goes on, on another machine
    cut: bool = False  # the link itself goes from one side of a partition to the other, in silence

    @property
    def name(self) -> str:
        """Return the name of the interface: "eth0" for the first."""
        return f"eth{self.number}"

    @property
    def addresses(self) -> list[Ip]:
        """Return the addresses here as they are now, without zones; none of a switch."""
        if self.interface is None:
            return [address for address, _ in self.given]
        return [without_zone(own.address) for own in self.interface.addresses]

    def given_of(self, *, v6: bool) -> HostAddress | None:
        """Return the address that was given of a version; None: not yet, or there is none."""
        return next((own for own in self.given if own[1].is_v6 == v6), None)

    def replug(self) -> None:
        """Put between the node and its port what belongs there now."""
        device, drop = self.node.device, self.node.drop
        port = self.port
        if not self.node.powered:
            port = ClosedDoor(port, _named(drop, "powered_off"))
        elif self.cut:
            port = ClosedDoor(port, _named(drop, "partitioned"))
        elif self.walls:
            port = Guard(port, self.walls, _named(drop, "partitioned"))
        if isinstance(device, Switch):
            device.replug(self.number, port)
        elif isinstance(device, Station):
            device.plug(port)
        elif self.interface is not None:
            device.plug(self.interface, port)


@dataclass(eq=False, slots=True)
class Cable:
    """A link with the two ends that it joins."""

    link: Link
    a: End
    b: End


def _named(
    drop: Callable[[str, Frame, float], None], reason: str
) -> Callable[[Frame, float], None]:
    return lambda frame, now: drop(reason, frame, now)

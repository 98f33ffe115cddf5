"""Lanes: two hosts and the link between them, over which the connections of a proxy go.

    client == left (NAME-client) -- link -- right (NAME-upstream) == upstream

Most proxies have one, made when the first connection comes. Where a toxic on packets hits only some
connections, these go over another one. A network cannot lose hosts again, so the lanes of a proxy
that has ended are kept for one that comes: of the same name first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pystack.apps.proxy.toxics.flaps import Flaps
from pystack.core.addresses import Ip, parse_ip
from pystack.core.errors import ConfigError
from pystack.stack.neighbors import OneNeighbor
from pystack.tcp.config import TcpLimits

if TYPE_CHECKING:
    from pystack.apps.proxy.toxics.spec import ToxicSpec
    from pystack.apps.proxy.words import Directions
    from pystack.link.words import NetemWords
    from pystack.runtime.host import Host
    from pystack.runtime.network import Network
    from pystack.runtime.network_link import NetworkLink

SUBNET: Final = "10.0.0.0/8"  # a /24 of it for each lane
_MOST_LANES: Final = 0xFFFF
_SPARE: Final = 64  # lanes that wait for their name to come again


class Lane:
    """One of them."""

    def __init__(self, net: Network, name: str, number: int) -> None:
        block = f"10.{number >> 8}.{number & 0xFF}"
        self.name = name
        # It opens all connections, and to one port: in a minute more than there are ports.
        limits = TcpLimits(time_wait_reuse=1)
        self.left: Host = net.host(f"{name}-client", address=f"{block}.1/24", tcp_limits=limits)
        self.right: Host = net.host(f"{name}-upstream", address=f"{block}.2/24")
        self.left_address: Ip = parse_ip(f"{block}.1")
        self.right_address: Ip = parse_ip(f"{block}.2")
        self.link: NetworkLink = net.link(self.left, self.right, offload=True)
        net.settle()
        _introduce(self.left, self.right)
        _introduce(self.right, self.left)
        self._said: Directions = ({}, {})
        self._flaps = Flaps(self.link, net.driver.scheduler)

    def shape(self, words: Directions, toxics: Iterable[ToxicSpec], now: float) -> None:
        """Let the link behave as these words say, all of them, and flap by these toxics.

        Nothing happens to frames on their way where nothing changes. ConfigError: it cannot.
        """
        if self._said != words:
            new: list[NetemWords] = [
                {**dict.fromkeys(old), **said}  # type: ignore[typeddict-item]
                for old, said in zip(self._said, words, strict=True)
            ]
            self.link.set(a_to_b=new[0], b_to_a=new[1])
            self._said = words
        self._flaps.update(toxics, now)

    def clear(self, now: float) -> None:
        """End all that goes on there, also what is on its way, and be a perfect wire."""
        self.shape(({}, {}), (), now)
        for host in (self.left, self.right):
            tcp = host.tcp
            for socket in tcp:
                tcp.abort(socket, now)
        # Of the link itself: its network needs to find no other way meanwhile.
        for pipe in (self.link.a_to_b, self.link.b_to_a):
            pipe.down()
            pipe.up()


class Lanes:
    """Makes lanes, and keeps those that are not needed."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._spare: list[Lane] = []
        self._made = 0

    def take(self, wanted: str) -> Lane:
        """Return a lane that nobody has; a new one is called so. Raises ConfigError: too many."""
        name = _node_name(wanted)
        for lane in self._spare:
            if lane.name == name:
                self._spare.remove(lane)
                return lane
        if len(self._spare) >= _SPARE:
            return self._spare.pop(0)
        if self._made == _MOST_LANES:
            raise ConfigError(f"there are {_MOST_LANES} lanes already: one more is not possible")
        self._made += 1
        return Lane(self._net, self._free_name(name), self._made)

    def give_back(self, lane: Lane, now: float) -> None:
        """Take a lane that is not needed any more."""
        lane.clear(now)
        self._spare.append(lane)

    def _free_name(self, name: str) -> str:
        number, found = 1, name
        while self._net.has_node(f"{found}-client"):
            number += 1
            found = f"{name}.{number}"
        return found


def _introduce(host: Host, other: Host) -> None:
    """Let a host know the other's station: to ask would cost the first connection a round trip."""
    stack = host.stack
    mac = other.stack.interfaces[-1].mac
    stack.interfaces[-1].neighbors = OneNeighbor(stack.scheduler, stack.rng, stack.counters, mac)


def _node_name(name: str) -> str:
    """Return what nodes of a network may be called, of what proxies may be."""
    return "".join(
        letter if letter.isprintable() and not letter.isspace() and letter != "%" else "-"
        for letter in name
    )

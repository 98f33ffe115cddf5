"""Nodes of a network as its methods are given them: the things themselves, or their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pystack.core.errors import ConfigError
from pystack.runtime.host import Host
from pystack.runtime.lab.attach import Attached
from pystack.runtime.names.name_servers import NameServer
from pystack.topology.nodes import Station
from pystack.topology.switch import Switch

if TYPE_CHECKING:
    from pystack.runtime.bare_network import BareNetwork

NodeLike = Host | Switch | Station | Attached | NameServer | str


def name_of(net: BareNetwork, node: NodeLike) -> str:
    """Return the name of one. Raises ConfigError: it is of another network, or no node at all."""
    if isinstance(node, str):
        return node
    node = node.host if isinstance(node, NameServer) else node
    if not isinstance(node, NodeLike):
        raise ConfigError(f"{node!r} is not a node of the network, nor the name of one")
    # By identity, and without a look at a host's stack, which would settle what is half built.
    name = node.name
    known = net.hosts.get(name) or net.attached.get(name) or net.topology.node(name).device
    if known is not node:
        raise ConfigError(f"{node.name} is not of this network")
    return name


def names_of(net: BareNetwork, group: NodeLike | Iterable[NodeLike]) -> list[str]:
    """Return the names of several, or of one alone. Raises ConfigError."""
    if isinstance(group, NodeLike) or not isinstance(group, Iterable):
        return [name_of(net, group)]
    # Sets have no order that is the same in each run; names have.
    return sorted(name_of(net, node) for node in group)

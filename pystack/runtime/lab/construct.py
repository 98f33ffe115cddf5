"""A lab's nodes and links as a network: all of them, or those that are on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pystack.core.errors import ConfigError
from pystack.link.link import Link
from pystack.link.port import DEFAULT_MTU_BYTES
from pystack.runtime.network_link import LinkAsked
from pystack.runtime.ports import needs_real_time
from pystack.topology.building import add_node, far_named
from pystack.topology.machines import tunnel_of
from pystack.topology.spec import LINK_OWN, REAL_KINDS
from pystack.topology.tunnels import is_far

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pystack.core.plugins import Chosen
    from pystack.link.port import Port
    from pystack.runtime.network import Network
    from pystack.runtime.network_link import NetworkLink
    from pystack.topology.spec import LabSpec, LinkSpec


def construct(
    net: Network, spec: LabSpec, machine: str | None
) -> list[tuple[LinkSpec, NetworkLink]]:
    """Build a lab, and return its links. `machine`: where we are; None: all of it is here.

    What is elsewhere is in the topology as well, so that addresses and routes are the same on all
    machines; it has no program, and nothing goes there but by the links that leave this machine.
    """
    own = spec.nodes if machine is None else spec.machines[machine].nodes
    for node in spec.nodes.values():
        if node.name in own:
            getattr(net, node.kind)(node.name, **node.words, **node.addresses)
        else:
            add_node(net.topology, node)
    links = []
    for number, link in enumerate(spec.links):
        made = _link(net, spec, number, machine)
        if made is not None:
            links.append((link, made))
    for node in spec.nodes.values():
        for destination, via, _line in node.routes:
            net.route(node.name, destination, via)
    return links


def _link(net: Network, spec: LabSpec, number: int, machine: str | None) -> NetworkLink | None:
    """Make a link, and return it; None: it is elsewhere."""
    link = spec.links[number]
    own = spec.nodes if machine is None else spec.machines[machine].nodes
    here = [end for end in (link.a, link.b) if end in own]
    tunnel = None if machine is None else tunnel_of(spec, machine, number)
    if not here:
        mtu_bytes = link.words.get("mtu_bytes", DEFAULT_MTU_BYTES)
        assert isinstance(mtu_bytes, int)
        net.topology.link(*far_named(net.topology, link), make=Link, mtu_bytes=mtu_bytes)
        return None
    if tunnel is not None:
        from pystack.runtime.vxlan.far import join  # few labs are on several machines

        netem = {word: value for word, value in link.words.items() if word not in LINK_OWN}
        own_words = {word: link.words[word] for word in LINK_OWN if word in link.words}
        far: Literal["a", "b"] = "b" if link.a in own else "a"
        asked = LinkAsked(
            a_to_b=link.a_to_b,
            b_to_a=link.b_to_a,
            words=netem,
            **own_words,  # type: ignore[arg-type]
        )
        return net.adopt(join(net, link.a, link.b, asked, far=far, tunnel=tunnel, shared=True))
    words = {**link.words, **(link.tunnel if len(here) < 2 else {})}
    return net.link(
        link.a,
        link.b,
        a_to_b=link.a_to_b,
        b_to_a=link.b_to_a,
        **words,  # type: ignore[arg-type]
    )


def check_real_time(spec: LabSpec, ports: Mapping[str, Chosen[Port]]) -> None:
    """Raise ConfigError for what cannot be in virtual time."""
    if found := in_real_time(spec, ports):
        raise ConfigError(f"{found}; run the lab without --virtual")


def in_real_time(spec: LabSpec, ports: Mapping[str, Chosen[Port]]) -> str:
    """Say what of a lab lives in real time, and where; "": nothing does."""
    for node in spec.nodes.values():
        is_real = node.kind == "port" and needs_real_time(ports[node.name])
        if is_real or node.kind in REAL_KINDS:
            return f"{spec.path}:{node.line}: the {node.kind} {node.name} lives in real time"
    for link in spec.links:
        if is_far(link.a) or is_far(link.b):
            return (
                f"{spec.path}:{link.line}: the link between {link.a} and {link.b} leaves the "
                "machine and lives in real time"
            )
    return ""

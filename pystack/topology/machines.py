"""One lab on several machines: which node is where, and which links leave a machine.

    [machines.left]
    address = "192.0.2.1"
    nodes = ["client", "r1"]
    [machines.right]
    address = "192.0.2.2"
    nodes = ["server"]

Each machine builds the whole topology, so that addresses, MAC addresses, routes and resting links
are the same everywhere without a word between them. What is elsewhere has no link and no programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypedDict

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.topology.spec import MachineSpec
from pystack.topology.tunnels import (
    WORDS,
    Tunnel,
    is_far,
    not_leaving,
    read_key,
    read_place,
    read_source_ports,
    read_vlan_tags,
    read_vni,
)

if TYPE_CHECKING:
    from pystack.topology.reading import Document
    from pystack.topology.spec import EventSpec, LabSpec, LinkSpec, Words
    from pystack.topology.toml_places import Path

TABLE: Final = "machines"


def read_machines(
    document: Document, value: object, nodes: Iterable[str]
) -> dict[str, MachineSpec]:
    """Read the machines of a lab: each node is on one of them. Raises ConfigError."""
    found: dict[str, MachineSpec] = {}
    where: dict[str, str] = {}
    known = list(nodes)
    for name, said in document.table((TABLE,), value, None).items():
        path: Path = (TABLE, name)
        table = document.table(path, said, ("address", "listen", "nodes"))
        for word in ("address", "nodes"):
            if word not in table:
                document.fail(path, f"this machine has no {word!r}, and needs it")
        with document.placed((*path, "address")):
            address = read_place(table["address"])
        with document.placed((*path, "listen")):
            listen = read_place(table.get("listen", f":{address[1]}"), anywhere=True)
        own = document.texts((*path, "nodes"), table["nodes"])
        for at, node in enumerate(own):
            here = (*path, "nodes", at)
            if node not in known:
                document.fail(here, f"there is no node {node!r}{suggest(node, known)}")
            if node in where:
                document.fail(here, f"{node} is on {where[node]} already")
            where[node] = name
        line = document.line(path)
        found[name] = MachineSpec(
            name=name, address=address, listen=listen, nodes=tuple(own), line=line
        )
    if found:
        for node in known:
            if node not in where:
                document.fail((TABLE,), f"{node} is on no machine: add it to the nodes of one")
    return found


def machine_of(machines: Mapping[str, MachineSpec], node: str) -> str | None:
    """Return on which machine a node is; None: the lab has no such thing."""
    return next((name for name, machine in machines.items() if node in machine.nodes), None)


class _How(TypedDict):
    key: str | None
    source_ports: int
    vlan_tags: bool


def check_tunnels(document: Document, spec: LabSpec) -> None:
    """Check what is said of links that leave a machine, or would have to. Raises ConfigError."""
    taken: dict[tuple[frozenset[str | None], int], int] = {}
    for number, link in enumerate(spec.links):
        path: Path = ("links", number)
        if is_far(link.a) or is_far(link.b):
            continue  # read already
        ends = frozenset(machine_of(spec.machines, end) for end in (link.a, link.b))
        if len(ends) < 2:
            for word in link.tunnel:
                document.fail((*path, word), str(not_leaving(word)))
            continue
        if "listen" in link.tunnel:
            document.fail((*path, "listen"), "where a machine listens is said in [machines]")
        with document.placed(path):
            vni = vni_of(link, number)
            _how(link.tunnel)
        other = taken.setdefault((ends, vni), number)
        if other != number:
            document.fail(path, f"vni {vni} is that of link #{other + 1} between these machines")


def vni_of(link: LinkSpec, number: int) -> int:
    """Return the VNI of a link that is the `number`th of the file: if nothing is said, its place.

    Raises ConfigError.
    """
    return read_vni(link.tunnel.get("vni", number + 1))


def tunnel_of(spec: LabSpec, machine: str, number: int) -> Tunnel | None:
    """Return what carries a link on that machine; None: it has both ends there, or none."""
    link = spec.links[number]
    ends = [machine_of(spec.machines, end) for end in (link.a, link.b)]
    other = next((end for end in ends if end is not None and end != machine), None)
    if machine not in ends or other is None:
        return None
    return Tunnel(
        remote=spec.machines[other].address,
        listen=spec.machines[machine].listen,
        vni=vni_of(link, number),
        **_how(link.tunnel),
    )


def _how(words: Words) -> _How:
    """Return what is said of a link, but for where it leads and its number. Raises ConfigError."""
    return {
        "key": read_key(words.get("key"), words.get("key_file")),
        "source_ports": read_source_ports(words.get("source_ports", 1)),
        "vlan_tags": read_vlan_tags(words.get("vlan_tags", False)),
    }


def part_of(spec: LabSpec, machine: str) -> LabSpec:
    """Return what of a lab happens on one machine: its nodes, and what befalls them. ConfigError.

    Its links are those of the whole lab.
    """
    if not spec.machines:
        raise ConfigError(f"{spec.path} has no [machines]: it runs on one, without --machine")
    if machine not in spec.machines:
        hint = suggest(machine, spec.machines)
        raise ConfigError(f"{spec.path} has no machine {machine!r}{hint}")
    own = spec.machines[machine].nodes

    def happens(event: EventSpec) -> bool:
        if event.link is not None:
            return any(end in own or is_far(end) for end in event.link)
        return event.node is None or event.node in own

    return replace(
        spec,
        nodes={name: node for name, node in spec.nodes.items() if name in own},
        timeline=tuple(filter(happens, spec.timeline)),
    )


def said_of(tunnel: Words) -> tuple[str, ...]:
    """Return the words of a tunnel as one would say them, without its secret."""
    texts = [f"{word} {tunnel[word]}" for word in WORDS[:2] if word in tunnel]
    return (*texts, *(("with a key",) if "key" in tunnel or "key_file" in tunnel else ()))

"""Building what a lab's file says into a topology, and telling which line is at fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.core.suggest import suggest
from pystack.dns.config import ResolverConfig, split_server
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.link.words import as_words
from pystack.topology import presets
from pystack.topology.addressing import parse_subnets, read_wanted
from pystack.topology.reading import Document
from pystack.topology.spec import (
    KINDS,
    LINK_OWN,
    STATION_KINDS,
    EventSpec,
    LabSpec,
    LinkSpec,
    NodeSpec,
)
from pystack.topology.switch import Switch
from pystack.topology.toml_places import Path
from pystack.topology.topology import Topology
from pystack.topology.tunnels import is_far, read_vni
from pystack.wire.vxlan import DEFAULT_VNI

_TABLES: Final = {kind: table for table, kind in KINDS.items()}


def build(spec: LabSpec, document: Document | None = None) -> Topology:
    """Return the topology of a lab, settled, in a world of its own whose time stands still.

    Raises ConfigError: with the line, if `document` is what `spec` was read from.
    """
    topology = Topology(Scheduler(), spec.seed or 0, *parse_subnets(**spec.subnets))
    for node in spec.nodes.values():
        path = (_TABLES[node.kind], node.name)
        if node.kind == "switch":
            for word, value in node.words.items():
                with _placed(document, path, word):
                    Switch(node.name, **{word: value})  # type: ignore[arg-type]
        for word, said in node.addresses.items():
            with _placed(document, path, word):
                read_wanted(node.name, said, word, topology.subnets)
        with _placed(document, path, *list(node.addresses)[:1]):
            add_node(topology, node)
        if "congestion" in node.words:
            with _placed(document, path, "congestion"):
                topology.set_congestion(node.name, node.words["congestion"])
    for at, link in enumerate(spec.links):
        with _placed_link(document, ("links", at), link):
            topology.link(
                *far_named(topology, link),
                make=Link,
                a_to_b=link.a_to_b,
                b_to_a=link.b_to_a,
                **link.words,  # type: ignore[arg-type]
            )
    for node in spec.nodes.values():
        for at, (destination, via, _line) in enumerate(node.routes):
            with _placed(document, (_TABLES[node.kind], node.name, "routes", at)):
                topology.route(node.name, destination, via)
    try:
        topology.settle()
    except ConfigError as error:
        if document is None:
            raise
        document.fail(_where_it_breaks(spec, str(error)), str(error))
    for node in spec.nodes.values():
        links = len(topology.node(node.name).ends)
        for word, said in node.addresses.items():
            if isinstance(said, list) and len(said) > links:
                with _placed(document, (_TABLES[node.kind], node.name), word):
                    raise ConfigError(f"{len(said)} addresses, and {node.name} has links: {links}")
        with _placed(document, (_TABLES[node.kind], node.name), "dns"):
            _check_servers(topology, node)
    for at, event in enumerate(spec.timeline):
        with _placed(document, ("timeline", at), event.action):
            _check_event(topology, spec, event)
    return topology


def _where_it_breaks(spec: LabSpec, problem: str) -> Path:
    """Return where the link stands with which there is a problem for the first time."""
    nodes = {name: replace(node, routes=()) for name, node in spec.nodes.items()}
    for number in range(len(spec.links)):
        try:
            build(replace(spec, nodes=nodes, links=spec.links[: number + 1], timeline=()))
        except ConfigError as error:
            if str(error) == problem:
                return ("links", number)
    return ()  # a route, perhaps: what it says has to do


def far_named(topology: Topology, link: LinkSpec) -> tuple[str, str]:
    """Return the names of a link's nodes; what is on another machine becomes one. ConfigError."""
    far = next(filter(is_far, (link.a, link.b)), None)
    if far is None:
        return link.a, link.b
    name = free_name(topology, far, read_vni(link.tunnel.get("vni", DEFAULT_VNI)))
    topology.far_side(name)
    return (name, link.b) if link.a == far else (link.a, name)


def free_name(topology: Topology, url: str, vni: int) -> str:
    """Return what another machine is called here, which several links may lead to. ConfigError."""
    name = url if url not in topology.nodes else f"{url}#{vni}"
    if name in topology.nodes:
        raise ConfigError(f"there is a link to {url} with vni {vni} already")
    return name


def joining(spec: LabSpec, ends: tuple[str, str]) -> list[LinkSpec]:
    """Return the links between two nodes, whichever was named first."""
    return [link for link in spec.links if {link.a, link.b} == set(ends)]


def turned(words: Mapping[str, object], *, is_turned: bool) -> dict[str, object]:
    """Return the words of `set` with the two directions changed, if that is what they mean."""
    other = {"a_to_b": "b_to_a", "b_to_a": "a_to_b"}
    return {other.get(word, word) if is_turned else word: words[word] for word in words}


def add_node(topology: Topology, node: NodeSpec) -> None:
    """Add a node, with nothing that runs on it. Raises ConfigError."""
    match node.kind:
        case "host":
            topology.host(node.name, **node.addresses)
        case "router":
            topology.router(node.name, **node.addresses)
        case "switch":
            topology.switch(Switch(node.name, **node.words))  # type: ignore[arg-type]
        case _:
            topology.station(node.name, **node.addresses)


def _check_servers(topology: Topology, node: NodeSpec) -> None:
    """Raise ConfigError for a name server that there is not."""
    asks = node.words.get("dns")
    for server in asks.servers if isinstance(asks, ResolverConfig) else ():
        name, _port = split_server(server)
        if topology.address_of(name) is None:
            hint = suggest(name, topology.nodes)
            is_node = name in topology.nodes
            why = "has no link, and so no address" if is_node else f"is not a node here{hint}"
            raise ConfigError(f"{node.name} cannot ask {name!r}: it {why}")


def _check_event(topology: Topology, spec: LabSpec, event: EventSpec) -> None:
    """Raise ConfigError for what would be refused when its time has come."""
    if event.link is not None:
        links = joining(spec, event.link)
        if not links:
            raise ConfigError(f"there is no link between {event.link[0]} and {event.link[1]}")
        for link in links:
            words = turned(event.words, is_turned=event.link[0] != link.a)
            for direction, sent in zip(("a_to_b", "b_to_a"), _directions(link), strict=True):
                given = words.get(direction, {})
                assert isinstance(given, dict)
                both = {key: words[key] for key in words if key not in ("a_to_b", "b_to_a")}
                # Not whether a word would do nothing: its partner may come with an earlier event.
                PipeConfig().updated(**as_words({**sent, **both, **given}))
    if event.groups or event.action == "partition":
        topology.partition(event.groups, **event.words).heal()  # type: ignore[arg-type]
    if event.node is not None and spec.nodes[event.node].kind in STATION_KINDS:
        raise ConfigError(f"{event.node} has no power to switch here; take its link down instead")


def _directions(link: LinkSpec) -> tuple[dict[str, object], dict[str, object]]:
    """Return the words of both directions, all counted in."""
    preset = link.words.get("preset")
    up, down = presets.words_of(preset if isinstance(preset, str) else None)
    words = {key: link.words[key] for key in link.words if key not in LINK_OWN}
    return {**up, **words, **link.a_to_b}, {**down, **words, **link.b_to_a}


@contextmanager
def _placed(document: Document | None, path: Path, *inner: str) -> Iterator[None]:
    """Let a ConfigError name the line of `path`, or of a word in it if it is there."""
    try:
        yield
    except ConfigError as error:
        if document is None:
            raise
        document.fail((*path, *inner), str(error))


@contextmanager
def _placed_link(document: Document | None, path: Path, link: LinkSpec) -> Iterator[None]:
    """Let a ConfigError name the line of the word that is wrong by itself, or else the link's."""
    try:
        yield
    except ConfigError as error:
        if document is None:
            raise
        groups = ((path, link.words), ((*path, "a_to_b"), link.a_to_b))
        for where, words in (*groups, ((*path, "b_to_a"), link.b_to_a)):
            for word, value in words.items():
                if word not in LINK_OWN:
                    with _placed(document, where, word):
                        PipeConfig().updated(**as_words({word: value}))
        document.fail(path, f"{link.a} - {link.b}: {error}")

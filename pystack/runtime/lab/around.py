"""The network around a command: one link and what is behind it, or a lab and its place there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.link.config import PipeConfig
from pystack.link.port import DEFAULT_MTU_BYTES
from pystack.link.words import as_words
from pystack.topology import presets
from pystack.topology.building import build
from pystack.topology.spec import LabSpec, LinkSpec, NodeSpec, SubnetWords

if TYPE_CHECKING:
    from pystack.runtime.names.zones import Version

CLIENT: Final = "client"  # the node that the command is in
SERVER: Final = "server"
GATEWAY: Final = "gateway"
SUBNET: Final = "10.77.0.0/24"
SUBNET6: Final = "fd77::/64"
_FAR_AT: Final = {"address": "10.77.0.1/24", "address6": "fd77::1/64"}
_CLIENT_AT: Final = {"address": "10.77.0.2/24", "address6": "fd77::2/64"}
_OF_VERSION: Final = {4: "address", 6: "address6"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The link between the command and whatever is behind it."""

    words: Mapping[str, object] = field(default_factory=dict)  # of tc-netem(8), each way
    preset: str | None = None  # None: a perfect line, but for the words
    mtu_bytes: int = DEFAULT_MTU_BYTES
    version: Version | None = None  # None: IPv4 and IPv6

    def __post_init__(self) -> None:
        """Raise ConfigError for words that cannot be."""
        PipeConfig.parse(**as_words(self.words))
        presets.words_of(self.preset)

    def link(self, far: str) -> LinkSpec:
        """Return it, from the command to another node."""
        preset = {} if self.preset is None else {"preset": self.preset}
        words = {**self.words, **preset, "mtu_bytes": self.mtu_bytes, "offload": True}
        return LinkSpec(a=CLIENT, b=far, words=words, a_to_b={}, b_to_a={}, line=0)

    def addresses(self, both: Mapping[str, str]) -> dict[str, str]:
        """Return those of the versions that there are."""
        only = None if self.version is None else _OF_VERSION[self.version]
        return {word: text for word, text in both.items() if only in (None, word)}

    def gateways(self) -> list[str]:
        """Return the addresses of what is at its other end."""
        return [text.partition("/")[0] for text in self.addresses(_FAR_AT).values()]

    def subnets(self) -> SubnetWords:
        """Return what the network is given."""
        match self.version:
            case 4:
                return SubnetWords(ip="4", subnet=SUBNET)
            case 6:
                return SubnetWords(ip="6", subnet6=SUBNET6)
        return SubnetWords(subnet=SUBNET, subnet6=SUBNET6)


def beside(far: NodeSpec, line: Line, client: Mapping[str, object], seed: int | None) -> LabSpec:
    """Return a network of the command and one other node. `client`: words of its namespace.

    Raises ConfigError.
    """
    far = replace(far, addresses=line.addresses(_FAR_AT))
    own = line.addresses(_CLIENT_AT)
    spec = LabSpec(
        path="exec",
        seed=seed,
        subnets=line.subnets(),
        nodes={
            CLIENT: NodeSpec(name=CLIENT, kind="namespace", addresses=own, words=client, line=0),
            far.name: far,
        },
        links=(line.link(far.name),),
        timeline=(),
    )
    build(spec)
    return spec


def in_place_of(
    spec: LabSpec, wanted: str | None, client: Mapping[str, object]
) -> tuple[LabSpec, str]:
    """Return a lab in which one node is the command's, and that node's name.

    `wanted`: a namespace, or a host, whose place it takes; None: "client", or else the only
    namespace. `client`: further words of the namespace. Raises ConfigError.
    """
    name = _node_of(spec, wanted)
    node = spec.nodes[name]
    links = [link for link in spec.links if name in (link.a, link.b)]
    if len(links) != 1:
        raise ConfigError(
            f"--as {name}: a command has one interface, and {name} has {len(links) or 'no'} links"
        )
    if node.routes:
        raise ConfigError(f"--as {name}: a command has no routes of its own, and {name} has some")
    words = {word: node.words[word] for word in ("dns",) if word in node.words}
    place = NodeSpec(
        name=name,
        kind="namespace",
        addresses=node.addresses,
        words={**words, **client},
        line=node.line,
    )
    made = replace(spec, nodes={**spec.nodes, name: place})
    build(made)
    return made, name


def link_of(spec: LabSpec, name: str) -> tuple[str, str]:
    """Return the ends of the one link of a node, its own first."""
    link = next(link for link in spec.links if name in (link.a, link.b))
    return name, link.b if link.a == name else link.a


def _node_of(spec: LabSpec, wanted: str | None) -> str:
    fit = [node.name for node in spec.nodes.values() if node.kind in ("namespace", "host")]
    if wanted is None:
        namespaces = [name for name in fit if spec.nodes[name].kind == "namespace"]
        if CLIENT in fit:
            return CLIENT
        if len(namespaces) == 1:
            return namespaces[0]
        raise ConfigError(f"say which node of {spec.path} the command is: --as NODE")
    if wanted in fit:
        return wanted
    if wanted in spec.nodes:
        kind = spec.nodes[wanted].kind
        raise ConfigError(f"--as {wanted}: it is a {kind}; a command can be a host or a namespace")
    raise ConfigError(f"--as {wanted}: {spec.path} has no such node{suggest(wanted, fit)}")

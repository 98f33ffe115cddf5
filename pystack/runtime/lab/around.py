"""The network around a command that no lab is for: one link, and what is behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pystack.link.config import PipeConfig
from pystack.link.port import DEFAULT_MTU_BYTES
from pystack.link.words import as_words
from pystack.topology.spec import LabSpec, LinkSpec, NodeSpec, SubnetWords

if TYPE_CHECKING:
    from pystack.runtime.names.zones import Version

CLIENT: Final = "client"  # the node that the command is in
SERVER: Final = "server"
SUBNET: Final = "10.77.0.0/24"
SUBNET6: Final = "fd77::/64"
_FAR_AT: Final = ("10.77.0.1/24", "fd77::1/64")
_CLIENT_AT: Final = ("10.77.0.2/24", "fd77::2/64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The link between the command and whatever is behind it."""

    words: Mapping[str, object] = field(default_factory=dict)  # of tc-netem(8), each way
    preset: str | None = None  # None: a perfect line, but for the words
    mtu_bytes: int = DEFAULT_MTU_BYTES

    def __post_init__(self) -> None:
        """Raise ConfigError for words that cannot be."""
        PipeConfig.parse(**as_words(self.words))

    def all_words(self) -> dict[str, object]:
        """Return what `Network.link` takes."""
        preset = {} if self.preset is None else {"preset": self.preset}
        return {**self.words, **preset, "mtu_bytes": self.mtu_bytes}


def beside_server(
    line: Line, *, version: Version | None, seed: int | None, as_root: bool
) -> LabSpec:
    """Return a network of the command and one server. `version`: None: IPv4 and IPv6."""
    far, own = _addresses(_FAR_AT, version), _addresses(_CLIENT_AT, version)
    return _spec(
        line,
        version,
        seed,
        NodeSpec(
            name=CLIENT, kind="namespace", addresses=own, words=_words(as_root=as_root), line=0
        ),
        NodeSpec(name=SERVER, kind="host", addresses=far, line=0),
    )


def _spec(
    line: Line, version: Version | None, seed: int | None, client: NodeSpec, far: NodeSpec
) -> LabSpec:
    subnets = SubnetWords(subnet=SUBNET, subnet6=SUBNET6)
    match version:
        case 4:
            subnets = SubnetWords(ip="4", subnet=SUBNET)
        case 6:
            subnets = SubnetWords(ip="6", subnet6=SUBNET6)
    words = line.all_words()
    return LabSpec(
        path="exec",
        seed=seed,
        subnets=subnets,
        nodes={client.name: client, far.name: far},
        links=(LinkSpec(a=client.name, b=far.name, words=words, a_to_b={}, b_to_a={}, line=0),),
        timeline=(),
    )


def _words(*, as_root: bool) -> dict[str, object]:
    return {"offload": True, "root": as_root}


def _addresses(both: tuple[str, str], version: Version | None) -> dict[str, str]:
    found = {"address": both[0], "address6": both[1]}
    if version is not None:
        del found["address6" if version == 4 else "address"]
    return found

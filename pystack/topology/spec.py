"""What a lab's file says, as values: read and checked by `file.py`, not built yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypedDict

if TYPE_CHECKING:
    from pystack.topology.addressing import IpVersions

from pystack.core.calendar import DEFAULT_EPOCH
from pystack.link.words import NetemWords

Words = Mapping[str, object]
AddressWords = str | list[str]


class SubnetWords(TypedDict, total=False):
    """What `Network` takes of addresses."""

    ip: IpVersions
    subnet: str
    subnet6: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSpec:
    """One program on a node: a Python function, or a command (in a namespace only)."""

    run: str  # "module:function"; or the command's words, for messages
    args: tuple[object, ...] = ()
    command: tuple[str, ...] = ()  # empty: it is a Python function
    may_fail: bool = False  # its failure is not the lab's
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One node. `kind` is one of KINDS."""

    name: str
    kind: str
    # "address" and "address6", as far as they are given; else the network gives it one
    addresses: Mapping[str, AddressWords] = field(default_factory=dict)
    words: Words = field(default_factory=dict)  # further words of the Python call
    routes: tuple[tuple[str, str, int], ...] = ()  # destination, via, line
    # services: as `pystack up --serve` takes them, or their names and words
    serve: tuple[str | Words, ...] = ()
    programs: tuple[ProgramSpec, ...] = ()
    autoconfigure: bool = False  # a host: it takes what IPv6 routers offer
    advertise: bool = False  # a router: it offers what IPv6 hosts need
    restart: bool = True  # what ran when its power went runs again when that comes back
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """One link: what `Network.link` is given."""

    a: str
    b: str
    words: Words  # for both directions; also those of LINK_OWN
    a_to_b: NetemWords
    b_to_a: NetemWords
    tunnel: Words = field(default_factory=dict, repr=False)  # where it leaves the machine
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSpec:
    """What happens at one instant of the timeline. `action` is one of ACTIONS."""

    at_s: float
    action: str
    link: tuple[str, str] | None = None  # for set, down, up
    # For set; for partition: answer, spare_established; for power_off: crash
    words: Words = field(default_factory=dict)
    direction: str | None = None  # for down, up: "a_to_b", "b_to_a"; None: both
    groups: tuple[tuple[str, ...], ...] = ()  # for partition
    node: str | None = None  # for power_off, power_on
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """One machine of a lab."""

    name: str
    address: tuple[str, int]  # where the others reach it
    listen: tuple[str, int]
    nodes: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """A whole file."""

    path: str
    seed: int | None  # None: not given; every run takes another one
    subnets: SubnetWords
    nodes: Mapping[str, NodeSpec]
    links: tuple[LinkSpec, ...]
    timeline: tuple[EventSpec, ...]
    epoch: str | float | datetime = DEFAULT_EPOCH  # when its calendar begins, in virtual time
    machines: Mapping[str, MachineSpec] = field(default_factory=dict)  # none: all is on one
    observe: tuple[str | Words, ...] = ()  # observers by their names and words


# The tables of a file, and the kind of node that each holds.
KINDS: Final[Mapping[str, str]] = {
    "hosts": "host",
    "switches": "switch",
    "routers": "router",
    "taps": "tap",
    "namespaces": "namespace",
    "ports": "port",
}
LINK_OWN: Final = ("preset", "mtu_bytes", "offload")  # words of a link that are not netem's
ACTIONS: Final = ("set", "down", "up", "partition", "heal", "power_off", "power_on")
REAL_KINDS: Final = ("tap", "namespace")  # they need real time
STATION_KINDS: Final = (*REAL_KINDS, "port")  # what is inside is not the network's

"""What is settled alone has the addresses and routes that it has when all is settled anew."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pystack.core.addresses import Prefix, format_ip, parse_prefix
from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.link import Link
from pystack.link.port import LoopbackPort
from pystack.stack.host import Host
from pystack.topology.nodes import Station
from pystack.topology.switch import Switch
from pystack.topology.topology import Topology

Step = tuple[Any, ...]

_NODES = st.integers(0, 11)
# Few blocks, so that some are taken, or lie in another one, and more hosts than blocks
_ADDRESS = st.one_of(
    st.none(),
    st.builds(
        lambda block, host, length: f"10.0.{block}.{host}/{length}",
        st.integers(0, 5),
        st.integers(1, 4),
        st.sampled_from([24, 24, 24, 22, 30]),
    ),
)
_KINDS = st.sampled_from(["host", "router"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("node"), st.one_of(_KINDS, st.just("station")), _ADDRESS),
        st.tuples(st.just("pair"), _KINDS, _ADDRESS, _ADDRESS),
        st.tuples(st.just("lane"), st.integers(0, 9)),
        st.tuples(st.just("parted_lane"), st.integers(0, 9)),
        st.tuples(st.just("join"), _KINDS, _NODES, _ADDRESS),
        st.tuples(st.just("ring"), _ADDRESS),
        st.tuples(st.just("link"), _NODES, _NODES),
        st.tuples(st.just("attach"), _NODES),
        st.tuples(st.just("lead_out"), _NODES, st.booleans()),
        st.tuples(st.just("route"), _NODES, _NODES),
        st.tuples(st.just("partition"), _NODES, _NODES),
        st.tuples(st.just("heal")),
        st.tuples(st.just("settle")),
    ),
    max_size=20,
)


class Built:
    """A topology, built in steps; `whole`: all is settled each time."""

    def __init__(self, subnets: Sequence[Prefix], *, whole: bool) -> None:
        self.net = Topology(Scheduler(), 7, *subnets)
        self.whole = whole
        self.told: list[str] = []

    def do(self, step: Step) -> None:
        """Take a step, and note what was refused."""
        if self.whole:
            self.net._apart.whole = True
        try:
            getattr(self, step[0])(*step[1:])
        except ConfigError as error:
            self.told.append(str(error))

    def node(self, kind: str, address: str | None) -> str:
        name = f"n{len(self.net.nodes)}"
        getattr(self.net, kind)(name, address)
        return name

    def join(self, kind: str, other: int, address: str | None) -> None:
        """Link something new to what there is."""
        self.settle()
        other %= len(self.net.nodes) or 1
        self.net.link(self.node(kind, address), f"n{other}", make=Link)

    def ring(self, address: str | None) -> None:
        """Make two switches with two links between them, and a host at each."""
        self.settle()
        switches = [f"n{len(self.net.nodes) + number}" for number in range(2)]
        for name in switches:
            self.net.switch(Switch(name))
        for _ in switches:
            self.net.link(*switches, make=Link)
        for name, its in zip(switches, (address, None), strict=True):
            self.net.link(self.node("host", its), name, make=Link)
        self.settle()

    def link(self, one: int, other: int) -> None:
        self.net.link(f"n{one}", f"n{other}", make=Link)

    def pair(self, kind: str, one: str | None, other: str | None) -> None:
        self.net.link(self.node(kind, one), self.node("host", other), make=Link)

    def parted_lane(self, number: int) -> None:
        self.lane(number, parted=True)

    def lane(self, number: int, *, parted: bool = False) -> None:
        """Make what a proxy has."""
        self.settle()
        names = f"n{len(self.net.nodes)}", f"n{len(self.net.nodes) + 1}"
        for last, name in enumerate(names, 1):
            address6 = f"fd01:{number}::{last}/64" if len(self.net.subnets) == 2 else None
            self.net.host(name, f"10.1.{number}.{last}/24", address6)
        if parted:
            self.net.partition([[name] for name in names], answer="silence")
        self.net.link(*names, make=Link)
        self.settle()

    def attach(self, node: int) -> None:
        self.net.attach(f"n{node}", LoopbackPort(self.net.scheduler))

    def lead_out(self, node: int, leads: bool) -> None:
        self.net.lead_out(f"n{node}", leads=leads)

    def route(self, node: int, via: int) -> None:
        self.net.route(f"n{node}", "10.9.0.0/16", f"n{via}")

    def partition(self, one: int, other: int) -> None:
        self.net.partition([[f"n{one}"], [f"n{other}"]], answer="silence")

    def heal(self) -> None:
        self.net.heal()

    def settle(self) -> None:
        self.net.settle()

    def picture(self) -> object:
        """Return all that settling has brought about."""
        return self.told, [
            (
                name,
                [_own(end.given) for end in node.ends],
                [end.cut for end in node.ends],
                *_of_device(node.device),
            )
            for name, node in self.net.nodes.items()
        ]


def _own(given: Sequence[tuple[Any, Prefix]]) -> list[tuple[str, str]]:
    return [(format_ip(address), str(prefix)) for address, prefix in given]


def _of_device(device: Host | Station | Switch) -> tuple[object, ...]:
    if isinstance(device, Station):
        return device.addresses, device.gateways
    if isinstance(device, Switch):
        return (device.blocked,)
    return (
        [
            (str(route.prefix), route.interface.name, route.gateway, route.source)
            for route in device.routes
        ],
    )


_SUBNETS = {
    "4": [parse_prefix("10.0.0.0/8")],
    "both": [parse_prefix("10.0.0.0/8"), parse_prefix("fd00::/64")],
}


@pytest.mark.parametrize("ip", ["4", "both"])
@settings(max_examples=60)
@given(steps=_STEPS)
@example([("pair", "router", "10.0.0.1/24", None), ("join", "host", 0, "10.0.1.1/24")])
@example([("pair", "router", None, None), ("settle",), ("lead_out", 0, True), ("lane", 1)])
@example([("pair", "router", None, None), ("settle",), ("attach", 0), ("lane", 1)])
def test_all_is_as_if_everything_were_settled(ip: str, steps: list[Step]) -> None:
    built, model = (Built(_SUBNETS[ip], whole=whole) for whole in (False, True))
    for step in [*steps, ("settle",), ("lane", 9), ("node", "host", None), ("settle",)]:
        for each in (built, model):
            each.do(step)
    assert built.picture() == model.picture()

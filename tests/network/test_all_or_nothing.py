"""What is refused leaves nothing behind: each constructor and `set`, with each word wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import pystack
from pystack.core.errors import ConfigError
from pystack.link.words import WORDS
from pystack.stack.host import Host
from pystack.tcp.config import TcpConfig
from pystack.tcp.congestion.fixed import Fixed

Act = Callable[[pystack.Network], object]


def state(net: pystack.Network) -> dict[str, object]:
    """Return all that a wrong word could have changed."""
    topology = net.topology
    devices = [node.device for node in topology.nodes.values()]
    return {
        "nodes": [(node.name, len(node.ends), node.wanted) for node in topology.nodes.values()],
        "routes": [list(map(str, device.routes)) for device in devices if isinstance(device, Host)],
        "given": [(node.given_routes, node.pending_routes) for node in topology.nodes.values()],
        "tcp": [device.tcp.config for device in devices if isinstance(device, Host)],
        "taken": (dict(topology._owners), dict(topology._link_names)),
        "cables": [cable.link.name for cable in topology.cables],
        "ports": [len(switch.ports) for switch in net.switches.values()],
        "names": (list(net.hosts), list(net.switches), list(net.attached), len(net.links)),
        "links": [
            (link.a_to_b.config, link.b_to_a.config, link.a_to_b.is_down) for link in net.links
        ],
        "down": [(link.b_to_a.is_down, link.a_to_b._black_hole) for link in net.links],
        "partitions": len(topology._partitions._all),
        "observers": [len(net.seeing.observers), len(net.seeing._closing)],
        "told": [len(host._stack.observers) for host in net.hosts.values()],
        "to come": len(net.driver.scheduler),
        "power": [node.powered for node in topology.nodes.values()],
    }


def nothing() -> None:
    """Be called at some time."""


def broken(*_words: object) -> object:
    """Stand for a plug-in that does not like what it is asked for."""
    raise ConfigError("not with me")


class Other:
    """No node, no text, no number."""


WRONG: dict[str, Act] = {
    "host: name": lambda net: net.host("a"),
    "host: no name": lambda net: net.host(""),
    "host: number": lambda net: net.host(5),  # type: ignore[arg-type]
    "host: address": lambda net: net.host("new", address="10.0.0.300/24"),
    "host: address taken": lambda net: net.host("new", address="10.0.0.9/24"),
    "host: second address": lambda net: net.host("new", address=["10.7.0.1/24", "10.7.0.1/24"]),
    "host: third address": lambda net: net.host("new", address=["10.7.0.1/24", None, "x"]),
    "host: congestion": lambda net: net.host("new", congestion="nonesuch"),
    "host: congestion's type": lambda net: net.host("new", congestion=7),  # type: ignore[arg-type]
    "host: congestion itself": lambda net: net.host("new", congestion=Fixed(1460)),  # type: ignore[arg-type]
    "host: tcp": lambda net: net.host("new", tcp={"ttl": 5}),  # type: ignore[arg-type]
    "host: tcp's value": lambda net: net.host("new", tcp=TcpConfig(ttl=0)),
    "host: limits": lambda net: net.host("new", tcp_limits=TcpConfig()),  # type: ignore[arg-type]
    "host: dns": lambda net: net.host("new", dns={"servers": ["a"], "tries": 2}),
    "host: dns without servers": lambda net: net.host("new", dns=[]),
    "host: IPv6 address": lambda net: net.host("new", address6="fd00::1/129"),
    "host: address of IPv6 for IPv4": lambda net: net.host("new", address6="10.0.0.77/24"),
    "router: congestion": lambda net: net.router("new", congestion="nonesuch"),
    "router: address": lambda net: net.router("new", address="10.0.0.9/33"),
    "switch: name": lambda net: net.switch("sw"),
    "switch: ageing": lambda net: net.switch("new", ageing="5 apples"),
    "switch: table": lambda net: net.switch("new", table_entries=0),
    "station: name": lambda net: net.station("a"),
    "station: address": lambda net: net.station("new", address="10.0.0.9/24"),
    "tap: virtual time": lambda net: net.tap("new"),
    "namespace: virtual time": lambda net: net.namespace("new"),
    "port: words": lambda net: net.port("new", "replay pile x.pcap"),
    "port: name": lambda net: net.port("a", "loopback"),
    "port: address": lambda net: net.port("new", "loopback", address="10.0.0.9/24"),
    "attach: words": lambda net: net.attach(net.hosts["a"], "nonesuch"),
    "attach: file": lambda net: net.attach(net.hosts["a"], "replay file /no/such.pcap"),
    "attach: tap": lambda net: net.attach(net.hosts["a"], "tap"),
    "link: itself": lambda net: net.link("a", "a"),
    "link: nobody": lambda net: net.link("a", "nobody"),
    "link: not a node": lambda net: net.link("a", Other()),  # type: ignore[arg-type]
    "link: twice into a segment": lambda net: net.link("a", "sw"),
    "link: preset": lambda net: net.link("a", "b", preset="nonesuch"),
    "link: mtu": lambda net: net.link("a", "b", mtu_bytes=67),
    "link: mtu's type": lambda net: net.link("a", "b", mtu_bytes="big"),  # type: ignore[arg-type]
    "link: a direction": lambda net: net.link("a", "b", a_to_b={"loss": "101%"}),
    "link: other direction": lambda net: net.link("a", "b", delay="1ms", b_to_a={"lots": "1%"}),
    "link: a direction's type": lambda net: net.link("a", "b", a_to_b="fast"),  # type: ignore[arg-type]
    "link: factory": lambda net: net.link("a", "b", impairments=[broken]),
    "link: one factory": lambda net: net.link("a", "b", b_to_a={"impairments": [broken]}),
    "link: queue": lambda net: net.link("a", "b", rate="1mbit", qdisc=broken),
    "set: factory": lambda net: net.links[0].set(delay="9ms", b_to_a={"impairments": [broken]}),
    "set: queue": lambda net: net.links[0].set(rate="1mbit", b_to_a={"qdisc": broken}),
    "set: second direction": lambda net: net.links[0].set(loss="5%", b_to_a={"delay": "x"}),
    "set: unknown": lambda net: net.links[0].set(loss="5%", lots="1%"),
    "down: direction": lambda net: net.links[0].down("sideways"),
    "up: direction": lambda net: net.links[0].up("sideways"),
    "black hole: direction": lambda net: net.links[0].black_hole(bool, "sideways"),
    "route: block": lambda net: net.route("a", "10.9.0.0/40", "b"),
    "route: via": lambda net: net.route("a", "10.9.0.0/16", "nobody"),
    "route: via elsewhere": lambda net: net.route("a", "10.9.0.0/16", "172.16.0.1"),
    "route: node": lambda net: net.route("sw", "10.9.0.0/16", "b"),
    "at: time": lambda net: net.at("soon", nothing),
    "at: past": lambda net: net.at(-1, nothing),
    "at: function": lambda net: net.at(5, "go"),  # type: ignore[arg-type]
    "at: async function": lambda net: net.at(5, trio.sleep_forever),
    "timeline: second": lambda net: net.timeline([(5, nothing), ("soon", nothing)]),
    "timeline: third": lambda net: net.timeline([(5, nothing), (6, nothing), (7, "go")]),  # type: ignore[list-item]
    "timeline: a step": lambda net: net.timeline([(5, nothing), (6,)]),  # type: ignore[list-item]
    "partition: one group": lambda net: net.partition("a"),
    "partition: twice": lambda net: net.partition(["a", "b"], ["b", "c"]),
    "partition: nobody": lambda net: net.partition(["a"], ["nobody"]),
    "power: nobody": lambda net: net.power_off("nobody"),
    "power: station": lambda net: net.power_off("station"),
    "observe: name": lambda net: net.observe("nonesuch"),
    "observe: words": lambda net: net.observe("ladder rungs none"),
    "observe: word": lambda net: net.observe("ladder steps 5"),
    "observe: folder": lambda net: net.observe("pcap file /no/such/folder/x.pcap"),
    "observe: nothing": lambda net: net.observe(Other()),  # type: ignore[arg-type]
    "capture: folder": lambda net: net.capture("/no/such/folder/x.pcap"),
    "capture: of a host": lambda net: net.hosts["a"].capture("/no/such/folder/x.pcap"),
    "capture: of a link": lambda net: net.links[0].capture("/no/such/folder/x.pcap"),
}
for word in sorted(WORDS):
    WRONG[f"link: {word}"] = lambda net, word=word: net.link("a", "b", **{word: Other()})
    WRONG[f"set: {word}"] = lambda net, word=word: net.links[0].set(
        duplicate="1%", b_to_a={word: Other()}
    )


@pytest.mark.parametrize("settled", [False, True], ids=["new", "settled"])
@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_changes_nothing(name: str, settled: bool) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b, c = net.host("a"), net.host("b", address="10.0.0.9/24"), net.host("c")
            switch = net.switch("sw")
            station = net.station("station")
            for node in (a, b, c, station):
                net.link(node, switch, delay="1ms")
            if settled or name.startswith(("route: via elsewhere", "power")):
                await a.ping("c")
            before = state(net)
            with pytest.raises((ConfigError, OSError, TypeError, ValueError)):
                WRONG[name](net)
            assert state(net) == before
            # What is right is possible afterwards, under the same name.
            new = net.host("new", congestion="newreno")
            net.link(new, switch)
            await new.ping("a")
            assert net.links[-1].name == "new-sw"

    pystack.run(main, until=60)


def test_a_route_that_cannot_be_is_refused_once() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            a.route("10.9.0.0/16", via="172.16.0.1")  # not known to be wrong yet
            net.link(a, b)
            with pytest.raises(ConfigError, match="no link on which"):
                net.settle()
            a.route("10.9.0.0/16", via=b)
            await a.ping("b")
            assert "10.9.0.0/16 via 10.0.0.2 dev eth0" in str(a.routes)

    pystack.run(main)


@pytest.mark.parametrize(
    ("destination", "via"),
    [
        ("default", "172.16.0.1"),
        ("default", "b"),  # which is behind the router
        ("::/0", "fd99::1"),
        ("::/0", "fe80::1%eth7"),
        ("0.0.0.0/0", "10.0.0.1"),  # its own address
        ("::/0", "fd00::1"),
        ("::/0", "10.0.0.2"),
        ("10.9.0.0/16", "fd00::2"),
        ("::/0", "fd00::2%eth0"),
    ],
)
def test_a_route_that_is_refused_leaves_those_that_were_filled_in(
    destination: str, via: str
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, r, b = net.host("a"), net.router("r"), net.host("b")
            net.link(a, r)
            net.link(r, b)
            before = sorted(map(str, a.routes))
            assert {"default via 10.0.0.2", "default via fd00::2"} <= {
                route.partition(" dev")[0] for route in before
            }
            with pytest.raises(ConfigError):
                a.route(destination, via=via)
            assert sorted(map(str, a.routes)) == before
            for version in (4, 6):
                await a.ping("b", version=version)  # type: ignore[arg-type]

    pystack.run(main, until=60)


@pytest.mark.parametrize("settled", [False, True], ids=["new", "settled"])
def test_a_gateway_may_be_a_link_local_address(settled: bool) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net, pystack.Network(seed=1) as same:
            for each in (net, same):
                each.link(each.host("a"), each.router("r"))
                each.link("r", each.host("b"))
            via = next(one for one in same.hosts["r"].addresses if one.endswith("%eth0"))
            a = net.hosts["a"]
            if settled:
                net.settle()
            a.route("fd99::/64", via=via)
            assert f"fd99::/64 via {via.partition('%')[0]}%2 dev eth0" in str(a.routes)

    pystack.run(main)


def test_a_timeline_that_repeats_itself_does_not_grow() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.host("a")

            def again() -> None:
                net.at(net.now() + 0.001, again)

            again()
            await trio.sleep(5)
            assert len(net._opened().timeline._handles) < 1000

    pystack.run(main)


def test_a_capture_of_a_link_of_another_network_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net, pystack.Network(seed=2) as other:
            link = other.link(other.host("a"), other.host("b"))
            with pytest.raises(ConfigError, match="not of this network"):
                net.capture_link(link, tmp_path / "x.pcap")
        assert not (tmp_path / "x.pcap").exists()

    pystack.run(main)


# Builds, many of which cannot be: names that are taken or none, addresses, words of all kinds.
_NAMES = st.sampled_from(["a", "b", "c", "sw", "r", "", "x y", "a.b"])
_WORDS = st.dictionaries(
    st.sampled_from(["delay", "loss", "rate", "limit", "qdisc", "jitter", "lots", "mtu"]),
    st.sampled_from(["5ms", "1%", "1mbit", "pfifo limit 3", "x", 7, -1, None]),
    max_size=2,
)
_HOST_WORDS = st.fixed_dictionaries(
    {},
    optional={
        "address": st.sampled_from(["10.0.0.9/24", "10.0.0.8/24", "10.0.0.300/24", "x", None]),
        "congestion": st.sampled_from(["bbr", "fixed:3", "nonesuch", 5, Fixed]),
        "dns": st.sampled_from([None, "a", ["a", "b"], {"server": "a"}]),
    },
)
_BUILDS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["host", "router"]), st.tuples(_NAMES), _HOST_WORDS),
        st.tuples(st.just("switch"), st.tuples(_NAMES), st.just({})),
        st.tuples(st.just("link"), st.tuples(_NAMES, _NAMES), _WORDS),
    ),
    max_size=12,
)


def told(net: pystack.Network) -> object:
    """Return what a network is in the end: addresses, routes and links."""
    net.settle()
    return (
        {name: (host.addresses, list(map(str, host.routes))) for name, host in net.hosts.items()},
        {name: host.tcp.config for name, host in net.hosts.items()},
        [(link.name, link.a_to_b.config, link.b_to_a.config) for link in net.links],
        list(net.switches),
    )


@settings(max_examples=80, deadline=None)
@given(_BUILDS)
def test_what_was_refused_might_as_well_not_have_been_asked_for(
    builds: list[tuple[str, tuple[str, ...], dict[str, object]]],
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net, pystack.Network(seed=1) as other:
            for kind, names, words in builds:
                before = state(net)
                try:
                    getattr(net, kind)(*names, **words)
                except ConfigError:
                    assert state(net) == before
                else:
                    getattr(other, kind)(*names, **words)
            try:
                seen = told(net)
            except ConfigError:
                return  # the whole of it cannot be settled
            assert seen == told(other)

    pystack.run(main, until=60)

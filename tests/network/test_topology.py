"""Networks in virtual time: who gets which address, and which way packets take."""

from collections.abc import Awaitable, Callable

import pytest
import trio

import pystack
from pystack import ConfigError, Network
from pystack.topology.addressing import IpVersions


def within(scenario: Callable[[Network], Awaitable[None]], **settings: object) -> None:
    """Run a scenario in a network of its own, in virtual time."""

    async def main() -> None:
        async with Network(**{"seed": 7, **settings}) as net:  # type: ignore[arg-type]
            await scenario(net)

    pystack.run(main)


def routes(host: pystack.Host) -> list[str]:
    """Return the routes that lead over a router."""
    return [str(route).partition(" src")[0] for route in host.routes if route.gateway is not None]


def test_two_hosts_get_the_first_addresses_of_the_subnet() -> None:
    async def scenario(net: Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(b, a, delay="10ms")
        assert (a.address, b.address) == ("10.0.0.1", "10.0.0.2")
        # One round trip for ARP, one for the request; then the address is known.
        assert await a.ping("b") == pytest.approx(0.040)
        assert await a.ping("b") == pytest.approx(0.020)
        assert routes(a) == []

    within(scenario)


def test_one_segment_alone_has_the_whole_subnet() -> None:
    async def scenario(net: Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b)
        assert [str(own.prefix) for own in a.interfaces[1].addresses] == [
            "172.16.0.0/12",
            "fd01::/48",
            "fe80::/64",
        ]
        assert (b.address, b.address6) == ("172.16.0.2", "fd01::2")

    within(scenario, subnet="172.16.0.0/12", subnet6="fd01::/48")


def test_each_of_several_segments_has_the_next_block() -> None:
    async def scenario(net: Network) -> None:
        a, b, c, r = net.host("a"), net.host("b"), net.host("c"), net.router("r")
        for host in (b, a, c):
            net.link(host, r)
        assert [host.address for host in (b, a, c)] == ["10.0.0.1", "10.0.1.1", "10.0.2.1"]
        assert [str(interface.addresses[0].prefix) for interface in r.interfaces[1:]] == [
            "10.0.0.0/24",
            "10.0.1.0/24",
            "10.0.2.0/24",
        ]
        assert [interface.name for interface in r.interfaces] == ["lo", "eth0", "eth1", "eth2"]

    within(scenario)


def test_hosts_on_one_switch_are_one_segment() -> None:
    async def scenario(net: Network) -> None:
        switch = net.switch("sw")
        hosts = [net.host(f"h{number}") for number in range(4)]
        for host in reversed(hosts):
            net.link(switch, host, delay="1ms")
        assert [host.address for host in hosts] == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]
        # The question is flooded, the answer is not, nor is what follows: both know where.
        assert await hosts[0].ping("h3") == pytest.approx(0.008)
        assert switch.counters["switch_flooded"] == 1
        assert switch.counters["frames_out"] == 3 + 3
        assert hosts[1].counters["arp_for_others"] == 1

    within(scenario)


def test_addresses_by_hand_go_before_and_give_the_segment_its_block() -> None:
    async def scenario(net: Network) -> None:
        a = net.host("a", address="192.168.7.20/24")
        b, r = net.host("b"), net.router("r", address=[None, "172.20.0.1/16"])
        c = net.host("c")
        switch = net.switch("sw")
        for node in (a, b, r):
            net.link(switch, node)
        net.link(r, c)
        assert [host.address for host in (a, b, r, c)] == [
            "192.168.7.20",
            "192.168.7.1",
            "192.168.7.2",
            "172.20.0.2",
        ]
        assert await a.ping("c") == 0.0

    within(scenario)


def test_names_resolve_to_the_first_address_or_to_that_of_an_interface() -> None:
    async def scenario(net: Network) -> None:
        a, r, b = net.host("a"), net.router("r"), net.host("b.example")
        net.link(a, r)
        net.link(r, b)
        resolved = [
            pystack.core.addresses.format_ip4(a.resolve(name))
            for name in ("a", "r", "r.eth1", "b.example", "b.example.eth0", "10.9.9.9")
        ]
        assert resolved == [
            "10.0.0.1",
            "10.0.0.2",
            "10.0.1.1",
            "10.0.1.2",
            "10.0.1.2",
            "10.9.9.9",
        ]
        for unknown in ("nobody", "r.eth7", "a.b.example"):
            with pytest.raises(OSError, match="knows no host"):
                a.resolve(unknown)

    within(scenario)


def test_packets_take_the_way_with_the_fewest_hops() -> None:
    async def scenario(net: Network) -> None:
        # a - r1 - r2 - r3 - b, and a shorter way r1 - r4 - b, which is slower and yet taken.
        a, b = net.host("a"), net.host("b")
        r1, r2, r3, r4 = (net.router(f"r{number}") for number in (1, 2, 3, 4))
        for left, right in ((a, r1), (r1, r2), (r2, r3), (r3, b)):
            net.link(left, right, delay="1ms")
        net.link(r1, r4, delay="50ms")
        net.link(r4, b, delay="50ms")
        hops = await a.traceroute("b.eth1")
        assert [hop.address for hop in hops] == ["10.0.0.2", "10.0.4.2", "10.0.5.1"]
        hops = await a.traceroute("b.eth1", version=6)
        assert [hop.address for hop in hops] == ["fd00::2", "fd00:0:0:4::2", "fd00:0:0:5::1"]
        assert routes(a) == ["default via 10.0.0.2 dev eth0", "default via fd00::2 dev eth0"]
        assert "10.0.3.0/24 via 10.0.1.2 dev eth1" in routes(r1)
        assert "fd00:0:0:3::/64 via fd00:0:0:1::2 dev eth1" in routes(r1)

    within(scenario)


def test_of_two_ways_of_one_length_the_older_router_is_taken() -> None:
    async def scenario(net: Network) -> None:
        a, b = net.host("a"), net.host("b")
        left, right = net.switch("left"), net.switch("right")
        second, first = net.router("second"), net.router("first")
        for node in (first, a, second):
            net.link(node, left)
        for node in (b, first, second):
            net.link(node, right)
        assert routes(a) == [
            f"default via {second.address} dev eth0",
            f"default via {second.address6} dev eth0",
        ]

    within(scenario)


def test_a_route_by_hand_goes_before() -> None:
    async def scenario(net: Network) -> None:
        a, b, switch = net.host("a"), net.host("b", address="10.7.0.9/24"), net.switch("sw")
        r1, r2, r3, r4 = (net.router(f"r{number}") for number in (1, 2, 3, 4))
        for pair in ((a, r1), (r1, r2), (r2, r3), (r1, r4), (r3, switch), (r4, switch)):
            net.link(*pair)
        net.link(switch, b)
        r1.route("10.7.0.0/24", via=r2)
        r1.route("10.9.0.0/16", via="10.0.1.2")
        r2.route("default", via="r3")
        assert [hop.address for hop in await a.traceroute("b")] == [
            "10.0.0.2",
            "10.0.1.2",
            "10.0.2.2",
            "10.7.0.9",
        ]
        assert "10.9.0.0/16 via 10.0.1.2 dev eth1" in routes(r1)
        assert "default via 10.0.2.2 dev eth1" in routes(r2)

    within(scenario)


def test_a_host_with_two_interfaces_uses_the_nearer_router_and_forwards_nothing() -> None:
    async def scenario(net: Network) -> None:
        a, b, c = net.host("a"), net.host("b"), net.host("c")
        r1, r2 = net.router("r1"), net.router("r2")
        for left, right in ((a, r1), (a, r2), (r1, b), (r2, c)):
            net.link(left, right, delay="1ms")
        assert sorted(routes(a)) == [
            "10.0.3.0/24 via 10.0.1.2 dev eth1",
            "default via 10.0.0.2 dev eth0",
            "default via fd00::2 dev eth0",
            "fd00:0:0:3::/64 via fd00:0:0:1::2 dev eth1",
        ]
        for version in (4, 6):
            assert await a.ping("b", version=version) == pytest.approx(0.008)
            assert await a.ping("c", version=version) == pytest.approx(0.008)
            # From b to c the only way would be through a, which is no router.
            with pytest.raises(OSError, match="Network is unreachable"):
                await b.ping("c", version=version)

    within(scenario)


def test_the_last_router_says_that_a_host_is_not_there() -> None:
    async def scenario(net: Network) -> None:
        a, r, b = net.host("a"), net.router("r"), net.host("b")
        net.link(a, r, delay="10ms")
        net.link(r, b, delay="10ms")
        with pytest.raises(OSError, match="No route to host") as error:
            await a.ping("10.0.1.99", timeout_s=10)
        assert error.value.errno == 113
        # 20 ms for ARP, 10 ms to the router, 3 s in which nobody answers it, 10 ms back.
        assert net.now() == pytest.approx(3.040)

    within(scenario)


def test_a_smaller_mtu_on_the_way_is_found_out_by_tcp() -> None:
    async def scenario(net: Network) -> None:
        a, r, s, b = net.host("a"), net.router("r"), net.router("s"), net.host("b")
        net.link(a, r, delay="5ms")
        net.link(r, s, delay="5ms", mtu_bytes=1000)
        net.link(s, b, delay="5ms")
        listener = (await b.open_tcp_listeners(80))[0]
        stream = await a.open_tcp_stream("b", 80)
        await stream.send_all(bytes(5000))
        peer = await listener.accept()
        received = 0
        while received < 5000:
            received += len(await peer.receive_some())
        assert r.counters["forward_needs_fragmentation"] > 0
        assert (
            stream.info().snd_mss_bytes == 948
        )  # 1000 without the headers, and 12 bytes of timestamps

    within(scenario)


def test_switches_in_a_ring_carry_each_frame_once() -> None:
    async def scenario(net: Network) -> None:
        switches = [net.switch(f"sw{number}") for number in range(3)]
        for number in range(3):
            net.link(switches[number], switches[(number + 1) % 3], delay="1ms")
        hosts = [net.host(f"h{number}") for number in range(3)]
        for host, switch in zip(hosts, switches, strict=True):
            net.link(host, switch, delay="1ms")
        # sw0 is the root: the link between the two others rests.
        assert await hosts[1].ping("h2") == pytest.approx(0.016)
        assert [sorted(switch.blocked) for switch in switches] == [[], [1], [0]]
        assert hosts[0].counters["arp_for_others"] == 1

    within(scenario)


def test_a_resting_link_takes_over_when_another_goes_down() -> None:
    async def scenario(net: Network) -> None:
        switches = [net.switch(f"sw{number}") for number in range(3)]
        ring = [
            net.link(switches[number], switches[(number + 1) % 3], delay="1ms")
            for number in range(3)
        ]
        hosts = [net.host(f"h{number}") for number in range(3)]
        for host, switch in zip(hosts, switches, strict=True):
            net.link(host, switch, delay="1ms")
        await hosts[1].ping("h2")
        ring[0].down()
        assert await hosts[1].ping("h2") == pytest.approx(0.006)
        ring[0].up()
        assert await hosts[1].ping("h2") == pytest.approx(0.008)

    within(scenario)


def test_what_is_added_later_gets_its_part_and_changes_nothing_else() -> None:
    async def scenario(net: Network) -> None:
        a, r, b = net.host("a"), net.router("r"), net.host("b")
        net.link(a, r, delay="1ms")
        net.link(r, b, delay="1ms")
        await a.ping("b")
        known = list(a.routes)
        c = net.host("c")
        net.link(c, r, delay="1ms")
        assert c.address == "10.0.2.2"
        assert await a.ping("c") == pytest.approx(0.006)
        assert list(a.routes) == known

    within(scenario)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda net: net.host("a b"), "cannot be the name"),
        (lambda net: net.host("10.0.0.5"), "looks like an address"),
        (lambda net: net.host("fd00::zz"), "looks like an address"),
        (lambda net: net.host("a%eth0"), "looks like an address"),
        (lambda net: (net.host("a"), net.router("a")), "a node 'a' already"),
        (lambda net: net.host("a", address="10.0.0.0/24"), "network's own"),
        (
            lambda net: (
                net.host("a", address="10.0.0.5/24"),
                net.host("b", address="10.0.0.5/24"),
            ),
            "b cannot have 10.0.0.5: a has it",
        ),
        (lambda net: net.link(net.host("a"), "a"), "two different nodes"),
        (lambda net: net.link(net.host("a"), "b"), "no node 'b'"),
        (lambda net: net.link(net.host("a"), net.host("b"), dellay="1ms"), "did you mean 'delay'"),
        (lambda net: net.link(net.host("a"), net.host("b"), preset="ltd"), "did you mean 'lte'"),
        (lambda net: net.host("a").route("10.0.0.1/8", via="10.0.0.1"), "below its mask"),
        (lambda net: net.host("a").route("default", via="b"), "neither a node nor an address"),
        (lambda net: net.host(5), "name of a node is a text, not 5"),
        (lambda net: net.host("a", address=5), "is a text like '10.0.0.9/24', not 5"),
        (lambda net: net.link(net.host("a"), 5), "5 is not a node"),
        (lambda net: net.power_off(None), "None is not a node"),
        (lambda net: net.link(net.host("a"), net.host("b"), a_to_b="1mbit"), "{word: value}, like"),
        (lambda net: net.link(net.host("a"), net.host("b"), preset=3), "no preset 3; did you"),
        (lambda net: net.link(net.host("a"), net.host("b"), mtu_bytes="9"), "an MTU of '9' bytes"),
        (lambda net: net.link(net.host("a"), net.host("b")).black_hole(5), "not 5"),
        (lambda net: net.switch("s", table_entries="x"), "one station or more, not 'x'"),
        (lambda net: net.switch("s", ageing=True), "True is not a time"),
        (lambda net: net.switch("s", ageing=[1]), r"\[1\] is not a time"),
        (lambda net: net.observe(5), "5 is no observer"),
        (lambda net: net.at(1, trio.sleep), "must be a plain function"),
        (lambda net: net.partition({net.host("a")}), "two or more groups"),
        (lambda net: net.at(-1, print), "not a time"),
        (lambda net: net.at(1, 5), "must be a function"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_built(
    build: Callable[[Network], object], sentence: str
) -> None:
    async def scenario(net: Network) -> None:
        with pytest.raises(ConfigError, match=sentence):
            build(net)

    within(scenario)


@pytest.mark.parametrize(
    ("addresses", "sentence"),
    [
        (("10.0.0.1/24", "10.0.0.2/16"), r"on one segment \(a, b, c\) overlap"),
        (("10.0.0.1/30", None), "no free address left"),
    ],
)
def test_addresses_that_do_not_fit_together_are_refused_at_the_first_need(
    addresses: tuple[str | None, str | None], sentence: str
) -> None:
    async def scenario(net: Network) -> None:
        a, b = net.host("a", address=addresses[0]), net.host("b", address=addresses[1])
        switch = net.switch("sw")
        for node in (a, b, net.host("c")):
            net.link(node, switch)
        with pytest.raises(ConfigError, match=sentence):
            net.settle()

    within(scenario)


def test_a_host_of_another_network_is_refused() -> None:
    async def scenario(net: Network) -> None:
        async with Network(seed=8) as other:
            net.host("a")
            with pytest.raises(ConfigError, match="a is not of this network"):
                net.link(other.host("a"), net.host("b"))

    within(scenario)


def test_switches_that_would_join_two_links_of_a_host_are_not_joined() -> None:
    async def scenario(net: Network) -> None:
        a, b, one, other, third = net.host("a"), net.host("b"), *map(net.switch, ("s1", "s2", "s3"))
        net.link(a, one)
        net.link(b, one)
        net.link(a, other)
        net.link(other, third)
        with pytest.raises(ConfigError, match=r"a has two links into one segment \(eth0, eth1\)"):
            net.link(third, one)
        await a.ping("b")
        assert one.ports[2:] == []

    within(scenario)


def test_two_links_of_a_host_into_one_segment_are_refused() -> None:
    async def scenario(net: Network) -> None:
        a, switch = net.host("a"), net.switch("sw")
        net.link(a, switch)
        with pytest.raises(ConfigError, match=r"two links into one segment \(eth0, eth1\)"):
            net.link(a, switch)
        assert len(net.links) == 1

    within(scenario)


@pytest.mark.rfc("8200", "5")
def test_a_link_too_narrow_for_ipv6_has_ipv4_alone() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, router, b = net.host("a"), net.router("r"), net.host("b")
            net.link(a, router, mtu_bytes=1279)
            net.link(router, b, mtu_bytes=1280)
            assert a.addresses == ("10.0.0.1",)
            assert next(text for text in b.addresses if ":" in text).startswith("fd00::")
            assert await a.ping("b") < 1.0

    pystack.run(main)


@pytest.mark.parametrize(("ip", "address6"), [("6", None), ("both", "fd00::9/64")])
def test_ipv6_alone_or_by_hand_on_a_link_too_narrow_for_it_is_refused(
    ip: IpVersions, address6: str | None
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip=ip) as net:
            a, b = net.host("a", address6=address6), net.host("b")
            net.link(a, b, mtu_bytes=576)
            with pytest.raises(pystack.ConfigError, match="a link of 576 bytes: IPv6 needs 1280"):
                _ = a.addresses

    pystack.run(main)

"""Hosts that configure their IPv6 themselves, in a network with a router that advertises."""

import pytest
import trio

import pystack
from pystack import AdvertiseConfig, Ip6Config
from pystack.core.addresses import parse_ip6, parse_prefix

PREFIX = parse_prefix("2001:db8:1::/64")
ROUTER6 = parse_ip6("2001:db8:1::1")


def build(net: pystack.Network) -> tuple[list[pystack.Host], pystack.Router]:
    """Return two hosts at a switch with a router, which alone gets an address of IPv6."""
    switch, router = net.switch("s"), net.router("r")
    hosts = [net.host("a"), net.host("b")]
    for node in (*hosts, router):
        net.link(node, switch, delay="1ms")
    return hosts, router


def give_address(router: pystack.Router) -> None:
    interface = router.stack.interfaces[1]
    router.stack.add_address(interface, ROUTER6, PREFIX)


def automatic(host: pystack.Host) -> list[str]:
    return [text for text in host.addresses if text.startswith("2001:db8:1:")]


def test_hosts_get_addresses_and_a_router_and_talk() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7, ip="4") as net:
            (a, b), router = build(net)
            give_address(router)
            router.advertise()
            for host in (a, b):
                host.autoconfigure()
            await trio.sleep(5)
            (own,), (other,) = automatic(a), automatic(b)
            seen.append((own, other))
            server = b.stack.udp.bind(parse_ip6(other), 7)
            client = a.stack.udp.bind(parse_ip6(own), 0)
            client.send_to(b"hello", server.local, 7, a.now())
            await trio.sleep(1)
            received = server.receive()
            assert received is not None
            assert received[:2] == (b"hello", client.local)
            assert "default via fe80:" in str(a.routes)
            router.stop_advertising()
            await trio.sleep(1)
            assert "default via fe80:" not in str(a.routes)

    seen: list[tuple[str, str]] = []
    pystack.run(main)
    pystack.run(main)
    assert seen[0] == seen[1]  # the same world, the same addresses
    assert seen[0][0] != seen[0][1]


def test_what_it_takes_until_an_address_may_be_used() -> None:
    """Measured: 1 s for each question of DAD, and up to 1 s before it; nothing without DAD."""

    async def main(transmits: int) -> float:
        async with pystack.Network(seed=7, ip="4") as net:
            (a, _), router = build(net)
            give_address(router)
            router.advertise()
            await trio.sleep(100)
            began = trio.current_time()
            a.autoconfigure(Ip6Config(accept_ra=True, dad_transmits=transmits))
            for _ in range(1000):
                await trio.sleep(0.01)
                if any(own.is_automatic and own.is_usable for own in a.interfaces[1].addresses):
                    break
            return trio.current_time() - began

    assert pystack.run(main, 0) < 2.0
    assert 1.0 < pystack.run(main, 1) < 5.0


@pytest.mark.rfc("8106", "5")
def test_a_router_tells_whom_to_ask_for_names() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7, ip="4") as net:
            (a, _), router = build(net)
            give_address(router)
            router.advertise(
                AdvertiseConfig(
                    name_servers=("2001:db8:1::53",),
                    search_domains=("example",),
                    max_interval_s=20.0,
                )
            )
            a.autoconfigure()
            await trio.sleep(5)
            assert a.dns is not None
            assert a.dns.servers == ("2001:db8:1::53",)
            assert a.dns.search == ("example",)
            router.stop_advertising()
            await trio.sleep(1)
            assert a.dns is None

    pystack.run(main)


@pytest.mark.rfc("8106", "5")
def test_names_are_asked_of_whom_the_router_says() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            (a, b), router = build(net)
            await net.dns(b, records=["www.example 60 AAAA 2001:db8:1::80"], hosts=[])
            router.advertise(
                AdvertiseConfig(name_servers=(b.address6,), search_domains=("example",))
            )
            a.autoconfigure()
            await trio.sleep(5)
            assert await a.look_up("www") == parse_ip6("2001:db8:1::80")
            assert b.counters["udp_datagrams_in"] > 0

    pystack.run(main)


def test_name_servers_that_were_chosen_stay() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7, ip="4") as net:
            (a, _), router = build(net)
            give_address(router)
            a.dns = "10.0.0.53"
            router.advertise(AdvertiseConfig(name_servers=("2001:db8:1::53",)))
            a.autoconfigure()
            await trio.sleep(5)
            assert a.stack.discovery.name_servers() != ()
            assert a.dns is not None
            assert a.dns.servers == ("10.0.0.53",)

    pystack.run(main)


def test_a_host_that_loses_power_begins_again() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7, ip="4") as net:
            (a, _), router = build(net)
            give_address(router)
            router.advertise()
            a.autoconfigure()
            await trio.sleep(5)
            (before,) = automatic(a)
            a.power_off()
            assert automatic(a) == []
            await trio.sleep(5)
            a.power_on()
            await trio.sleep(10)
            assert automatic(a) == [before]

    pystack.run(main)


def test_a_router_advertises_where_it_has_something_to_say() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7, ip="4") as net:
            _, router = build(net)
            with pytest.raises(pystack.ConfigError, match="no IPv6 address"):
                router.advertise()
            with pytest.raises(pystack.ConfigError, match="no link 'eth7'"):
                router.advertise(interface="eth7")

    pystack.run(main)


def test_a_world_where_only_routers_talk_is_dead() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7, ip="4") as net:
            (a, _), router = build(net)
            give_address(router)
            router.advertise()
            a.autoconfigure()
            await trio.sleep_forever()

    with pytest.raises(pystack.DeadlockError, match="router advertisements"):
        pystack.run(main)

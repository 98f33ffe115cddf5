"""What observers are told of names and routes: at the instant, once, and in words of the run."""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import astuple

import pytest
import trio

import pystack
from pystack import events
from pystack.dns.config import ResolverConfig
from pystack.topology.addressing import IpVersions

Told = tuple[object, ...]
Body = Callable[[pystack.Network, pystack.Host, "Seen"], Awaitable[None]]
BOTH = pytest.mark.parametrize(
    ("ip", "kind", "net"), [("4", "A", "10.0.0."), ("6", "AAAA", "fd00::")]
)


class Seen:
    """An observer that keeps what it is told of names and routes on one host."""

    def __init__(self) -> None:
        self.names: list[Told] = []
        self.routes: list[Told] = []

    def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.LookUp | events.RouteChosen) and event.host == "client":
            values = [
                round(each, 9) if isinstance(each, float) else each for each in astuple(event)
            ]
            kept = self.names if isinstance(event, events.LookUp) else self.routes
            kept.append((values[0], *values[2:]))


def on_a_switch(body: Body, ip: IpVersions) -> None:
    """Run with a client (.1), a name server (.2) and a server (.3), 10 ms from each other."""

    async def main() -> None:
        async with pystack.Network(seed=1, ip=ip) as net:
            client, ns, switch = net.host("client"), net.host("ns"), net.switch("switch")
            server = net.host("server")
            for host in (client, ns, server):
                net.link(host, switch, delay="5ms")
            await net.dns(ns, hosts=[client], ttl="60s")
            seen = Seen()
            net.observe(seen)
            await body(net, client, seen)

    pystack.run(main, until=600)


@BOTH
def test_a_name_is_asked_for_answered_and_kept(ip: IpVersions, kind: str, net: str) -> None:
    async def body(_net: pystack.Network, client: pystack.Host, seen: Seen) -> None:
        await client.look_up("server")
        # 20 ms for ARP or ND, 20 ms for the query and its answer
        assert seen.names == [
            (0.0, "server", "asked", kind, f"{net}2", (), "", None, None),
            (0.04, "server", "answered", kind, f"{net}2", (f"{net}3",), "", 60, 0.04),
        ]
        await trio.sleep(10)
        await client.look_up("server")
        kept = (10.04, "server", "cached", kind, f"{net}2", (f"{net}3",), "", 50, None)
        assert seen.names[2:] == [kept]

    on_a_switch(body, ip)


@BOTH
def test_a_name_that_there_is_not(ip: IpVersions, kind: str, net: str) -> None:
    async def body(_net: pystack.Network, client: pystack.Host, seen: Seen) -> None:
        with pytest.raises(socket.gaierror):
            await client.look_up("nobody")
        assert seen.names[1][:7] == (0.04, "nobody", "failed", kind, f"{net}2", (), "NXDOMAIN")

    on_a_switch(body, ip)


@BOTH
def test_a_name_server_that_does_not_answer_is_asked_again(
    ip: IpVersions, kind: str, net: str
) -> None:
    async def body(network: pystack.Network, client: pystack.Host, seen: Seen) -> None:
        network.hosts["ns"].power_off()
        client.dns = ResolverConfig(servers=("ns",), timeout_s=2.0, attempts=2)
        with pytest.raises(socket.gaierror):
            await client.look_up("server")
        assert [(told[0], told[2], told[6]) for told in seen.names] == [
            (0.0, "asked", ""),
            (2.0, "asked", "again"),
            (3.0, "failed", "no answer"),  # three requests for its MAC address had no answer
        ]

    on_a_switch(body, ip)


def test_the_order_of_several_addresses_is_told_with_its_rule() -> None:
    async def body(_net: pystack.Network, client: pystack.Host, seen: Seen) -> None:
        await client.look_up("server")
        order = seen.names[-1]
        assert order[1:3] == ("server", "ordered")
        assert order[5] == ("10.0.0.3", "fd00::3")
        assert order[6] == "RFC 6724 section 6 rule 6: it has the higher precedence"

    on_a_switch(body, "both")


@BOTH
def test_names_that_need_no_server(ip: IpVersions, kind: str, net: str) -> None:
    async def body(_net: pystack.Network, client: pystack.Host, seen: Seen) -> None:
        client.dns = None
        await client.look_up("server")
        await client.look_up(f"{net}3")  # an address is not looked up
        assert seen.names == [(0.0, "server", "known", "", "", (f"{net}3",), "", None, None)]

    on_a_switch(body, ip)


@BOTH
def test_a_way_is_told_once_and_again_when_routes_change(
    ip: IpVersions, kind: str, net: str
) -> None:
    async def body(network: pystack.Network, client: pystack.Host, seen: Seen) -> None:
        prefix = "10.0.0.0/24" if ip == "4" else "fd00::/64"
        for _ in range(2):
            await client.ping("server")
        # What was looked up for the ping, and the name server's way with it, is not meant here.
        told = [route for route in seen.routes if route[1] == f"{net}3"]
        assert told == [
            (told[0][0], f"{net}3", f"{net}1", "eth0", prefix, f"{net}3", told[0][6], 1500)
        ]
        client.route("192.0.2.0/24" if ip == "4" else "2001:db8::/64", via="server")
        await client.ping("server")
        assert len([route for route in seen.routes if route[1] == f"{net}3"]) == 2
        with pytest.raises(OSError, match="Network is unreachable"):
            await client.open_tcp_stream("203.0.113.1" if ip == "4" else "2001:db8:9::1", 80)
        assert seen.routes[-1][2:6] == ("", "", "", "")

    on_a_switch(body, ip)


def test_the_source_of_packets_is_told_with_its_rule() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="6") as net:
            client = net.host("client", address6="fd00:1::1/64")
            server = net.host("server", address6="fd00:1::2/64")
            net.link(client, server)
            seen = Seen()
            net.observe(seen)
            await client.ping("fd00:1::2")
            (route,) = seen.routes
            assert route[1:3] == ("fd00:1::2", "fd00:1::1")
            # Its other address is link-local.
            assert route[6] == "RFC 6724 section 5 rule 2: it reaches as far as the destination"

    pystack.run(main)


def test_a_milestone_is_told_only_to_who_looks() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server)
            client.milestone("too early")
            told: list[events.Event] = []

            class Keeper:
                def on_event(self, event: events.Event) -> None:
                    told.append(event)

            net.observe(Keeper())
            await trio.sleep(1.5)
            client.milestone("done", "3 rows", ("10.0.0.1", 1), ("10.0.0.2", 2))
            assert told == [
                events.Milestone(1.5, "client", "done", "3 rows", ("10.0.0.1", 1), ("10.0.0.2", 2))
            ]

    pystack.run(main)

"""net.dns: hosts that serve names, who asks them, and what they do wrong on purpose."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

import pystack
from pystack.core.addresses import Ip4, format_ip4
from pystack.runtime.names.name_servers import NameServer

WWW = "www.example.test"
RECORDS = (f"{WWW} 60 A 10.0.0.80", f"{WWW} 60 A 10.0.0.81")


def run(program: Callable[[], Awaitable[None]]) -> None:
    """Run it in virtual time."""
    pystack.run(program, seed=7)


async def took(call: Awaitable[object]) -> tuple[object, float]:
    """Return what a call gives (an address as text, or its error) and how long it took."""
    began_at = trio.current_time()
    try:
        result = await call
    except OSError as error:
        result = error
    if isinstance(result, int):
        result = format_ip4(Ip4(result))
    return result, round(trio.current_time() - began_at, 9)


@asynccontextmanager
async def star(**words: object) -> AsyncIterator[tuple[pystack.Network, NameServer]]:
    """Open a network of client and web, and of ns1, which everybody asks; all are 10 ms apart."""
    async with pystack.Network(seed=7, seal=True) as net:
        switch = net.switch("switch")
        for name, address in (("client", "10.0.0.1"), ("web", "10.0.0.80"), ("ns1", "10.0.0.53")):
            net.link(net.host(name, address=f"{address}/24"), switch, delay="5ms")
        names = await net.dns("ns1", records=RECORDS, **words)  # type: ignore[arg-type]
        await net.hosts["client"].ping("10.0.0.53")
        yield net, names


def test_names_of_the_network_and_records_are_looked_up_by_packets() -> None:
    async def main() -> None:
        async with star() as (net, names):
            client = net.hosts["client"]
            assert await took(client.look_up("web")) == ("10.0.0.80", 0.02)
            assert await took(client.look_up("web")) == ("10.0.0.80", 0.02)  # they are not kept
            assert await took(client.look_up(WWW)) == ("10.0.0.80", 0.02)
            assert await took(client.look_up(WWW)) == ("10.0.0.80", 0.0)
            info = (("10.0.0.80", 0), socket.NI_NUMERICSERV)
            assert (await client.run(trio.socket.getnameinfo, *info))[0] == "web"
            assert names.host.counters["dns_answered"] == 7  # for both versions, where asked
            assert (names.name, names.address) == ("ns1", "10.0.0.53")

    run(main)


def test_all_hosts_ask_that_were_told_nothing_also_those_that_come_later() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            before, own = net.host("before"), net.host("own", dns="192.0.2.1")
            names = net.dns("ns1", search=["example.test"], timeout="1s")
            after, router = net.host("after"), net.router("router")
            for host in (before, after, router):
                assert host.dns is not None
                assert host.dns.servers == ("ns1",)
                assert (host.dns.search, host.dns.timeout_s) == (("example.test",), 1.0)
            assert own.dns is not None
            assert own.dns.servers == ("192.0.2.1",)
            assert names.host.dns is None
            net.dns("ns2")
            assert before.dns is not None
            assert (before.dns.servers, before.dns.timeout_s) == (("ns1", "ns2"), 1.0)
            assert net.hosts["ns2"].dns is None

    run(main)


def test_or_just_some() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            a, b = net.host("a"), net.host("b")
            net.dns("ns1", hosts=[a])
            net.dns("ns2", hosts=["a", "b"])
            assert a.dns is not None
            assert b.dns is not None
            assert (a.dns.servers, b.dns.servers) == (("ns1", "ns2"), ("ns2",))
            assert net.host("c").dns is None

    run(main)


def test_a_server_may_be_given_as_what_it_is() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            ns1, ns2 = net.host("ns1"), net.dns("ns2", hosts=[])
            assert net.host("a", dns=ns1).dns == net.host("b", dns="ns1").dns
            assert net.host("c", dns=[ns2, "ns1"]).dns == net.host("d", dns=["ns2", "ns1"]).dns
            client = net.host("client", dns={"servers": [ns1, ns2], "timeout": "1s"})
            assert client.dns is not None
            assert client.dns.servers == ("ns1", "ns2")

    run(main)


def test_it_comes_up_by_itself_and_a_router_can_be_one() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client, web, router = net.host("client"), net.host("web"), net.router("router")
            names = net.dns(router)
            net.link(client, names)
            net.link(web, "router")
            assert await took(client.look_up("web")) == (web.address, 0.0)
            assert client.counters["dns_queries"] == 2  # A and AAAA

    run(main)


def test_the_second_server_is_asked_when_the_first_has_no_power() -> None:
    async def main() -> None:
        async with star() as (net, names):
            client = net.hosts["client"]
            net.link(net.host("ns2"), "switch")
            await net.dns("ns2", records=RECORDS)
            names.host.power_off()
            address, took_s = await took(client.look_up(WWW))
            assert address == "10.0.0.80"
            assert 5.0 < took_s < 5.1
            names.host.power_on()
            client.dns = {"servers": "ns1", "attempts": 1}
            with pytest.raises(socket.gaierror):
                await client.look_up("web")  # nothing runs by itself
            await names.up()
            assert (await took(client.look_up("web")))[0] == "10.0.0.80"

    run(main)


@pytest.mark.parametrize(
    ("fault", "address", "seconds"),
    [
        ({"late": "2s"}, "10.0.0.80", 2.02),
        ({"late": "7s"}, "10.0.0.80", 7.02),  # the answer to the first query, after the second
        ({"wrong": "10.0.0.66"}, "10.0.0.66", 0.02),
        ({"dead": "10.0.0.99"}, "10.0.0.99", 0.02),
        ({"lost": True}, socket.EAI_AGAIN, 10.0),
        ({"servfail": True}, socket.EAI_AGAIN, 0.04),
        ({"nxdomain": True}, socket.EAI_NONAME, 0.02),
    ],
)
def test_what_it_does_wrong_the_client_feels(
    fault: dict[str, str], address: str | int, seconds: float
) -> None:
    async def main() -> None:
        async with star() as (net, names):
            names.fault(WWW, **fault)  # type: ignore[misc]
            found, took_s = await took(net.hosts["client"].look_up(WWW))
            assert (found.errno if isinstance(found, OSError) else found) == address
            assert took_s == seconds
            names.clear_faults()
            await trio.sleep(100)
            assert (await took(net.hosts["client"].look_up(WWW)))[0] in ("10.0.0.80", "10.0.0.81")

    run(main)


def test_records_change_while_it_runs_and_a_stale_one_can_come_back() -> None:
    async def main() -> None:
        async with star() as (net, names):
            client = net.hosts["client"]
            names.set(f"{WWW} 60 A 10.0.0.7")
            assert (await took(client.look_up(WWW)))[0] == "10.0.0.7"
            names.fault(WWW, stale=True)
            assert (await took(client.look_up(WWW)))[0] == "10.0.0.7"  # still known
            await trio.sleep(60)
            assert (await took(client.look_up(WWW)))[0] in ("10.0.0.80", "10.0.0.81")
            names.remove(WWW)
            names.clear_faults()
            await trio.sleep(60)
            assert isinstance((await took(client.look_up(WWW)))[0], socket.gaierror)

    run(main)


def test_several_addresses_rotate() -> None:
    async def main() -> None:
        async with star(cache=0) as (net, _):
            client = net.hosts["client"]
            found = [(await took(client.look_up(WWW)))[0] for _ in range(4)]
            assert found == ["10.0.0.80", "10.0.0.81"] * 2

    run(main)


def test_wrong_words_are_a_sentence() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            net.host("a")
            for words, sentence in (
                ({"records": ["nonsense"]}, "nonsense"),
                ({"faults": ["www sloow 2s"]}, "sloow"),
                ({"hosts": "a"}, r"\['a'\]"),
                ({"hosts": ["b"]}, "'b' is not a host"),
                ({"serch": "x"}, "did you mean 'search'"),
            ):
                with pytest.raises(pystack.ConfigError, match=sentence):
                    net.dns("new", **words)  # type: ignore[arg-type]
            assert [*net.hosts] == ["a"]  # nothing has come of it
            assert net.hosts["a"].dns is None

    run(main)


def test_a_port_that_is_taken_is_told_to_whoever_waits() -> None:
    async def main() -> None:
        async with star() as (net, _):
            with pytest.raises(OSError, match="53") as caught:
                await net.dns("ns1")
            assert caught.value.errno == errno.EADDRINUSE

    run(main)


def test_in_real_time_it_is_the_same() -> None:
    async def main() -> None:
        async with star() as (net, _):
            assert (await took(net.hosts["client"].look_up("web")))[0] == "10.0.0.80"
            assert (await net.hosts["client"].dig(WWW)).status == "NOERROR"

    trio.run(main)


@pytest.mark.parametrize("has_server", [False, True])
def test_names_of_other_alphabets_are_found_however_they_are_asked_for(has_server: bool) -> None:
    """Trio and httpx ask for "xn--gre-6ka8i"; a program of ours may say "größe"."""

    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client, other, switch = net.host("client"), net.host("größe"), net.switch("switch")
            net.link(client, switch)
            net.link(other, switch)
            if has_server:
                server = await net.dns("ns1", records=["straße.example.test A 10.9.9.9"])
                net.link(server.host, switch)
                assert format_ip4(await client.look_up("straße.example.test")) == "10.9.9.9"
            assert format_ip4(await client.look_up("größe")) == other.address
            found = await client.run(trio.socket.getaddrinfo, "größe", 80)
            assert found[0][4] == (other.address, 80)

    pystack.run(main, seed=7)


@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_it_comes_up_again_however_soon_after_its_power(rounds: int) -> None:
    """Also while the one before has not noticed yet that its ports are gone."""

    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client = net.host("client")
            server = await net.dns("ns1", records=["www.example.test 0 A 10.0.0.9"])
            net.link(client, server.host)
            for _ in range(2):
                server.host.power_off()
                for _ in range(rounds):
                    await trio.lowlevel.checkpoint()
                server.host.power_on()
                await server.up()
                assert format_ip4(await client.look_up("www.example.test")) == "10.0.0.9"
                await trio.sleep(1)
                await server.up()  # it is
                assert len(server.host.stack.udp.sockets) == 1

    pystack.run(main, seed=7)

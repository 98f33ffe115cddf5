"""Real programs in a lab ask the lab's name server, over the lab's links."""

import shutil
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio

import pystack

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]


def run(main: Callable[[pystack.Network], Awaitable[None]]) -> None:
    """Run a test in an open network, in real time, with a bound."""

    async def bounded() -> None:
        with trio.fail_after(60):
            async with pystack.Network(seed=7) as net:
                await main(net)

    trio.run(bounded)


async def seconds(call: Awaitable[object]) -> float:
    """Return how long it takes."""
    began_at = trio.current_time()
    await call
    return trio.current_time() - began_at


def test_a_c_librarys_resolver_asks_over_a_slow_link_and_meets_its_faults() -> None:
    async def main(net: pystack.Network) -> None:
        browser = net.namespace("browser", dns={"servers": "ns1", "search": "example.test"})
        ns1 = net.host("ns1")
        net.link(browser, ns1, delay="200ms")
        names = await net.dns(ns1, records=["www.example.test 60 A 10.0.0.80"])
        await browser.run(["getent", "ahostsv4", "warm.up"], check=False)  # ARP
        found = await browser.run(["getent", "ahostsv4", "www"])
        assert found.stdout.split()[0] == "10.0.0.80"
        assert await seconds(browser.run(["getent", "ahostsv4", "www"])) >= 0.4
        assert (await browser.run(["getent", "ahostsv4", "nobody"], check=False)).returncode == 2
        names.fault("www.example.test", late="1s")
        assert await seconds(browser.run(["getent", "ahostsv4", "www"])) >= 1.4

    run(main)


def test_whom_it_asks_must_be_somebody() -> None:
    async def main(net: pystack.Network) -> None:
        with pytest.raises(pystack.ConfigError, match="port 53 alone"):
            net.namespace("wrong", dns="ns1:5353")
        browser, other = net.namespace("browser", dns="ns9"), net.host("other")
        net.link(browser, other)
        with pytest.raises(pystack.ConfigError, match="browser cannot ask 'ns9'"):
            await browser.up()

    run(main)


@pytest.mark.skipif(shutil.which("dnsmasq") is None, reason="no dnsmasq here (dnsmasq-base)")
def test_a_host_of_ours_asks_a_real_server_also_by_tcp() -> None:
    many = [f"--address=/many.test/10.0.9.{last}" for last in range(1, 120)]
    options = [
        *(
            "-k",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file=",
            "--local=/example.test/",
        ),
        *("--host-record=www.example.test,10.0.0.80,2001:db8::80", "--local-ttl=30"),
        "--cname=alias.example.test,www.example.test",
        *many,
    ]

    async def main(net: pystack.Network) -> None:
        client, real = net.host("client", dns="real"), net.namespace("real", dns=False)
        net.link(client, real, delay="10ms")
        await real.up()
        server = await real.open_process(
            ["dnsmasq", *options, f"--listen-address={real.address}", "--bind-interfaces"]
        )
        while client.counters["dns_cache_hits"] == 0:  # until it listens, and what it said is kept
            with suppress(OSError):
                await client.look_up("www.example.test")
            await trio.sleep(0.05)
        entries = await client.run(trio.socket.getaddrinfo, "alias.example.test", 80, 0, 1)
        assert [entry[4][0] for entry in entries] == ["10.0.0.80", "2001:db8::80"]
        assert len(await client.look_up_all("many.test")) == 119
        assert client.counters["dns_truncated"] == client.counters["dns_queries_tcp"] == 1
        name = await client.run(trio.socket.getnameinfo, ("10.0.0.80", 80), socket.NI_NUMERICSERV)
        assert name == ("www.example.test", "80")
        for name, number in (
            ("nobody.example.test", socket.EAI_NONAME),
            ("elsewhere.org", socket.EAI_AGAIN),  # REFUSED
        ):
            with pytest.raises(socket.gaierror) as caught:
                await client.look_up(name)
            assert caught.value.errno == number
        server.terminate()

    run(main)

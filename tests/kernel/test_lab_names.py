"""Real programs in a lab ask the lab's name server, over the lab's links."""

from collections.abc import Awaitable, Callable

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
        assert 0.4 <= await seconds(browser.run(["getent", "ahostsv4", "www"])) < 1.5
        assert (await browser.run(["getent", "ahostsv4", "nobody"], check=False)).returncode == 2
        names.fault("www.example.test", late="1s")
        assert 1.4 <= await seconds(browser.run(["getent", "ahostsv4", "www"])) < 3

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

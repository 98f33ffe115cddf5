"""TAP devices of the machine as nodes of a lab."""

import json
from collections.abc import Awaitable, Callable

import pytest
import trio
from netns import NetworkNamespace, least_ms

import pystack

pytestmark = pytest.mark.kernel


def run(netns: NetworkNamespace, main: Callable[[pystack.Network], Awaitable[None]]) -> None:
    """Run a test in an open network, in real time, with a bound; the machine is a namespace."""

    async def bounded() -> None:
        with trio.fail_after(60):
            async with pystack.Network(seed=7) as net:
                await main(net)

    with netns.entered():
        trio.run(bounded)


def links(netns: NetworkNamespace) -> list[str]:
    """Return the names of the interfaces."""
    return [link["ifname"] for link in json.loads(netns.run(["ip", "-j", "link"]).stdout)]


async def inside(netns: NetworkNamespace, *argv: str) -> str:
    """Run a program beside the lab."""
    done = await trio.to_thread.run_sync(netns.run, argv)
    return done.stdout.decode()


def test_the_machine_reaches_the_lab_through_a_tap_and_a_router(netns: NetworkNamespace) -> None:
    async def main(net: pystack.Network) -> None:
        tap, router, server = net.tap("tap7"), net.router("r1"), net.host("server")
        net.link(tap, router, delay="20ms")
        net.link(router, server)
        await tap.up()
        assert (tap.name, tap.address) == ("tap7", "10.0.0.1")
        routes = await inside(netns, "ip", "route")
        assert "10.0.0.0/24 dev tap7 proto kernel scope link src 10.0.0.1" in routes
        assert "10.0.1.0/24 via 10.0.0.2 dev tap7" in routes
        assert "default" not in routes
        await inside(netns, "ping", "-c", "1", "-W", "9", server.address)  # for ARP
        said = await inside(netns, "ping", "-nA", "-c", "9", "-W", "9", server.address)
        assert 40 <= least_ms(said) < 200
        took_s = [await server.ping("tap7", timeout_s=9) for _ in range(9)]
        assert 0.04 <= min(took_s) < 0.2

    run(netns, main)
    assert links(netns) == ["lo"]


def test_a_tap_comes_up_by_itself_as_soon_as_it_has_a_link(netns: NetworkNamespace) -> None:
    async def main(net: pystack.Network) -> None:
        net.tap("tap7", address="10.0.0.77/24")
        await trio.testing.wait_all_tasks_blocked()
        assert links(netns) == ["lo"]
        net.link("tap7", net.host("server"))
        await trio.testing.wait_all_tasks_blocked()
        assert links(netns) == ["lo", "tap7"]
        assert "inet 10.0.0.77/24" in await inside(netns, "ip", "address", "show", "tap7")

    run(netns, main)


def test_the_words_of_the_link_hold_for_the_machine_too(netns: NetworkNamespace) -> None:
    async def main(net: pystack.Network) -> None:
        tap, host = net.tap("tap7"), net.host("host")
        link = net.link(tap, host, loss="100%")
        await tap.up()
        with pytest.raises(TimeoutError):
            await host.ping("tap7", timeout_s=0.2)
        link.set(loss="0%")
        await host.ping("tap7", timeout_s=20)
        link.down()
        with pytest.raises(TimeoutError):
            await host.ping("tap7", timeout_s=0.2)

    run(netns, main)


def test_a_new_segment_of_the_lab_is_routed_after_up(netns: NetworkNamespace) -> None:
    async def main(net: pystack.Network) -> None:
        tap, router = net.tap("tap7"), net.router("r1")
        net.link(tap, router)
        await tap.up()
        net.link(router, net.host("later"))
        await tap.up()
        assert "10.0.1.0/24 via 10.0.0.2 dev tap7" in await inside(netns, "ip", "route")

    run(netns, main)


def test_an_interface_that_cannot_be_had_is_one_sentence(netns: NetworkNamespace) -> None:
    netns.run(["ip", "tuntap", "add", "tap7", "mode", "tun"])

    async def main(net: pystack.Network) -> None:
        with pytest.raises(pystack.ConfigError, match="is longer than 15 bytes"):
            net.tap("a-name-that-is-too-long")
        tap = net.tap("tap7")
        with pytest.raises(pystack.ConfigError, match="has no link yet"):
            await tap.up()
        host = net.host("host")
        net.link(tap, host)
        with pytest.raises(pystack.DeviceError, match="tap7 exists and is not a TAP"):
            await tap.up()
        raise KeyError("the background start fails as well, but this comes first")

    with pytest.raises(BaseExceptionGroup) as caught:
        run(netns, main)
    assert caught.group_contains(KeyError)


def test_a_tap_that_vanishes_ends_the_network_and_says_so(netns: NetworkNamespace) -> None:
    async def main(net: pystack.Network) -> None:
        tap = net.tap("tap7")
        net.link(tap, net.host("host"))
        await tap.up()
        netns.run(["ip", "link", "del", "tap7"])
        await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        run(netns, main)
    assert caught.group_contains(pystack.DeviceError, match="tap7 has gone")


def test_bulk_of_the_machine_passes_with_and_without_offload(netns: NetworkNamespace) -> None:
    async def main(net: pystack.Network) -> None:
        taps = [net.tap("tap7"), net.tap("tap8", offload=True)]
        switch, host = net.switch("sw"), net.host("host")
        for node in (*taps, host):
            net.link(node, switch, rate="200mbit")
        async with trio.open_nursery() as nursery:

            async def answer(stream: pystack.TcpStream) -> None:
                await stream.receive_some()
                await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(1_000_000))

            nursery.start_soon(trio.serve_listeners, answer, await host.open_tcp_listeners(80))
            for tap in taps:
                await tap.up()
                argv = ["curl", "-sS", "--interface", tap.name, f"http://{host.address}/"]
                got = await trio.to_thread.run_sync(lambda argv=argv: netns.run(argv).stdout)
                assert got == bytes(1_000_000)
            nursery.cancel_scope.cancel()

    run(netns, main)

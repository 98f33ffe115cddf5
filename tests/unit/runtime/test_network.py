"""Networks of hosts: what is refused when built, pings, names, captures, how one ends."""

import errno
import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import dpkt
import pytest
import trio

import pystack
from pystack.core.errors import ConfigError
from pystack.core.instants import snap
from pystack.observe.captures.capture import Capture
from pystack.observe.captures.pcap import PcapWriter


async def pair(net: pystack.Network, **link: str | float | int) -> list[pystack.Host]:
    hosts = [net.host("a"), net.host("b")]
    net.link(*hosts, **link)  # type: ignore[arg-type]
    return hosts


def star(net: pystack.Network, hosts: list[pystack.Host], **words: float) -> None:
    """Join hosts by a switch."""
    switch = net.switch("switch")
    for host in hosts:
        net.link(host, switch, **words)


def run(async_fn: Callable[[pystack.Network], Awaitable[None]], *, seed: int = 1) -> None:
    async def main() -> None:
        net = pystack.Network(seed=seed)
        async with net:
            await async_fn(net)

    pystack.run(main)


def config_error(async_fn: Callable[[pystack.Network], object], text: str) -> None:
    async def main(net: pystack.Network) -> None:
        net.host("a")
        with pytest.raises(ConfigError, match=text):
            async_fn(net)

    run(main)


# what is refused


def test_a_host_that_cannot_be_is_refused_when_built() -> None:
    for name in ("", "two words", "tab\t", "localhost"):
        config_error(lambda net, name=name: net.host(name), "cannot be the name")
    config_error(lambda net: net.host("a"), "a node 'a' already")
    for address in ("10.0.0.0/24", "10.0.0.255/24", "127.0.0.1/8", "10.0.0.7", "10.0.0.300/24"):
        config_error(lambda net, address=address: net.host("b", address=address), "10|127")


def test_a_link_that_cannot_be_is_refused_when_built() -> None:
    config_error(lambda net: net.link(net.hosts["a"], net.hosts["a"]), "two different nodes")
    for mtu in (67, 65536):
        config_error(
            lambda net, mtu=mtu: net.link(net.hosts["a"], net.host("b"), mtu_bytes=mtu), "MTU"
        )
    for delay in ("fast", -1, "-1ms", float("nan")):
        config_error(
            lambda net, delay=delay: net.link(net.hosts["a"], net.host("b"), delay=delay), "time"
        )


def test_a_host_of_another_network_cannot_be_linked() -> None:
    async def main(net: pystack.Network) -> None:
        async with pystack.Network(seed=2) as other:
            with pytest.raises(ConfigError, match="no node 'b'"):
                net.link(net.host("a"), other.host("b"))

    run(main)


@pytest.mark.parametrize(
    "subnet", ["10.0.0.1/24", "10.0.0.0", "127.0.0.0/8", "224.0.0.0/8", "0.0.0.0/0", "240.0.0.0/8"]
)
def test_a_subnet_that_no_host_can_be_in_is_refused(subnet: str) -> None:
    async def main() -> None:
        with pytest.raises(ConfigError):
            pystack.Network(subnet=subnet)

    pystack.run(main)


def test_a_network_that_is_not_open_says_so() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="async with"):
            pystack.Network().host("a")

    pystack.run(main)


def test_an_address_that_is_taken_is_refused() -> None:
    async def main(net: pystack.Network) -> None:
        net.host("a", address="10.0.0.1/24")
        with pytest.raises(ConfigError, match=r"b cannot have 10\.0\.0\.1: a has it"):
            net.host("b", address="10.0.0.1/24")

    run(main)


# addresses and names


@pytest.mark.parametrize(
    ("subnet", "addresses"),
    [
        ("192.0.2.0/29", [f"192.0.2.{number}" for number in range(1, 7)]),
        ("192.0.2.0/31", ["192.0.2.0", "192.0.2.1"]),
        ("192.0.2.7/32", ["192.0.2.7"]),
    ],
)
def test_hosts_get_the_subnets_addresses_in_turn_until_there_are_none(
    subnet: str, addresses: list[str]
) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, subnet=subnet) as net:
            hosts = [net.host(f"h{number}") for number in range(len(addresses))]
            star(net, hosts)
            assert [host.address for host in hosts] == addresses
            more = net.host("more")
            net.link(more, net.switches["switch"])
            with pytest.raises(ConfigError, match="no free address left for more"):
                more.stack.addresses  # noqa: B018 - the first need of an address

    pystack.run(main)


def test_names_addresses_and_localhost_resolve() -> None:
    async def main(net: pystack.Network) -> None:
        a, b = await pair(net)
        assert a.resolve("b") == a.resolve(b.address) == a.resolve("10.0.0.2")
        assert a.resolve("localhost") == a.resolve("::1")
        with pytest.raises(OSError, match="knows no host 'c'"):
            a.resolve("c")

    run(main)


def test_a_host_without_a_link_has_no_address_and_talks_to_itself() -> None:
    async def main(net: pystack.Network) -> None:
        host = net.host("a")
        with pytest.raises(ConfigError, match="no link yet"):
            assert host.address
        assert await host.ping("localhost") == 0.0

    run(main)


# ping


@pytest.mark.parametrize(
    ("delay", "one_way"), [("20ms", 0.02), ("1us", 1e-6), (0, 0), (0.125,) * 2]
)
def test_a_round_trip_takes_twice_the_delay_exactly(delay: str | float, one_way: float) -> None:
    async def main(net: pystack.Network) -> None:
        a, b = await pair(net, delay=delay)
        await a.ping("b")  # the first finds out where b is
        start = trio.current_time()
        rtt = await a.ping("b")
        assert rtt == snap(start + 2 * one_way) - start  # what links hand on is on a grid
        assert rtt == pytest.approx(2 * one_way, rel=1e-12)
        assert b.counters["icmp_echoes"] == 2

    run(main)


def test_the_first_round_trip_includes_finding_the_neighbour() -> None:
    async def main(net: pystack.Network) -> None:
        a, _ = await pair(net, delay=0.25)
        assert await a.ping("b") == 1.0
        assert await a.ping("b") == 0.5

    run(main)


def test_a_ping_that_nobody_answers_times_out_at_its_time() -> None:
    async def main(net: pystack.Network) -> None:
        a, _ = await pair(net)
        with pytest.raises(TimeoutError):
            await a.ping("10.0.0.99", timeout_s=2.5)
        assert trio.current_time() == 2.5
        with pytest.raises(OSError, match="no route") as caught:
            await a.ping("192.0.2.1")
        assert caught.value.errno == errno.ENETUNREACH
        assert a.stack.icmp.echo_sinks == {}

    run(main)


@pytest.mark.parametrize("size", [-1, 65508])
def test_a_ping_of_an_impossible_size_is_refused(size: int) -> None:
    async def main(net: pystack.Network) -> None:
        (a, _) = await pair(net)
        with pytest.raises(ValueError, match="0 to 65507"):
            await a.ping("b", payload_bytes=size)

    run(main)


def test_pings_at_the_same_time_do_not_mix() -> None:
    async def main(net: pystack.Network) -> None:
        a, _ = await pair(net, delay=0.5)
        await a.ping("b", timeout_s=10)
        found: dict[int, float] = {}

        async def ping(size: int) -> None:
            found[size] = await a.ping("b", payload_bytes=size, timeout_s=10)

        async with trio.open_nursery() as nursery:
            for size in (0, 1, 65507):
                nursery.start_soon(ping, size)
        assert found == {0: 1.0, 1: 1.0, 65507: 1.0}

    run(main)


def test_all_hosts_of_a_hub_reach_each_other() -> None:
    async def main(net: pystack.Network) -> None:
        hosts = [net.host(name) for name in "abcd"]
        star(net, hosts, delay=0.0625)
        for host in hosts:
            for other in hosts:
                assert await host.ping(other.name) in (0.0, 0.25, 0.5)

    run(main)


# what happens to who talks to nobody


def test_a_connect_to_an_address_where_nobody_is_fails_after_three_seconds() -> None:
    async def main(net: pystack.Network) -> None:
        a, _ = await pair(net)
        await trio.sleep(10)
        with pytest.raises(OSError, match=r"10\.0\.0\.99 port 80") as caught:
            await a.open_tcp_stream("10.0.0.99", 80)
        assert caught.value.errno == errno.EHOSTUNREACH
        assert trio.current_time() == 13.0
        assert a.connections() == []

    run(main)


# captures


def test_a_capture_is_readable_and_has_every_frame_of_every_host(tmp_path: Path) -> None:
    path = tmp_path / "run.pcap"

    async def main(net: pystack.Network) -> None:
        net.capture(path)
        a, _ = await pair(net, delay=0.25)  # added later: seen as well
        await a.ping("b")

    run(main)
    with path.open("rb") as file:
        records = list(dpkt.pcap.Reader(file))
    kinds = [type(dpkt.ethernet.Ethernet(data).data).__name__ for _, data in records]
    assert kinds == ["ARP", "ARP", "IP", "IP"]  # once each: Wireshark counts what it sees
    assert [float(at) - 1_767_225_600 for at, _ in records] == [0.0, 0.25, 0.5, 0.75]  # 2026


def test_what_is_used_after_its_network_has_ended_does_no_harm(tmp_path: Path) -> None:
    async def main() -> None:
        net = pystack.Network(seed=1)
        async with net:
            net.capture(tmp_path / "run.pcap")
            a, b = await pair(net, delay=0.25)
            (listener,) = await b.open_tcp_listeners(80)
            stream = await a.open_tcp_stream("b", 80)
            socket = await a.open_udp_socket()
        await stream.aclose()
        await listener.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await socket.send_to(b"into the void", ("b", 9))
        await socket.aclose()
        await trio.sleep(1000)

    pystack.run(main)


def test_an_error_in_a_network_comes_out_as_itself() -> None:
    async def main(net: pystack.Network) -> None:
        a, _ = await pair(net)
        await a.open_tcp_stream("b", 80)

    with pytest.raises(ConnectionRefusedError):
        run(main)


def test_a_network_can_be_cancelled_from_outside_and_from_inside() -> None:
    async def main() -> None:
        with trio.move_on_after(1) as outer:
            async with pystack.Network(seed=1) as net:
                socket = await net.host("a").open_udp_socket()
                with trio.move_on_after(0.5) as inner:
                    await socket.receive_from()
                await socket.receive_from()
        assert (outer.cancelled_caught, inner.cancelled_caught) == (True, True)
        assert trio.current_time() == 1.0

    pystack.run(main)


def test_two_networks_one_after_the_other_do_not_mix() -> None:
    async def main() -> None:
        for _ in range(2):
            async with pystack.Network(seed=1) as net:
                a, b = await pair(net, delay=0.25)
                a.stack.announce(a.now())
                assert await a.ping("b", timeout_s=10) <= 1.0
                assert b.counters["icmp_echoes"] == 1

    pystack.run(main)


def test_the_same_seed_gives_the_same_frames() -> None:
    def frames(seed: int) -> bytes:
        file = io.BytesIO()

        async def main(net: pystack.Network) -> None:
            a, b = await pair(net, delay=0.01)
            a.observe(Capture(PcapWriter(file)))
            (listener,) = await b.open_tcp_listeners(80)
            async with await a.open_tcp_stream("b", 80) as stream, listener:
                await stream.send_all(b"hello")
                server = await listener.accept()
                assert await server.receive_some() == b"hello"
                await server.aclose()

        run(main, seed=seed)
        return file.getvalue()

    assert frames(5) == frames(5)
    assert frames(5) != frames(6)

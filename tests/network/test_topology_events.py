"""What happens to a network: partitions, power, links, timelines, programs, at exact instants."""

from collections.abc import Awaitable, Callable

import pytest
import trio

import pystack
from pystack import ConfigError, Host, Network
from pystack.topology.addressing import IpVersions

IP: list[IpVersions] = ["both"]  # of the networks of the test that runs


@pytest.fixture(autouse=True, params=["4", "6"])
def ip(request: pytest.FixtureRequest) -> None:
    """Run every test over both IP versions."""
    IP[0] = request.param


def within(scenario: Callable[[Network], Awaitable[None]]) -> None:
    """Run a scenario in a network of its own, in virtual time."""

    async def main() -> None:
        async with Network(seed=7, ip=IP[0]) as net:
            await scenario(net)

    pystack.run(main)


def star(net: Network, *names: str) -> list[Host]:
    """Return hosts around one switch, 1 ms from it."""
    switch = net.switch("sw")
    hosts = [net.host(name) for name in names]
    for host in hosts:
        net.link(host, switch, delay="1ms")
    return hosts


async def reaches(a: Host, b: Host) -> bool:
    try:
        await a.ping(b.name, timeout_s=1.5)  # longer than ARP waits to ask again
    except TimeoutError:
        return False
    return True


async def echo(host: Host, *, task_status: trio.TaskStatus[None]) -> None:
    """Send back what comes, on port 7."""
    listeners = await host.open_tcp_listeners(7)

    async def answer(stream: pystack.TcpStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    await trio.serve_listeners(answer, listeners, task_status=_Plain(task_status))  # type: ignore[arg-type]


class _Plain:
    def __init__(self, inner: trio.TaskStatus[None]) -> None:
        self.inner = inner

    def started(self, _listeners: object) -> None:
        self.inner.started()


def test_a_partition_parts_groups_and_nobody_else() -> None:
    async def scenario(net: Network) -> None:
        a, b, c, d = star(net, "a", "b", "c", "d")
        for host in (b, c, d):
            assert await reaches(a, host)
        async with net.partition({a, b}, {c}):
            assert not await reaches(a, c)
            assert not await reaches(c, b)
            assert await reaches(a, b)
            assert await reaches(c, d)
            assert await reaches(d, a)
            # Its request to c, on leaving; c's question for d's address, on arriving.
            assert a.counters["partitioned"] == 2
        assert await reaches(a, c)

    within(scenario)


def test_a_partition_holds_over_routers_and_leaves_them_reachable() -> None:
    async def scenario(net: Network) -> None:
        a, b, r = net.host("a"), net.host("b"), net.router("r")
        net.link(a, r)
        net.link(r, b)
        net.partition({a}, {b})
        assert not await reaches(a, b)
        assert await reaches(a, r)
        net.heal()
        assert await reaches(a, b)

    within(scenario)


def test_a_partition_between_switches_cuts_the_link_between_them() -> None:
    async def scenario(net: Network) -> None:
        left, right = net.switch("left"), net.switch("right")
        a, b = net.host("a"), net.host("b")
        for pair in ((a, left), (left, right), (right, b)):
            net.link(*pair)
        async with net.partition({left}, {right}):
            assert not await reaches(a, b)
        assert await reaches(a, b)

    within(scenario)


def test_what_is_on_its_way_when_a_partition_begins_is_lost() -> None:
    async def scenario(net: Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay="1s")
        assert await a.ping("b", timeout_s=9) == pytest.approx(4.0)
        socket = await b.open_udp_socket(5)
        sender = await a.open_udp_socket()
        for payload, wait in ((b"before", 0.5), (b"on the way", 0.7), (b"during", 0.5)):
            await sender.send_to(payload, ("b", 5))
            if payload == b"on the way":
                net.at(net.now() + 0.6, lambda: net.partition({"a"}, {"b"}))
            await trio.sleep(wait)
        await trio.sleep(0.5)
        net.heal()
        await sender.send_to(b"after", ("b", 5))
        received = [(await socket.receive_from())[0] for _ in range(2)]
        assert received == [b"before", b"after"]
        # One at b's door on its arrival, one at a's on its leaving; and over IPv6 b's question
        # whether a, whom it knows by what a has asked, is really there.
        asks = IP[0] == "6"
        assert b.counters["nd_solicitations_out"] == 2 * asks  # the other one before
        assert (a.counters["partitioned"], b.counters["partitioned"]) == (1, 1 + asks)

    within(scenario)


def test_partitions_add_up_and_each_heals_alone() -> None:
    async def scenario(net: Network) -> None:
        a, b, c = star(net, "a", "b", "c")
        first, second = net.partition([a], [b, c]), net.partition([b], [a, c])
        assert not await reaches(b, c)
        second.heal()
        assert await reaches(b, c)
        assert not await reaches(a, b)
        first.heal()
        assert await reaches(a, b)

    within(scenario)


def test_a_host_that_joins_later_is_parted_too() -> None:
    async def scenario(net: Network) -> None:
        a, b = net.host("a"), net.host("b")
        switch = net.switch("sw")
        net.link(a, switch)
        async with net.partition([a], [b]):
            net.link(b, switch)
            assert not await reaches(a, b)
        assert await reaches(a, b)

    within(scenario)


def test_a_node_in_two_groups_is_refused() -> None:
    async def scenario(net: Network) -> None:
        a, b = star(net, "a", "b")
        with pytest.raises(ConfigError, match="a is in two groups"):
            net.partition([a], [a, b])
        assert await reaches(a, b)

    within(scenario)


def test_peers_of_a_host_without_power_get_silence_and_then_a_reset() -> None:
    async def scenario(net: Network) -> None:
        a, b = star(net, "a", "b")
        await b.start(echo, b)
        stream = await a.open_tcp_stream("b", 7)
        await stream.send_all(b"1")
        assert await stream.receive_some() == b"1"
        b.power_off()
        await stream.send_all(b"2")
        with trio.move_on_after(5) as patience:
            await stream.receive_some()
        assert patience.cancelled_caught
        assert stream.info().retransmits > 0
        b.power_on()
        # It knows of no connection any more, and says so to the next retransmission.
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        with pytest.raises(ConnectionRefusedError):
            await a.open_tcp_stream("b", 7)

    within(scenario)


def test_after_power_on_the_addresses_are_the_same_and_programs_can_be_started_again() -> None:
    async def scenario(net: Network) -> None:
        a, b = star(net, "a", "b")
        before = (b.address, b.interfaces[1].mac, [str(route) for route in b.routes])
        b.power_off()
        b.power_off()
        assert not await reaches(a, b)
        b.power_on()
        assert before == (b.address, b.interfaces[1].mac, [str(route) for route in b.routes])
        assert b.connections() == []
        assert b.neighbors == []
        await b.start(echo, b)
        stream = await a.open_tcp_stream("b", 7)
        await stream.send_all(b"again")
        assert await stream.receive_some() == b"again"

    within(scenario)


def test_programs_of_a_host_end_with_its_power() -> None:
    async def scenario(net: Network) -> None:
        _, b = star(net, "a", "b")
        log: list[str] = []

        async def wait(name: str) -> None:
            try:
                await trio.sleep_forever()
            finally:
                log.append(f"{name} ended at {trio.current_time():g}")

        b.start_soon(wait, "soon")
        net.at(2, b.power_off)
        with pytest.raises(trio.BrokenResourceError, match="b was powered off"):
            await b.run(wait, "run")
        await trio.sleep(1)
        assert sorted(log) == ["run ended at 2", "soon ended at 2"]
        with pytest.raises(trio.BrokenResourceError, match="b is powered off"):
            await b.run(wait, "run")

    within(scenario)


def test_streams_and_sockets_that_others_hold_break_with_the_power() -> None:
    async def scenario(net: Network) -> None:
        a, b = star(net, "a", "b")
        await b.start(echo, b)
        listener = (await a.open_tcp_listeners(80))[0]
        stream = await a.open_tcp_stream("b", 7)
        socket = await a.open_udp_socket(5)
        net.at(1, a.power_off)
        errors: list[str] = []

        async def expect(fn: Callable[[], Awaitable[object]]) -> None:
            try:
                await fn()
            except (trio.BrokenResourceError, OSError) as error:
                errors.append(f"{type(error).__name__} at {net.now():g}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect, stream.receive_some)
            nursery.start_soon(expect, listener.accept)
            nursery.start_soon(expect, socket.receive_from)
        assert sorted(errors) == [
            "BrokenResourceError at 1",
            "BrokenResourceError at 1",
            "BrokenResourceError at 1",
        ]
        a.power_on()
        await stream.aclose()
        await listener.aclose()
        socket.close()
        assert await reaches(a, b)

    within(scenario)


def test_a_router_without_power_is_a_hole_and_with_power_a_router_again() -> None:
    async def scenario(net: Network) -> None:
        a, b, r = net.host("a"), net.host("b"), net.router("r")
        net.link(a, r, delay="1ms")
        net.link(r, b, delay="1ms")
        assert await reaches(a, b)
        net.power_off("r")
        assert not await reaches(a, b)
        net.power_on("r")
        assert await reaches(a, b)

    within(scenario)


def test_a_switch_forgets_its_stations_with_its_power() -> None:
    async def scenario(net: Network) -> None:
        a, b, _ = star(net, "a", "b", "c")
        await a.ping("b")
        switch = net.switches["sw"]
        assert len(list(switch.stations(net.now()))) == 2
        net.power_off(switch)
        assert not await reaches(a, b)
        assert list(switch.stations(net.now())) == []
        net.power_on(switch)
        assert await reaches(a, b)

    within(scenario)


def test_a_timeline_happens_at_its_instants_and_in_its_order() -> None:
    async def scenario(net: Network) -> None:
        seen: list[tuple[str, float]] = []

        def note(name: str) -> Callable[[], None]:
            return lambda: seen.append((name, net.now()))

        await trio.sleep(1)
        net.timeline([("8s", note("late")), (5, note("one")), (5, note("two"))])
        net.at("1500ms", note("early"))
        net.at(6, note("never")).cancel()
        with pytest.raises(ConfigError, match="has passed"):
            net.at(0.5, note("too late"))
        await trio.sleep(9)
        assert seen == [("early", 1.5), ("one", 5.0), ("two", 5.0), ("late", 8.0)]

    within(scenario)


def test_links_change_while_packets_travel() -> None:
    async def scenario(net: Network) -> None:
        a, b = net.host("a"), net.host("b")
        link = net.link(a, b, delay="10ms")
        await a.ping("b")
        net.at(1, lambda: link.set(delay="30ms"))
        net.at(2, link.down)
        net.at(3, link.up)
        net.at(4, lambda: link.set(loss="100%"))
        results: list[object] = []
        for second in (0.5, 1.5, 2.2, 3.5, 4.5):
            await trio.sleep(second - net.now())
            try:
                results.append(round(await a.ping("b", timeout_s=0.2), 6))
            except TimeoutError:
                results.append(None)
        assert results == [0.020, 0.060, None, 0.060, None]

    within(scenario)


def test_an_error_in_a_program_ends_the_network_like_a_nursery() -> None:
    async def fail() -> None:
        await trio.sleep(1)
        raise ValueError("a program's own")

    async def main() -> None:
        async with Network(seed=7) as net:
            net.host("a").start_soon(fail)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as group:
        pystack.run(main)
    assert group.group_contains(ValueError, match="a program's own")


def test_an_error_of_the_block_itself_is_not_wrapped_by_the_network() -> None:
    async def fail() -> None:
        async with Network(seed=7) as net:
            net.host("a").start_soon(trio.sleep_forever)
            raise KeyError("mine")

    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):
            await fail()

    pystack.run(main)


def test_programs_know_their_host_and_so_do_their_children() -> None:
    from pystack.runtime.current import current_host

    async def scenario(net: Network) -> None:
        a, b = star(net, "a", "b")
        seen: list[str] = []

        async def tell(name: str, *, task_status: trio.TaskStatus[str]) -> None:
            here = current_host.get()
            seen.append(f"{name} on {here.name if here else None}")
            task_status.started(name)

        async def parent() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(tell, "child")
            await b.run(other)
            await nursery_free()

        async def other() -> None:
            here = current_host.get()
            seen.append(f"inner on {here.name if here else None}")

        async def nursery_free() -> None:
            here = current_host.get()
            seen.append(f"after on {here.name if here else None}")

        await a.run(parent)
        assert await b.start(tell, "started") == "started"
        assert current_host.get() is None
        assert seen == ["child on a", "inner on b", "after on a", "started on b"]

    within(scenario)


def test_a_deadlock_is_said_though_neighbours_and_switches_age() -> None:
    async def scenario(net: Network) -> None:
        a, _ = star(net, "a", "b")
        await a.ping("b")
        await (await a.open_udp_socket(5)).receive_from()

    with pytest.raises(pystack.DeadlockError, match="scenario"):
        within(scenario)


def test_a_switch_without_power_stands_still_though_links_are_added() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            on, off = net.switch("on"), net.switch("off")
            net.link(a, on)
            net.link(b, off)
            net.link(on, off)
            net.power_off(off)
            net.link(on, off), net.link(on, off)  # else a ring that nobody would see
            with pytest.raises((TimeoutError, OSError)):
                await a.ping("b", timeout_s=1)
            assert off.counters["frames_in"] == 0
            net.power_on(off)
            await a.ping("b")

    pystack.run(main)

"""Schedules of faults: values that say what goes wrong and when, undone at their end."""

import math

import pytest
import trio

import pystack
from pystack import testing
from pystack.testing import Delayed, Faults, LinkDown, Lossy, Parted, PowerCut, Slowed

EVERY = Faults(
    [
        LinkDown("client-server", at_s=1, for_s=0.5),
        LinkDown("client-server", at_s=1.25, direction="a_to_b"),
        Lossy("client-server", "30%", at_s=2, for_s=1.0),
        Delayed("client-server", 0.25, at_s=0, for_s=2),
        Slowed("client-server", "100kbit", at_s=3, for_s=1),
        PowerCut("server", at_s=4, for_s=1, crash=True),
        Parted([["client"], ["server"]], at_s=6, for_s=1, answer="reject", spare_established=True),
    ]
)


def pair(net: pystack.Network, **words: str) -> tuple[pystack.Host, pystack.NetworkLink]:
    client, server = net.host("client"), net.host("server")
    return client, net.link(client, server, **words)  # type: ignore[arg-type]


async def heard_at(client: pystack.Host, instants: list[float]) -> list[float | None]:
    """Ping at each instant; return the round trips, None for those that took more than 0.4 s."""
    found: list[float | None] = []
    for at in instants:
        await trio.sleep_until(at)
        try:
            found.append(round(await client.ping("server", timeout_s=0.4), 6))
        except TimeoutError:
            found.append(None)
    return found


def test_its_repr_makes_it_again() -> None:
    assert repr(EVERY[0]) == "LinkDown('client-server', at_s=1, for_s=0.5)"
    assert repr(EVERY[1]) == "LinkDown('client-server', at_s=1.25, direction='a_to_b')"
    assert repr(EVERY[3]) == "Delayed('client-server', 0.25, at_s=0, for_s=2)"
    assert repr(EVERY[6]) == (
        "Parted([['client'], ['server']], at_s=6, for_s=1, answer='reject', spare_established=True)"
    )
    assert eval(repr(EVERY), {name: getattr(testing, name) for name in testing.__all__}) == EVERY
    assert repr(Faults()) == "Faults([])"


def test_each_begins_and_ends_at_its_instant_and_what_was_before_is_back() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            client, link = pair(net, delay="10ms", loss="0.001%", rate="10mbit")
            await client.ping("server")
            before = link.said
            await trio.sleep_until(1)
            applied = net.apply(
                Faults(
                    [
                        LinkDown("client-server", at_s=1, for_s=1),
                        Delayed("client-server", 0.1, at_s=3, for_s=1),
                        Lossy("client-server", "100%", at_s=5, for_s=1),
                        Parted(["client", "server"], at_s=7, for_s=1),
                        Slowed("client-server", "10kbit", at_s=9, for_s=1),
                    ]
                )
            )
            instants = [1.5, 2.0, 3.0, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.2, 11.5]
            quick = pytest.approx(0.02, abs=1e-3)
            assert await heard_at(client, instants) == [
                *(quick, None, quick),
                *(pytest.approx(0.22, abs=1e-3), quick),
                *(None, quick, None, quick),
                *(pytest.approx(0.02 + 2 * 98 * 8 / 10_000, abs=1e-3), quick),
            ]
            assert link.said == before
            assert applied.lasting == Faults()

    pystack.run(main)


def test_those_that_overlap_end_when_the_last_does() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            client, link = pair(net, delay="10ms")
            await client.ping("server")
            net.apply(
                Faults(
                    [
                        LinkDown("client-server", at_s=1, for_s=2),
                        LinkDown("client-server", at_s=2, for_s=2, direction="a_to_b"),
                        Delayed("client-server", 0.1, at_s=5, for_s=3),
                        Delayed("client-server", 0.05, at_s=6, for_s=1),
                        LinkDown("client-server", at_s=9, for_s=1),
                        LinkDown("client-server", at_s=10, for_s=1),
                    ]
                )
            )
            states = []
            for at in (1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5, 11.5):
                await trio.sleep_until(at)
                down = link.a_to_b.is_down, link.b_to_a.is_down
                states.append((*down, round(link.a_to_b.config.delay_s, 6)))
            assert states == [
                (True, True, 0.01),
                (True, True, 0.01),
                (True, False, 0.01),
                (False, False, 0.01),
                (False, False, 0.11),
                (False, False, 0.06),  # they do not add up: the last to begin holds
                (False, False, 0.11),
                (False, False, 0.01),
                (True, True, 0.01),
                (True, True, 0.01),
                (False, False, 0.01),
            ]

    pystack.run(main)


def test_what_was_so_before_is_not_undone() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            _, link = pair(net)
            net.power_off("server")
            link.down("a_to_b")
            restarted: list[str] = []
            net.apply(
                Faults([LinkDown("client-server", for_s=1), PowerCut("server", for_s=1)]),
                restart=lambda host: restarted.append(host.name),
            )
            await trio.sleep(2)
            assert (link.a_to_b.is_down, link.b_to_a.is_down) == (True, False)
            assert not net.topology.node("server").powered
            assert restarted == []

    pystack.run(main)


def test_a_host_whose_power_is_back_is_restarted() -> None:
    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, _ = pair(net)

            def serve(host: pystack.Host) -> None:
                host.start_soon(trio.serve_tcp, echo, 7)

            serve(net.hosts["server"])
            net.apply(
                Faults([PowerCut("server", at_s=1, for_s=2), PowerCut("server", at_s=2, for_s=2)]),
                restart=serve,
            )
            await trio.sleep(3.5)
            with trio.move_on_after(0.4) as waited:
                await client.open_tcp_stream("server", 7)
            assert waited.cancelled_caught
            await trio.sleep_until(5)
            stream = await client.open_tcp_stream("server", 7)
            await stream.send_all(b"back")
            assert await stream.receive_some() == b"back"

    pystack.run(main)


def test_cancel_undoes_what_lasts_and_forgets_the_rest() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            _, link = pair(net)
            applied = EVERY.on(net)
            await trio.sleep(1.3)
            assert len(applied.lasting) == 3
            applied.cancel()
            assert (link.a_to_b.is_down, link.b_to_a.is_down, link.said) == (False, False, "")
            await trio.sleep(10)
            assert (link.a_to_b.is_down, link.said) == (False, "")

    pystack.run(main)


def test_the_run_is_the_same_up_to_the_first_fault() -> None:
    async def main(schedule: Faults) -> list[float | None]:
        async with pystack.Network(seed=5, ip="4") as net:
            client, _ = pair(net, delay="10ms 5ms", loss="20%")
            net.apply(schedule)
            return await heard_at(client, [0.5 * number for number in range(20)])

    whole, faulty = pystack.run(main, Faults()), pystack.run(main, Faults([EVERY[5]]))
    assert whole[:8] == faulty[:8]
    assert whole != faulty


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (lambda: [LinkDown("client-server")], r"Faults\(\[\.\.\.\]\) of pystack\.testing, not"),
        (lambda: Faults(["down"]), "'down' is no fault"),  # type: ignore[list-item]
        (lambda: Faults([LinkDown("client-serve")]), "did you mean 'client-server'"),
        (lambda: Faults([PowerCut("serve")]), "did you mean 'server'"),
        (lambda: Faults([PowerCut("outside")]), "outside is not the network's to power off"),
        (lambda: Faults([Parted(["client", "sever"])]), "did you mean 'server'"),
        (lambda: Faults([Parted(["client"])]), "separates two or more groups"),
        (lambda: Faults([Parted("client")]), "groups of nodes are like"),  # type: ignore[arg-type]
        (lambda: Faults([Parted(["client", "server"], answer="no")]), "no answer 'no'"),
        (lambda: Faults([Lossy("client-server", "110%")]), "loss = '110%' is not possible"),
        (lambda: Faults([Slowed("client-server", "fast")]), "'fast' is not a rate"),
        (lambda: Faults([Delayed("client-server", -1)]), "extra_s is -1"),
        (lambda: Faults([LinkDown("client-server", at_s=-1)]), "at_s is -1"),
        (lambda: Faults([LinkDown("client-server", for_s=0)]), "for_s is 0"),
        (lambda: Faults([LinkDown("client-server", at_s=math.nan)]), "at_s is nan"),
        (lambda: Faults([LinkDown("client-server", direction="up")]), "no direction 'up'"),
    ],
)
def test_what_cannot_happen_is_refused_before_anything_does(schedule: object, message: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            _, link = pair(net)
            net.station("outside")
            with pytest.raises(pystack.ConfigError, match=message):
                net.apply(schedule())  # type: ignore[operator]
            await trio.sleep(1)
            assert not link.a_to_b.is_down

    pystack.run(main)

"""Look-ups where servers lie, or power and links come and go: each ends, and leaves nothing."""

from __future__ import annotations

from random import Random

import lying
import pytest
import trio

import pystack

PATIENCE_S = 9.0  # two servers, two attempts, two candidates of the search list, two kinds, aliases


async def ask(client: pystack.Host, rng: Random, *names: str) -> bool:
    """Ask in one of the ways that there are; False: there was a clean failure."""
    name = rng.choice(names)
    try:
        match rng.randrange(4):
            case 0:
                await client.look_up(name)
            case 1:
                await client.run(trio.socket.getaddrinfo, name, 80)
            case 2:
                await client.run(trio.socket.getnameinfo, ("10.0.0.77", 80), 0)
            case _:
                answer = await client.dig(name, rng.choice(("A", "TXT", "ANY")), timeout_s=0.2)
                assert answer.to_text()
    except (OSError, trio.BrokenResourceError):  # the host's power went while it ran
        return False
    return True


async def leaves_nothing(client: pystack.Host) -> None:
    """Tell that it has no ports and no connections of look-ups any more."""
    assert not client.stack.udp.sockets
    await trio.sleep(130)  # TIME-WAIT, and the longest that a FIN is sent again
    assert client.connections() == []


@pytest.mark.parametrize("seed", range(6))
def test_whatever_servers_say_a_look_up_ends(seed: int) -> None:
    async def main() -> None:
        rng = Random(seed)
        async with pystack.Network(seed=seed, ip="4") as net:
            words = {"timeout": "200ms", "search": ["example.test"]}
            client = net.host("client", dns={"servers": ["ns1", "ns2"], **words})
            switch = net.switch("switch")
            net.link(client, switch, delay="5ms")
            for name in ("ns1", "ns2"):
                server = net.host(name)
                net.link(server, switch)
                await lying.lie(server, rng)
            came = 0
            for number in range(80):
                began_at = trio.current_time()
                came += await ask(client, rng, "www", "a.b.test", "x.test", f"n{number}.test")
                assert trio.current_time() - began_at < PATIENCE_S
            assert came
            await leaves_nothing(client)

    pystack.run(main, seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_look_ups_end_while_power_and_links_come_and_go(seed: int) -> None:
    """Also those whose answer is coming by TCP just then."""
    records = [f"big.example.test 0 A 10.1.{n >> 8}.{n & 255}" for n in range(300)]
    records += ["www.example.test 1 A 10.0.0.80", "a.example.test 0 CNAME big.example.test"]
    names = ("big", "a", "www", "nope", "client")
    faults = ([], ["* lost 20%"], ["* late 300ms servfail 20%"], ["big.example.test late 2s"])

    async def main() -> None:
        rng = Random(seed)
        async with pystack.Network(seed=seed, ip="4") as net:
            client, switch = net.host("client"), net.switch("switch")
            links = [net.link(client, switch, delay="20ms", loss="3%")]
            servers = []
            for number in (1, 2):
                server = await net.dns(
                    f"ns{number}", records=records, faults=faults[seed], timeout="500ms"
                )
                links.append(net.link(server.host, switch))
                servers.append(server)
            client.dns = {"servers": ["ns1", "ns2"], "search": ["example.test"], "timeout": "1s"}

            async def ask_on() -> None:
                while trio.current_time() < 40:
                    with trio.move_on_after(rng.choice((0.05, 1, 30))):
                        await ask(client, rng, *names)
                    await trio.sleep(rng.random())

            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(ask_on)
                while trio.current_time() < 40:
                    await trio.sleep(rng.random() * 1.5)
                    server, link = rng.choice(servers), rng.choice(links)
                    host = rng.choice([client, server.host])
                    host.power_off()
                    await trio.sleep(rng.random())
                    host.power_on()
                    await server.up()
                    link.down()
                    await trio.sleep(rng.random())
                    link.up()
            await leaves_nothing(client)
            assert await client.look_up("www")

    pystack.run(main, seed=seed)

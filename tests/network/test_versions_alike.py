"""One seed, one loss: over links as bad, both versions of IP take the same time for a text."""

import pytest
import trio

import pystack

SIZE = 300_000
LINKS: list[pystack.NetemWords] = [
    {"loss": "2%", "delay": "10ms"},
    {"loss": "5%", "delay": "10ms"},
    {"duplicate": "3%", "delay": "10ms"},
    {"loss": "1%", "jitter": "5ms", "delay": "10ms"},
]


def sent_over(ip: str, seed: int, words: pystack.NetemWords) -> dict[str, float]:
    """Return when all had arrived, and what both ends counted of TCP."""
    found: dict[str, float] = {}

    async def main() -> None:
        async with pystack.Network(seed=seed, ip="6" if ip == "6" else "4") as net:
            one, two = net.host("one"), net.host("two")
            # IPv6's header has 20 bytes more: so the segments are as large.
            net.link(one, two, mtu_bytes=1520 if ip == "6" else 1500, **words)

            async def take(stream: trio.SocketStream) -> None:
                found["bytes"] = sum([len(data) async for data in stream])
                found["at"] = trio.current_time()

            await two.start(trio.serve_tcp, take, 80)

            async def send() -> None:
                async with await trio.open_tcp_stream("two", 80) as stream:
                    await stream.send_all(bytes(SIZE))
                    await stream.send_eof()
                    await stream.receive_some()

            await one.run(send)
            for host in (one, two):
                for name, count in host.counters.items():
                    if name.startswith("tcp_"):
                        found[f"{host.name} {name}"] = count

    pystack.run(main)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("words", LINKS, ids=str)
def test_the_same_is_lost_and_sent_again(words: pystack.NetemWords, seed: int) -> None:
    over4, over6 = sent_over("4", seed, words), sent_over("6", seed, words)
    assert over4["bytes"] == SIZE
    assert over6 == over4

"""The same thousand messages over UDP and over TCP, on a line that loses and reorders.

UDP brings what it brings at once, and not in order. TCP brings all: what is lost is sent again, and
what came after it waits. Run it with `python examples/tcp_and_udp.py [SEED]`. The list at the end
shows the first ones: UDP has a hole where TCP has a wait (head-of-line blocking).
"""

import sys
from itertools import pairwise

import trio

import pystack

COUNT, SIZE, EVERY_S = 1000, 100, 0.005
WORDS = "/arrived/lost for good/sent again/after a later one/waited/ms, median/ms, 99 %/number:ms"


async def exchange(name: str, seed: int) -> list[str | int]:
    """Send all by this protocol; return a column of the table, and how the list of all begins."""
    async with pystack.Network(seed=seed) as net, trio.open_nursery() as nursery:
        client, server, over_tcp = net.host("client"), net.host("server"), name == "TCP"
        link, ages_ms = net.link(client, server, delay="20ms"), {}
        (listener,), socket = await server.open_tcp_listeners(9), await server.open_udp_socket(9)
        stream, outbox = await client.open_tcp_stream("server", 9), await client.open_udp_socket()
        outbox.connect(("server", 9))
        stream.set_no_delay()
        inbox, send = await listener.accept(), stream.send_all if over_tcp else outbox.send
        link.set(loss="5%", reorder="5%")  # the two know each other; now the line goes bad
        began = trio.current_time()

        async def take_all() -> None:
            data = b""
            while True:
                data += await inbox.receive_some() if over_tcp else (await socket.receive_from())[0]
                while len(data) >= SIZE:  # TCP knows of no messages: several, or a part of one
                    number, data = int.from_bytes(data[:SIZE], "big"), data[SIZE:]
                    ages_ms[number] = (trio.current_time() - began - number * EVERY_S) * 1000

        nursery.start_soon(take_all)
        for number in range(COUNT):
            await send(number.to_bytes(SIZE, "big"))
            await trio.sleep_until(began + (number + 1) * EVERY_S)
        nursery.cancel_scope.deadline = trio.current_time() + 10
    ms, late = sorted(ages_ms.values()), sum(a > b for a, b in pairwise(ages_ms))
    first = [f"{number}:{abs(age):.0f}" for number, age in ages_ms.items()][:12]
    found = len(ms), COUNT - len(ms), stream.info().retransmits, late, sum(age > 21 for age in ms)
    return [name, *found, round(ms[len(ms) // 2]), round(ms[len(ms) * 99 // 100]), *first]


async def main() -> None:
    """Print the two side by side."""
    words = [*WORDS.split("/"), *[""] * 11]
    columns = [await exchange(name, int((*sys.argv, "1")[1])) for name in ("UDP", "TCP")]
    print(*map("{:23} {:>5} {:>5}".format, words, *columns), sep="\n")


if __name__ == "__main__":
    pystack.run(main)

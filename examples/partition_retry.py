"""Retry logic that breaks under a partition of 3 seconds, and the same mended.

Run it with `python examples/partition_retry.py`. Client and shop are plain Trio programs, 100 ms
apart. The partition begins when the shop has the order and its answer is on the way: the client
hears nothing, tries again, and has bought twice. With a key that stays the same in each attempt the
shop can tell. A test on loopback never shows it, for there no answer is ever lost.
"""

import trio

import pystack


class Shop:
    """Sells one apple per order line; one for each key, if there is a key."""

    def __init__(self) -> None:
        self.sold: list[str] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        """Take orders, one per line, until the client closes."""
        async for order in stream:
            key = order.decode().strip()
            if key not in self.sold or key == "no key":
                self.sold.append(key)
            await stream.send_all(b"sold\n")


async def buy(key: str) -> int:
    """Order, and try again after a second without an answer; return how many attempts it took."""
    for attempt in range(1, 10):
        with trio.move_on_after(1):
            async with await trio.open_tcp_stream("shop", 80) as stream:
                await stream.send_all(f"{key}\n".encode())
                if await stream.receive_some():
                    return attempt
    raise TimeoutError("the shop never answered")


async def main(key: str) -> None:
    """Buy one apple while the network breaks for 3 seconds."""
    async with pystack.Network(seed=1) as net:
        client, server, shop = net.host("client"), net.host("shop"), Shop()
        net.link(client, server, delay="100ms")
        await server.start(trio.serve_tcp, shop.serve, 80)
        net.at(0.55, lambda: net.partition({client}, {server}))
        net.at(3.55, net.heal)
        attempts = await client.run(buy, key)
        print(f"{key}: {attempts} attempts, {net.now():.1f} s, {len(shop.sold)} sold")


if __name__ == "__main__":
    pystack.run(main, "no key")
    pystack.run(main, "key 17")

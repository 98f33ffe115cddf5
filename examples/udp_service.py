"""A service on UDP, a client that has to ask again, and a port where nobody listens.

Run it with `python examples/udp_service.py`. UDP promises nothing: the client sets its own
time-out. In virtual time waiting costs nothing: an answer that never comes is no slower than one
that does.
"""

import trio

import pystack

PRICES = {b"apple": b"3", b"pear": b"4"}


async def price_service(socket: pystack.UdpSocket) -> None:
    """Answer each datagram that names a fruit; say nothing to the others."""
    while True:
        fruit, client = await socket.receive_from()
        if fruit in PRICES:
            await socket.send_to(PRICES[fruit], client)


async def ask(client: pystack.Host, fruit: bytes, port: int) -> str:
    """Ask up to three times, a second apart; a connected socket also hears of closed ports."""
    async with await client.open_udp_socket() as socket:
        socket.connect(("shop", port))
        for _ in range(3):
            with trio.move_on_after(1):
                try:
                    await socket.send(fruit)
                    price, _ = await socket.receive_from()
                    return price.decode()
                except ConnectionRefusedError:
                    return "nobody listens there (ICMP port unreachable)"
    return "no answer"


async def main() -> None:
    """Ask for what there is, for what there is not, and at the wrong door."""
    async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
        shop, client = net.host("shop"), net.host("client")
        net.link(shop, client, delay="5ms")
        nursery.start_soon(price_service, await shop.open_udp_socket(5000))
        for fruit, port in ((b"pear", 5000), (b"melon", 5000), (b"pear", 5001)):
            answer = await ask(client, fruit, port)
            print(f"{trio.current_time():6.3f} s  {fruit.decode()} at port {port}: {answer}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    pystack.run(main)

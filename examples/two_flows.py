"""Two uploads share one bottleneck: whoever gets what depends on their congestion control.

Run it with `python examples/two_flows.py`. For a minute two clients send as fast as TCP may, over
4 Mbit/s and 300 ms there and back: far enough for CUBIC to outgrow NewReno. BBR does not fill the
queue, and takes what it finds the line to carry. Jain's index is 1 when both get the same, and 0.5
when one gets all.
"""

from collections import Counter

import trio

import pystack

TIME_S = 60


async def swallow(received: Counter[str], stream: pystack.TcpStream) -> None:
    """Read until the upload ends, and count what came from whom."""
    async for data in stream:
        received[stream.remote_address[0]] += len(data)


async def upload(client: pystack.Host, congestion: str, delay_s: float) -> None:
    """Send as fast as this congestion control lets TCP send."""
    await trio.sleep(delay_s)
    async with await client.open_tcp_stream("server", 9, congestion=congestion) as stream:
        while True:
            await stream.send_all(bytes(100_000))


async def share_the_line(congestions: list[str]) -> None:
    """Let two clients send, and say what came of it."""
    async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
        server, switch = net.host("server"), net.switch("switch")
        net.link(switch, server, delay="150ms", rate="4mbit", limit=100)
        received, (listener,) = Counter[str](), await server.open_tcp_listeners(9)
        clients = [net.host(f"client{number}") for number in (1, 2)]
        for number, (client, congestion) in enumerate(zip(clients, congestions, strict=True)):
            net.link(client, switch, rate="100mbit")
            nursery.start_soon(upload, client, congestion, number * 0.1)
        with trio.move_on_after(TIME_S):
            while True:
                nursery.start_soon(swallow, received, await listener.accept())
        a, b = (received[client.address] * 8 / TIME_S / 1e6 for client in clients)
        print(f"{congestions[0]} {a:.2f} Mbit/s, {congestions[1]} {b:.2f} Mbit/s;", end=" ")
        print(f"Jain's index {(a + b) ** 2 / (2 * (a**2 + b**2)):.2f}")
        nursery.cancel_scope.cancel()


async def main() -> None:
    """Like against like, then one against the other."""
    for pair in ("newreno newreno", "cubic cubic", "bbr bbr", "cubic newreno", "bbr cubic"):
        await share_the_line(pair.split())


if __name__ == "__main__":
    pystack.run(main)

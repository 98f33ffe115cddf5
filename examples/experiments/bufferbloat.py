"""An upload fills the queue in front of a slow line, and a ping waits in it."""

import statistics

import trio

import pystack


async def upload(client: pystack.Host, control: str, start_s: float) -> None:
    """Send as fast as this congestion control lets."""
    await trio.sleep(start_s)
    async with await client.open_tcp_stream("server", 9, congestion=control) as stream:
        while True:
            await stream.send_all(bytes(100_000))


async def share(
    queue: str, control: str, uploads: int, seed: int, seconds: float = 20
) -> dict[str, float]:
    """Share 10 Mbit/s, 40 ms there and back, between uploads and a ping every 100 ms."""
    async with pystack.Network(seed=seed) as net, trio.open_nursery() as nursery:
        client, router, server = net.host("client"), net.router("router"), net.host("server")
        net.link(client, router, delay="1ms", jitter="1ms")
        net.link(router, server, delay="19ms", rate="10mbit", a_to_b={"qdisc": queue})
        await pystack.serve(server, "discard")
        for number in range(uploads):
            nursery.start_soon(upload, client, control, 0.5 * number)
        end_s, pings_s, lost = trio.current_time() + seconds, [], 0
        while trio.current_time() < end_s:
            await trio.sleep(0.1)
            try:
                pings_s.append(await client.ping("server", timeout_s=5))
            except TimeoutError:
                lost += 1
        nursery.cancel_scope.cancel()
    cuts = statistics.quantiles(pings_s, n=20)
    return {"ping_median_s": cuts[9], "ping_p95_s": cuts[18], "pings_lost": lost}

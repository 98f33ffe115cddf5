"""Bufferbloat, shown and cured: a big upload and a ping share a slow line.

A long queue in front of the line fills up, for TCP sends until something is lost; whatever else
wants through waits behind it. FQ-CoDel keeps the queue short and lets the ping go before the
upload, which is as fast as it was.
"""

import statistics
from collections import Counter
from contextlib import suppress
from functools import partial

import trio

import pystack


async def swallow(received: Counter[str], stream: trio.abc.ReceiveStream) -> None:
    async for data in stream:
        received["bytes"] += len(data)


async def upload(client: pystack.Host) -> None:
    async with await client.open_tcp_stream("server", 9) as stream:
        while True:
            await stream.send_all(bytes(100_000))


async def share_the_line(qdisc: str) -> None:
    """Ping again and again beside the upload, and say what came of it."""
    async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
        client, server = net.host("client"), net.host("server")
        line = net.link(client, server, delay="20ms", rate="5mbit", a_to_b={"qdisc": qdisc})
        received: Counter[str] = Counter()
        listeners = await server.open_tcp_listeners(9)
        nursery.start_soon(trio.serve_listeners, partial(swallow, received), listeners)
        await client.ping("server")  # the neighbors get to know each other
        alone_s = await client.ping("server")
        nursery.start_soon(upload, client)
        start, pings_s = trio.current_time(), []
        while trio.current_time() < start + 30:
            await trio.sleep(0.5)
            with suppress(TimeoutError):  # where the queue is full, it is lost
                pings_s.append(await client.ping("server", timeout_s=10))
        ms = statistics.median(pings_s) * 1000
        print(f"{qdisc}: ping {alone_s * 1000:.0f} ms, beside the upload {ms:.0f} ms;")
        rate_mbps = received["bytes"] * 8e-6 / (trio.current_time() - start)
        print(f"    {rate_mbps:.1f} Mbit/s, {line.counters}")
        nursery.cancel_scope.cancel()


async def main() -> None:
    """The same line with a long queue, then with a clever one."""
    for qdisc in ("pfifo limit 1000", "fq_codel"):
        await share_the_line(qdisc)


if __name__ == "__main__":
    pystack.run(main)

"""An upload over an access line, with somebody who wants an answer meanwhile."""

from contextlib import suppress

import trio

import pystack


async def upload(client: pystack.Host, control: str) -> None:
    """Send as fast as this congestion control lets."""
    async with await client.open_tcp_stream("server", 9, congestion=control) as stream:
        while True:
            await stream.send_all(bytes(100_000))


async def call(control: str, line: str, seed: int, seconds: float = 10) -> dict[str, float]:
    """Upload over a line of `topology/presets.py`; return how late pings are beside that."""
    async with pystack.Network(seed=seed) as net, trio.open_nursery() as nursery:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, preset=line)
        await pystack.serve(server, "discard")
        await client.ping("server", timeout_s=5)  # the neighbors get to know each other
        alone_s = await client.ping("server", timeout_s=5)
        nursery.start_soon(upload, client, control)
        end_s, pings_s, lost = trio.current_time() + seconds, [], 0
        while trio.current_time() < end_s:
            await trio.sleep(0.1)
            with suppress(TimeoutError):
                pings_s.append(await client.ping("server", timeout_s=5))
                continue
            lost += 1
        nursery.cancel_scope.cancel()
    pings_s.sort()
    return {
        "ping_alone_s": alone_s,
        "ping_median_s": pings_s[len(pings_s) // 2],
        "ping_p95_s": pings_s[int(0.95 * (len(pings_s) - 1))],
        "pings_lost": lost,
    }

"""A server is slow for four seconds, and clients try again: who gets out of that, and when."""

import random
from collections import Counter
from contextlib import suppress

import trio

import pystack

ORDERS_HZ, SERVICE_S, TIMEOUT_S = 15, 0.04, 1.0  # 15 orders a second, for a server that can do 25
SLOW_AT_S, SLOW_UNTIL_S, SLOW_SERVICE_S = 5.0, 9.0, 0.4
BUDGET = 0.1  # retries for each order, where there is a budget


async def storm(
    policy: str, retries: int, deadline: bool, seed: int, seconds: float = 40.0
) -> dict[str, float]:
    """Order for so long. `deadline`: the server passes by what its client has given up."""
    worker, count, failed_at_s = trio.CapacityLimiter(1), Counter[str](), [0.0]
    arrivals, pauses = random.Random(seed), random.Random(-seed)

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        came_s = trio.current_time()
        async with worker:
            if deadline and trio.current_time() > came_s + TIMEOUT_S:
                return
            slow = SLOW_AT_S <= trio.current_time() < SLOW_UNTIL_S
            await trio.sleep(SLOW_SERVICE_S if slow else SERVICE_S)
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"done")

    async def order(at_s: float) -> None:
        for number in range(retries + 1):
            count["attempts"] += 1
            with trio.move_on_after(TIMEOUT_S), suppress(trio.BrokenResourceError):
                async with await trio.open_tcp_stream("server", 80) as stream:
                    await stream.send_all(b"order")
                    if await stream.receive_some():
                        count["answered"] += 1
                        return
            if policy == "budget" and count["attempts"] > (1 + BUDGET) * count["orders"]:
                break
            await trio.sleep(0 if policy == "at once" else pauses.uniform(0, 2**number))
        failed_at_s.append(at_s)

    async with pystack.Network(seed=seed) as net, trio.open_nursery() as nursery:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="5ms")
        await server.start(trio.serve_tcp, serve, 80)
        while trio.current_time() < seconds:
            count["orders"] += 1
            client.start_soon(order, trio.current_time())
            await trio.sleep(arrivals.expovariate(ORDERS_HZ))
        await trio.sleep(4 * TIMEOUT_S)
        nursery.cancel_scope.cancel()
    found = {what: count[what] / count["orders"] for what in ("answered", "attempts")}
    return found | {"trouble_s": max(0.0, max(failed_at_s) - SLOW_UNTIL_S)}

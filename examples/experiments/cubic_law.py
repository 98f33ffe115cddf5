"""One flow over a link that loses each Nth frame, and RFC 9438's law for that."""

import trio

import pystack

SEGMENT_BYTES = 1448


async def law(
    control: str, rtt_s: float, period: int, seed: int, periods: int = 12
) -> dict[str, float]:
    """Send until so many frames were lost, the first fifth left out; return windows in segments."""
    loss = 1 / period
    reno, cubic = (1.5 / loss) ** 0.5, 1.054 * (rtt_s / loss) ** 0.75
    seconds = max(20.0, periods * period * rtt_s / max(reno, cubic))
    # The first loss ends slow start near the window of the law.
    before_it = min(round(1.5 * max(reno, cubic)) + seed, period - 1)
    pattern = "." * before_it + "x" + "." * (period - 1 - before_it)
    received = 0
    async with pystack.Network(seed=seed) as net, trio.open_nursery() as nursery:
        left, right = net.host("left"), net.host("right")
        net.link(left, right, delay=rtt_s / 2, a_to_b={"drop": pattern})
        (listener,) = await right.open_tcp_listeners(9)

        async def send() -> None:
            async with await left.open_tcp_stream("right", 9, congestion=control) as stream:
                while True:
                    await stream.send_all(bytes(200_000))

        async def receive() -> None:
            nonlocal received
            async for data in await listener.accept():
                received += len(data)

        nursery.start_soon(receive)
        nursery.start_soon(send)
        await trio.sleep(seconds / 5)
        before = received
        await trio.sleep(seconds * 4 / 5)
        nursery.cancel_scope.cancel()
    window = (received - before) / SEGMENT_BYTES * rtt_s / (seconds * 4 / 5)
    expected = max(reno, cubic) if control == "cubic" else reno
    return {"window": window, "reno": reno, "cubic": cubic, "of_law": window / expected}

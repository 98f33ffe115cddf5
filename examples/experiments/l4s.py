"""A scalable control and a classic one at one bottleneck: what each gets, and how long it waits."""

import statistics

import trio

import pystack

BASE_S = 0.02  # there and back, with nothing in the queue


async def share(
    queue: str, scalable: str, classic: str, seed: int, rate: str = "40mbit", seconds: float = 8
) -> dict[str, float]:
    """Let both send for so long; the last three quarters count. The classic one has no ECN."""
    waits_s: tuple[list[float], list[float]] = [], []
    received, settled = [0, 0], seconds / 4

    async with pystack.Network(seed=seed) as net, trio.open_nursery() as nursery:
        router, switch = net.router("router"), net.switch("switch")
        net.link(router, switch, delay=BASE_S / 2 - 0.001, rate=rate, a_to_b={"qdisc": queue})

        async def receive(listener: pystack.TcpListener, number: int) -> None:
            async for data in await listener.accept():
                received[number] += len(data)

        async def send(host: pystack.Host, number: int) -> None:
            async with await host.open_tcp_stream(f"right{number}", 9) as stream:
                nursery.start_soon(watch, stream, number)
                while True:
                    await stream.send_all(bytes(100_000))

        async def watch(stream: pystack.TcpStream, number: int) -> None:
            await trio.sleep(settled)
            while True:
                waits_s[number].append((stream.info().srtt_s or BASE_S) - BASE_S)
                await trio.sleep(0.02)

        for number, control in enumerate((scalable, classic)):
            config = pystack.TcpConfig(
                congestion=control, ecn="off" if number else "accurate", pacing=not number
            )
            left, right = (net.host(f"{side}{number}", tcp=config) for side in ("left", "right"))
            net.link(left, router, delay="1ms", jitter="0.1ms")
            net.link(switch, right)
            (listener,) = await right.open_tcp_listeners(9)
            nursery.start_soon(receive, listener, number)
            nursery.start_soon(send, left, number)
        await trio.sleep(settled)
        before = list(received)
        await trio.sleep(seconds - settled)
        nursery.cancel_scope.cancel()
    found = {"scalable_wait_s": waits_s[0], "classic_wait_s": waits_s[1]}
    names = ("scalable_bps", "classic_bps")
    return {name: statistics.median(waits) for name, waits in found.items()} | {
        name: (received[number] - before[number]) * 8 / (seconds - settled)
        for number, name in enumerate(names)
    }

"""A scalable control and a classic one at one bottleneck: what each gets, and how long it waits."""

import statistics

import trio

import pystack

BASE_S = 0.02  # there and back, with nothing in the queue


async def share(
    queue: str, scalable: str, classic: str, seed: int, rate: str = "20mbit", seconds: float = 20
) -> dict[str, float]:
    """Let both send for so long, the last three quarters of which count."""
    controls, delays_s = (scalable, classic), ([], [])
    received = [0, 0]
    ecn = ("request", "accept")  # the classic one has none, as most of the Internet

    async with pystack.Network(seed=seed) as net, trio.open_nursery() as nursery:
        router, switch = net.router("router"), net.switch("switch")
        net.link(router, switch, delay=BASE_S / 2 - 0.001, rate=rate, a_to_b={"qdisc": queue})

        async def receive(listener: pystack.TcpListener, number: int) -> None:
            async for data in await listener.accept():
                received[number] += len(data)

        async def send(host: pystack.Host, number: int) -> None:
            await trio.sleep(0.2 * number)
            async with await host.open_tcp_stream(f"right{number}", 9) as stream:
                nursery.start_soon(watch, stream, number)
                while True:
                    await stream.send_all(bytes(100_000))

        async def watch(stream: pystack.TcpStream, number: int) -> None:
            await trio.sleep(seconds / 4)
            while True:
                delays_s[number].append(stream.info().srtt_s - BASE_S)
                await trio.sleep(0.02)

        for number, (control, word) in enumerate(zip(controls, ecn, strict=True)):
            config = pystack.TcpConfig(ecn=word, pacing=word == "request")
            left, right = (
                net.host(f"{side}{number}", congestion=control, tcp=config)
                for side in ("left", "right")
            )
            net.link(left, router, delay="1ms", jitter="0.1ms")
            net.link(switch, right)
            (listener,) = await right.open_tcp_listeners(9)
            nursery.start_soon(receive, listener, number)
            nursery.start_soon(send, left, number)
        await trio.sleep(seconds / 4)
        before = list(received)
        await trio.sleep(seconds * 3 / 4)
        nursery.cancel_scope.cancel()
    rates = [(now - was) * 8 / (seconds * 3 / 4) for now, was in zip(received, before, strict=True)]
    return {
        "scalable_bps": rates[0],
        "classic_bps": rates[1],
        "scalable_wait_s": statistics.median(delays_s[0]),
        "classic_wait_s": statistics.median(delays_s[1]),
    }

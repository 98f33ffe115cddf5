"""What a link to another machine costs beside one in memory: TCP over both, in one process.

    python scripts/bench_tunnel.py [MIB] [ROUNDS] [WAY]...

MIB (default 32) go one way, ROUNDS times (default 4) by each way in turn, so that a machine whose
speed drifts is no advantage of any. Shown is the best round of each: Mbit per second of processor
time, of both ends and of the kernel's UDP on the loopback together, and as a part of what a link
in memory carries. A WAY is memory, plain or key, with +offload behind it for super-frames.
"""

import random
import socket
import sys
import time

import trio

import pystack

WAYS = tuple(way + more for more in ("", "+offload") for way in ("memory", "plain", "key"))


def free_ports(count: int) -> list[int]:
    """Return ports of UDP that nobody has at the moment."""
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports


async def carry(a: pystack.Host, b: pystack.Host, size: int) -> float:
    """Return how many Mbit of `size` bytes from a to b there are in a second of the processor."""
    done = trio.Event()

    async def read(stream: trio.SocketStream) -> None:
        total = sum([len(data) async for data in stream])
        assert total == size, total
        done.set()

    await b.start(trio.serve_tcp, read, 80)
    stream = await a.open_tcp_stream("10.0.0.2", 80)
    text = random.Random(1).randbytes(1 << 20)  # zeros are summed up in no time
    start = time.process_time()
    for _ in range(size >> 20):
        await stream.send_all(text)
    await stream.send_eof()
    with trio.fail_after(120):
        await done.wait()
    return size * 8 / 1e6 / (time.process_time() - start)


async def measure(way: str, size: int) -> float:
    """Return the Mbit/s of one way, in networks of its own."""
    kind, _, offload = way.partition("+")
    words = {"offload": bool(offload)}
    async with pystack.Network(seed=1) as net, pystack.Network(seed=2) as other:
        a = net.host("a", address="10.0.0.1/24")
        if kind == "memory":
            b = net.host("b", address="10.0.0.2/24")
            net.link(a, b, mtu_bytes=1500, **words)  # type: ignore[arg-type]
        else:
            b = other.host("b", address="10.0.0.2/24")
            key = {"key": "a key to measure with"} if kind == "key" else {}
            here, there = free_ports(2)
            for network, host, near, far in ((net, a, here, there), (other, b, there, here)):
                network.link(
                    host,
                    f"udp://127.0.0.1:{far}",
                    listen=f"127.0.0.1:{near}",
                    mtu_bytes=1500,
                    **words,
                    **key,  # type: ignore[arg-type]
                )
            other.settle()
        net.settle()
        await a.ping("10.0.0.2", timeout_s=9)
        return await carry(a, b, size)


def main() -> None:
    """Measure all ways, round by round."""
    numbers = [int(text) for text in sys.argv[1:] if text.isdigit()]
    mib, rounds = (*numbers, *(32, 4)[len(numbers) :])
    ways = [text for text in sys.argv[1:] if not text.isdigit()] or list(WAYS)
    best = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for way in ways:
            size = mib << 20 if "offload" in way else max(mib // 4, 1) << 20
            best[way] = max(best[way], trio.run(measure, way, size))
    for way, mbps in best.items():
        memory = best.get("memory" + way[len(way.partition("+")[0]) :])
        part = f" {mbps / memory:6.3f} of memory" if memory else ""
        print(f"{way:15} {mbps:8.0f} Mbit/s{part}", flush=True)


if __name__ == "__main__":
    main()

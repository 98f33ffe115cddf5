"""How long virtual time takes: wall seconds of whole networks, hosts and TCP included.

    .venv/bin/python scripts/bench_virtual.py [bulk] [clients] [dumbbell] [--quick] [--mb N]

`bulk`: one transfer of 100 MB at 100 Mbit/s, 20 ms each way. `clients`: 100 of them at a switch,
20 ms each way, ask one server every second, for 60 virtual seconds. `dumbbell`: 10 flows of 10 MB
each through one line of 100 Mbit/s, 20 ms each way, which holds 1000 packets. Without names: all
three. `--quick`: a tenth of the bytes and of the clients. A packet counts once, where it is
received; what switches pass on is not counted again.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

import pystack

PORT: Final = 9
CHUNK: Final = bytes(256 * 1024)
REQUEST, RESPONSE = bytes(100), bytes(1000)


@dataclass(slots=True)
class Result:
    """What one scenario did."""

    sizes: str
    virtual_s: float
    packets: int
    drops: int


async def serve(server: pystack.Host, handle: Callable[[pystack.TcpStream], object]) -> None:
    """Run a handler for each connection; `handle` is an async function."""
    await trio.serve_listeners(handle, await server.open_tcp_listeners(PORT))  # type: ignore[arg-type]


async def swallow(stream: pystack.TcpStream) -> None:
    """Read to the end of the data, and close."""
    async for _data in stream:
        pass


async def upload(client: pystack.Host, server: str, size_bytes: int) -> None:
    """Send so much, and wait until the other end has read and closed."""
    async with await client.open_tcp_stream(server, PORT) as stream:
        left = size_bytes
        while left:
            await stream.send_all(CHUNK[:left])
            left -= min(left, len(CHUNK))
        await stream.send_eof()
        assert await stream.receive_some() == b"", "the server sent something"


async def respond(stream: pystack.TcpStream) -> None:
    """Answer each request."""
    while await read_exactly(stream, len(REQUEST)):
        await stream.send_all(RESPONSE)


async def ask(client: pystack.Host, times: int, start_s: float) -> None:
    """Ask every second, as often as told, on one connection."""
    start_at = trio.current_time() + start_s
    await trio.sleep_until(start_at)
    async with await client.open_tcp_stream("server", PORT) as stream:
        for number in range(times):
            await trio.sleep_until(start_at + number)
            await stream.send_all(REQUEST)
            assert await read_exactly(stream, len(RESPONSE)), "the server hung up"


async def read_exactly(stream: pystack.TcpStream, size_bytes: int) -> bool:
    """Read so much; False: the data ended before."""
    while size_bytes:
        data = await stream.receive_some(size_bytes)
        if not data:
            return False
        size_bytes -= len(data)
    return True


def result(net: pystack.Network, sizes: str) -> Result:
    """Sum up what the hosts of a network have seen."""
    packets = sum(host.counters["frames_in"] for host in net.hosts.values())
    drops = sum(sum(link.counters.values()) for link in net.links)
    return Result(sizes, net.now(), packets, drops)


async def bulk(
    total_mb: float, _clients: int, *, delay: str = "20ms", rate: str = "100mbit"
) -> Result:
    """One transfer between two hosts."""
    async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay=delay, rate=rate)
        nursery.start_soon(serve, server, swallow)
        await upload(client, "server", round(total_mb * 1e6))
        nursery.cancel_scope.cancel()
        return result(net, f"{total_mb:g} MB")


async def clients(_total_mb: float, count: int) -> Result:
    """Many clients, one server, a minute."""
    async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
        server, switch = net.host("server"), net.switch("switch")
        net.link(server, switch)
        nursery.start_soon(serve, server, respond)
        async with trio.open_nursery() as all_clients:
            for number in range(count):
                client = net.host(f"client{number}")
                net.link(client, switch, delay="20ms")
                all_clients.start_soon(ask, client, 60, number / count)  # not all at once
        nursery.cancel_scope.cancel()
        return result(net, f"{count} clients")


async def dumbbell(total_mb: float, _clients: int) -> Result:
    """Ten senders, ten receivers, and one line between their switches."""
    flows = 10
    async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
        left, right = net.switch("left"), net.switch("right")
        net.link(left, right, delay="20ms", rate="100mbit", limit=1000)
        async with trio.open_nursery() as uploads:
            for number in range(flows):
                sender, receiver = net.host(f"sender{number}"), net.host(f"receiver{number}")
                net.link(sender, left, rate="1gbit")
                net.link(receiver, right, rate="1gbit")
                nursery.start_soon(serve, receiver, swallow)
                uploads.start_soon(upload, sender, receiver.name, round(total_mb * 1e6 / flows))
        nursery.cancel_scope.cancel()
        return result(net, f"{flows} flows of {total_mb / flows:g} MB")


SCENARIOS: Final = {"bulk": bulk, "clients": clients, "dumbbell": dumbbell}


def main() -> None:
    """Run what was asked for, and print one line for each."""
    parser = argparse.ArgumentParser(description="Wall seconds of virtual time.")
    parser.add_argument("names", nargs="*", choices=[*SCENARIOS, []], metavar="SCENARIO")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--mb", type=float, default=100, help="of bulk, and of dumbbell in all")
    options = parser.parse_args()
    share = 0.1 if options.quick else 1.0
    print(f"{'':9} {'':20} {'wall s':>7} {'virtual s':>9} {'packets':>8} {'us/packet':>9} drops")
    for name in options.names or SCENARIOS:
        began = time.perf_counter()
        done = pystack.run(partial(SCENARIOS[name], options.mb * share, round(100 * share)))
        took_s = time.perf_counter() - began
        print(
            f"{name:9} {done.sizes:20} {took_s:7.2f} {done.virtual_s:9.2f} {done.packets:8} "
            f"{took_s / done.packets * 1e6:9.1f} {done.drops}"
        )


if __name__ == "__main__":
    main()

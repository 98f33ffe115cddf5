"""What programs of the three kinds cost in virtual time: Trio, asyncio, and blocking code.

    .venv/bin/python scripts/bench_programs.py [--rounds N] [--trips N]

Each row is measured once a round, all rows right after each other, and the least of the rounds
counts: the machine only ever adds. `trio`, `asyncio`, `blocking`: an echo of 64 bytes between two
hosts, both programs of that kind, over one connection; the processor's time for one round trip, and
round trips a second of it. `clock`: one call of `time.time` and of others, on no host while there
is no network, then on no host and on one while a network is open. `open`: a network with two hosts
and a link, opened and closed.
"""

import argparse
import asyncio
import random
import socket
import time
import timeit
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

import pystack

PORT: Final = 7
MESSAGE: Final = bytes(64)
CALLS: Final = 20_000  # of a clock, for one figure
OPENINGS: Final = 20
# The aims, and what they are held against
ASYNCIO_OF_TRIO: Final = 1.5
BLOCKING_PER_S: Final = 2_000
CLOCK_MORE_NS: Final = 150

processor_s: Final = time.process_time  # held: on a host the module's clocks are the world's
CLOCKS: Final[dict[str, Callable[[], object]]] = {
    "time.time": time.time,
    "time.time_ns": time.time_ns,
    "time.monotonic": time.monotonic,
    "time.perf_counter": time.perf_counter,
    "random.random": random.random,
}


async def trio_echo(stream: trio.SocketStream) -> None:
    """Send back what comes."""
    async for data in stream:
        await stream.send_all(data)


async def trio_asks(trips: int) -> None:
    """Send and wait for the echo, so many times."""
    async with await trio.open_tcp_stream("server", PORT) as stream:
        for _ in range(trips):
            await stream.send_all(MESSAGE)
            assert len(await stream.receive_some()) == len(MESSAGE)


async def asyncio_serves() -> None:
    """Send back what comes, for ever."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, port=PORT)
    async with server:
        await server.serve_forever()


async def asyncio_asks(trips: int) -> None:
    """Send and wait for the echo, so many times."""
    reader, writer = await asyncio.open_connection("server", PORT)
    for _ in range(trips):
        writer.write(MESSAGE)
        await writer.drain()
        assert len(await reader.read(65536)) == len(MESSAGE)
    writer.close()


def blocking_serves() -> None:
    """Send back what comes, one connection after the other."""
    with socket.create_server(("", PORT)) as listener:
        connection, _peer = listener.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)


def blocking_asks(trips: int) -> None:
    """Send and wait for the echo, so many times."""
    with socket.create_connection(("server", PORT)) as connection:
        for _ in range(trips):
            connection.sendall(MESSAGE)
            assert len(connection.recv(65536)) == len(MESSAGE)


async def start_blocking(host: pystack.Host) -> None:
    """Start the echo, in a thread of the host's."""
    host.start_soon(host.run_sync, blocking_serves)


Serve = Callable[[pystack.Host], Awaitable[object]]
Ask = Callable[[pystack.Host, int], Awaitable[object]]
KINDS: Final[dict[str, tuple[Serve, Ask]]] = {
    "trio": (
        lambda host: host.start(trio.serve_tcp, trio_echo, PORT),
        lambda host, trips: host.run(trio_asks, trips),
    ),
    "asyncio": (
        lambda host: host.start_asyncio(asyncio_serves, port=PORT),
        lambda host, trips: host.run_asyncio(asyncio_asks, trips),
    ),
    "blocking": (
        start_blocking,
        lambda host, trips: host.run_sync(blocking_asks, trips),
    ),
}


async def world(serve: Serve, ask: Ask, trips: int) -> float:
    """Return the processor's seconds that a client takes."""
    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="1ms")
        await serve(server)
        await trio.sleep(1)
        began_s = processor_s()
        await ask(client, trips)
        return processor_s() - began_s


def trip_s(kind: str, trips: int) -> float:
    """Return the processor's seconds for one round trip; the connection itself is taken off."""
    few = trips // 10
    some, all_s = (pystack.run(partial(world, *KINDS[kind], count)) for count in (few, trips))
    return (all_s - some) / (trips - few)


def call_ns(clock: Callable[[], object]) -> float:
    """Return the nanoseconds of one call."""
    timer = timeit.Timer(clock, timer=processor_s)
    return timer.timeit(CALLS) / CALLS * 1e9


def clocks_ns() -> dict[str, tuple[float, float, float]]:
    """Return for each clock: without a network; with one, on no host; with one, on a host."""

    async def on_host() -> list[float]:
        return [call_ns(clock) for clock in CLOCKS.values()]

    async def main() -> tuple[list[float], list[float]]:
        async with pystack.Network(seed=1) as net:
            return [call_ns(clock) for clock in CLOCKS.values()], await net.host("a").run(on_host)

    plain = [call_ns(clock) for clock in CLOCKS.values()]
    outside, inside = pystack.run(main)
    return dict(zip(CLOCKS, zip(plain, outside, inside, strict=True), strict=True))


def open_s() -> float:
    """Return the processor's seconds for a small network, opened and closed."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.link(net.host("a"), net.host("b"))

    began_s = processor_s()
    for _ in range(OPENINGS):
        pystack.run(main)
    return (processor_s() - began_s) / OPENINGS


def main() -> None:
    """Measure, and print one line for each row."""
    parser = argparse.ArgumentParser(description="What programs of three kinds cost.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trips", type=int, default=2000)
    options = parser.parse_args()
    trips: dict[str, list[float]] = {kind: [] for kind in KINDS}
    clocks: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CLOCKS}
    opened: list[float] = []
    for _ in range(options.rounds):
        for kind, taken in trips.items():
            taken.append(trip_s(kind, options.trips))
        for name, figures in clocks_ns().items():
            clocks[name].append(figures)
        opened.append(open_s())
    least = {kind: min(taken) for kind, taken in trips.items()}
    print(f"{'':20} {'us/round trip':>14} {'round trips/s':>14} {'of Trio':>8}")
    for kind, trip in least.items():
        ratio = trip / least["trio"]
        print(f"{kind:20} {trip * 1e6:14.0f} {1 / trip:14,.0f} {ratio:8.2f}")
    print(f"\n{'':20} {'ns, no network':>14} {'on no host':>14} {'on a host':>14}")
    for name, rows in clocks.items():
        columns = [min(column) for column in zip(*rows, strict=True)]
        print(f"{name:20}", *(f"{column:14.0f}" for column in columns))
    print(f"\na network of two hosts opened and closed: {min(opened) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()

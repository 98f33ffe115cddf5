"""Memory of idle connections, in virtual time: what one end of one takes, its `TcpStream` included.

    .venv/bin/python scripts/bench_memory.py [--connections 1000 10000] [--bytes 100]

Two hosts; each connection carries a request and a response of `--bytes`, and is then held open by
both ends. Each count is measured in processes of its own, twice: what Python's allocator has given
out (tracemalloc), and by how much the process has grown (its resident set). Then all are closed,
and what is left is measured again, for each connection: the record of TIME-WAIT, at one end. The
resident set does not shrink by then: what was used is kept for later.
"""

import argparse
import gc
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

import pystack

PORT: Final = 9
AT_ONCE: Final = 200  # handshakes under way
PAGE_BYTES: Final = 4096


@dataclass(slots=True)
class Result:
    """Bytes for each end of a connection."""

    idle_bytes: float
    time_wait_bytes: float
    wall_s: float


def used_bytes(*, traced: bool) -> int:
    """Return what is in use: as Python counts it, or as the kernel does."""
    gc.collect()
    if traced:
        return tracemalloc.get_traced_memory()[0]
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


async def measure(count: int, size: int, *, traced: bool) -> Result:
    """Open connections, use each once, and see what they hold; close them, and see again."""
    began_at = time.perf_counter()
    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="1ms")
        (listener,) = await server.open_tcp_listeners(PORT)
        ends: list[pystack.TcpStream] = []

        async def accept(how_many: int) -> None:
            for _ in range(how_many):
                stream = await listener.accept()
                ends.append(stream)
                if size:
                    await stream.send_all(await stream.receive_some())

        async def connect() -> None:
            stream = await client.open_tcp_stream("server", PORT)
            ends.append(stream)
            if size:
                await stream.send_all(bytes(size))
                await stream.receive_some()

        async def open_many(how_many: int) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept, how_many)
                for _ in range(how_many):
                    nursery.start_soon(connect)
            await trio.sleep(1)

        await open_many(10)  # what is made once is made now
        before = used_bytes(traced=traced)
        for done in range(0, count, AT_ONCE):
            await open_many(min(AT_ONCE, count - done))
        held = used_bytes(traced=traced)
        for stream in ends:
            stream.close()
        await trio.sleep(1)
        ends.clear()
        left = used_bytes(traced=traced)
    took_s = time.perf_counter() - began_at
    return Result((held - before) / (2 * count), (left - before) / count, took_s)


def run(count: int, size: int, *, traced: bool) -> Result:
    """Measure in this process."""
    if traced:
        tracemalloc.start()
    result: list[Result] = []

    async def main() -> None:
        result.append(await measure(count, size, traced=traced))

    pystack.run(main)
    return result[0]


def main() -> None:
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", nargs="+", type=int, default=[1000, 10_000])
    parser.add_argument("--bytes", type=int, default=100, dest="size")
    parser.add_argument("--child", choices=("traced", "resident"), help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        for count in words.connections:
            found = run(count, words.size, traced=words.child == "traced")
            print(f"{found.idle_bytes:.0f} {found.time_wait_bytes:.0f} {found.wall_s:.1f}")
        return
    print(f"{'connections':>11}  {'idle end, B':>22}  {'closed, B':>22}  {'wall, s':>7}")
    print(f"{'':>11}  {'allocated':>11}{'resident':>11}  {'allocated':>11}{'resident':>11}")
    for count in words.connections:
        rows = []
        for child in ("traced", "resident"):
            command = [sys.executable, __file__, "--child", child, "--connections", str(count)]
            command += ["--bytes", str(words.size)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(done.stdout.split())
        (idle, closed, _), (idle_rss, closed_rss, wall) = rows
        print(f"{count:>11}  {idle:>11}{idle_rss:>11}  {closed:>11}{closed_rss:>11}  {wall:>7}")


if __name__ == "__main__":
    main()

"""The emulator's scenarios, one process each: what wall time makes of virtual time.

    python -m benchmark.emulated WHAT SECONDS

Prints one JSON object. The networks and links are those of `scripts/bench_virtual.py`,
`scripts/bench_emulation.py` and `scripts/bench_topology.py`.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import bench_emulation
import bench_topology
import bench_virtual
import trio

import pystack
from pystack.core.scheduler import Scheduler

PACKETS: Final = 50_000
EVENTS: Final = 300_000
TASKS: Final = 100
BULK_MB: Final = 100
FAST_MB: Final = 30


def bulk(seconds: float) -> dict[str, float]:
    """Transfer 100 MB, or 20 MB where there is little time, and count as if it had been 100."""
    total_mb = BULK_MB if seconds > 1 else BULK_MB / 5
    wall_s, result = timed(partial(bench_virtual.bulk, total_mb, 0))
    return {
        "wall_s": wall_s * BULK_MB / total_mb,
        "us_per_packet": wall_s / result.packets * 1e6,
        "virtual_s": result.virtual_s,
    }


def fast(_seconds: float) -> dict[str, float]:
    """Transfer over a link that is never what is waited for."""
    wall_s, _ = timed(partial(bench_virtual.bulk, FAST_MB, 0, delay="1ms", rate="10gbit"))
    return {"mbps": FAST_MB * 8 / wall_s}


def timed(
    scenario: Callable[[], "trio.lowlevel.Coroutine[bench_virtual.Result]"],
) -> tuple[float, bench_virtual.Result]:
    """Run a network in virtual time; return the seconds of wall time too."""
    began = time.perf_counter()
    result = pystack.run(scenario)
    return time.perf_counter() - began, result


def sleeps(_seconds: float) -> dict[str, float]:
    """Let tasks sleep, each for times of its own."""
    each = PACKETS // TASKS

    async def sleep_often(number: int) -> None:
        for _ in range(each):
            await trio.sleep(0.001 + number * 1e-7)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(TASKS):
                nursery.start_soon(sleep_often, number)

    began = time.perf_counter()
    pystack.run(main)
    return {"per_s": each * TASKS / (time.perf_counter() - began)}


def events(_seconds: float) -> dict[str, float]:
    """Let the heap alone bring one event after the other, with a hundred that wait."""
    scheduler = Scheduler()
    done = 0

    def again(now: float) -> None:
        nonlocal done
        done += 1
        if done < EVENTS:
            scheduler.call_at(now + 0.001, again)

    for number in range(TASKS):
        scheduler.call_at(number * 1e-6, again)
    began = time.perf_counter()
    scheduler.run_due(float("inf"))
    return {"per_s": done / (time.perf_counter() - began)}


def links(name: str, _seconds: float) -> dict[str, float]:
    """Send packets through a row of links."""
    return {"per_s": 1 / bench_emulation.run(*bench_emulation.HOPS[name], PACKETS)}


def through(name: str, _seconds: float) -> dict[str, float]:
    """Send packets of 1500 bytes through a router or a switch."""
    port = bench_topology.ways_through()[name]
    return {"per_s": 1 / bench_topology.timed(port, bench_topology.packet(1500))}


SCENARIOS: Final[dict[str, Callable[[float], dict[str, float]]]] = {
    "bulk": bulk,
    "fast": fast,
    "sleeps": sleeps,
    "events": events,
    "pipe": partial(links, "delay, rate"),
    "pipes": partial(links, "four hops: delay, rate"),
    "switch": partial(through, "switch"),
    "router": partial(through, "router"),
}


if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](float(sys.argv[2]))), flush=True)

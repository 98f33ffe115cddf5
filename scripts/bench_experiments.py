"""What a sweep costs beside its runs: `scripts/python scripts/bench_experiments.py`.

Points of one second of virtual time at 10 Mbit/s are run in bare loops in two processes, by
`pystack.experiments` in two processes, and by two workers of Dask's LocalCluster, in turn. Shown
are the fastest rounds: wall time, processor time of all processes, and how much of two processors
that is. What counts are the ratios: the machine is the same for all three.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

import pystack
from pystack.experiments import Experiment
from pystack.experiments.running import run

PROCESSES: Final = 2
BARE: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from functools import partial
import pystack
from bench_experiments import bulk
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    pystack.run(partial(bulk, seed))
"""


async def bulk(seed: int) -> float:
    """Send for a second over 10 Mbit/s; return the bytes that have come."""
    received = 0
    async with pystack.Network(seed=seed) as net:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay="10ms", rate="10mbit", limit=50)
        listeners = await b.open_tcp_listeners(80)
        stream = await a.open_tcp_stream("b", 80)
        other = await listeners[0].accept()
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, bytes(4 << 20))
                while True:
                    received += len(await other.receive_some())
    return received


def bare(points: int) -> None:
    """Run the points in loops, a process for each half."""
    half = points // PROCESSES
    loops = [
        subprocess.Popen(
            [sys.executable, "-c", BARE, str(Path(__file__).parent), str(first), str(first + half)]
        )
        for first in range(1, points + 1, half)
    ]
    for loop in loops:
        assert loop.wait() == 0


def sweep(points: int, dask: object = None) -> None:
    """Run the points as an experiment."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        experiment = Experiment(bulk, seeds=points)
        run(experiment, to=folder / "r", processes=PROCESSES, dask=dask)  # type: ignore[arg-type]
    finally:
        shutil.rmtree(folder)


def processor_s(pids: list[int]) -> float:
    """Return the processor time of this process, those it waited for, and those that go on."""
    used = sum(
        sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    tick = os.sysconf("SC_CLK_TCK")
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += sum(map(int, fields[11:15])) / tick  # its own, and of those that it waited for
    return used


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-dask", action="store_true")
    asked = parser.parse_args()
    ways: dict[str, Callable[[], None]] = {
        "bare loops": partial(bare, asked.points),
        "processes": partial(sweep, asked.points),
    }
    pids: list[int] = []
    cluster = None
    if not asked.no_dask:
        from distributed import LocalCluster

        cluster = LocalCluster(n_workers=PROCESSES, threads_per_worker=1, dashboard_address=":0")
        ways["Dask"] = partial(sweep, asked.points, cluster.scheduler_address)
        pids = [worker.pid for worker in cluster.workers.values()]
    best: dict[str, tuple[float, float]] = {}
    try:
        for _ in range(asked.rounds):
            for name, way in ways.items():
                began_at, used = time.perf_counter(), processor_s(pids)
                way()
                took = (time.perf_counter() - began_at, processor_s(pids) - used)
                best[name] = min(took, best.get(name, took))
                print(name, *took, file=sys.stderr)
    finally:
        if cluster is not None:
            cluster.close()
    for name, (wall_s, used_s) in best.items():
        base_s, base_used_s = best["bare loops"]
        print(
            f"{name:12} {wall_s:7.2f} s, processors {used_s:7.2f} s "
            f"({used_s / wall_s / PROCESSES:4.0%} of {PROCESSES}); beside bare loops "
            f"{wall_s / base_s:.3f}, processors {used_s / base_used_s:.3f}"
        )


if __name__ == "__main__":
    main()

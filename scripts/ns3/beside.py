"""The same dumbbells in ns-3 and in pystack, side by side: see scripts/beside_ns3."""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pystack
from pystack.experiments import Meter, dumbbell
from pystack.experiments.statistics import jain

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "experiments-validation.md"
BEGIN: Final = "<!-- from here on made by scripts/beside_ns3 -->"
END: Final = "<!-- up to here -->"
SEEDS: Final = (1, 2, 3)
# What ns-3 calls ours. Its BBR is version 1.
CLASSES: Final = {
    "newreno": "TcpLinuxReno",
    "cubic": "TcpCubic",
    "bbr": "TcpBbr",
    "dctcp": "TcpDctcp",
}
PPP_BYTES: Final = 2  # ns-3's point-to-point frames have a header of PPP, ours one of Ethernet
ETHERNET_BYTES: Final = 14
BUFFER_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """A line, and who shares it. Nothing of pystack was tuned on any of these."""

    controls: tuple[str, ...]  # one for each flow
    rate_mbps: float
    delay_ms: float  # of the line between the routers, one way
    limit: int  # packets that wait
    access_ms: tuple[float, ...] = ()  # of each flow's line to the first router; (): 1 ms
    loss: float = 0.0  # 0..1, at random
    mark_ms: float = 0.0  # packets that waited longer are marked; 0: none
    seconds: float = 30.0
    settle: float = 8.0  # left out

    @property
    def accesses_ms(self) -> tuple[float, ...]:
        """The delay of each flow's own line."""
        return self.access_ms or (1.0,) * len(self.controls)

    def starts_s(self, seed: int) -> list[float]:
        """Return when each flow begins: within a second, so that seeds differ."""
        rng = random.Random(seed)
        return [round(rng.uniform(0, 1), 6) for _ in self.controls]

    @property
    def title(self) -> str:
        """The line, in words."""
        rtts = sorted({2 * (self.delay_ms + access) for access in self.accesses_ms})
        parts = [f"{self.rate_mbps:g} Mbit/s", f"{' and '.join(f'{rtt:g}' for rtt in rtts)} ms"]
        parts.append(
            f"marks above {self.mark_ms:g} ms" if self.mark_ms else f"{self.limit} packets"
        )
        return ", ".join([*parts, f"loss {self.loss:.1%}"] if self.loss else parts)


CASES: Final = (
    *(Case((control,), 12, 21, 55) for control in ("newreno", "cubic", "bbr")),
    *(Case((control,) * 2, 12, 21, 55) for control in ("newreno", "cubic", "bbr")),
    *(Case((control,) * 4, 16, 31, 100) for control in ("newreno", "cubic", "bbr")),
    Case(("cubic", "newreno"), 12, 21, 55),
    Case(("cubic", "newreno"), 18, 74, 220),
    Case(("bbr", "cubic"), 12, 21, 44),
    Case(("bbr", "cubic"), 12, 21, 352),
    *(Case((c, c), 12, 9, 60, access_ms=(1, 31)) for c in ("newreno", "cubic", "bbr")),
    Case(("newreno",), 30, 34, 400, loss=0.01),
    Case(("cubic",), 30, 34, 400, loss=0.001),
    Case(("bbr",), 30, 34, 400, loss=0.01, seconds=20, settle=5),
    Case(("dctcp",), 25, 5, 400, mark_ms=4, seconds=20, settle=5),
    Case(("dctcp", "dctcp"), 25, 5, 400, mark_ms=4, seconds=20, settle=5),
)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one run, from `settle` on."""

    goodput_bps: tuple[float, ...]
    queue_mean_s: float
    queue_p95_s: float
    drops: float
    retransmits: float
    cpu_s: float  # of the whole run

    @property
    def jain(self) -> float:
        """Jain's index of fairness; 0: nobody got anything."""
        return jain(self.goodput_bps) or 0.0


def theirs(program: str, case: Case, seed: int) -> Found:
    """Run it in ns-3."""
    words = {
        "controls": ",".join(CLASSES[control] for control in case.controls),
        "access": ",".join(f"{access}ms" for access in case.accesses_ms),
        "starts": ",".join(map(str, case.starts_s(seed))),
        "rate": f"{case.rate_mbps}Mbps",
        "delay": f"{case.delay_ms}ms",
        "limit": case.limit,
        "loss": case.loss,
        "mark": f"{case.mark_ms}ms" if case.mark_ms else "0",
        "seconds": case.seconds,
        "settle": case.settle,
        "seed": seed,
    }
    argv = [program, *(f"{word}={value}" for word, value in words.items())]
    said = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    said["goodput_bps"] = tuple(said["goodput_bps"])
    return Found(**{name: said[name] for name in Found.__dataclass_fields__})


def ours(case: Case, seed: int) -> Found:
    """Run it in pystack."""
    began_s = time.process_time()
    meter = Meter(
        ("queue_delay mean p95", "loss", "retransmits"),
        flows="left*",
        link=("r1", "r2"),
        after_s=case.settle,
    )
    with meter:
        rates = pystack.run(partial(dumbbell, **words_of(case, seed)), seed=seed)
    measures, _ = meter.result()
    return Found(
        goodput_bps=tuple(float(rate or 0) for rate in rates.values()),
        queue_mean_s=float(measures["queue_delay_mean_s"] or 0),
        queue_p95_s=float(measures["queue_delay_p95_s"] or 0),
        drops=float(measures["loss_frames"] or 0),
        retransmits=float(measures["retransmits"] or 0),
        cpu_s=time.process_time() - began_s,
    )


def words_of(case: Case, seed: int) -> dict[str, Any]:
    """Return what `dumbbell` is to be told."""
    config = pystack.TcpConfig(
        congestion=case.controls[0],  # of the receivers: that of DCTCP differs
        quick_acks=0,  # ns-3 has none
    )
    marks = f"codel ecn ce_threshold {case.mark_ms}ms target 500ms"
    return {
        "controls": case.controls,
        "rate": case.rate_mbps * 1e6,
        "delay": case.delay_ms / 1e3,
        "access_delay": [access / 1e3 for access in case.accesses_ms],
        "limit": case.limit,
        "qdisc": marks if case.mark_ms else "",
        "loss": case.loss,
        "overhead": PPP_BYTES - ETHERNET_BYTES,
        "duration": case.seconds,
        "warmup": case.settle,
        "starts": case.starts_s(seed),
        "spread": 0,
        "ecn": "request" if case.mark_ms else None,
        "buffer": BUFFER_BYTES,
        "tcp": config,
        "seed": seed,
    }


def both(program: str, case: Case, seeds: Sequence[int]) -> tuple[list[Found], list[Found]]:
    """Run a case in both, one after the other so that neither has the other's CPU."""
    return [theirs(program, case, seed) for seed in seeds], [ours(case, seed) for seed in seeds]


def row(where: str, case: Case, runs: Sequence[Found]) -> str:
    """Return a line of the table: medians over the seeds."""

    def median(name: str) -> float:
        return statistics.median([float(getattr(found, name)) for found in runs])

    rates = [
        statistics.median(found.goodput_bps[flow] for found in runs) / 1e6
        for flow in range(len(case.controls))
    ]
    cells = (
        where,
        " + ".join(f"{rate:.2f}" for rate in rates),
        f"{median('jain'):.3f}" if len(rates) > 1 else "",
        f"{median('queue_mean_s') * 1e3:.1f} / {median('queue_p95_s') * 1e3:.1f}",
        f"{median('drops'):.0f}",
        f"{median('retransmits'):.0f}",
        f"{median('cpu_s'):.2f}",
    )
    return "| " + " | ".join(cells) + " |"


def tables(results: Sequence[tuple[Case, Sequence[Found], Sequence[Found]]]) -> str:
    """Return them as Markdown."""
    lines = [
        "| | Mbit/s of text | Jain | queue: mean / 95 %, ms | lost | sent again | CPU, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, ns3, found in results:
        lines += [
            f"| **{' + '.join(case.controls)}**: {case.title} | | | | | | |",
            row("ns-3", case, ns3),
            row("pystack", case, found),
        ]
    times = [sum(run.cpu_s for _, *sides in results for run in sides[which]) for which in (0, 1)]
    virtual_s = sum(case.seconds * len(ns3) for case, ns3, _ in results)
    lines += [
        "",
        f"{virtual_s:.0f} s of these networks took ns-3 {times[0]:.0f} s of CPU, and pystack "
        f"{times[1]:.0f} s: {times[1] / times[0]:.1f} times as much.",
    ]
    return "\n".join(lines)


def main(program: str, *words: str) -> None:
    """Run all of it, and write the page."""
    seeds = SEEDS[: int(words[1])] if words[:1] == ("--seeds",) else SEEDS
    done: list[tuple[Case, Sequence[Found], Sequence[Found]]] = []
    with ProcessPoolExecutor() as pool:
        for case, sides in zip(
            CASES, pool.map(partial(both, program, seeds=seeds), CASES), strict=True
        ):
            done.append((case, *sides))
            write(f"{tables(done)}\n\n{len(seeds)} seed{'s' * (len(seeds) > 1)}.")


def write(made: str) -> None:
    """Put it into the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The same dumbbells in ns-3 and in pystack, side by side: see scripts/beside_ns3."""

import argparse
import json
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pystack
from pystack.experiments import Meter, dumbbell
from pystack.experiments.statistics import jain

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "experiments-validation.md"
BEGIN: Final = "<!-- from here on made by scripts/beside_ns3 -->"
END: Final = "<!-- up to here -->"
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
    back_mbps: float = 0.0  # the rate of the way back; 0: the same
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
        if self.loss:
            parts.append(f"loss {self.loss * 100:g}%")
        if self.back_mbps:
            parts.append(f"{self.back_mbps:g} Mbit/s back")
        return ", ".join(parts)


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
    Case(("bbr",), 30, 34, 400, loss=0.01, seconds=12, settle=4),
    Case(("dctcp",), 25, 5, 400, mark_ms=4, seconds=20, settle=5),
    Case(("dctcp", "dctcp"), 25, 5, 400, mark_ms=4, seconds=20, settle=5),
    # Further away from what controls were tried on: slow and far, fast and near, short queues and
    # deep ones, few losses, few ACKs.
    *(Case((c,), 2, 149, 25, seconds=60, settle=15) for c in ("cubic", "bbr")),
    *(Case((c,), 100, 14, 62, seconds=5, settle=2) for c in ("cubic", "bbr")),
    *(Case((c,), 500, 1.5, 208, seconds=2.2, settle=1.2) for c in ("cubic", "bbr")),
    *(Case((c,), 12, 49, 800, seconds=24, settle=8) for c in ("cubic", "bbr")),
    *(Case((c,), 20, 74, 250, loss=0.0002, seconds=20, settle=6) for c in ("cubic", "bbr")),
    *(Case((c,), 20, 24, 83, back_mbps=0.3, seconds=12, settle=4) for c in ("cubic", "bbr")),
    *(Case((c, c), 20, 9, 75, access_ms=(1, 51), seconds=16, settle=4) for c in ("cubic", "bbr")),
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
        # An ACK of 52 bytes has two more as a frame there, and fourteen here.
        "back": f"{(case.back_mbps * 54 / 66) or case.rate_mbps:.6f}Mbps",
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
        "back_rate": case.back_mbps * 1e6 or None,
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


def both(program: str, case: Case, seed: int, kept: Path | None) -> tuple[Found, Found]:
    """Run a case in both, one after the other so that neither has the other's CPU; keep it."""
    ns3, found = theirs(program, case, seed), ours(case, seed)
    if kept:
        said = {"case": repr(case), "seed": seed, "ns3": asdict(ns3), "pystack": asdict(found)}
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")
    return ns3, found


def spread(values: Sequence[float], digits: int) -> str:
    """Return a median, and the least and the most of the seeds where they differ."""
    low, median, high = (
        f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values))
    )
    return median if low == high else f"{median} ({low} to {high})"


def row(where: str, case: Case, runs: Sequence[Found]) -> str:
    """Return a line of the table: over the seeds."""
    rates = [
        spread([found.goodput_bps[flow] / 1e6 for found in runs], 2)
        for flow in range(len(case.controls))
    ]
    cells = (
        where,
        " + ".join(rates),
        spread([found.jain for found in runs], 3) if len(rates) > 1 else "",
        spread([found.queue_mean_s * 1e3 for found in runs], 1),
        spread([found.queue_p95_s * 1e3 for found in runs], 1),
        spread([found.drops for found in runs], 0),
        spread([found.retransmits for found in runs], 0),
        f"{statistics.median([found.cpu_s for found in runs]):.2f}",
    )
    return "| " + " | ".join(cells) + " |"


Sides = tuple[list[Found], list[Found]]


def tables(results: Mapping[Case, Sides]) -> str:
    """Return them as Markdown."""
    lines = [
        "| | Mbit/s of text | Jain | queue, mean, ms | queue, 95 %, ms | lost | sent again "
        "| CPU, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, (ns3, found) in results.items():
        lines += [
            f"| **{' + '.join(case.controls)}**: {case.title} | | | | | | | |",
            row("ns-3", case, ns3),
            row("pystack", case, found),
        ]
    times = [sum(run.cpu_s for sides in results.values() for run in sides[side]) for side in (0, 1)]
    virtual_s = sum(case.seconds * len(ns3) for case, (ns3, _) in results.items())
    most = max(len(ns3) for ns3, _ in results.values())
    lines += [
        "",
        f"{virtual_s:.0f} s of these networks took ns-3 {times[0]:.0f} s of CPU, and pystack "
        f"{times[1]:.0f} s: {times[1] / times[0]:.1f} times as much. "
        + (f"Medians of {most} seeds, and their range." if most > 1 else "One seed."),
    ]
    return "\n".join(lines)


_LOOKED_AT: Final[Mapping[str, Callable[[Found], float]]] = {
    "Mbit/s": lambda found: sum(found.goodput_bps) / 1e6,
    "first flow's, Mbit/s": lambda found: found.goodput_bps[0] / 1e6,
    "queue, ms": lambda found: found.queue_mean_s * 1e3,
    "lost": lambda found: found.drops,
}


def apart(case: Case, sides: Sides) -> list[str]:
    """Return in what the ranges of the seeds have nothing in common."""
    said = []
    for name, of in _LOOKED_AT.items():
        (low, high), (least, most) = ((min(map(of, side)), max(map(of, side))) for side in sides)
        if least > high or most < low:
            said.append(f"{name}: ns-3 {low:.2f} to {high:.2f}, pystack {least:.2f} to {most:.2f}")
    return said


def read(kept: Path) -> dict[tuple[str, int], tuple[Found, Found]]:
    """Return what is known of former runs."""
    known = {}
    for line in kept.read_text("utf-8").splitlines() if kept.exists() else ():
        said = json.loads(line)
        sides = []
        for side in ("ns3", "pystack"):
            said[side]["goodput_bps"] = tuple(said[side]["goodput_bps"])
            sides.append(Found(**said[side]))
        known[said["case"], said["seed"]] = (sides[0], sides[1])
    return known


def main() -> None:
    """Run all of it, or what is not known yet, and write the page."""
    parser = argparse.ArgumentParser(prog="scripts/beside_ns3")
    parser.add_argument("program", help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=int, default=3, help="how many of each line (default: 3)")
    parser.add_argument("--only", type=int, nargs="+", help="these lines, from 0; no page")
    parser.add_argument("--processes", type=int, help="at a time (default: one a processor)")
    parser.add_argument(
        "--keep", type=Path, help="a file of what was found, a line a run: it is added to, and "
        "what is in it is not run again"
    )  # fmt: skip
    words = parser.parse_args()
    kept: Path | None = words.keep
    known = read(kept) if kept else {}
    cases = [CASES[number] for number in words.only] if words.only else CASES
    jobs = [(case, seed) for seed in range(1, words.seeds + 1) for case in cases]
    missing = [(case, seed) for case, seed in jobs if (repr(case), seed) not in known]
    pool = ProcessPoolExecutor(words.processes)
    try:
        running = [pool.submit(both, words.program, *job, kept) for job in missing]
        for (case, seed), done in zip(missing, running, strict=True):
            known[repr(case), seed] = done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C: no more than what has begun
    results: dict[Case, Sides] = {}
    for case, seed in jobs:
        for side, one in zip(
            results.setdefault(case, ([], [])), known[repr(case), seed], strict=True
        ):
            side.append(one)
    for case, both_sides in results.items():
        for sentence in apart(case, both_sides):
            print(f"{' + '.join(case.controls)}: {case.title}: {sentence}")
    made = tables(results)
    if words.only:
        print(made)
    else:
        write(made)


def write(made: str) -> None:
    """Put it into the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()

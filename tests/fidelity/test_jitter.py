"""Jitter keeps what was asked for: the distribution, the order, the rate, and a correlation."""

import math
from itertools import pairwise
from statistics import NormalDist, fmean, pstdev

import pytest
from impair_statistics import autocorrelation, kolmogorov_smirnov_holds, normal_cdf

from pystack.core.rng import Random
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.impair.distribution import Table, parse_distribution
from pystack.link.impair.jitter import Copula, Ordered, normal_correlation
from pystack.link.pipe import Pipe
from pystack.wire.frame import Frame

DELAY_S, JITTER_S = 0.1, 0.01
TWO_HUMPS: Table = tuple(
    middle + NormalDist().inv_cdf((number + 0.5) / 512) / 2
    for middle in (-1.0, 1.0)
    for number in range(512)
)
SAMPLES: Table = tuple(Random(9).gauss(0.0, 1.0) for _ in range(100))  # two of them nearly alike
DISTRIBUTIONS = {
    "uniform": None,
    "normal": parse_distribution("normal"),
    "pareto": parse_distribution("pareto"),
    "paretonormal": parse_distribution("paretonormal"),
    "two humps": TWO_HUMPS,
    "three values": (-1.0, 0.0, 0.5),
    "one value": (0.5,),
    "one value often": (0.5,) * 99,
    "a hundred samples": SAMPLES,
    "mostly one value": (0.0,) * 3000 + tuple(number / 250 for number in range(-500, 500)),
    "two values often": (-1.0,) * 3000 + (1.0,) * 1000,
}


def moments(table: Table | None) -> tuple[float, float]:
    """Return the mean and the standard deviation that are asked for, in jitters."""
    return (0.0, 1 / math.sqrt(3)) if table is None else (fmean(table), pstdev(table))


def times(gaps_s: list[float], size: int = 60, seed: int = 1, **words: object) -> list[list[float]]:
    """Return when frames with these gaps were sent, and when each arrived."""
    scheduler = Scheduler(0.0)
    arrived = [0.0] * len(gaps_s)

    def take(frame: Frame, now: float) -> None:
        arrived[int.from_bytes(frame.data[:4], "big")] = now

    config = PipeConfig.parse(delay=DELAY_S, jitter=JITTER_S, **words)
    pipe = Pipe(scheduler, take, config, Random(seed))
    sent = []
    now = 0.0
    for number, gap_s in enumerate(gaps_s):
        now += gap_s
        sent.append(now)
        scheduler.run_due(now)
        pipe.send(Frame(number.to_bytes(4, "big") + bytes(size - 4)), now)
    scheduler.run_due(math.inf)
    return [sent, arrived]


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize("pps", [10, 50, 200, 1000, 5000, 20_000])
def test_mean_and_spread_do_not_depend_on_how_close_frames_are(distribution: str, pps: int) -> None:
    count = max(5000, 4 * pps)
    sent, arrived = times([1 / pps] * count, distribution=distribution)
    delays = [(at - when) for when, at in zip(sent, arrived, strict=True)]
    deviation_s = JITTER_S * moments(parse_distribution(distribution))[1]
    assert fmean(delays) == pytest.approx(DELAY_S, rel=0.01)
    assert pstdev(delays) == pytest.approx(deviation_s, rel=0.05)
    assert arrived == sorted(arrived)
    assert len(set(arrived)) == count  # no two at one instant


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(("idle", "count"), [(0.1, 200_000), (2.5, 40_000)])
def test_each_distribution_is_kept_over_a_long_time(
    distribution: str, idle: float, count: int
) -> None:
    table = DISTRIBUTIONS[distribution]
    jitter = Ordered(Random(3), table, 0.0)
    numbers = [jitter.after(idle) for _ in range(count)]
    mean, deviation = moments(table)
    assert fmean(numbers) == pytest.approx(mean, abs=0.05)
    assert pstdev(numbers) == pytest.approx(deviation, rel=0.05, abs=1e-9)
    assert max(before - after for before, after in pairwise(numbers)) < idle


@pytest.mark.parametrize("steps", [[0.05] * 3, [1.0], [0.7, 4.0, 0.7], [9.0]])
def test_at_every_instant_it_is_the_distribution_that_was_asked_for(steps: list[float]) -> None:
    """Over 4,000 links, not over time: no instant is like another, and none is special."""
    numbers = []
    for seed in range(4000):
        jitter = Ordered(Random(seed), DISTRIBUTIONS["normal"], 0.0)
        numbers.append([jitter.after(idle) for idle in (math.inf, *steps)][-1])
    assert kolmogorov_smirnov_holds(numbers, normal_cdf)


@pytest.mark.parametrize("load", [0.3, 0.94, 0.999])
def test_no_two_frames_come_closer_than_the_line_can_carry_them(load: float) -> None:
    rng = Random(5)
    busy_s = 1000 * 8 / 10e6
    gaps = [rng.expovariate(load / busy_s) for _ in range(5000)]
    for words in ({}, {"distribution": "pareto"}, {"qdisc": "fq_codel"}):
        _, arrived = times(gaps, size=1000, rate="10mbit", **words)
        passed = sorted(at for at in arrived if at)
        least = min(after - before for before, after in pairwise(passed))
        assert least > busy_s - 1e-9


def test_a_line_that_is_always_busy_has_no_room_for_jitter_and_no_drift() -> None:
    _, arrived = times([0.0] * 1000, size=1000, rate="10mbit", limit=2000)
    assert arrived[-1] - arrived[0] == pytest.approx(999 * 0.0008, abs=1e-9)


def test_a_delay_that_is_made_shorter_lets_none_overtake_nor_come_faster_than_the_rate() -> None:
    scheduler = Scheduler(0.0)
    arrived: list[float] = []
    config = PipeConfig.parse(delay="50ms", rate="10mbit")
    pipe = Pipe(scheduler, lambda frame, now: arrived.append(now), config, Random(1))
    pipe.send(Frame(bytes(1000)), 0.0)
    scheduler.run_due(0.001)
    pipe.configure(config.updated(delay="1ms"))
    for _ in range(3):
        pipe.send(Frame(bytes(1000)), 0.001)
    scheduler.run_due(1.0)
    assert arrived == pytest.approx([0.0508, 0.0516, 0.0524, 0.0532], abs=1e-9)


@pytest.mark.parametrize(
    "distribution", ["uniform", "normal", "pareto", "paretonormal", "two humps"]
)
@pytest.mark.parametrize("rho", [0.25, 0.5, 0.9])
def test_correlation_keeps_the_spread_and_is_what_was_asked_for(
    distribution: str, rho: float
) -> None:
    table = DISTRIBUTIONS[distribution]
    source = Copula(Random(2), table, rho)
    numbers = [source.draw() for _ in range(50_000)]
    mean, deviation = moments(table)
    assert fmean(numbers) == pytest.approx(mean, abs=0.03)
    assert pstdev(numbers) == pytest.approx(deviation, rel=0.03)
    assert autocorrelation(numbers) == pytest.approx(rho, abs=0.02)


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.9])
def test_in_order_frames_far_apart_have_the_correlation_and_near_ones_more(rho: float) -> None:
    table = DISTRIBUTIONS["normal"]
    for idle, count in ((8.0, 20_000), (6.0, 20_000), (0.5, 30_000)):
        jitter = Ordered(Random(2), table, rho)
        numbers = [jitter.after(idle) for _ in range(count)]
        assert pstdev(numbers) == pytest.approx(1.0, rel=0.05)
        if idle > 7.5:
            assert autocorrelation(numbers) == pytest.approx(rho, abs=0.02)
        elif rho:
            assert autocorrelation(numbers) > rho - 0.03


def test_the_normal_correlation_of_a_normal_table_is_the_correlation_itself() -> None:
    assert normal_correlation(DISTRIBUTIONS["normal"], 0.5) == pytest.approx(0.5, abs=0.002)
    assert normal_correlation(None, 0.0) == 0.0
    assert normal_correlation(None, 1.0) == pytest.approx(1.0)

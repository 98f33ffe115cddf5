"""Delays, rates and the order of frames are as ordered: 100,000 packets each, fixed seeds."""

from pathlib import Path
from statistics import NormalDist

import pytest
from impair_line import PACKETS, Line
from impair_statistics import (
    autocorrelation,
    inverse,
    kolmogorov_smirnov_holds,
    normal_cdf,
    rate_holds,
)

FREE = {"delay": 0.1, "jitter": 0.01, "reorder_by_jitter": True}


def in_jitters(line: Line) -> list[float]:
    """Return how many jitters each delay is off the mean."""
    return [(delay - 0.1) / 0.01 for delay in line.delays_s]


def pareto_cdf(x: float) -> float:
    """Netem's: shape 3, less its mean, times 4/3; nothing beyond 4 jitters."""
    return 1.0 if x > 3.999 else 1 - (x * 3 / 4 + 1.5) ** -3


def paretonormal_quantile(u: float) -> float:
    pareto = min(((1 - u) ** (-1 / 3) - 1.5) * 4 / 3, 4.0)
    return (NormalDist().inv_cdf(u) + 3 * pareto) / 4


def test_the_default_distribution_is_uniform() -> None:
    line = Line(**FREE)
    assert kolmogorov_smirnov_holds(in_jitters(line), lambda x: min(max((x + 1) / 2, 0.0), 1.0))


def test_normal() -> None:
    line = Line(distribution="normal", **FREE)
    assert kolmogorov_smirnov_holds(in_jitters(line), normal_cdf)


def test_pareto() -> None:
    line = Line(distribution="pareto", **FREE)
    assert kolmogorov_smirnov_holds(in_jitters(line), pareto_cdf)


def test_paretonormal() -> None:
    line = Line(distribution="paretonormal", **FREE)
    assert kolmogorov_smirnov_holds(in_jitters(line), inverse(paretonormal_quantile))


def test_the_statistics_find_a_jitter_that_is_off_by_a_fiftieth() -> None:
    line = Line(distribution="normal", **{**FREE, "jitter": 0.0102})
    assert not kolmogorov_smirnov_holds(in_jitters(line), normal_cdf)


def test_the_values_of_a_table_file_come_equally_often(tmp_path: Path) -> None:
    file = tmp_path / "table"
    file.write_text("-8192 -8192 8192 -4096")
    line = Line(distribution=file, **FREE)
    values = [round(value, 6) for value in in_jitters(line)]
    assert set(values) == {-1.0, 1.0, -0.5}
    assert rate_holds(values.count(-1.0), PACKETS, 0.5)
    assert rate_holds(values.count(1.0), PACKETS, 0.25)


@pytest.mark.parametrize("rho", [0.25, 0.75])
def test_delays_follow_each_other_with_their_correlation(rho: float) -> None:
    line = Line(correlation=rho, **FREE)
    assert autocorrelation(in_jitters(line)) == pytest.approx(rho, abs=0.01)


def test_frames_keep_their_order_unless_it_is_asked_for() -> None:
    words = {"delay": 0.1, "jitter": 0.09, "spacing_s": 0.001}
    assert Line(**words).numbers == list(range(PACKETS))
    assert Line(reorder_by_jitter=True, **words).numbers != list(range(PACKETS))


@pytest.mark.parametrize(
    "words",
    [
        {"rate": "10mbit"},
        {"rate": "10mbit", "delay": "20ms"},
        {"rate": "10mbit", "qdisc": "pfifo_head_drop limit 200000"},
        {"rate": "10mbit", "qdisc": "fq_codel limit 200000 target 1h interval 1h"},
        {"rate": "12mbit", "overhead": 20},  # 100 bytes are 120
        {"rate": "10.6mbit 0 50 3"},  # 2 cells of 53 bytes
    ],
)
def test_the_rate_is_kept_within_a_thousandth(words: dict[str, object]) -> None:
    line = Line(**({} if "qdisc" in words else {"limit": 200_000}), **words)
    assert len(line.times) == PACKETS
    first, last = line.times[0], line.times[-1]
    measured_bps = (PACKETS - 1) * 100 * 8 / (last - first)
    assert measured_bps == pytest.approx(10e6, rel=1e-3)
    assert measured_bps == pytest.approx(10e6, rel=1e-9)  # in virtual time it is exact


def test_a_link_that_is_full_loses_just_what_is_too_much() -> None:
    line = Line(rate="10mbit", limit=100, spacing_s=0.00004)  # 20 Mbit/s come in
    assert len(line.numbers) == pytest.approx(PACKETS / 2 + 100, abs=2)
    assert line.pipe.counters["pfifo_full"] == PACKETS - len(line.numbers)

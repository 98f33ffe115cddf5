"""Medians with intervals, and pairs: against what is known of distributions, with fixed seeds."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import ConfigError
from pystack.experiments.statistics import Estimate, jain, median, paired, quantile

NUMBERS = st.floats(-1e9, 1e9)


@given(st.lists(NUMBERS, min_size=2, max_size=30), st.sampled_from([0.0, 0.25, 0.5, 0.95, 1.0]))
def test_an_interval_is_within_what_was_seen_and_is_the_same_each_time(
    values: list[float], q: float
) -> None:
    found = quantile(values, q, resamples=200)
    assert found == quantile(reversed(values), q, resamples=200)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert min(values) <= found.low <= found.high <= max(values)
    assert found.count == len(values)


def test_one_run_has_no_interval_and_none_has_nothing() -> None:
    assert median([3.0]) == Estimate(3.0, None, None, None, 1)
    assert median([]) is None
    assert median([None, math.nan, math.inf]) is None
    assert median([None, 4, math.nan, 6.0]) == median([4.0, 6.0])


@pytest.mark.parametrize(("count", "confidence"), [(2, 0.5), (3, 0.75), (4, 0.875), (5, 0.9375)])
def test_few_runs_have_their_range_and_claim_no_more_than_it_holds(
    count: int, confidence: float
) -> None:
    values = [Random(count).gauss(0, 1) for _ in range(count)]
    found = median(values)
    assert found is not None
    assert (found.low, found.high) == (min(values), max(values))
    assert (found.confidence, found.is_range) == (confidence, True)
    assert median([1.0] * 6).is_range is False  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("count", "least", "most"),
    # What the range of so few holds is known; else 95 % are asked for, and not much more is had.
    [
        (2, 0.44, 0.56),
        (3, 0.69, 0.81),
        (5, 0.90, 0.97),
        (7, 0.93, 1),
        (12, 0.93, 0.99),
        (40, 0.92, 0.98),
    ],
)
def test_intervals_hold_the_median_as_often_as_they_say(
    count: int, least: float, most: float
) -> None:
    rng = Random(count)
    held = 0
    for _ in range(300):
        found = quantile([rng.expovariate(1) for _ in range(count)], 0.5, resamples=1000)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= math.log(2) <= found.high
    assert least <= held / 300 <= most


def test_more_runs_make_a_narrower_interval() -> None:
    rng = Random(1)
    widths = []
    for count in (10, 100, 1000):
        found = median(rng.gauss(10, 1) for _ in range(count))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]
    # The standard error of the median of a normal distribution is 1.253 of the mean's.
    assert widths[2] == pytest.approx(2 * 1.96 * 1.253 / math.sqrt(1000), rel=0.2)


def test_pairs_see_what_medians_do_not() -> None:
    """Seeds differ by far more than the two controls do, and each pair by a tenth."""
    base = {seed: 2.0**seed for seed in range(10)}
    better = {seed: 1.1 * value for seed, value in base.items()}
    found = paired(better, base)
    assert found is not None
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1.1)
    assert (found.ratio.low, found.ratio.high) == (pytest.approx(1.1), pytest.approx(1.1))
    apart = [median(better.values()), median(base.values())]
    assert apart[0] is not None
    assert apart[0].low is not None
    assert apart[1] is not None
    assert apart[0].low < apart[1].value


def test_pairs_that_lack_one_are_counted_and_not_compared() -> None:
    found = paired({1: 2.0, 2: None, 3: 4.0, 4: 1.0}, {1: 1.0, 2: 1.0, 3: 0.0, 5: 1.0})
    assert found is not None
    assert found.ratio == Estimate(2.0, None, None, None, 1)  # of 0 there is none
    assert found.difference.count == 2
    assert found.left_out == 3
    assert paired({1: 1.0}, {2: 1.0}) is None


def test_jain_is_1_for_the_same_and_1_nth_for_one_who_has_all() -> None:
    assert jain([5, 5, 5]) == pytest.approx(1)
    assert jain([9, 0, 0]) == pytest.approx(1 / 3)
    assert jain([1.0, 2.0, 3.0]) == pytest.approx(36 / 42)
    assert jain([4.0]) == 1
    assert jain([0, 0]) is None
    assert jain([]) is None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"q": 1.5}, "quantile 1.5 is outside 0..1"),
        ({"q": 0.5, "confidence": 95}, "confidence 95 is not between 0 and 1: use 0.95"),
        ({"q": 0.5, "resamples": 0}, "0 resamples are none"),
    ],
)
def test_what_is_no_quantile_is_named(wrong: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        quantile([1.0, 2.0], **wrong)  # type: ignore[arg-type]

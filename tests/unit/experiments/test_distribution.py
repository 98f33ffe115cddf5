"""Quantiles in bounded memory, against the definitions and against numpy."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.experiments.measures.distribution import (
    Distribution,
    Weighted,
    quantile,
    statistic,
)

VALUES = st.lists(st.floats(0, 1e12), min_size=1, max_size=60)
PARTS = st.floats(0, 1)


@given(values=VALUES, part=PARTS)
def test_few_values_have_the_quantiles_of_numpy(values: list[float], part: float) -> None:
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    assert len(distribution.values) == len(values)
    expected = numpy.quantile(values, part)
    assert distribution.quantile(part) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert distribution.mean() == pytest.approx(numpy.mean(values))


@given(values=st.lists(st.floats(1e-9, 1e12), min_size=20, max_size=200), part=PARTS)
def test_many_values_have_quantiles_that_are_off_by_a_thousandth(
    values: list[float], part: float
) -> None:
    distribution = Distribution(exact_values=10)
    for value in values:
        distribution.add(value)
    assert len(distribution.values) < len(values)
    assert len(distribution) == len(values)
    found = distribution.quantile(part)
    known = sorted(values)
    at = part * (len(known) - 1)
    nearest = {known[int(at)], known[min(int(at) + 1, len(known) - 1)]}
    assert any(found == pytest.approx(value, rel=1e-3) for value in nearest)
    assert distribution.quantile(0.0) == known[0]
    assert distribution.quantile(1.0) == known[-1]
    assert distribution.mean() == pytest.approx(sum(values) / len(values))


@given(one=VALUES, other=VALUES, most=st.sampled_from([5, 1000]))
def test_distributions_are_merged_as_if_they_had_been_one(
    one: list[float], other: list[float], most: int
) -> None:
    both, first, second = (Distribution(most) for _ in range(3))
    for value in (*one, *other):
        both.add(value)
    for value in one:
        first.add(value)
    for value in other:
        second.add(value)
    first.merge(second)
    for part in (0.0, 0.3, 0.5, 0.99, 1.0):
        assert first.quantile(part) == pytest.approx(both.quantile(part), rel=1e-3)
    assert len(first) == len(both)


def test_a_value_counts_for_as_long_as_it_held() -> None:
    weighted = Weighted()
    weighted.add(10.0, 9.0)
    weighted.add(100.0, 1.0)
    weighted.add(1000.0, 0.0)
    assert weighted.quantile(0.5) == weighted.quantile(0.9) == 10.0
    assert weighted.quantile(0.95) == weighted.quantile(1.0) == 100.0
    assert weighted.mean() == pytest.approx(19.0)
    assert Weighted().quantile(0.5) is None
    assert Weighted().mean() is None


def test_nothing_has_no_quantile() -> None:
    assert Distribution().quantile(0.5) is None
    assert Distribution().mean() is None
    assert statistic([], "mean", None) is None


def test_a_few_values_have_sums_means_and_quantiles() -> None:
    assert statistic([3.0, 1.0, 2.0], "sum", None) == 6.0
    assert statistic([3.0, 1.0, 2.0], "mean", None) == 2.0
    assert quantile([1.0, 2.0], 0.5) == 1.5

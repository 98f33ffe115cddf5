"""Numbers with units, as tables and axes show them."""

import pytest

from pystack.experiments.model import Value
from pystack.experiments.quantities import (
    Scale,
    axis_of,
    number_text,
    scale_of,
    seeds_text,
    value_text,
)


@pytest.mark.parametrize(
    ("unit", "values", "scale"),
    [
        ("bit/s", [9.4e6, 1e3], Scale(1e6, "Mbit/s")),
        ("bps", [2e9], Scale(1e9, "Gbit/s")),
        ("s", [0.0123, None], Scale(1e-3, "ms")),
        ("s", [1e-9], Scale(1e-6, "µs")),
        ("s", [12.0], Scale(1, "s")),
        ("s", [], Scale(1, "s")),
        ("frames", [1e6], Scale(1, "frames")),
        ("", [0.5], Scale(1, "")),
        ("bytes", [float("inf"), 2e3], Scale(1e3, "kB")),
    ],
)
def test_the_largest_value_decides_how_all_are_shown(
    unit: str, values: list[float | None], scale: Scale
) -> None:
    assert scale_of(unit, values) == scale


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *[(9.4123456, "9.412"), (0.0, "0"), (12345.6, "12346"), (100, "100"), (0.01, "0.01")],
        *[(1.5e-7, "1.5e-07"), (3e9, "3e+09"), (-2.5, "-2.5"), (99999, "99999")],
    ],
)
def test_numbers_have_four_digits(number: float, text: str) -> None:
    assert number_text(number) == text


def test_values_are_shown_as_files_have_them() -> None:
    values: list[Value] = [True, 0.1 + 0.2, 50, "10ms"]
    assert [value_text(value) for value in values] == ["true", "0.3", "50", "10ms"]


@pytest.mark.parametrize(
    ("values", "numbers", "unit", "is_log"),
    [
        (["10ms", "50ms", "0.1s"], [0.01, 0.05, 0.1], "s", False),
        (["1mbit", "10mbit", "100mbit"], [1e6, 1e7, 1e8], "bit/s", True),
        (["0.01%", "1%", "10%"], [0.01, 1, 10], "%", True),
        ([0.0001, 0.001, 0.01], [0.0001, 0.001, 0.01], "", True),
        ([1, 2, 5, 10, 20, 50], [1, 2, 5, 10, 20, 50], "", True),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], list(range(1, 11)), "", False),
        ([0, 1, 10, 100], [0, 1, 10, 100], "", False),
        ([10, 30, 50, 70, 100], [10, 30, 50, 70, 100], "", False),
        (["0.5bdp", "1bdp", "4bdp"], [0.5, 1, 4], "bdp", True),
        (["1", "2"], [1, 2], "", False),
    ],
)
def test_parameters_are_numbers_on_an_axis(
    values: list[Value], numbers: list[float], unit: str, is_log: bool
) -> None:
    axis = axis_of(values)
    assert axis is not None
    assert list(axis.numbers.values()) == pytest.approx(numbers)
    assert (axis.unit, axis.is_log) == (unit, is_log)


@pytest.mark.parametrize(
    "values", [["cubic", "bbr"], [True, False], [], [50, "auto"], ["1ms", "1"], ["1bdp", "2"]]
)
def test_words_are_no_numbers(values: list[Value]) -> None:
    assert axis_of(values) is None


def test_seeds_are_told_in_a_few_words() -> None:
    seeds: list[list[int]] = [[7], [1, 2, 3], [3, 7], list(range(0, 20, 2))]
    assert [seeds_text(each) for each in seeds] == ["seed 7", "seeds 1-3", "seeds 3, 7", "10 seeds"]

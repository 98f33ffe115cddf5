"""Quantities in tc(8)'s words."""

import contextlib
import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import ConfigError
from pystack.core.units import (
    parse_fraction,
    parse_probability,
    parse_rate_bps,
    parse_size_bytes,
    parse_time_s,
)


@pytest.mark.parametrize(
    ("text", "bps"),
    [
        ("1bit", 1),
        (9600, 9600),
        ("64kbit", 64_000),
        ("10mbit", 10_000_000),
        ("10Mbit", 10_000_000),
        ("2.5gbit", 2_500_000_000),
        ("1tbit", 1e12),
        ("1kibit", 1024),
        ("1mibit", 2**20),
        ("1gibit", 2**30),
        ("1tibit", 2**40),
        # "bps" are bytes
        ("1bps", 8),
        ("100kbps", 800_000),
        ("1mbps", 8e6),
        ("1gbps", 8e9),
        ("1kibps", 8 * 1024),
        ("1mibps", 8 * 2**20),
        ("1gibps", 8 * 2**30),
        ("1tibps", 8 * 2**40),
        (" 1e3 kbit ", 1e6),
        (0.5, 0.5),
    ],
)
def test_rates(text: str | float, bps: float) -> None:
    assert parse_rate_bps(text) == bps


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("300us", 300e-6),
        ("300usecs", 300e-6),
        ("7ns", 7e-9),
        ("7nsec", 7e-9),
        ("7nsecs", 7e-9),
        ("1sec", 1),
        ("2secs", 2),
        ("2msec", 0.002),
        ("2msecs", 0.002),
        ("2usec", 2e-6),
        ("2min", 120),
        ("1h", 3600),
        (0.25, 0.25),
        ("0", 0),
        (0, 0),
    ],
)
def test_times(text: str | float, seconds: float) -> None:
    assert parse_time_s(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1500", 1500),
        ("1500b", 1500),
        ("64kb", 65536),
        ("64k", 65536),
        ("1mb", 2**20),
        ("1m", 2**20),
        ("2g", 2**31),
        ("2gb", 2**31),
        ("8kbit", 1024),
        ("8mbit", 2**20),
        ("1gbit", 2**27),
        (12, 12),
    ],
)
def test_sizes(text: str | float, size: int) -> None:
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "probability"),
    [("1%", 0.01), ("0.5%", 0.005), ("100%", 1.0), ("0", 0.0), (0.3, 0.3), (1, 1.0)],
)
def test_probabilities(text: str | float, probability: float) -> None:
    assert parse_probability(text) == pytest.approx(probability, rel=1e-12)


@pytest.mark.parametrize("parse", [parse_rate_bps, parse_time_s, parse_size_bytes])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "fast",
        "10 apples",
        "-1",
        "1 2",
        "1e",
        "ms",
        "0x10",
        "nan",
        "inf",
        "1e999",
        "1,5",
        -1,
        -0.001,
        math.nan,
        math.inf,
    ],
)
def test_what_is_no_quantity_is_refused(parse: object, value: str | float) -> None:
    with pytest.raises(ConfigError):
        parse(value)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "parse"),
    [("10mbit", parse_time_s), ("20ms", parse_rate_bps), ("1%", parse_size_bytes)],
)
def test_a_unit_of_another_kind_is_refused_and_the_right_ones_are_named(
    text: str, parse: object
) -> None:
    with pytest.raises(ConfigError, match="units: "):
        parse(text)  # type: ignore[operator]


def test_a_number_that_no_float_can_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="finite"):
        parse_size_bytes(10**400)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave it out"):
        parse_rate_bps("0mbit")


@pytest.mark.parametrize("value", ["101%", 1.1, 2, "3ms"])
def test_a_probability_above_one_is_refused(value: str | float) -> None:
    with pytest.raises(ConfigError):
        parse_probability(value)


@given(st.integers(0, 10**9), st.sampled_from([("ms", 1e-3), ("us", 1e-6), ("s", 1.0)]))
def test_a_time_is_its_number_times_its_unit(number: int, unit: tuple[str, float]) -> None:
    assert parse_time_s(f"{number}{unit[0]}") == number * unit[1]


@pytest.mark.parametrize(
    ("parse", "text", "both"),
    [
        (parse_time_s, "50", "50 us (tc) or 50 s? Write 50us, 50ms or 50s"),
        (parse_time_s, "0.05", "0.05 us (tc) or 0.05 s?"),
        (parse_rate_bps, "10", "10 bit/s (tc) or 10 Mbit/s? Write 10bit or 10mbit"),
        (parse_probability, "1", "1 % (tc) or 100 %? Write 1% or 100%, or 0.01 as a number"),
        (parse_probability, "0.5", "0.5 % (tc) or 50 %? Write 0.5% or 50%, or 0.005 as a number"),
        (parse_probability, "25", "25 % (tc)? Write 25%, or 0.25 as a number"),
    ],
)
def test_a_text_without_a_unit_is_refused_and_both_readings_are_named(
    parse: Callable[[str], float], text: str, both: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{text!r} has no unit: {both}")):
        parse(text)


def test_a_fraction_is_one_where_tc_too_takes_bare_text_for_it() -> None:
    assert parse_fraction("0.02") == parse_fraction("2%") == parse_fraction(0.02) == 0.02
    with pytest.raises(ConfigError, match="above 1"):
        parse_fraction("2")


@given(st.floats(0, 1e12, allow_nan=False))
def test_a_number_is_in_the_unit_of_the_result(value: float) -> None:
    assert parse_time_s(f"{value!r}s") == parse_time_s(value) == value


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_config_error(text: str) -> None:
    for parse in (parse_rate_bps, parse_time_s, parse_size_bytes, parse_probability):
        with contextlib.suppress(ConfigError):
            assert parse(text) >= 0

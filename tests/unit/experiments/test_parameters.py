"""Parameters: lists, ranges, zips, samples, and the order of their product."""

import json
from itertools import pairwise, product
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack import ConfigError
from pystack.core.units import parse_probability, parse_time_s
from pystack.experiments import Axis, Span, log_span, sample, span, zipped
from pystack.experiments.parameters import space_of, space_of_json

TIMES: Final = ("us", "ms", "s")


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (span("10ms", "100ms", steps=5), ("10ms", "32.5ms", "55ms", "77.5ms", "100ms")),
        (span("500us", "5ms", steps=4), ("500us", "2ms", "3.5ms", "5ms")),
        (span("100ms", "10ms", steps=3), ("100ms", "55ms", "10ms")),
        (span("0", "10ms", steps=3), ("0", "5ms", "10ms")),
        (log_span("1mbit", "1gbit", steps=4), ("1mbit", "10mbit", "100mbit", "1gbit")),
        (log_span("1gbit", "1mbit", steps=4), ("1gbit", "100mbit", "10mbit", "1mbit")),
        (
            log_span("0.01%", "10%", steps=7),
            ("0.01%", "0.0316228%", "0.1%", "0.316228%", "1%", "3.16228%", "10%"),
        ),
        (span("1000000bit", "1000001bit", steps=3), ("1000000bit", "1000000.5bit", "1000001bit")),
        (span(1, 10, steps=4), (1, 4, 7, 10)),
        (span(1, 10, steps=5), (1.0, 3.25, 5.5, 7.75, 10.0)),
        (span(3, 1), (3, 2, 1)),
        (span(2**62, 2**62 + 2), (2**62, 2**62 + 1, 2**62 + 2)),
        (span(0.1, 0.5, steps=5), (0.1, 0.2, 0.3, 0.4, 0.5)),
        (log_span(1, 1000, steps=4), (1, 10, 100, 1000)),
        (log_span(1, 100, steps=2), (1, 100)),
    ],
)
def test_a_range_has_values_that_read_well(values: Span, texts: tuple[object, ...]) -> None:
    assert values.values() == texts
    assert [type(value) for value in values.values()] == [type(text) for text in texts]


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.sampled_from(TIMES),
    st.sampled_from(TIMES),
    st.integers(2, 40),
    st.booleans(),
)
def test_a_range_of_times_goes_evenly_from_end_to_end(
    low: int, high: int, low_unit: str, high_unit: str, steps: int, is_log: bool
) -> None:
    first, last = f"{low}{low_unit}", f"{high}{high_unit}"
    if parse_time_s(first) == parse_time_s(last):
        return
    texts = Span(first, last, steps, is_log).values()
    times = [parse_time_s(str(text)) for text in texts]
    assert (texts[0], texts[-1], len(texts)) == (first, last, steps)
    way = times[-1] - times[0]
    assert all((after - before) * way >= 0 for before, after in pairwise(times))
    assert len(set(texts)) == steps
    for step, time_s in enumerate(times):
        part = step / (steps - 1)
        even = times[0] * (times[-1] / times[0]) ** part if is_log else times[0] + way * part
        assert time_s == pytest.approx(even, rel=1e-5)


def test_the_last_parameter_varies_fastest() -> None:
    space = space_of({"a": [1, 2], "b": ["x", "y", "z"]})
    found = [(values["a"], values["b"]) for values in space]
    assert found == list(product([1, 2], "xyz"))


def test_what_is_zipped_advances_together() -> None:
    space = space_of([{"a": [1, 2]}, zipped(rate=["1mbit", "9mbit"], limit=span(5, 6))])
    assert space.names == ("a", "rate", "limit")
    assert [tuple(values.values()) for values in space] == [
        (1, "1mbit", 5),
        (1, "9mbit", 6),
        (2, "1mbit", 5),
        (2, "9mbit", 6),
    ]


AXES: Final = st.lists(
    st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True), max_size=4
)


@given(AXES)
def test_a_combination_is_found_by_its_place(columns: list[list[int]]) -> None:
    space = space_of({f"p{at}": values for at, values in enumerate(columns)})
    all_of_them = list(space)
    assert len(all_of_them) == space.size
    assert [space.at(number) for number in range(space.size)] == all_of_them
    again = space_of_json(json.loads(json.dumps(space.to_json())))
    assert list(again) == all_of_them
    with pytest.raises(IndexError):
        space.at(space.size)


def test_a_count_makes_no_values() -> None:
    many = {f"p{at}": span(1, 10**6) for at in range(5)}
    assert space_of(many).size == 10**30


def test_a_sample_draws_each_value_as_often_as_the_others() -> None:
    words = {"rate": log_span("1mbit", "9mbit"), "flows": span(1, 50), "control": ["u", "v"]}
    drawn = sample(50, words, seed=3)
    _, flows, controls = zip(*drawn.rows, strict=True)
    assert sorted(flows) == list(range(1, 51))
    assert sorted(controls) == ["u"] * 25 + ["v"] * 25
    assert drawn.rows == sample(50, words, seed=3).rows
    assert drawn.rows != sample(50, words, seed=4).rows


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(0, 2**32), st.booleans())
def test_each_slice_of_a_range_has_one_of_a_sample(points: int, seed: int, is_log: bool) -> None:
    drawn = sample(points, seed=seed, loss=Span("0.1%", "10%", is_log=is_log))
    losses = sorted(parse_probability(str(loss)) for (loss,) in drawn.rows)
    for at, loss in enumerate(losses):
        edges = [at / points, (at + 1) / points]
        low, high = ((0.001 * 100**edge if is_log else 0.001 + 0.099 * edge) for edge in edges)
        assert low * (1 - 1e-5) <= loss <= high * (1 + 1e-5)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"a": []}, "a has no values, so that there is nothing to run"),
        ({"a": "x"}, "a has one value, 'x': give it as a constant, or a list of several values"),
        ({"a": [1, "10ms"]}, "a has numbers and texts"),
        ({"a": [True, 1]}, "a has numbers and true or false"),
        ({"a": [1, 2, 1.0]}, "a has 1.0 twice"),
        ({"a": [float("nan")]}, "a: nan is not finite"),
        ({"a": [2**63]}, "does not fit into 64 bits"),
        ({"a": [[1]]}, "a can be a text, a number, true or false, not list"),
        ({"seed": [1]}, "no parameter can be called 'seed'"),
        ({"a b": [1]}, "'a b' is no name of a parameter"),
        ([{"a": [1]}, {"a": [2]}], "the parameter 'a' is there twice"),
        ("a", "parameters are a mapping of names to values"),
        ({"a": span(0.1, 0.2)}, "a range from 0.1 to 0.2 needs steps"),
        ({"a": span(0, 10**6)}, "a range from 0 to 1000000 has 1,000,001 values: 1,000,000 are"),
        ({"a": span("1s", "2s", steps=10**9)}, "has 1,000,000,000 values: 1,000,000 are the most"),
    ],
)
def test_wrong_parameters_are_refused(parameters: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        assert space_of(parameters).size
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("low", "high", "words", "sentence"),
    [
        ("1ms", "5mbit", {"steps": 2}, "different kinds of units"),
        (1, "5ms", {"steps": 2}, "one of the two is a text"),
        ("0.5", "10%", {"steps": 2}, "different kinds of units"),
        ("slow", "fast", {"steps": 2}, "'slow' cannot be the end of a range"),
        (1, 2, {"steps": 1}, "a range has 2 steps at least, both ends, not 1"),
        (2, 2, {"steps": 5}, "both ends of the range are 2"),
        (True, False, {"steps": 2}, "give a list of them"),
        (0, 10, {"steps": 2, "is_log": True}, "has no logarithm: both ends must be above 0"),
    ],
)
def test_wrong_ends_of_a_range_are_refused(
    low: int, high: int, words: dict[str, int], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Span(low, high, **words)  # type: ignore[arg-type]
    assert sentence in str(caught.value)


def test_lists_of_unlike_lengths_are_not_zipped() -> None:
    with pytest.raises(ConfigError, match=r"a has 2, b has 1"):
        zipped(a=[1, 2], b=[1])


def test_a_sample_has_no_steps() -> None:
    with pytest.raises(ConfigError, match="a sample takes any value of a range"):
        sample(5, a=span(1, 9, steps=3))
    with pytest.raises(ConfigError, match="points of a sample is a whole number"):
        sample(0, a=span(1, 9))
    with pytest.raises(ConfigError, match="1 to 1,000,000, not 1000001"):
        sample(1_000_001, a=span(1, 9))


def test_an_axis_knows_its_names() -> None:
    axis: Axis = zipped({"a": [1]}, b=[2])
    assert axis.names == ("a", "b")

"""Which columns the words of a measure ask for."""

import pytest

from pystack.core.errors import ConfigError
from pystack.experiments.measures import (
    MEASURES,
    SERIES,
    parse_measures,
    parse_series,
    unit_of_series,
)


@pytest.mark.parametrize(
    ("text", "names", "units"),
    [
        ("goodput", ["goodput_bps"], ["bps"]),
        ("goodput sum min", ["goodput_bps", "goodput_min_bps"], ["bps", "bps"]),
        ("completion_time", ["completion_time_mean_s"], ["s"]),
        ("rtt p50 p99.9 max", ["rtt_p50_s", "rtt_p99_9_s", "rtt_max_s"], ["s", "s", "s"]),
        ("rtt median mean", ["rtt_p50_s", "rtt_mean_s"], ["s", "s"]),
        ("queue_delay p95", ["queue_delay_p95_s"], ["s"]),
        ("loss", ["loss_frames"], ["frames"]),
        ("loss rate pfifo_full", ["loss_rate", "loss_pfifo_full_frames"], ["", "frames"]),
        ("marks", ["marks_frames"], ["frames"]),
        ("retransmits rate max", ["retransmits_rate", "retransmits_max"], ["", ""]),
        ("cwnd p5", ["cwnd_p5_bytes"], ["bytes"]),
        ("fairness", ["fairness"], [""]),
        ("utilization", ["utilization"], [""]),
        ("flows", ["flows_opened"], [""]),
        ("flows complete", ["flows_complete"], [""]),
    ],
)
def test_words_ask_for_columns_with_their_units(
    text: str, names: list[str], units: list[str]
) -> None:
    columns = parse_measures([text])
    assert [column.name for column in columns] == names
    assert [column.unit for column in columns] == units


def test_a_column_that_is_asked_for_twice_is_there_once() -> None:
    columns = parse_measures(["rtt p50", "fairness", "rtt p99 p50"])
    assert [column.name for column in columns] == ["rtt_p50_s", "fairness", "rtt_p99_s"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["goodputt"], "there is no measure 'goodputt'; did you mean 'goodput'?"),
        (["fairness p50"], "fairness is one number: no word follows it, as 'p50' does"),
        (
            ["rtt p101"],
            "rtt has no word 'p101'; did you mean 'p50'? (any quantile is one, from p0 to p100)",
        ),
        (["rtt sum"], "rtt has no word 'sum'"),
        (["loss pfifo_ful"], "loss has no word 'pfifo_ful'; did you mean 'pfifo_full'?"),
        (["loss corrupt"], "loss has no word 'corrupt'"),
        ([""], "a measure is a text such as 'rtt p50 p99', not ''"),
        ([3], "a measure is a text such as 'rtt p50 p99', not 3"),
    ],
)
def test_a_wrong_word_is_refused_in_a_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_measures(words)
    assert str(error.value).startswith(sentence)


def test_series_are_asked_for_by_name() -> None:
    assert [series.unit for series in parse_series(["cwnd", "queue"])] == ["bytes", "frames"]
    with pytest.raises(ConfigError, match="there is no time series 'cwmd'; did you mean 'cwnd'"):
        parse_series(["cwmd"])
    with pytest.raises(ConfigError, match="goodput is taken over an interval"):
        parse_series(["goodput"], by_ack=True)
    assert unit_of_series("sequence_acked") == "bytes"
    assert unit_of_series("srtt") == "s"


def test_every_bare_name_is_a_column() -> None:
    for name, measure in MEASURES.items():
        (column,) = parse_measures([name])
        assert column.measure == measure.name == name
    assert all(series.name == name for name, series in SERIES.items())

"""What the bench says of its aims: figures and ratios, reached and missed, and never a failure."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from benchmark import __main__ as command
from benchmark import aims, report, rows, service_rows, solo
from benchmark.subjects import BARE, PYSTACK

ROWS = [*rows.rows(), *service_rows.rows(), *solo.rows()]
WITH, WITHOUT = PYSTACK


def results(**found: dict[str, float]) -> report.Results:
    """Return a run that found these; "_" stands for "-" in names."""
    by_name = {name.replace("_", "-"): columns for name, columns in found.items()}
    return report.Results({"machine": "here"}, by_name)


def table(now: report.Results, before: report.Results | None = None) -> list[list[str]]:
    """Return the last words of each line of the table, from the aim's sign on."""
    lines = [line for line in report.aim_lines(ROWS, now, before) if line]
    return [line[report._WIDTH + 13 :].split() for line in lines]


def test_every_aim_is_for_a_figure_and_a_column_that_a_row_has() -> None:
    columns = {figure.name: row.columns for row in ROWS for figure in row.figures}
    for aim in aims.AIMS:
        assert aim.column in columns[aim.figure]
        assert not aim.of or aim.column in columns[aim.of]
        assert not aim.of_bare or BARE[PYSTACK.index(aim.column)] in columns[aim.figure]


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (">=", ["missed", "reached", "reached"]),
        ("<=", ["reached", "reached", "missed"]),
        ("<", ["reached", "missed", "missed"]),
    ],
)
def test_the_limit_itself_is_reached_unless_less_is_wanted(sign: str, words: list[str]) -> None:
    aim = aims.Aim("bulk-up", 5, sign)
    assert [aim.word(value) for value in (4.0, 5.0, 6.0)] == words


def test_a_ratio_is_to_the_bare_loop_with_the_same_offload() -> None:
    now = results(bulk_up={WITH: 5000.0, WITHOUT: 900.0, BARE[0]: 10000.0, BARE[1]: 1000.0})
    assert table(now) == [
        ["aim", "is"],
        [">=", "0.7", "0.5", "missed"],
        [">=", "6,000", "5,000", "missed"],
        [">=", "300", "900", "reached"],
    ]


def test_a_ratio_may_be_to_another_figure() -> None:
    now = results(websocket={WITH: 800.0}, rr_1={WITH: 1000.0})
    assert table(now)[1:] == [
        [">=", "4,000", "1,000", "missed"],
        [">=", "0.7", "0.8", "reached"],
    ]
    assert [one.unit for one in aims.judge(ROWS, now.found)] == ["/s", "of rr-1"]


def test_what_was_not_measured_is_not_judged() -> None:
    assert table(results(bulk_up={WITHOUT: 900.0}, udp_echo={WITH: 1.0})) == [
        ["aim", "is"],
        [">=", "300", "900", "reached"],
    ]
    assert table(results(bulk_up_8={WITH: 1.0})) == []


def test_nothing_at_all_is_what_is_aimed_for_when_idle() -> None:
    assert table(results(idle_wakes={WITH: 0.0}, idle={WITH: 0.1}))[1:] == [
        ["<=", "0", "0", "reached"],
        ["<=", "0", "0.1", "missed"],
    ]


def test_a_comparison_says_what_was_reached_before() -> None:
    before = results(rr_1={WITH: 3000.0})
    now = results(rr_1={WITH: 5000.0}, rr_16={WITH: 20000.0})
    assert table(now, before) == [
        ["aim", "is", "was"],
        [">=", "4,000", "5,000", "reached", "3,000", "missed"],
        [">=", "15,000", "20,000", "reached"],
    ]


def test_what_h11_takes_of_a_request_is_the_difference_to_a_fixed_answer() -> None:
    now = results(http={WITH: 4500.0})
    for name, per_s in (("http", 5000.0), ("http-fixed", 20000.0)):
        now.details[name] = {WITH: {"per_busy_s": per_s}}
    *_, last = report.aim_lines(ROWS, now, None)
    assert last.endswith("150 us of 200 us, 75%")


def test_the_file_holds_the_aims_and_is_read_again(tmp_path: Path) -> None:
    now = results(rr_1={WITH: 5000.0})
    now.aims = [one.as_json() for one in aims.judge(ROWS, now.found)]
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(asdict(now)))
    (aim,) = command.load(file).aims
    assert (aim["figure"], aim["limit"], aim["value"], aim["is"]) == (
        "rr-1",
        4000,
        5000.0,
        "reached",
    )


def test_a_file_without_aims_can_be_compared_with(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"machine": {}, "found": {"rr-1": {WITH: 3000.0}}}))
    before = command.load(file)
    assert table(results(rr_1={WITH: 5000.0}), before)[1][-2:] == ["3,000", "missed"]

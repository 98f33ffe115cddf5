"""`pystack experiment show`: medians with their intervals, pairs, and what failed."""

import csv
import io
import json
from pathlib import Path
from random import Random

import numpy
import pytest
import typer
from made_results import Measures, sweep

from pystack.cli.experiment_show import show_command
from pystack.core.errors import ConfigError
from pystack.experiments.model import Compare, Point

RATES = {"cubic": 8e6, "bbr": 9e6}


def measured(point: Point, rng: Random) -> Measures:
    rate = RATES[str(point.parameters["control"])] + 1e5 * point.seed
    return {"goodput_bps": rate, "rtt_p95_s": 0.02, "slow": None, "word": "x"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(
        tmp_path_factory.mktemp("show") / "access.results",
        {"control": ["cubic", "bbr"], "delay": ["10ms", "50ms"], "rate": ["10mbit"]},
        measured,
        seeds=range(1, 8),
        failed=lambda point: "died" if point.number in (3, 9) else "ok",
        compare=Compare("goodput", "control", "cubic"),
        title="Two controls",
        name="access",
    )


def show(*words: str | Path) -> None:
    app = typer.Typer()
    app.command()(show_command)
    app(list(map(str, words)), standalone_mode=False)


def test_it_tells_where_all_seeds_came_to_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def by_chance(point: Point, rng: Random) -> Measures:
        return {"rate_bps": 1e6 * (point.seed if point.parameters["loss"] else 9)}

    made = sweep(tmp_path / "m.results", {"loss": [0, 0.1], "delay": ["1ms", "9ms"]}, by_chance)
    show(made)
    said = capsys.readouterr().out
    assert "all seeds came to the same at 2 of 4 combinations: nothing there is left to" in said
    varied = sweep(tmp_path / "n.results", {"loss": [0.1, 0.2]}, by_chance)
    show(varied)
    assert "came to the same" not in capsys.readouterr().out
    one = sweep(tmp_path / "o.results", {"loss": [0, 0.2]}, by_chance, seeds=[1])
    show(one)
    assert "came to the same" not in capsys.readouterr().out


def test_it_shows_medians_by_what_varies(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(made)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "access: Two controls"
    assert lines[1].startswith("28 runs, seeds 1-7, pystack 0.1.0, digest ")
    cells = [line.split() for line in lines[3:]]
    assert cells[:2] == [
        ["goodput", "rtt_p95"],
        ["control", "delay", "runs", "failed", "Mbit/s", "ms", "slow"],
    ]
    assert cells[2][:6] == ["cubic", "10ms", "6", "1", "8.4", "[8.1,"]
    assert cells[3][:6] == ["cubic", "50ms", "6", "1", "8.45", "[8.1,"]
    assert cells[4] == ["bbr", "10ms", "7", "0", "9.4", "[9.1,", "9.7]", "20", "[20,", "20]", "-"]
    at = lines.index("goodput against control = cubic, run by run with the same seed:")
    assert lines[at + 3].split()[:6] == ["10ms", "bbr", "6", "1.119", "[1.115,", "1.123]"]
    assert lines[at + 3].split()[6:] == ["1", "[1,", "1]"]
    assert "[a, b]: 95% confidence, by bootstrap" in lines
    assert lines[-3:] == [
        "2 runs failed:",
        "  died: run 3 (control = 'cubic', delay = '10ms', rate = '10mbit', seed = 4): "
        "ValueError: too much",
        "  died: run 9 (control = 'cubic', delay = '50ms', rate = '10mbit', seed = 3): "
        "ValueError: too much",
    ]


def test_rows_and_columns_can_be_asked_for(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(made, "--by", "control", "--measure", "rtt_p95,goodput", "--confidence", "0.5")
    out = capsys.readouterr().out
    assert out.splitlines()[3].split() == ["rtt_p95", "goodput"]
    assert "each row is over all delay" in out
    assert "[a, b]: 50% confidence, by bootstrap" in out


def test_json_has_all_of_it(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(made, "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["ended"], found["by"]) == (28, 28, ["control", "delay"])
    group = found["groups"][2]
    assert group["parameters"] == {"control": "bbr", "delay": "10ms"}
    assert group["measures"]["goodput_bps"]["median"] == 9.4e6
    assert group["measures"]["goodput_bps"]["unit"] == "bit/s"
    assert group["measures"]["slow"] is None
    assert found["compare"]["against"][0]["control"] == "bbr"
    assert found["compare"]["against"][0]["difference"]["median"] == 1e6
    assert [run["number"] for run in found["failed"]] == [3, 9]
    assert found["failed"][0]["parameters"]["delay"] == "10ms"


def test_csv_has_the_table(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(made, "--csv", "--measure", "goodput")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[3]["control"] == "bbr"
    assert (rows[3]["goodput_bps"], rows[3]["goodput_bps_low"]) == ("9400000.0", "9100000.0")
    with pytest.raises(ConfigError, match="use only one of them"):
        show(made, "--csv", "--json")


def test_few_runs_are_told_to_be_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sweep(tmp_path / "few", {"control": ["cubic", "bbr"]}, measured, seeds=[1, 2])
    show(folder, "--measure", "goodput")
    out = capsys.readouterr().out
    assert "8.15 [8.1 .. 8.2]" in out
    assert "[a .. b]: the range of the runs; of 2 it holds the median in 50% of cases" in out


def test_an_unfinished_sweep_and_a_strangers_words_can_be_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep(
        tmp_path / "r",
        {"control": ["cubic", "bbr"], "word": ["\x1b[31m", "[bold]"]},
        measured,
        seeds=[1],
        whole=False,
    )
    journal = folder / "rows.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:3]))
    show(folder)
    out = capsys.readouterr().out
    assert "3 of 4 runs so far, seed 1" in out
    assert "\x1b" not in out
    assert "\\x1b[31m" in out
    assert "[bold]" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--by", "contrl"], r"no parameter 'contrl'; did you mean 'control'\?"),
        (["--measure", "gooodput"], r"no measurement 'gooodput'; did you mean 'goodput_bps'\?"),
        (["--measure", "word"], r"word is text in this experiment: it has no median; numbers are"),
        (["--confidence", "95"], r"confidence 95\.0 is not between 0 and 1: use 0\.95"),
    ],
)
def test_wrong_words_are_named(made: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        show(made, *words)


def test_a_baseline_that_is_not_there_leaves_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare = Compare("goodput", "control", "cubik")
    folder = sweep(
        tmp_path / "r", {"control": ["cubic", "bbr"]}, measured, seeds=[1], compare=compare
    )
    show(folder)
    out = capsys.readouterr().out
    assert "nothing is compared: no run has control = 'cubik', the baseline; did you mean" in out
    assert "8.1" in out


def test_nothing_has_ended_yet(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "r", {"control": ["cubic"]}, measured, whole=False)
    (folder / "rows.jsonl").write_text("")
    with pytest.raises(ConfigError, match="no results yet: no run has ended"):
        show(folder)


def test_json_has_no_words_that_json_has_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep(tmp_path / "r", {"x": [1]}, lambda p, _: {"y": (-1) ** p.seed * 1.7e308})
    with numpy.errstate(all="ignore"):
        show(folder, "--json")
    said = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert said["groups"][0]["runs"] == 5

"""Results as frames: of one folder or several, finished or not."""

import os
from array import array
from pathlib import Path
from random import Random

import pandas
import polars
import pytest
from made_results import Measures, described, folder_of, sweep

from pystack.core.errors import ConfigError
from pystack.experiments import Results, load, load_series
from pystack.experiments.model import Outcome, Point, Track

SPACE = {"control": ["cubic", "bbr"], "loss": [0.0, 0.01]}


def measured(point: Point, rng: Random) -> Measures:
    bbr = point.parameters["control"] == "bbr"
    return {"goodput_bps": 1e6 * point.seed, "retransmits": point.number, "is_bbr": bbr}


def tracks(point: Point, rng: Random) -> list[Track]:
    times = array("d", [0.0, 0.1])
    return [
        Track("goodput", "a", "bit/s", times, array("d", [1.0, 2.0])),
        Track("queue", "", "bytes", times, array("d", [3.0, point.seed])),
    ]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return sweep(
        tmp_path / "made.results",
        SPACE,
        measured,
        seeds=[3, 7],
        tracks=tracks,
        failed=lambda point: "died" if point.number == 5 else "ok",
    )


def test_a_frame_of_pandas_has_a_typed_row_for_each_run(made: Path) -> None:
    frame = load(made)
    assert list(frame.columns) == [
        *("number", "control", "loss", "repetition", "seed", "ended", "error"),
        *("goodput_bps", "retransmits", "is_bbr", "version", "digest"),
    ]
    assert [str(frame[name].dtype) for name in ("loss", "seed", "goodput_bps")] == [
        "float64",
        "int64",
        "float64",
    ]
    assert (str(frame["retransmits"].dtype), str(frame["is_bbr"].dtype)) == ("Int64", "boolean")
    assert frame["retransmits"].isna().sum() == 1
    assert frame["goodput_bps"].median() == 3e6
    assert frame.query("control == 'bbr' and seed == 7")["loss"].tolist() == [0.0, 0.01]
    assert frame.loc[5, "error"] == (
        "run 5 (control = 'bbr', loss = 0.0, seed = 7): ValueError: too much"
    )


def test_a_frame_of_polars_has_the_same(made: Path) -> None:
    frame = load(str(made), as_="polars")
    assert isinstance(frame, polars.DataFrame)
    assert frame["retransmits"].to_list() == [0, 1, 2, 3, 4, None, 6, 7]
    assert frame.schema["retransmits"] == polars.Int64
    assert frame.schema["is_bbr"] == polars.Boolean
    assert frame.filter(polars.col("control") == "bbr").height == 4
    with pytest.raises(ConfigError, match="as_ = 'r' is no kind of frame: use 'pandas', 'polars'"):
        load(made, as_="r")  # type: ignore[arg-type]


def test_rows_come_from_the_table_as_from_the_journal(made: Path) -> None:
    table = Results(made).rows
    digest = Results(made).digest
    (made / "rows.parquet").unlink()
    journal = Results(made).rows
    assert [row.number for row in journal] == list(range(8))
    assert [row.point for row in table] == [row.point for row in journal]
    assert [row.measures.get("goodput_bps") for row in table] == [
        row.measures.get("goodput_bps") for row in journal
    ]
    assert Results(made).digest == digest


def test_an_unfinished_sweep_is_read_from_its_journal(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "r", SPACE, measured, seeds=[1], whole=False)
    lines = (folder / "rows.jsonl").read_text()
    (folder / "rows.jsonl").write_text(lines[:-10])
    assert len(load(folder)) == 3
    assert len(load(folder, as_="polars")) == 3
    # A table of before is not newer than what has been written since.
    (folder / "rows.jsonl").write_text(lines)
    from pystack.experiments.results.table import write_rows

    write_rows(folder)
    (folder / "rows.jsonl").write_text("".join(lines.splitlines(keepends=True)[:2]))
    assert len(load(folder)) == 2
    os.utime(folder / "rows.jsonl", (1, 1))
    assert len(load(folder)) == 4


def test_series_of_one_run_and_of_many_have_their_parameters(made: Path) -> None:
    frame = load_series(made, "queue", number=1)
    assert list(frame.columns) == [
        *("number", "control", "loss", "seed", "series", "subject", "unit", "time_s", "value"),
    ]
    assert frame["value"].tolist() == [3.0, 7.0]
    many = load_series(made, ["goodput", "queue"], where={"control": "bbr"})
    assert many["number"].unique().tolist() == [4, 6, 7]  # 5 has died
    assert many["control"].unique().tolist() == ["bbr"]
    assert len(many) == 12
    assert len(Results(made).series(as_="polars")) == 28
    assert isinstance(Results(made).series(number=[0, 1]), pandas.DataFrame)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"of": "que"}, r"no time series 'que'; did you mean 'queue'\?"),
        ({"number": 5}, r"has no time series of this run: ask for them"),
        ({"number": 99}, r"there is no run 99: 8 runs up to 7"),
        ({"where": {"contrl": "bbr"}}, r"no parameter 'contrl'; did you mean 'control'\?"),
        ({"where": {"control": "cubik"}}, r"no run has control = 'cubik'; did you mean 'cubic'\?"),
    ],
)
def test_series_that_are_not_there_are_named(
    made: Path, asked: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_series(made, **asked)  # type: ignore[arg-type]


def test_several_folders_of_one_experiment_are_one(tmp_path: Path) -> None:
    points = [Point(n, {"control": c}, 0, 1) for n, c in enumerate(["cubic", "bbr", "prague"])]
    ended = [(point, Outcome("ok", "", {"x": 1}, None, "d" * 64)) for point in points]
    space = {"control": ["cubic", "bbr", "prague"]}
    a = folder_of(tmp_path / "a", described(), ended[:2], space=space)
    b = folder_of(tmp_path / "b", described(), ended[1:], space=space)
    assert load(a, b)["control"].tolist() == ["cubic", "bbr", "prague"]
    assert load([a, b])["number"].tolist() == [0, 1, 2]
    other = [(points[1], Outcome("ok", "", {"x": 2}, None, "e" * 64))]
    c = folder_of(tmp_path / "c", described(), other, space=space)
    with pytest.raises(
        ConfigError, match=r"run 1 \(control = 'bbr', seed = 1\) came to something else in .*c:"
    ):
        load(a, c)


def test_versions_and_experiments_are_mixed_only_if_told(tmp_path: Path) -> None:
    ended = [(Point(0, {"limit": 50}, 0, 1), Outcome("ok", "", {"x": 1}))]
    odd = [(Point(0, {"limit": "auto"}, 0, 1), Outcome("ok", "", {"x": 1, "y": 2}))]
    a = folder_of(tmp_path / "a", described(["limit"]), ended)
    b = folder_of(tmp_path / "b", described(["limit"], version="0.0.9"), ended)
    c = folder_of(tmp_path / "c", described(["limit"], identity="cd" * 32, name="other"), odd)
    with pytest.raises(ConfigError, match=r"a is of pystack 0\.1\.0 and .*b of 0\.0\.9: load\("):
        load(a, b)
    with pytest.raises(ConfigError, match=r"are of different experiments \(made, other\)"):
        load(a, c)
    frame = load(a, b, c, mix=True)
    assert frame["version"].tolist() == ["0.1.0", "0.0.9", "0.1.0"]
    assert frame["identity"].tolist() == ["ab" * 32, "ab" * 32, "cd" * 32]
    assert frame["results"].tolist() == [str(a), str(b), str(c)]
    assert frame["limit"].tolist() == ["50", "50", "auto"]
    assert frame["y"].isna().tolist() == [True, True, False]
    assert len(load(a, b, c, mix=True, as_="polars")) == 3


def test_folders_are_mixed_whatever_their_names_are(tmp_path: Path) -> None:
    folder = sweep(tmp_path / os.fsdecode(b"caf\xe9"), {"x": [1]}, lambda point, rng: {"y": 1})
    found = load(folder, folder, mix=True)["results"]
    assert set(found) == {f"{tmp_path}/caf\\udce9"}


def test_what_is_no_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing has that name"):
        load(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"is no folder of results: it has no experiment\.json"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="needs a folder of results"):
        load()
    (tmp_path / "experiment.json").write_text("{}")
    with pytest.raises(ConfigError, match="has no results yet: no run has ended"):
        load(tmp_path)
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(ConfigError, match="does not say which experiment it belongs to"):
        load(tmp_path)
    (tmp_path / "experiment.json").write_text('{"format": 99}')
    with pytest.raises(ConfigError, match=r"has results in format 99, and this pystack \(0\.1\.0"):
        load(tmp_path)


def test_a_table_alone_is_read(made: Path, tmp_path: Path) -> None:
    alone = (made / "rows.parquet").rename(tmp_path / "alone.parquet")
    assert len(load(alone)) == 8
    assert Results(alone).description.parameters == ("control", "loss")
    assert len(Results(alone).rows) == 8


def test_a_table_of_another_experiment_is_not_taken(tmp_path: Path) -> None:
    ended = [(Point(0, {"control": "bbr"}, 0, 1), Outcome("ok"))]
    a = folder_of(tmp_path / "a", described(), ended)
    b = folder_of(tmp_path / "b", described(identity="cd" * 32), ended)
    (a / "rows.jsonl").unlink()
    (a / "rows.parquet").write_bytes((b / "rows.parquet").read_bytes())
    with pytest.raises(ConfigError, match="belongs to another experiment"):
        load(a)

"""Damaged folders of results: what is damaged is told, or done again, and never taken."""

from pathlib import Path
from random import Random

import pytest
from experiment_points import slow, square

from pystack import ConfigError
from pystack.experiments import Experiment, run
from pystack.experiments.bundle import found_files
from pystack.experiments.model import Outcome, Point, Track
from pystack.experiments.results import Results
from pystack.experiments.results.journal import JOURNAL, line_of, read_rows
from pystack.experiments.results.series import pack_series, read_series
from pystack.experiments.results.table import ROWS, write_rows
from pystack.experiments.running.store import Store, _Lines
from pystack.experiments.running.supervisor import Done, Timing

EXPERIMENT = Experiment(square, {"x": [1, 20, 300]}, seeds=2)


def done_of(point: Point) -> Done:
    measures = {"square": 12345, "share": 0.25, "name": "text"}
    return Done(point, Outcome("ok", measures=measures, digest="ab" * 32), Timing(0, 0, 0, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store(tmp_path / "r", EXPERIMENT, resume=False) as store:
        for point in EXPERIMENT.points():
            store.add(done_of(point))
        store.finish()
    return tmp_path / "r"


def kept(folder: Path) -> list[int]:
    with Store(folder, EXPERIMENT, resume=True) as store:
        return [number for number in range(len(EXPERIMENT)) if store.has(number)]


def test_of_a_damaged_journal_nothing_wrong_is_taken(folder: Path) -> None:
    rng = Random(1)
    whole = (folder / JOURNAL).read_bytes()
    rows = {row.number: row for row in read_rows(folder)}
    told = 0
    for _ in range(150):
        damaged = bytearray(whole)
        at = rng.randrange(len(damaged))
        if rng.random() < 0.7:
            damaged[at] ^= 1 << rng.randrange(8)
        else:
            del damaged[at : at + rng.randrange(1, 300)]
        (folder / JOURNAL).write_bytes(damaged)
        try:
            found = kept(folder)
        except ConfigError:
            told += 1
            continue
        assert all(row == rows[row.number] for row in read_rows(folder))
        assert found == [row.number for row in read_rows(folder)]
    assert 100 < told < 150


@pytest.mark.parametrize(
    "point",
    [
        Point(0, {"x": 300}, 0, 3),
        Point(0, {"x": 301}, 0, 1),
        Point(0, {"x": 300.0}, 0, 1),
        Point(0, {"x": True}, 0, 1),
        Point(0, {"y": 300}, 0, 1),
        Point(0, {"x": 300, "y": 1}, 0, 1),
    ],
)
def test_a_line_of_another_experiment_is_none_of_this(folder: Path, point: Point) -> None:
    with (folder / JOURNAL).open("a") as file:
        file.write(line_of(point, Outcome("ok")) + "\n")
    with pytest.raises(ConfigError, match="line 7 is damaged, or no run of this experiment"):
        kept(folder)


def test_a_sweep_that_goes_on_and_is_killed_is_read_whatever_the_clock_says(folder: Path) -> None:
    lines = (folder / JOURNAL).read_text().splitlines(keepends=True)
    (folder / JOURNAL).write_text("".join(lines[:2]))
    write_rows(folder)
    with Store(folder, EXPERIMENT, resume=True) as store:
        store.add(done_of(EXPERIMENT.point(2)))
    # The clock was set back meanwhile: rows.parquet would be the newer one.
    assert not (folder / ROWS).exists()
    assert len(Results(folder).rows) == 3


def test_a_title_that_has_changed_is_taken_when_a_sweep_goes_on(folder: Path) -> None:
    titled = Experiment(square, {"x": [1, 20, 300]}, seeds=2, title="Squares")
    with Store(folder, titled, resume=True) as store:
        store.finish()
    assert Results(folder).description.title == "Squares"


def test_a_journal_that_was_deleted_is_told_while_the_sweep_runs(tmp_path: Path) -> None:
    lines = _Lines(tmp_path / JOURNAL)
    lines.sync()
    (tmp_path / JOURNAL).unlink()
    with pytest.raises(OSError, match="it was deleted while the sweep ran"):
        lines.sync()
    lines.close()


def test_a_table_that_cannot_be_written_leaves_no_piece_of_it(folder: Path) -> None:
    (folder / ROWS).unlink()
    (folder / ROWS).mkdir()
    with pytest.raises(OSError, match="rows"):
        write_rows(folder)
    assert not list(folder.glob("*.new"))


def test_more_runs_than_any_sweep_ends_are_refused_before_there_is_a_folder(tmp_path: Path) -> None:
    space = [{name: list(range(100_000))} for name in ("x", "wait_s")]
    with pytest.raises(ConfigError, match="10,000,000,000 runs are too many for one sweep"):
        run(Experiment(slow, space), to=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_pattern_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ab").write_text("")
    for pattern in ("a**", "a\0b"):
        with pytest.raises(ConfigError, match=r"is no pattern of files|there is no file"):
            found_files(tmp_path, [pattern, "nothing"])


def test_a_damaged_file_of_series_is_told_and_its_values_are_not_taken(tmp_path: Path) -> None:
    track = Track("cwnd", "a>b", "bytes")
    for number in range(50):
        track.add(number / 10, number * number % 37)
    whole = pack_series([track])
    assert whole is not None
    file = tmp_path / "000000.parquet"
    told = 0
    for at in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[at] ^= 16
        file.write_bytes(damaged)
        try:
            read_series(file).to_pylist()
        except ConfigError:  # and nothing else
            told += 1
    assert told > len(whole) / 5 / 2

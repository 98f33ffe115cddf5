"""Sweeps on this machine: the same on any number of processes, whatever points do."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy
import psutil
import pytest
from experiment_draws import draw, draw_late
from experiment_points import bad, messy, recovering, slow, square, transfer

import pystack
from pystack import ConfigError
from pystack.experiments import Experiment, Limits
from pystack.experiments.model import Outcome
from pystack.experiments.results import Results, Row
from pystack.experiments.running import Progress, RunningError, processes, run
from pystack.experiments.running.store import Store
from pystack.experiments.running.supervisor import Done, Timing


def rows_of(folder: Path) -> dict[int, Row]:
    found = Results(folder).rows
    lines = (folder / "rows.jsonl").read_text().splitlines()
    assert len(found) == len(lines), "a run is there twice"
    return {row.number: row for row in found}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return what has to be the same wherever it ran."""
    files = [folder / "rows.parquet", *sorted((folder / "series").glob("*"))]
    return {file.name: file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def transfers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Results]:
    experiment = Experiment(transfer, {"delay_ms": [1, 20, 50]}, seeds=2)
    return experiment, run(experiment, to=tmp_path_factory.mktemp("one") / "r", processes=1)


def test_two_processes_come_to_the_same_bytes_as_one(
    transfers: tuple[Experiment, Results], tmp_path: Path
) -> None:
    experiment, one = transfers
    seen: list[Progress] = []
    two = run(experiment, to=tmp_path / "two", processes=2, on_progress=seen.append)
    assert bytes_of(two.path) == bytes_of(one.path)
    assert len(bytes_of(two.path)) == 7
    assert two.digest == one.digest
    assert (seen[0].done, seen[-1].done, seen[-1].total, seen[-1].failed) == (0, 6, 6, 0)


def test_what_was_cut_short_is_resumed_to_the_same_bytes(
    transfers: tuple[Experiment, Results], tmp_path: Path
) -> None:
    experiment, whole = transfers

    class EnoughError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.done >= 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(experiment, to=tmp_path, processes=1, on_progress=stop)
    assert len(rows_of(tmp_path)) >= 2  # however many had ended by then
    journal = tmp_path / "rows.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]) + b'{"number":5,"para')  # as the machine stopped
    (tmp_path / "rows.parquet").unlink(missing_ok=True)
    assert Results(tmp_path).digest != whole.digest
    resumed = run(experiment, to=tmp_path, processes=1, resume=True)
    assert len(rows_of(tmp_path)) == 6
    assert bytes_of(tmp_path) == bytes_of(whole.path)
    assert resumed.digest == whole.digest
    run(experiment, to=tmp_path, resume=True)  # there is nothing to do
    assert bytes_of(tmp_path) == bytes_of(whole.path)


def test_what_failed_is_run_again_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(recovering, {"x": [1, 2, 3]})
    first = run(experiment, to=tmp_path / "r", processes=1)
    assert [(row.number, row.ended) for row in first.failed] == [(1, "raised")]
    monkeypatch.setenv("PYSTACK_TEST_IS_WELL", "yes")
    assert len(run(experiment, to=tmp_path / "r", resume=True).failed) == 1  # that counts as done
    seen: list[Progress] = []
    again = run(experiment, to=tmp_path / "r", processes=1, retry=True, on_progress=seen.append)
    assert (seen[0].done, seen[0].failed, seen[-1].done, seen[-1].failed) == (2, 0, 3, 0)
    assert again.failed == ()
    assert len((again.path / "rows.jsonl").read_text().splitlines()) == 4  # what was is kept
    whole = run(experiment, to=tmp_path / "whole", processes=1)
    assert bytes_of(again.path) == bytes_of(whole.path)
    assert run(experiment, to=again.path, resume=True).failed == ()  # of two lines the last holds


def test_bad_points_are_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    whats = ["raise", "exit", "exit at once", "crash", "eat at once", "eat"]
    whats += ["flood", "exit and leave a process", "nothing"]
    limits = Limits(memory_bytes=200 << 20, attempts=2)
    run(Experiment(bad, {"what": whats}, limits=limits), to=tmp_path, processes=2)
    rows = {row.parameters["what"]: row for row in rows_of(tmp_path).values()}
    assert {what: row.ended for what, row in rows.items()} == {
        "raise": "raised",
        "exit": "raised",
        "exit at once": "died",
        "crash": "died",
        "eat at once": "memory_limit",
        "eat": "memory_limit",
        "flood": "ok",
        "exit and leave a process": "died",
        "nothing": "ok",
    }
    errors = {what: row.error for what, row in rows.items()}
    assert errors["exit at once"] == (
        "run 2 (what = 'exit at once', seed = 1): its process ended with status 3, in each of 2 "
        'attempts; it printed last: "about to exit at once"'
    )
    assert (
        'was killed by SIGSEGV, in each of 2 attempts; it printed last: "Fatal' in errors["crash"]
    )
    assert "needed more memory than its limit of 200 MiB" in errors["eat"]
    assert "needed more memory than its limit of 200 MiB" in errors["eat at once"]
    assert "ValueError: no such thing" in errors["raise"]
    attempts = {
        timing["parameters"]["what"]: timing["attempts"]
        for timing in map(json.loads, (tmp_path / "timings.jsonl").read_text().splitlines())
    }
    assert [attempts[what] for what in whats] == [1, 1, 2, 2, 1, 1, 1, 2, 1]


def test_a_point_that_hangs_is_reported_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit passes at once when the point hangs, and for no other on however busy a machine."""
    hangs = tmp_path / "hangs"
    monkeypatch.setenv("PYSTACK_TEST_HANGS", str(hangs))
    leaping = SimpleNamespace(**vars(time))
    leaping.monotonic = lambda: time.monotonic() + 3600 * hangs.exists()
    monkeypatch.setattr(processes, "time", leaping)
    limits = Limits(time_s=600, attempts=2)
    experiment = Experiment(bad, {"what": ["hang with children", "nothing"]}, limits=limits)
    run(experiment, to=tmp_path, processes=1)
    rows = rows_of(tmp_path)
    assert [rows[number].ended for number in range(2)] == ["time_limit", "ok"]
    assert "took longer than its limit of 600 s" in rows[0].error
    timings = map(json.loads, (tmp_path / "timings.jsonl").read_text().splitlines())
    assert [timing["attempts"] for timing in timings] == [1, 1]


def has_ended(pid: int) -> bool:
    """Tell whether a process is there no more, but perhaps for somebody to ask how it ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_point_finds_nothing_that_another_has_left(tmp_path: Path) -> None:
    whats = ["thread", "process", "daemon", "network", "folder", "variable", "environment"]
    whats += ["handler", "path", "nothing"]
    run(Experiment(messy, {"what": whats}), to=tmp_path, processes=1)
    rows = rows_of(tmp_path)
    for row in rows.values():
        assert row.ended == "ok", row.error
        measures = row.measures
        assert measures["threads"] == 1
        assert (measures["variable"], measures["path"], measures["input"]) == ("", 0, 0)
        assert (measures["environment"], measures["known to others"]) == (False, 0)
        assert not measures["handled"]
        assert measures["output"] == 1
        assert measures["folder"].isdigit()
    for number in (1, 2):
        assert has_ended(rows[number].measures["process"])


def test_a_folder_has_one_sweep_at_a_time(tmp_path: Path) -> None:
    experiment = Experiment(square, {"x": [1]})
    with (
        Store(tmp_path, experiment, resume=False),
        pytest.raises(ConfigError, match=r"another sweep writes to .* at this moment"),
    ):
        run(experiment, to=tmp_path, resume=True)


def test_results_are_neither_overwritten_nor_mixed(tmp_path: Path) -> None:
    run(Experiment(square, {"x": [1]}), to=tmp_path, processes=1)
    before = bytes_of(tmp_path)
    with pytest.raises(ConfigError, match="has results already: resume goes on"):
        run(Experiment(square, {"x": [1]}), to=tmp_path)
    with pytest.raises(ConfigError, match=r"of another experiment: after_s is 0\.0 there and 1\.0"):
        run(Experiment(square, {"x": [1]}, after_s=1), to=tmp_path, resume=True)
    assert bytes_of(tmp_path) == before


def test_the_file_that_has_changed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "changing.py"
    module.write_text("def run():\n    return 1\n")
    first = Experiment("changing.py:run")
    with Store(tmp_path / "r", first, resume=False) as store:
        store.add(Done(first.point(0), Outcome("ok", digest="ab" * 32), Timing(0, 0, 0, 1)))
    module.write_text("def run():\n    return 2\n")
    with pytest.raises(ConfigError, match=r"another experiment: changing\.py has changed; use"):
        Store(tmp_path / "r", Experiment("changing.py:run"), resume=True)


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="results cannot be written to"):
        run(Experiment(square, {"x": [1]}), to=tmp_path / "file" / "r")


def test_no_processes_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 processes cannot run anything"):
        run(Experiment(square, {"x": [1]}), to=tmp_path, processes=0)


def test_a_sweep_on_a_host_of_a_network_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")

            async def program() -> None:
                run(Experiment(square, {"x": [1]}), to=tmp_path)

            await host.run(program)

    with pytest.raises(RunningError, match="outside of the network"):
        pystack.run(main)


def test_short_runs_keep_their_order_of_numbers(tmp_path: Path) -> None:
    results = run(Experiment(draw, {"x": list(range(60))}, seeds=2), to=tmp_path, processes=2)
    rows = rows_of(tmp_path)
    assert [rows[number].measures["square"] for number in range(120)] == [
        x * x for x in range(60) for _ in range(2)
    ]
    # Sets of texts are in the same order in all processes, and what is drawn hangs on the seed.
    assert len({row.measures["hash"] for row in rows.values()}) == 1
    assert len({row.measures["drawn"] for row in rows.values()}) == 2
    assert results.path == tmp_path


def test_what_numpy_draws_hangs_on_the_seed_where_the_run_imports_it(tmp_path: Path) -> None:
    run(Experiment(draw_late, {"x": [1, 2, 3, 4]}, seeds=1), to=tmp_path, processes=2)
    drawn = {row.measures["drawn"] for row in rows_of(tmp_path).values()}
    assert drawn == {numpy.random.RandomState(1).random()}


def test_no_more_is_running_afterwards(tmp_path: Path) -> None:
    before = set(psutil.Process().children())  # of other tests

    def stop(progress: Progress) -> None:
        if progress.done:
            raise KeyError

    with pytest.raises(KeyError):
        run(
            Experiment(slow, {"x": [1, 2, 3, 4]}),
            to=tmp_path,
            processes=2,
            on_progress=stop,
        )
    assert set(psutil.Process().children()) <= before

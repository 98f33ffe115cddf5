"""Sweeps on a Dask cluster: the same as on one machine, whatever becomes of its workers."""

import asyncio
import gc
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from experiment_points import bad, slow, transfer

from pystack import ConfigError
from pystack.experiments import Experiment, Limits
from pystack.experiments.results import Results, Row
from pystack.experiments.running import Progress, RunningError, cluster, run
from pystack.experiments.running.worker import ASK_KIND, Kind, kind, kinds_that_differ

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as workers,
        distributed.Client(workers, set_as_default=False) as client,
    ):
        yield client


def rows_of(folder: Path) -> dict[int, Row]:
    found = Results(folder).rows
    lines = (folder / "rows.jsonl").read_text().splitlines()
    assert len(found) == len(lines), "a run is there twice"
    return {row.number: row for row in found}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return what has to be the same wherever it ran."""
    files = [folder / "rows.parquet", *sorted((folder / "series").glob("*"))]
    return {file.name: file.read_bytes() for file in files}


def test_a_cluster_comes_to_the_same_bytes(dask: Any, tmp_path: Path) -> None:  # noqa: ANN401
    experiment = Experiment(transfer, {"delay_ms": [1, 20]}, seeds=2)
    here = run(experiment, to=tmp_path / "here", processes=1)
    run(
        Experiment(transfer, {"delay_ms": [20]}), to=tmp_path / "there", processes=1
    )  # and it grows
    there = run(experiment, to=tmp_path / "there", dask=dask, resume=True)
    assert bytes_of(there.path) == bytes_of(here.path)
    assert len(bytes_of(there.path)) == 5
    assert there.digest == here.digest
    timings = (tmp_path / "there" / "timings.jsonl").read_text().splitlines()
    where = [json.loads(line)["where"] for line in timings]
    assert where[0] == ""
    assert all(each.startswith("tcp://127.0.0.1:") for each in where[1:])


@pytest.mark.parametrize("allowed_failures", [3, 0])
def test_a_worker_that_is_killed_costs_only_its_points(
    dask: Any,  # noqa: ANN401
    tmp_path: Path,
    allowed_failures: int,
) -> None:
    experiment = Experiment(slow, {"x": list(range(16))}, constants={"wait_s": 0.1})
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.done >= 3 and not killed:
            killed.append(dask.run(os.getpid).popitem()[1])
            os.kill(killed[0], signal.SIGKILL)

    # 0: Dask gives a task up with the first worker that dies of it
    dask.cluster.scheduler.allowed_failures = allowed_failures
    run(experiment, to=tmp_path, dask=dask.scheduler.address, on_progress=kill)
    assert killed
    rows = rows_of(tmp_path)
    assert [rows[number].measures["x_squared"] for number in range(16)] == [
        x * x for x in range(16)
    ]
    assert {row.ended for row in rows.values()} == {"ok"}


def test_limits_hold_on_workers(dask: Any, tmp_path: Path) -> None:  # noqa: ANN401
    limits = Limits(time_s=10, attempts=1)  # what nothing takes on no machine, however busy it is
    experiment = Experiment(bad, {"what": ["hang", "kill", "nothing"]}, limits=limits)
    run(experiment, to=tmp_path, dask=dask)
    rows = rows_of(tmp_path)
    assert [rows[number].ended for number in range(3)] == ["time_limit", "died", "ok"]
    assert "was killed by SIGKILL, in its only attempt" in rows[1].error


def test_workers_tell_what_they_are(dask: Any) -> None:  # noqa: ANN401
    assert {Kind(*told) for told in dask.run(eval, ASK_KIND).values()} == {kind()}


def test_workers_that_are_something_else_are_refused_by_name() -> None:
    ours = Kind("3.11", "0.1.0", "abc")
    assert kinds_that_differ(ours, {"tcp://a": tuple(ours)}) == []
    assert kinds_that_differ(
        ours,
        {
            "tcp://a": ("3.12", "0.1.0", "abc"),
            "tcp://b": ("3.11", "0.2.0", "abc"),
            "tcp://c": ("3.11", "0.1.0", "abd"),
            "tcp://d": ModuleNotFoundError("No module named 'pystack'"),
        },
    ) == [
        "worker tcp://a has Python 3.12, and here is 3.11",
        "worker tcp://b has pystack 0.2.0, and here is 0.1.0",
        "worker tcp://c has a pystack 0.1.0 whose files differ from those here",
        "worker tcp://d has no pystack that can be used (No module named 'pystack')",
    ]


def test_a_cluster_of_other_workers_runs_nothing(
    dask: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "kind", lambda: Kind("2.7", "0.1.0", "abc"))
    with pytest.raises(ConfigError, match=r"and here is 2\.7; worker .*install the same versions"):
        run(Experiment(slow, {"x": [1]}), to=tmp_path, dask=dask)


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("tcp://127.0.0.1:1", r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"),
        ("what://x", "no Dask scheduler answers at what://x"),
        ("nothing", "no Dask scheduler answers at nothing: missing port number"),
    ],
)
def test_no_scheduler_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, error: str
) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.3)
    with pytest.raises(ConfigError, match=error):
        run(Experiment(slow, {"x": [1]}), to=tmp_path, dask=address)
    gc.collect()  # nothing is left that hangs, or fails, when it goes
    # Whoever corrects the address, or the experiment, has the folder: nothing has run.
    results = run(Experiment(slow, {"x": [2]}, constants={"wait_s": 0}), to=tmp_path, processes=1)
    assert [row.ended for row in results.rows] == ["ok"]


def test_an_asynchronous_client_is_refused(dask: Any, tmp_path: Path) -> None:  # noqa: ANN401
    async def main() -> None:
        async with distributed.Client(
            dask.scheduler.address, asynchronous=True, set_as_default=False
        ) as client:
            with pytest.raises(ConfigError, match="this Dask client is asynchronous"):
                run(Experiment(slow, {"x": [1]}), to=tmp_path, dask=client)

    asyncio.run(main())


def test_a_point_that_kills_its_workers_is_reported_and_the_rest_goes_on(
    dask: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    dask.cluster.scheduler.allowed_failures = 0
    experiment = Experiment(bad, {"what": ["nothing", "kill its parent", "wait"]})
    run(experiment, to=tmp_path, dask=dask)
    rows = rows_of(tmp_path)
    assert [rows[number].ended for number in range(3)] == ["ok", "died", "ok"]
    assert rows[1].error == (
        "run 1 (what = 'kill its parent', seed = 1): the workers of the cluster that ran it died, "
        "each time"
    )


def test_what_cannot_be_fetched_in_time_is_run_again(
    dask: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Dask may wait for ever for what was lost as it was fetched.
    monkeypatch.setattr(cluster, "_FETCH_S", 1e-6)
    run(Experiment(slow, {"x": [1, 2, 3]}, constants={"wait_s": 0.0}), to=tmp_path, dask=dask)
    rows = rows_of(tmp_path)
    assert [rows[number].measures["x_squared"] for number in range(3)] == [1, 4, 9]


def test_a_scheduler_that_goes_is_a_sentence_and_what_is_done_is_kept(
    dask: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    """Last in this file, for the cluster is gone then."""
    experiment = Experiment(slow, {"x": list(range(20))}, constants={"wait_s": 0.05})
    # So it is never over before the cluster goes; the sweep after it is not on these workers.
    dask.run(os.environ.__setitem__, "PYSTACK_TEST_GATE", str(tmp_path / "never"))

    def close(progress: Progress) -> None:
        if progress.done >= 2:
            dask.cluster.close()

    with pytest.raises(RunningError, match=r"the Dask scheduler tcp://\S+ has gone"):
        run(experiment, to=tmp_path, dask=dask.scheduler.address, on_progress=close)
    kept = len(rows_of(tmp_path))
    assert 2 <= kept < 20
    run(experiment, to=tmp_path, processes=2, resume=True)
    assert len(rows_of(tmp_path)) == 20

"""Sweeps that grow: what is there is kept, what is missing is run, and it shows nowhere."""

import contextlib
import errno
import hashlib
import json
import math
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from experiment_points import anything, in_order, recovering, square, transfer

from pystack import ConfigError
from pystack.core.errors import OutputError
from pystack.experiments import Experiment, Limits, SeriesSpec, run, sample, span, zipped
from pystack.experiments.model import Outcome, Point, Track
from pystack.experiments.parameters import Axis
from pystack.experiments.point import digest_of, run_point
from pystack.experiments.results import Results, journal
from pystack.experiments.results.series import pack_series
from pystack.experiments.running import Stopped
from pystack.experiments.running.kept import kept_in
from pystack.experiments.running.store import Store
from pystack.experiments.running.supervisor import Done, Timing

RUNNING = {"rows.jsonl", "timings.jsonl", ".lock"}  # what differs from sweep to sweep


def files_of(folder: Path) -> dict[str, bytes]:
    """Return all that has to be the same as if the folder had been made at once."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in RUNNING
    }


def done_of(point: Point) -> Done:
    """Make up what a run comes to, by its parameters and its seed."""
    said = repr([sorted(point.parameters.items()), point.seed])
    drawn = hashlib.sha256(said.encode()).digest()
    if drawn[0] < 50:
        outcome = Outcome("raised", "ValueError: too much")
    else:
        tracks = [Track("queue", "", "bytes", array("d", [1.0]), array("d", [drawn[1]]))]
        tracks = tracks if drawn[0] < 150 else []
        measures = {"is": drawn[2] / 7, "word": drawn.hex()[:4]}
        outcome = Outcome("ok", "", measures, pack_series(tracks), digest_of(measures, tracks))
    return Done(point, outcome, Timing(0, 0, 0, 1))


def sweep(folder: Path, experiment: Experiment, runs: Counter[str] | None = None) -> None:
    """Run what is missing, and count the runs."""
    with Store(folder, experiment, resume=True) as store:
        for point in store.missing():
            done = done_of(point)
            store.add(done)
            if runs is not None:
                runs[repr([sorted(point.parameters.items()), point.seed])] += 1
        store.finish()


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of the sweep happens any more."""


@contextlib.contextmanager
def stopped_at(step: int | None, error: BaseException) -> Iterator[None]:
    """Stop at the so many-th change of the disk, in the middle of it; the disk is not met."""
    left = step or -1
    patch = pytest.MonkeyPatch()

    def changing(change: Callable[..., Any], half: Callable[..., Any] | None) -> Callable[..., Any]:
        def changed(*words: Any, **more: Any) -> Any:  # noqa: ANN401
            nonlocal left
            left -= 1
            if left == 0:
                if half is not None:
                    half(*words)
                raise error
            return change(*words, **more)

        return changed

    write = os.write
    patch.setattr(os, "write", changing(write, lambda fd, data: write(fd, data[: len(data) // 2])))
    for name in ("replace", "unlink", "write_bytes"):
        patch.setattr(Path, name, changing(getattr(Path, name), None))
    patch.setattr(os, "replace", changing(os.replace, None))
    patch.setattr(os, "fsync", changing(lambda descriptor: None, None))
    try:
        yield
    finally:
        patch.undo()


KINDS: list[list[Any]] = [
    [0, 1, 2.5, -7, 2**62, 1.0, -0.0],
    ["", "a", "1", "1.0", "\u00e9\n", "true"],
    [True, False],
]


def drawn_axes(rng: Random, at: int, stages: int) -> list[Axis]:
    """Draw one axis, and then others that have ever fewer of its values, in other orders."""
    match rng.choice(["list", "list", "range", "zip", "zip", "sample"]):
        case "list":
            kind = rng.choice(KINDS)
            rows = [(value,) for value in rng.sample(kind, min(len(kind), rng.randint(2, 5)))]
        case "range":
            rows = [(value,) for value in span(1, 4).values()]
        case "zip":
            kinds = [rng.choice(KINDS) for _ in range(2)]
            rows = [tuple(rng.choice(kind) for kind in kinds) for _ in range(4)]
        case _:  # of few values, some of which it has twice
            return [sample(4, {f"p{at}": span(1, 3), f"q{at}": ["u", "v"]}, seed=at)] * stages
    found = []
    for _ in range(stages):
        columns = zip((f"p{at}", f"q{at}"), zip(*rows, strict=True), strict=False)
        found.append(Axis(dict(columns)))
        rows = rng.sample(rows, rng.randint(1, len(rows)))
    return found


def drawn_experiments(rng: Random) -> list[Experiment]:
    """Draw experiments each of which asks for all that those before it ask for."""
    stages = rng.randint(2, 3)
    axes = [drawn_axes(rng, at, stages) for at in range(rng.randint(1, 2))]
    seeds = rng.sample([3, 1, -(2**62)], rng.randint(1, 3))
    found = []
    for stage in range(stages):
        rng.shuffle(axes)
        parts = [axis[stage] for axis in axes]
        found.append(Experiment(anything, parts, seeds=seeds, title=str(stage)))
        seeds = rng.sample(seeds, rng.randint(1, len(seeds)))
    return found[::-1]


@pytest.mark.parametrize("seed", range(16))
def test_whatever_grows_and_is_stopped_anywhere_ends_as_a_fresh_run(
    tmp_path: Path, seed: int
) -> None:
    rng = Random(seed)
    stages = drawn_experiments(rng)
    folder, fresh = tmp_path / "grown", tmp_path / "fresh"
    runs: Counter[str] = Counter()
    stops = 0
    for experiment in stages:
        for most in (8, 40, 80):
            full = OSError(errno.ENOSPC, "No space left on device")
            try:
                with stopped_at(rng.randint(1, most), rng.choice([full, KilledError()])):
                    sweep(folder, experiment, runs)
            except (KilledError, OutputError):
                stops += 1
    with stopped_at(None, KilledError()):
        sweep(folder, stages[-1], runs)
        sweep(fresh, stages[-1])
    assert stops
    assert files_of(folder) == files_of(fresh)
    assert Results(folder).digest == Results(fresh).digest
    assert set(runs.values()) == {1}, "a run that was written down was made again"


def grown(folder: Path, **words: Any) -> dict[str, bytes]:  # noqa: ANN401
    """Make results of two values of x with two seeds each."""
    sweep(folder, Experiment(anything, {"x": [1, 2]}, **{"seeds": 2, **words}))
    return files_of(folder)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            Experiment(anything, {"x": [1, 3]}, seeds=2),
            "2 runs that this experiment does not ask for, such as x = 2, seed = 1; ask for all",
        ),
        (Experiment(anything, {"x": [1, 2]}), "2 runs that .*, such as x = 1, seed = 2; ask"),
        (Experiment(anything, {"x": [1.0, 2, 3]}, seeds=2), "2 runs that .*, such as x = 1, seed"),
        (
            Experiment(anything, {"x": [1, 2], "y": [1]}, seeds=2),
            r'another experiment: parameters is \["x"\] there and \["x", "y"\] here; use another',
        ),
        (
            Experiment(anything, {"x": [1, 2]}, constants={"y": 1}, seeds=3),
            r"another experiment: constants\.y is null there and 1 here; use another folder",
        ),
        (
            Experiment(anything, {"x": [1, 2]}, measure=["rtt"], seeds=3),
            r'another experiment: measure is \[\] there and \["rtt"\] here; use another folder',
        ),
        (
            Experiment(anything, {"x": [1, 2]}, series=SeriesSpec(("cwnd",)), seeds=3),
            r"another experiment: series is null there and \{.*\} here; use another folder",
        ),
        (
            Experiment(square, {"x": [1, 2]}, seeds=3),
            r'another experiment: base\.function is "anything" there and "square" here; use',
        ),
    ],
)
def test_what_is_no_growth_is_refused_and_nothing_is_touched(
    tmp_path: Path, other: Experiment, sentence: str
) -> None:
    before = grown(tmp_path)
    with pytest.raises(ConfigError, match=sentence):
        kept_in(tmp_path, other, resume=True)
    with pytest.raises(ConfigError, match=sentence):
        Store(tmp_path, other, resume=True)
    assert files_of(tmp_path) == before


def test_results_of_another_version_do_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(tmp_path)
    monkeypatch.setattr("pystack.experiments.experiment.__version__", "9.9.9")
    with pytest.raises(ConfigError, match=r'version is "0\.1\.0" there and "9\.9\.9" here'):
        Store(tmp_path, Experiment(anything, {"x": [1, 2]}, seeds=3), resume=True)


def test_a_sample_grows_by_what_it_is_multiplied_with_and_not_in_itself(tmp_path: Path) -> None:
    def sampled(points: int, **words: Any) -> Experiment:  # noqa: ANN401
        return Experiment(anything, sample(points, x=span(0.0, 1.0)), **words)

    sweep(tmp_path / "r", sampled(3))
    with pytest.raises(
        ConfigError,
        match=r"\(the sample of x is another one: it is drawn as a whole, so that with other",
    ):
        Store(tmp_path / "r", sampled(6), resume=True)
    sweep(tmp_path / "r", sampled(3, seeds=2))
    sweep(tmp_path / "fresh", sampled(3, seeds=2))
    assert files_of(tmp_path / "r") == files_of(tmp_path / "fresh")


def test_what_limits_have_ended_is_not_taken_for_what_other_limits_come_to(tmp_path: Path) -> None:
    first = Experiment(anything, {"x": [1, 2]}, limits=Limits(time_s=1))
    longer = Experiment(anything, {"x": [1, 2, 3]}, limits=Limits(time_s=5))
    with Store(tmp_path, first, resume=False) as store:
        for point, ended in zip(first.points(), ("ok", "time_limit"), strict=True):
            outcome = Outcome(ended, digest="ab" * 32 if ended == "ok" else "")  # type: ignore[arg-type]
            store.add(Done(point, outcome, Timing(0, 0, 0, 1)))
    with pytest.raises(
        ConfigError, match=r"has 1 run that limits have ended, and limits\.time_s is 1 there"
    ):
        kept_in(tmp_path, longer, resume=True)
    kept = kept_in(tmp_path, longer, resume=True, retry=True)
    assert [kept.has(number) for number in range(3)] == [True, False, False]


def test_retry_goes_together_with_growth(tmp_path: Path) -> None:
    def swept(name: str, values: list[int], *, seeds: int = 1, well: bool = False) -> Results:
        experiment = Experiment(recovering, {"x": values}, seeds=seeds)
        with Store(tmp_path / name, experiment, resume=True, retry=well) as store:
            for point in store.missing():
                ended = well or point.parameters["x"] != 2
                outcome = Outcome("ok", digest="ab" * 32) if ended else Outcome("raised", "OSError")
                store.add(Done(point, outcome, Timing(0, 0, 0, 1)))
            store.finish()
        return Results(tmp_path / name)

    assert [row.error[:21] for row in swept("r", [2, 3]).failed] == ["run 0 (x = 2, seed = "]
    assert [row.error[:21] for row in swept("r", [1, 2, 3]).failed] == ["run 1 (x = 2, seed = "]
    swept("r", [1, 2, 3], seeds=2, well=True)
    swept("fresh", [1, 2, 3], seeds=2, well=True)
    assert len((tmp_path / "r" / "rows.jsonl").read_text().splitlines()) == 7
    assert files_of(tmp_path / "r") == files_of(tmp_path / "fresh")


def test_real_runs_grow_on_any_number_of_processes(tmp_path: Path) -> None:
    run(Experiment(transfer, {"delay_ms": [20]}, seeds=[2]), to=tmp_path / "r", processes=1)
    more = Experiment(transfer, {"delay_ms": [1, 20]}, seeds=2)
    grew = run(more, to=tmp_path / "r", processes=2, resume=True)
    fresh = run(more, to=tmp_path / "fresh", processes=1)
    assert files_of(grew.path) == files_of(fresh.path)
    assert len(files_of(grew.path)) == 6
    assert len((grew.path / "rows.jsonl").read_text().splitlines()) == 4


def test_the_same_point_at_several_places_is_run_once(tmp_path: Path) -> None:
    sweep(tmp_path, Experiment(square, [zipped(x=[3, 4, 3])], seeds=2))
    rows = Results(tmp_path).rows
    assert [row.parameters["x"] for row in rows] == [3, 3, 4, 4, 3, 3]
    assert [row.digest for row in rows[:2]] == [row.digest for row in rows[4:]]
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 4


def test_to_find_what_is_missing_lists_no_places_of_the_same_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of 20,000 points with two different values, that took their square: minutes.
    monkeypatch.delattr("pystack.experiments.order.Order.places_of")
    twice = Experiment(anything, [zipped(x=[3, 4, 3]), zipped(y=[1, 1])], seeds=2)
    with Store(tmp_path, twice, resume=False) as store:
        assert [point.number for point in store.missing()] == [0, 1, 4, 5]


def test_ctrl_c_after_the_last_run_says_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_store: Store) -> None:
        raise KeyboardInterrupt

    grown(tmp_path)
    monkeypatch.setattr(Store, "finish", interrupted)
    with pytest.raises(Stopped, match="stopped: 4 of 4 runs are done and kept in"):
        run(Experiment(anything, {"x": [1, 2]}, seeds=2), to=tmp_path, resume=True)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_table_without_its_journal_is_not_thrown_away(tmp_path: Path, is_there: bool) -> None:
    grown(tmp_path)
    (tmp_path / "rows.jsonl").unlink()
    if is_there:
        (tmp_path / "rows.jsonl").write_text("")
    for resume in (True, False):
        with pytest.raises(ConfigError, match=r"has rows\.parquet and no runs in rows\.jsonl"):
            Store(tmp_path, Experiment(anything, {"x": [1, 2]}, seeds=2), resume=resume)
    assert (tmp_path / "rows.parquet").exists()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("parameters", 0, "columns"), []),
        (("parameters", 0, "columns", 0, 1), []),
        (("parameters", 0, "columns", 1, 1), [1]),
        (("parameters", 0, "columns", 0, 1), [[1], 2]),
        (("seeds",), [[1], 2]),
        (("seeds",), [1, 1]),
        (("seeds", 0), math.inf),
        (("limits",), None),
        (("files",), None),
    ],
)
def test_an_experiment_that_a_hand_has_changed_is_told(
    tmp_path: Path, place: tuple[str | int, ...], value: object
) -> None:
    experiment = Experiment(anything, [zipped(x=[1, 2], y=[3, 4])], seeds=2)
    sweep(tmp_path, experiment)
    (tmp_path / "rows.parquet").unlink()
    there = json.loads((tmp_path / "experiment.json").read_text())
    part = there["experiment"]
    for word in place[:-1]:
        part = part[word]
    part[place[-1]] = value
    if place == ("seeds", 0):
        there["seeds"] = there["experiment"]["seeds"]
    (tmp_path / "experiment.json").write_text(json.dumps(there))
    with contextlib.suppress(ConfigError):
        kept_in(tmp_path, experiment, resume=True)
    if place[0] in ("parameters", "seeds"):
        with pytest.raises(ConfigError, match=r"experiment\.json does not say which experiment"):
            _ = Results(tmp_path).rows


@pytest.mark.parametrize("name", ["experiment.json", "rows.jsonl", "rows.parquet"])
def test_a_pipe_in_place_of_a_file_of_results_is_not_waited_for(tmp_path: Path, name: str) -> None:
    experiment = Experiment(anything, {"x": [1, 2]}, seeds=2)
    grown(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ConfigError, match=rf"{name} cannot be read: it is no file"):
        Results(tmp_path).frame()
    if name != "rows.parquet":  # that is thrown away
        with pytest.raises(ConfigError, match=rf"{name} cannot be read: it is no file"):
            Store(tmp_path, experiment, resume=True)


def test_a_folder_that_no_system_can_name_is_told(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)
    with pytest.raises(ConfigError, match="cannot be read: File name too long"):
        kept_in(folder, Experiment(anything, {"x": [1, 2]}), resume=True)
    with pytest.raises(ConfigError, match="cannot be read: File name too long"):
        Results(folder)


def test_who_reads_while_a_sweep_begins_to_grow_reads_what_it_has_become(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(tmp_path)
    more = Experiment(anything, {"x": [1, 2, 3]}, seeds=2)
    before = [journal.read_order(tmp_path)]
    sweep(tmp_path, more)
    read_order = journal.read_order
    monkeypatch.setattr(
        journal, "read_order", lambda folder: before.pop() if before else read_order(folder)
    )
    assert len(journal.read_rows(tmp_path)) == 6


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_function_has_its_parameters_in_one_order_whatever_the_experiment_has(
    names: tuple[str, str],
) -> None:
    experiment = Experiment(in_order, {name: [1] for name in names}, constants={"ab": 2})
    (point,) = experiment.points()
    assert run_point(experiment, point).measures == {"order": "a ab b"}

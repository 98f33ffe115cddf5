"""Sweeps that are stopped, killed, or lack room; and the programs that they are called from."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from experiment_points import slow, square

from pystack.experiments import Experiment
from pystack.experiments.results import Results
from pystack.experiments.running import Stopped, run
from pystack.experiments.running.store import Store

TESTS: Final = Path(__file__).parents[2]
SWEEP: Final = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from experiment_points import slow
from pystack.experiments import Experiment
from pystack.experiments.running import run

def tell(progress):
    print(progress.done, progress.is_ending, flush=True)
    AT_EACH

experiment = Experiment(slow, {{"x": list(range(12))}}, constants={{"wait_s": WAIT_S}})
run(experiment, to=sys.argv[1], processes=2, on_progress=tell)
"""


class Sweep:
    """A sweep in a process of its own."""

    def __init__(
        self,
        folder: Path,
        wait_s: float = 0.1,
        at_each: str = "pass",
        gate: Path | None = None,
    ) -> None:
        program = SWEEP.replace("WAIT_S", str(wait_s)).replace("AT_EACH", at_each)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Until it is there, no sweep is over, however slow the test is.
            env={**os.environ, **({"PYSTACK_TEST_GATE": str(gate)} if gate else {})},
        )

    def until(self, done: int, *, is_ending: bool = False) -> None:
        """Wait until so many runs are done."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            count, ending = line.split()
            if int(count) >= done and ending == str(is_ending):
                return
        raise AssertionError(self.end())

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its status, and the last line that it has said."""
        _, said = self.process.communicate(timeout=100)  # for a busy machine
        return self.process.returncode, said.strip().rpartition("\n")[2]


@pytest.fixture
def sweeps() -> Iterator[list[Sweep]]:
    begun: list[Sweep] = []
    yield begun
    for sweep in begun:
        sweep.process.kill()
        sweep.process.communicate()


def numbers_in(folder: Path) -> list[int]:
    return [row.number for row in Results(folder).rows]


def children_of(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Results:
    experiment = Experiment(slow, {"x": list(range(12))}, constants={"wait_s": 0.1})
    return run(experiment, to=tmp_path_factory.mktemp("whole"), processes=2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_of_a_sweep_that_is_killed_nothing_is_left_and_nothing_lost(
    sweeps: list[Sweep], whole: Results, tmp_path: Path
) -> None:
    sweeps.append(sweep := Sweep(tmp_path, gate=tmp_path / "gate"))
    sweep.until(3)
    children = {pid: os.pidfd_open(pid) for pid in children_of(sweep.process.pid)}
    folders = {os.readlink(f"/proc/{pid}/cwd") for pid in children}
    assert len(children) == 3  # two that run points, and the guard
    sweep.process.kill()
    sweep.process.wait()  # it may be there for a moment, and keep the folder
    for descriptor in children.values():
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(60_000), "it has outlived the sweep"
        os.close(descriptor)
    folders = {folder for folder in folders if "pystack-runs-" in folder}
    assert len(folders) == 2
    assert not any(Path(folder).exists() for folder in folders)
    kept = numbers_in(tmp_path)
    assert len(kept) >= 3
    experiment = Experiment(slow, {"x": list(range(12))}, constants={"wait_s": 0.1})
    resumed = run(experiment, to=tmp_path, processes=2, resume=True)
    assert numbers_in(tmp_path) == list(range(12))
    assert (tmp_path / "rows.parquet").read_bytes() == (whole.path / "rows.parquet").read_bytes()
    assert resumed.digest == whole.digest


def test_the_first_ctrl_c_lets_runs_end_that_have_begun(
    sweeps: list[Sweep], tmp_path: Path
) -> None:
    sweeps.append(sweep := Sweep(tmp_path / "results", gate=tmp_path / "gate"))
    sweep.until(2)
    sweep.process.send_signal(signal.SIGINT)
    sweep.until(2, is_ending=True)
    (tmp_path / "gate").touch()
    _, said = sweep.end()
    kept = numbers_in(tmp_path / "results")
    assert said == (
        f"pystack.experiments.running.sweep.Stopped: stopped: {len(kept)} of 12 runs are done and "
        f"kept in {tmp_path / 'results'}; resume goes on there (--resume)"
    )
    assert 2 <= len(kept) < 12
    assert kept == list(range(len(kept))), "a run that had begun was thrown away"
    assert (tmp_path / "results" / "rows.parquet").exists()


def test_ctrl_c_while_the_table_is_written_still_says_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(self: Store) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "finish", finish)
    experiment = Experiment(slow, {"x": list(range(4))}, constants={"wait_s": 0})
    with pytest.raises(Stopped, match=r"stopped: \d of 4 runs are done and kept in"):
        run(
            experiment,
            to=tmp_path,
            processes=1,
            on_progress=lambda _progress: signal.raise_signal(signal.SIGTERM),
        )


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)])
def test_a_second_ctrl_c_and_sigterm_end_all_at_once(
    sweeps: list[Sweep], tmp_path: Path, numbers: tuple[signal.Signals, ...]
) -> None:
    sweeps.append(sweep := Sweep(tmp_path, wait_s=1000))
    sweep.until(0)
    for number in numbers[:-1]:
        sweep.process.send_signal(number)
        sweep.until(0, is_ending=True)
    sweep.process.send_signal(numbers[-1])
    _, said = sweep.end()
    assert "stopped: 0 of 12 runs are done" in said


def test_a_full_disk_is_a_sentence_and_what_was_written_is_kept(
    sweeps: list[Sweep], tmp_path: Path
) -> None:
    # The limit of a file's size stands for the disk's: it makes writes fail in the same way.
    limit = (
        "import resource\n"
        "    if progress.done: resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))"
    )
    sweeps.append(sweep := Sweep(tmp_path, wait_s=0.01, at_each=limit))
    _, said = sweep.end()
    assert said == (
        f"pystack.core.errors.OutputError: results cannot be written to {tmp_path}: File too large "
        "(what is done is kept)"
    )
    kept = numbers_in(tmp_path)  # all lines are whole
    assert kept
    experiment = Experiment(slow, {"x": list(range(12))}, constants={"wait_s": 0.01})
    run(experiment, to=tmp_path, resume=True)
    assert numbers_in(tmp_path) == list(range(12))


def test_a_script_that_runs_in_its_own_processes_is_told_why_not(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "import json\n"
        "from pystack.experiments import Experiment\n"
        "from pystack.experiments.running import run\n"
        "def half(x): return x / 2\n"
        "run(Experiment(half, {'x': [1]}), to='results', processes=1)\n"
    )
    subprocess.run([sys.executable, script.name], cwd=tmp_path, check=True)
    row = json.loads((tmp_path / "results" / "rows.jsonl").read_text())
    assert 'call it below `if __name__ == "__main__":`' in row["error"]
    text = script.read_text().replace("run(Exp", "if __name__ == '__main__': run(Exp")
    script.write_text(text.replace("'results'", "'others'"))
    subprocess.run([sys.executable, script.name], cwd=tmp_path, check=True)
    row = json.loads((tmp_path / "others" / "rows.jsonl").read_text())
    assert (row["ended"], row["measures"]) == ("ok", {"value": 0.5})


def test_it_runs_in_threads_of_trio_and_asyncio(tmp_path: Path) -> None:
    experiment = Experiment(square, {"x": [3]})

    def sweep(name: str) -> Results:
        return run(experiment, to=tmp_path / name, processes=1)

    async def loop() -> Results:
        return await asyncio.to_thread(sweep, "asyncio")

    found: list[Any] = [
        trio.run(partial(trio.to_thread.run_sync, sweep, "trio")),
        asyncio.run(loop()),
    ]
    assert len({results.digest for results in found}) == 1
    assert all(numbers_in(results.path) == [0] for results in found)

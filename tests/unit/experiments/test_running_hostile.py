"""Points that spoil what all points of a process share, and processes that others meddle with."""

import ctypes
import io
import json
import os
import resource
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from experiment_points import square

from pystack import ConfigError
from pystack.experiments import Experiment, Limits
from pystack.experiments.model import Point
from pystack.experiments.running import RunningError, processes, run
from pystack.experiments.running.framing import GarbledError, Message, read
from pystack.experiments.running.processes import Crew
from pystack.experiments.running.supervisor import Done, Supervisor

_PR_SET_NAME: Final = 15  # <linux/prctl.h>

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux: prctl, /proc")


def complain(x: int) -> None:
    print(f"word {x}")
    raise ValueError(x)


def spoil(what: str) -> int:
    match what:
        case "stdout is closed":
            sys.stdout.close()
        case "stdout is none":
            sys.stdout = None  # type: ignore[assignment]
        case "stderr is in memory":
            sys.stderr = io.StringIO()
        case "0, 1 and 2 are closed":
            for number in range(3):
                os.close(number)
        case "no folder":
            shutil.rmtree(os.getcwd())
        case "an alarm":
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        case "few files":
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        case "no modules":
            sys.modules.clear()
        case "a profiler":
            sys.setprofile(_fail)
        case "umask":
            os.umask(0o777)
        case "after it":
            Path("made").write_text("x")
            print(Path("made").read_text(), len(sys.modules))
            time.sleep(0.06)
    return 1


def _fail(*_about: object) -> None:
    raise RuntimeError


def scribble(what: str) -> int:
    """Write into the pipe on which the sweep waits for results."""
    data = {
        "noise": b"noise" * 100,
        "another message": b"\x02\0\0\0" + bytes(8) + b"{}",
        "a huge one": b"\x02\0\0\0" + b"\xff" * 8 + b"{}",
        "nothing": b"",
    }[what]
    for number in range(3, 20):
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(number).st_mode):
                os.write(number, data)
    return 1


def hang_under_a_name_of_bytes(x: int) -> int:
    ctypes.CDLL(None).prctl(_PR_SET_NAME, b"caf\xc3", 0, 0, 0)
    time.sleep(1000)
    return x


def many(count: int) -> dict[str, int]:
    return {f"k{number}": number for number in range(count)}


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def fail(what: str) -> str:
    match what:
        case "oddly":
            raise OddError
        case "at length":
            raise ValueError("x" * 1_000_000)
        case "with a surrogate":
            return "\ud800"
    return "x" * 1_000_000


def rows_of(
    function: Callable[..., Any], folder: Path, values: list[Any], limits: Limits | None = None
) -> dict[Any, dict[str, Any]]:
    name = function.__code__.co_varnames[0]
    experiment = Experiment(function, {name: values}, limits=limits)
    run(experiment, to=folder, processes=1)
    rows = map(json.loads, (folder / "rows.jsonl").read_text().splitlines())
    return {row["parameters"][name]: row for row in rows}


def test_what_was_printed_last_is_of_the_run_itself(tmp_path: Path) -> None:
    rows = rows_of(complain, tmp_path, list(range(40)))
    for x, row in rows.items():
        assert row["error"].endswith(f'; it printed last: "word {x}"')


def test_what_a_point_spoils_no_other_one_finds(tmp_path: Path) -> None:
    whats = ["stdout is closed", "stdout is none", "stderr is in memory", "0, 1 and 2 are closed"]
    whats += ["no folder", "an alarm", "few files", "no modules", "a profiler", "umask"]
    values = [value for what in whats for value in (what, "after it")]
    done: list[Done] = []
    experiment = Experiment(spoil, {"what": [*whats, "after it"]}, limits=Limits(attempts=1))
    points = [Point(n, {"what": value}, 0, 1) for n, value in enumerate(values)]
    with Crew(experiment, dies_with_thread=True) as crew:
        supervisor = Supervisor(crew)
        supervisor.run(points, done.append)
        supervisor.close()
    assert len(done) == 20
    faults = [each.outcome.error for each in done if each.point.parameters["what"] == "after it"]
    assert faults == [""] * 10


def test_a_point_that_writes_into_the_pipe_of_results_is_told_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    whats = ["noise", "another message", "a huge one"]
    rows = rows_of(scribble, tmp_path, [*whats, "nothing"], Limits(attempts=1))
    assert rows["nothing"]["ended"] == "ok"
    for what in whats:
        assert rows[what]["ended"] == "died"
        assert "wrote what is no result into the pipe of its results" in rows[what]["error"]


def test_a_message_of_nonsense_is_garbled() -> None:
    for data in (b"\xff" * 40, b"\x02\0\0\0" + bytes(8) + b"{x", b"\1\0\0\0" + bytes(8) + b"1"):
        with pytest.raises(GarbledError):
            read(io.BytesIO(data))
    assert read(io.BytesIO(b"\x09\0\0\0" + bytes(8) + b"{")) is None


@linux
def test_a_process_whose_name_is_no_utf_8_is_ended_too(tmp_path: Path) -> None:
    rows = rows_of(hang_under_a_name_of_bytes, tmp_path, [1], Limits(time_s=0.5))
    assert rows[1]["ended"] == "time_limit"


def test_a_run_has_so_many_measurements_at_most(tmp_path: Path) -> None:
    rows = rows_of(many, tmp_path, [2000, 2001])
    assert (rows[2000]["ended"], rows[2001]["ended"]) == ("ok", "wrong_result")
    assert "2,001 measurements of one run: 2,000 are the most" in rows[2001]["error"]


def test_what_a_run_says_fits_into_a_row(tmp_path: Path) -> None:
    rows = rows_of(fail, tmp_path, ["oddly", "at length", "with a surrogate", "in a long text"])
    assert "OddError: (and its text raises RuntimeError), in " in rows["oddly"]["error"]
    assert rows["at length"]["ended"] == "raised"
    assert len(rows["at length"]["error"]) < 5000
    assert r"'\ud800' is no text" in rows["with a surrogate"]["error"]
    assert "a text of 1,000,000 characters: 65,536 are the most" in rows["in a long text"]["error"]


def test_a_guard_that_somebody_has_stopped_does_not_hold_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_END_S", 0.1)
    crew = Crew(Experiment(square, {"x": [1]}), dies_with_thread=True)
    os.kill(crew._guard.pid, signal.SIGSTOP)
    crew.close()
    assert crew._guard.returncode == -signal.SIGKILL


def test_a_process_that_is_stopped_before_it_begins_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_BEGIN_S", 0.2)
    with Crew(Experiment(square, {"x": [1]}), dies_with_thread=True) as crew:
        child = crew.start()
        os.kill(child.pid, signal.SIGSTOP)
        assert not child.is_ready()
        assert child.how_it_ended() == "was killed by SIGKILL"
        assert child.was_killed


class FakeChild:
    """A process of which the test says how it begins, and how it is ended."""

    def __init__(self, *, is_ready: bool = True, why: str | None = None) -> None:
        self._is_ready, self._why = is_ready, why
        self.why: str | None = None
        self.was_killed = not is_ready
        self.sent: list[int] = []

    def is_ready(self) -> bool:
        return self._is_ready

    def send(self, point: Point) -> None:
        self.sent.append(point.number)

    def receive(self, number: int, *, is_last: bool) -> Message:
        self.why = self._why
        said = {"ended": "ok", "error": "", "measures": {}, "digest": "", "left": "", "words": ""}
        said |= {"number": str(number), "is_last": str(is_last)}
        return Message({**said, "has_series": 0, "wall_s": 1, "cpu_s": 1, "peak_bytes": 0}, b"")

    def last_words(self) -> str:
        return ""

    def how_it_ended(self) -> str:
        return "was killed by SIGKILL"

    def everywhere(self, text: str) -> str:
        return text


def run_on(children: list[FakeChild], points: list[Point]) -> list[Done]:
    left = iter(children)
    crew: Any = SimpleNamespace(
        is_stopping=False, limits=Limits(), start=lambda: next(left), dismiss=lambda _child: None
    )
    done: list[Done] = []
    Supervisor(crew).run(points, done.append)
    return done


def test_a_run_that_ends_as_its_limit_ends_its_process_costs_the_next_nothing() -> None:
    children = [FakeChild(why="time_limit"), FakeChild()]
    done = run_on(children, [Point(0, {}, 0, 1), Point(1, {}, 0, 1)])
    assert [each.outcome.ended for each in done] == ["ok", "ok"]
    assert [child.sent for child in children] == [[0], [1]]


def test_a_process_that_is_killed_as_it_begins_is_replaced_as_often_as_there_are_attempts() -> None:
    done = run_on([FakeChild(is_ready=False), FakeChild()], [Point(0, {}, 0, 1)])
    assert [each.outcome.ended for each in done] == ["ok"]
    with pytest.raises(RunningError, match="was killed by SIGKILL before it had read"):
        run_on([FakeChild(is_ready=False) for _ in range(2)], [Point(0, {}, 0, 1)])


def test_seeds_are_counted_before_they_are_made() -> None:
    assert len(Experiment(square, {"x": [1]}, seeds=100_000).seeds) == 100_000
    for seeds in (10**15, range(10**15)):
        with pytest.raises(ConfigError, match="1,000,000 seeds are the most"):
            Experiment(square, {"x": [1]}, seeds=seeds)

"""What is said of a sweep while it goes on."""

import io
import sys

import pytest

from pystack.cli.sweep_progress import shown
from pystack.experiments.running import Progress

AT_WORK = Progress(done=30, total=1000, failed=2, rate=4.0, last_error="run 7 (x = 1): KeyError")


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(0, 10, 0, None), "0 of 10 runs"),
        (AT_WORK, "30 of 1000 runs, 4/s, 4 min left, 2 failed"),
        (Progress(0, 100, 0, 2.0), "0 of 100 runs, 2/s, 50 s left"),
        (Progress(0, 9000, 0, 1.0), "0 of 9000 runs, 1/s, 2 h 30 min left"),
        (Progress(10, 10, 0, 0.251), "10 of 10 runs, 0.251/s"),
        (
            Progress(3, 10, 0, 2.0, is_ending=True),
            "3 of 10 runs, ending what has begun; Ctrl-C again stops at once",
        ),
    ],
)
def test_it_is_said_in_words(progress: Progress, text: str) -> None:
    assert str(progress) == text


def test_without_a_terminal_there_are_lines_for_failures_and_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with shown() as tell:
        tell(AT_WORK)
        tell(AT_WORK)
    assert capsys.readouterr() == ("", f"{AT_WORK.last_error}\n{AT_WORK}\n")


def test_only_the_first_failures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with shown() as tell:
        for number in range(20):
            tell(Progress(number, 20, number, None, last_error=f"run {number}: KeyError"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[4:] == ["run 4: KeyError (more are in the results)", "19 of 20 runs, 19 failed"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(quiet=True) as tell:
        tell(AT_WORK)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_line_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with shown() as tell:
        tell(AT_WORK)
    said = terminal.getvalue()
    assert "30 of 1000 runs, 4/s, 4 min left, 2 failed" in said
    assert "run 7 (x = 1): KeyError" in said

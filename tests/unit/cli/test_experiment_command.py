"""The command `pystack experiment run`: what it prints, and what it exits with."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from pystack import ConfigError
from pystack.cli.main import make_app
from pystack.core import extras

FILE: Final = """\
title = "Doubling"
run = "doubling.py:double"
seeds = 2
[parameters]
x = [1, 2, 3]
"""
MODULE: Final = """
def double(x, seed):
    if x == 3:
        raise ValueError("three is too much")
    return {"doubled": 2 * x, "seeded": seed}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "doubling.toml").write_text(FILE)
    (tmp_path / "doubling.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def experiment(*words: str) -> object:
    """Return the exit status."""
    app = make_app("experiment")
    return app(["experiment", "run", "doubling.toml", *words], standalone_mode=False)


def test_a_dry_run_counts_and_shows_points(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert experiment("--dry-run", "--set", "measure=['rtt p50', 'goodput']") == 0
    assert capsys.readouterr().out.splitlines() == [
        "doubling: Doubling",
        "  of doubling.py:double",
        "  x     3  1, 2, 3",
        "  seed  2  1, 2",
        "3 x 2 = 6 runs",
        "measured: rtt_p50_s, goodput_bps",
        "  0: x = 1, seed = 1",
        "  1: x = 1, seed = 2",
        "  2: x = 2, seed = 1",
        "  3: x = 2, seed = 2",
        "  4: x = 3, seed = 1",
        "  5: x = 3, seed = 2",
    ]
    assert not (folder / "doubling.results").exists()


def test_a_million_points_are_counted_and_not_made(capsys: pytest.CaptureFixture[str]) -> None:
    many = ("--set", "parameters.x={ range = [1, 1000000] }")
    with pytest.raises(ConfigError, match=r"doubling has 2,000,000 runs: say --yes if they are"):
        experiment(*many)
    assert experiment(*many, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "  x     1,000,000  1, 2, 3, 4, 5, ...\n" in out
    assert "1,000,000 x 2 = 2,000,000 runs\n" in out
    assert "  and 1,999,988 more\n" in out


def test_runs_that_end_well_exit_with_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert experiment("--set", "parameters.x=[1]", "--to", "out", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("2 runs: 2 ok; digest ")
    assert captured.out.endswith("pystack experiment show out\n")
    assert captured.err == ""
    assert (folder / "out" / "rows.jsonl").exists()


def test_without_the_libraries_of_tables_it_says_where_the_rows_are_and_how_to_get_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "import_module", _without_numpy)
    assert experiment("--set", "parameters.x=[1]", "--to", "out", "--quiet") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"rows are in out/rows.jsonl; pystack experiment show needs numpy: "
        f"{extras.how_to_get('experiments')}"
    )


def _without_numpy(name: str) -> ModuleType:
    if name == "numpy":
        raise ModuleNotFoundError(name=name)
    return import_module(name)


def test_runs_that_fail_are_listed_and_exit_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert experiment("--processes", "1", "--quiet") == 1
    first, *failed, last = capsys.readouterr().out.splitlines()
    assert first.startswith("6 runs: 4 ok, 2 raised; digest ")
    assert failed == [
        f"  raised: run {4 + at} (x = 3, seed = {1 + at}): ValueError: three is too much, in "
        "doubling.py:4"
        for at in range(2)
    ]
    assert last == "pystack experiment show doubling.results"
    with pytest.raises(ConfigError):  # there is a folder already
        experiment("--quiet")


def test_a_dry_run_says_what_of_it_is_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        (("--resume",), "0 kept in doubling.results, 6 to run"),
        (("--quiet", "--set", "seeds=1"), ""),
        (("--resume", "--dry-run"), "3 kept in doubling.results (1 of them failed), 3 to run"),
        (("--retry", "--dry-run"), "2 kept in doubling.results, 4 to run"),
    ):
        experiment(*words, *(() if "--quiet" in words else ("--dry-run",)))
        last = capsys.readouterr().out.splitlines()[-1]
        assert not said or last == said
    assert len((folder / "doubling.results" / "rows.jsonl").read_text().splitlines()) == 3
    with pytest.raises(ConfigError, match="has 3 runs that this experiment does not ask for"):
        experiment("--resume", "--dry-run", "--set", "seeds=[2]")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--set", "sedes=2"), "there is no word 'sedes'; did you mean 'seeds'"),
        (("--set", "seeds"), "'seeds' sets nothing"),
        (("--processes", "2", "--dask", "tcp://a:1"), "--processes and --dask"),
    ],
)
def test_wrong_words_are_refused(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        experiment(*words)


COMPARE: Final = '\n[compare]\nmeasure = "doubled"\nbetween = "x"\nbaseline = 1\n'
NOT_COMPARED: Final = (
    "nothing is compared: what was set leaves out x = 1, the baseline "
    "(--set compare.baseline= names another)\n"
)


def show() -> None:
    make_app("experiment")(["experiment", "show", "doubling.results"], standalone_mode=False)


def test_a_part_without_the_baseline_runs_and_it_is_said_that_nothing_is_compared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "doubling.toml").write_text(FILE.replace("2, 3", "2, 4") + COMPARE)
    assert experiment("--quiet", "--set", "parameters.x=[2, 4]") == 0
    assert capsys.readouterr().err == f"pystack: {NOT_COMPARED}"
    show()
    assert capsys.readouterr().out.endswith(NOT_COMPARED)
    # What goes on from there has the baseline again.
    assert experiment("--quiet", "--resume") == 0
    assert capsys.readouterr().err == ""
    show()
    out = capsys.readouterr().out
    assert "doubled against x = 1, run by run" in out
    assert "nothing is compared" not in out


@pytest.mark.parametrize(
    "words", [(), ("--set", "parameters.x=[2]"), ("--set", "parameters.x=[2]", "--set", "seeds=1")]
)
def test_a_file_whose_own_baseline_is_not_among_its_values_is_refused(
    folder: Path, words: tuple[str, ...]
) -> None:
    (folder / "doubling.toml").write_text(FILE + COMPARE.replace("= 1", "= 9"))
    with pytest.raises(ConfigError, match=r"toml:10: x is never 9, .*\(there are: [123, ]*2"):
        experiment("--quiet", *words)


def test_a_baseline_that_is_set_is_to_be_among_the_values(folder: Path) -> None:
    (folder / "doubling.toml").write_text(FILE + COMPARE)
    with pytest.raises(ConfigError, match=r"x is never 1, .*\(there are: 2, 3\)"):
        experiment("--set", "parameters.x=[2, 3]", "--set", "compare.baseline=1")

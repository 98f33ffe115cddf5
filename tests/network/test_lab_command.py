"""The command `pystack lab`: one sentence for what is wrong, and status 2, 1 or 0."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LAB = """\
seed = 7
[hosts.a]
%s
[hosts.b]
serve = ["http"]
[[links]]
between = ["a", "b"]
delay = "20ms"
"""


def pystack(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pystack", "lab", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent)])},
    )


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "lab.toml"
    path.write_text(LAB % 'programs = [{ run = "lab_programs_for_tests:fails" }]')
    return path


def test_check_says_that_a_file_is_right(lab: Path) -> None:
    done = pystack("check", lab)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{lab} is right: 2 nodes, 1 link, 0 events\n"


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("delay", "dely", "8: there is no word 'dely' in links #1; did you mean 'delay'?"),
        ('["http"]', '["htp"]', "4: b: there is no service 'htp'; did you mean 'http'?"),
        ('["http"]', '["http", "echo:80"]', "4: b: 'http' and 'echo:80' both claim TCP port 80"),
    ],
)
def test_what_is_wrong_is_one_sentence(lab: Path, right: str, wrong: str, sentence: str) -> None:
    lab.write_text(lab.read_text().replace(right, wrong))
    done = pystack("check", lab)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"pystack: {lab}:{sentence}")
    assert done.stderr.count("\n") == 1


def test_show_draws_it(lab: Path, tmp_path: Path) -> None:
    done = pystack("show", lab)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2:] == [
        "host a  10.0.0.1/24 fd00::1/64  [lab_programs_for_tests:fails]",
        "`-- host b  10.0.0.2/24 fd00::2/64  [http]   (delay 20ms)",
    ]
    done = pystack("show", lab, "--svg", tmp_path / "lab.svg")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "lab.svg").read_text().startswith("<svg ")
    done = pystack("show", lab, "--svg", tmp_path / "none" / "lab.svg")
    assert done.returncode == 2
    assert done.stderr.endswith("lab.svg: No such file or directory\n")


def test_run_shows_the_error_of_a_program(lab: Path) -> None:
    done = pystack("run", lab, "--virtual")
    assert done.returncode == 1
    assert done.stdout.startswith(f"ready: {lab}: 2 nodes, 1 link, seed 7, virtual time\n")
    assert "KeyError: 'nothing there'" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == (f"pystack: {lab}:3: the program lab_programs_for_tests:fails on a failed")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--for", "long"), "'long' is not a time"),
        (("--seed", "x"), "Invalid value for '--seed'"),
        (("--pcap", "/none/x.pcap", "--virtual"), "cannot write the capture /none/x.pcap"),
    ],
)
def test_wrong_options_are_one_sentence(lab: Path, args: tuple[str, ...], sentence: str) -> None:
    done = pystack("run", lab, *args)
    assert done.returncode in (1, 2)
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_lab_in_real_time(lab: Path, number: signal.Signals) -> None:
    lab.write_text(LAB % "")
    with subprocess.Popen(
        [sys.executable, "-m", "pystack", "lab", "run", str(lab)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline().startswith("ready: ")
            process.send_signal(number)
            assert process.wait(timeout=120) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["lo", "sixteen-letters-x", "a%sb"])
def test_check_knows_what_no_device_can_be_called(lab: Path, name: str) -> None:
    lab.write_text(f'[hosts.a]\n[taps."{name}"]\n[[links]]\nbetween = ["a", "{name}"]\n')
    for word in ("check", "run"):
        done = pystack(word, lab)
        assert done.returncode == 2
        assert done.stderr.startswith(f"pystack: {lab}:2: ")
        assert repr(name) in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_others_go_on_where_that_is_asked_for(lab: Path) -> None:
    lab.write_text(
        LAB % 'programs = [{ run = "lab_programs_for_tests:fails" }, '
        '{ run = "lab_programs_for_tests:pings", args = ["b", 3] }]'
    )
    assert pystack("run", lab, "--virtual").stdout.count(" ms\n") < 3
    done = pystack("run", lab, "--virtual", "--keep-going")
    assert done.returncode == 1
    assert done.stdout.count(" ms\n") == 3
    assert "KeyError: 'nothing there'" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == f"pystack: {lab}: failed: lab_programs_for_tests:fails on a"


def test_what_may_fail_is_told_and_is_no_failure(lab: Path) -> None:
    lab.write_text(
        LAB % 'programs = [{ run = "lab_programs_for_tests:fails", may_fail = true }, '
        '{ run = "lab_programs_for_tests:pings", args = ["b", 3] }]'
    )
    done = pystack("run", lab, "--virtual")
    assert (done.returncode, done.stderr) == (0, "")
    assert "a: lab_programs_for_tests:fails failed: KeyError: 'nothing there'\n" in done.stdout

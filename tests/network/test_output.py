"""The command's reader goes away, as `| head` does: an end without a word, and SIGPIPE's status."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LAB = """\
[hosts.a]
programs = [{ run = "lab_programs_for_tests:pings", args = ["b", 100000] }]
[hosts.b]
[[links]]
between = ["a", "b"]
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "lab.toml"
    path.write_text(LAB)
    return path


def read_lines(lines: int, *args: str | Path) -> tuple[int, str]:
    """Run pystack, read some lines of what it prints, go away; return its status and stderr."""
    with subprocess.Popen(
        [sys.executable, "-m", "pystack", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for _ in range(lines):
                assert process.stdout.readline()
            process.stdout.close()
            return process.wait(timeout=120), process.stderr.read()
        finally:
            process.kill()


@pytest.mark.parametrize("lines", [0, 1, 3, 50])
def test_a_lab_ends_in_the_middle_of_its_programs(lab: Path, lines: int) -> None:
    assert read_lines(lines, "lab", "run", "--virtual", lab) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize(
    "args", [("plugins",), ("--help",), ("--version",), ("lab", "show"), ("lab", "check")]
)
def test_what_is_printed_at_once_may_have_no_reader_at_all(
    lab: Path, args: tuple[str, ...]
) -> None:
    files = (lab,) if args[0] == "lab" else ()
    assert read_lines(0, *args, *files) == (128 + signal.SIGPIPE, "")


def test_a_broken_pipe_of_a_programs_own_is_its_own_error(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("async def fails(host):\n    raise BrokenPipeError('mine')\n")
    lab.write_text('[hosts.a]\nprograms = [{ run = "mine:fails" }]\n')
    done = subprocess.run(
        [sys.executable, "-m", "pystack", "lab", "run", "--virtual", lab],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "BrokenPipeError: mine" in done.stderr
    assert done.stderr.endswith("the program mine:fails on a failed\n")

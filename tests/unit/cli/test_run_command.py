"""`pystack run`: a program, as if Python had been called with it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
import beside, pystack
print(sys.argv[1:], __name__, pystack.__version__ and beside.WORD)
sys.exit(int(sys.argv[1]))
"""


def run(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pystack", "run", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_it_gets_its_arguments_and_gives_its_status(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("WORD = 'found'")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run(tmp_path / "program.py", 7, "--help", "-v", "--", "x")
    assert done.stdout == "['7', '--help', '-v', '--', 'x'] __main__ found\n"
    assert (done.returncode, done.stderr) == (7, "")


def test_its_traceback_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import pystack\nraise pystack.ConfigError('mine')\n")
    done = run(tmp_path / "program.py")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "pystack/cli" not in done.stderr


@pytest.mark.parametrize("name", ["nothing.py", "."])
def test_no_program_is_one_sentence(tmp_path: Path, name: str) -> None:
    done = run(tmp_path / name)
    assert done.returncode == 2
    assert done.stderr.startswith("pystack: the program ")
    assert done.stderr.count("\n") == 1


# Sends Ctrl-C at the moment at which a module is looked for.
INTERRUPT = """
import signal, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == sys.argv[-1]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder)
when = sys.argv[-1]
from pystack.cli.start import main
sys.argv = ["pystack", "up", "--help", when]
main()
"""


@pytest.mark.parametrize("module", ["pystack.cli.main", "typer", "pystack.cli.up", "trio"])
def test_an_interrupt_while_it_imports_is_no_traceback(module: str) -> None:
    argv = [sys.executable, "-c", INTERRUPT, module]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in done.stderr


def test_an_interrupt_that_waited_ends_it_too() -> None:
    code = (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]); "
        "signal.raise_signal(signal.SIGINT); from pystack.cli.start import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")

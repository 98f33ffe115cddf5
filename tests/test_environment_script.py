"""scripts/environment, and what scripts/pystack asks it for: with a Python that makes nothing.

The stand-in makes environments that have a stand-in too, whose pip writes down what it was asked
for, and does as a file beside it says.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PYTHON: Final = f"""\
#!/bin/bash
set -eu
case "$1 ${{2:-}}" in
  "-m venv")
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    printf '#!/bin/bash\\necho "$PYSTACK_CALLED $*"\\n' >"$3/bin/pystack"
    chmod +x "$3/bin/pystack" ;;
  "-m pip")
    shift 3
    echo "$*" >>"$PIP_SAYS"
    . "$PIP_DOES" ;;
  *) exec {shlex.quote(sys.executable)} "$@" ;;
esac
"""
LARGE: Final = {"experiments", "plot", "cluster", "gym"}


class Checkout:
    """A checkout with the scripts and what they read, and a pip that writes down its words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        shutil.copytree(ROOT / "scripts", self.folder / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.folder)
        self.python = folder / "python stand-in"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        self.pip_says, self.pip_does = folder / "pip.says", folder / "pip.does"
        self.pip_says.touch()
        self.pip_does.touch()
        self.env = {
            **os.environ,
            "PYSTACK_PYTHON": str(self.python),
            "PYSTACK_VENV": str(self.folder / ".venv"),
            "PIP_SAYS": str(self.pip_says),
            "PIP_DOES": str(self.pip_does),
        }
        self.env.pop("PYSTACK_VERSIONS", None)

    def start(self, script: str, *words: str) -> subprocess.Popen[str]:
        argv = [str(self.folder / "scripts" / script), *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, env=self.env, stdout=pipe, stderr=pipe, text=True)

    def run(self, script: str, *words: str, status: int = 0) -> str:
        """Return what it says on standard error."""
        running = self.start(script, *words)
        _, errors = running.communicate(timeout=120)
        assert running.returncode == status, errors
        return errors

    def asked(self) -> list[str]:
        """Return what pip was asked for since the last time, without what it always is."""
        lines = self.pip_says.read_text().splitlines()
        self.pip_says.write_text("")
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def extras() -> dict[str, list[str]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: dict[str, list[str]] = tomllib.load(file)["project"]["optional-dependencies"]
    return found


def test_the_first_start_leaves_the_large_libraries_out_and_the_second_does_nothing(
    checkout: Checkout,
) -> None:
    assert "making" in checkout.run("pystack", "explain", "http://server/")
    (words,) = checkout.asked()
    small = {*extras()["all"][0].removeprefix("pystack-net[").rstrip("]").split(","), "examples"}
    editable, _, named = words.removesuffix("]").partition(" .[")
    assert editable == "--editable"
    assert set(named.split(",")) == small - LARGE
    assert checkout.run("pystack", "explain", "http://server/") == ""
    assert checkout.run("python", "-c", "") == ""
    assert checkout.asked() == []


def test_a_command_asks_for_what_it_needs(checkout: Checkout) -> None:
    (checkout.folder / "scripts" / "environment").write_text('#!/bin/sh\necho "$*"; exit 3\n')
    for command, wanted in {
        "experiment run mine.toml": "run experiments",
        "experiment show mine.results": "run experiments",
        "experiment run mine.toml --dask tcp://a:8786": "run experiments cluster",
        "experiment run mine.toml --dask=tcp://a:8786": "run experiments cluster",
        "plot box mine.results": "run plot",
        "experiment run --help": "run",
        "experiment": "run",
        "plot": "run",
        "plot -h": "run",
        "lab run plot": "run",
    }.items():
        running = checkout.start("pystack", *command.split())
        said, _ = running.communicate(timeout=120)
        assert (command, said.strip()) == (command, wanted)


def test_the_command_is_told_by_which_script_it_was_called(checkout: Checkout) -> None:
    running = checkout.start("pystack", "explain", "http://server/")
    said, _ = running.communicate(timeout=120)
    assert said == f"{checkout.folder}/scripts/pystack explain http://server/\n"


def test_extras_are_added_by_the_names_of_their_libraries(checkout: Checkout) -> None:
    checkout.run("environment")
    checkout.asked()
    assert checkout.run("environment", "run", "plot").startswith("adding plot to ")
    (words,) = checkout.asked()
    # What is there, pystack among it, is not touched.
    added = {each for name in ("experiments", "plot") for each in extras()[name] if "[" not in each}
    assert added <= set(words.split())
    assert "pystack" not in words
    checkout.run("environment", "experiments")  # which plot has
    assert checkout.asked() == []


def test_an_extra_that_cannot_be_added_leaves_what_is_there(checkout: Checkout) -> None:
    checkout.run("environment")
    checkout.pip_does.write_text("echo no network; exit 1")
    said = checkout.run("pystack", "plot", "box", "mine.results", status=1)
    assert "no network\npystack: plot could not be added to " in said
    assert checkout.run("pystack", "explain", "http://server/") == ""
    checkout.pip_does.write_text("echo 'No space left on device'; exit 1")
    assert "no room left on the disk" in checkout.run("environment", "plot", status=1)


def test_an_extra_whose_adding_was_broken_off_is_added_again_and_nothing_else(
    checkout: Checkout,
) -> None:
    checkout.run("environment")
    checkout.asked()
    checkout.pip_does.write_text("kill -9 $PPID; exit 1")
    checkout.run("environment", "gym", status=-9)
    checkout.pip_does.write_text("")
    checkout.asked()
    assert checkout.run("pystack", "--version") == ""
    assert checkout.asked() == []
    assert checkout.run("environment", "gym").startswith("adding gym to ")
    assert len(checkout.asked()) == 1


def test_a_first_set_up_that_was_broken_off_is_started_over(checkout: Checkout) -> None:
    checkout.pip_does.write_text("kill -9 $PPID; exit 1")
    checkout.run("environment", status=-9)
    left = checkout.folder / ".venv" / "half"
    left.touch()
    checkout.pip_does.write_text("")
    assert checkout.run("environment").startswith("making ")
    assert not left.exists()


def test_ctrl_c_is_one_sentence(checkout: Checkout) -> None:
    checkout.pip_does.write_text("kill -INT $PPID; echo Traceback; exit 1")
    _, said = checkout.run("environment", status=130).splitlines()
    assert said == "pystack: broken off; the next start does it again"


def test_two_that_start_at_once_make_one_environment(checkout: Checkout, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    checkout.pip_does.write_text(f'read -r <"{go}"')
    first = checkout.start("environment")
    assert first.stderr is not None
    assert first.stderr.readline().startswith("making ")
    second = checkout.start("environment")
    assert second.stderr is not None
    assert second.stderr.readline().startswith("waiting for another set-up")
    go.write_text("\n")
    assert [each.wait(timeout=120) for each in (first, second)] == [0, 0]
    for each in (first, second):
        each.communicate()
    assert len(checkout.asked()) == 1


def test_without_the_network_a_new_recipe_waits_and_what_is_there_runs(
    checkout: Checkout,
) -> None:
    checkout.run("environment")
    with (checkout.folder / "constraints.txt").open("a") as file:
        file.write("# another\n")
    checkout.pip_does.write_text("echo no network; exit 1")
    said = checkout.run("pystack", "--version")
    assert said.splitlines()[-1].startswith("pystack: going on with ")
    checkout.run("environment", "test", status=1)  # what is tested has to be what is said
    checkout.pip_does.write_text("")
    checkout.asked()
    assert checkout.run("pystack", "--version").startswith("bringing ")
    (words,) = checkout.asked()
    assert words.startswith("--editable .[")
    assert checkout.run("pystack", "--version") == ""


def test_an_extra_that_there_is_not_is_told_and_nothing_is_made(checkout: Checkout) -> None:
    said = checkout.run("environment", "plots", status=1)
    assert said.startswith("pystack: there is no extra 'plots'; there are cli, tap, ")
    assert not (checkout.folder / ".venv").exists()

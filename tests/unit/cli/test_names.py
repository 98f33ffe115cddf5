"""PyPI has another `pystack`, of the same import name: whoever has both is told who answers."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pystack.core.extras import how_to_get

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def both(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the other one is installed as well."""
    folder = tmp_path / "site-packages"
    (folder / "pystack-1.7.2.dist-info").mkdir(parents=True)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}


def python(*words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], env=env, check=True, capture_output=True, text=True
    )


def test_the_import_says_which_one_it_is(both: dict[str, str]) -> None:
    said = python("-c", "import pystack", env=both).stderr
    assert "this is the pystack of the distribution pystack-net" in said
    assert str(ROOT / "pystack") in said
    assert python("-c", "import pystack", env=dict(os.environ)).stderr == ""


def test_so_does_the_command(both: dict[str, str]) -> None:
    done = python("-m", "pystack", "--version", env=both)
    assert done.stdout.endswith(" (the distribution pystack-net)\n")
    assert "the distribution pystack, whose import name is the same" in done.stderr


def test_the_pytest_plug_in_has_a_name_of_its_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"pystack-net": "pystack.testing.plugin"}
    ours = [entry.name for entry in entry_points(group="pytest11") if "pystack" in entry.value]
    assert ours == ["pystack-net"]


def test_a_missing_extra_is_named() -> None:
    code = "import sys; sys.modules['hypercorn'] = None; import pystack.apps.asgi"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"pystack.apps.asgi needs hypercorn: {how_to_get('asgi')}")

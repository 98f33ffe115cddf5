"""`pystack lab run` with commands in namespaces: what their failure is to the lab."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

LAB: Final = """
[namespaces.a]
programs = [
  { command = ["%s"] },
  { command = ["sh", "-c", "sleep 0.2; exit 3"], may_fail = %s },
  { command = ["true"] },
]
[hosts.b]
[[links]]
between = ["a", "b"]
"""


def run(lab: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pystack", "lab", "run", str(lab)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_a_command_that_fails_is_the_labs_failure_in_the_end(tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(LAB % ("false", "false"))
    done = run(lab)
    assert done.returncode == 1
    assert "a: false ended with status 1\na: sh ended with status 3\n" in done.stdout
    assert done.stderr == f"pystack: {lab}: failed: false on a (status 1), sh on a (status 3)\n"


def test_one_that_may_fail_is_told_of(tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(LAB % ("true", "true"))
    done = run(lab)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a: sh ended with status 3\n" in done.stdout

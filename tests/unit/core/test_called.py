"""Hints of what to type next, as the one who reads them can type it."""

import os
import subprocess
import sys

import pytest

SHOW = "import os; from pystack.core.called import typed; print(typed('up'), dict(os.environ))"


def said(*argv: str, called: str | None = None) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYSTACK_CALLED"}
    if called is not None:
        env["PYSTACK_CALLED"] = called
    done = subprocess.run(
        [sys.executable, *argv], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("called", "typed"),
    [
        (None, "pystack up"),
        ("scripts/pystack", "scripts/pystack up"),
        ("/a b/pystack", "'/a b/pystack' up"),
    ],
)
def test_a_command_is_named_as_it_was_called(called: str | None, typed: str) -> None:
    shown = said("-c", SHOW, called=called)
    assert shown.startswith(f"{typed} {{")
    assert "PYSTACK_CALLED" not in shown  # programs that it runs know nothing of it


def test_hints_and_errors_of_usage_name_the_script() -> None:
    words = ("-m", "pystack", "proxy")
    assert "for: scripts/pystack proxy 127.0.0.1" in said(*words, called="scripts/pystack")
    shown = said("-m", "pystack", "plot", called="scripts/pystack")
    assert "scripts/pystack plot --help says what it is" in shown

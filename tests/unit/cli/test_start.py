"""What `pystack up` imports: only what it needs, for people wait for it."""

import subprocess
import sys

import pytest

# The emulator, labs and services that nobody has asked for take longer to import than all the rest.
NOT_NEEDED = (
    "pystack.topology",
    "pystack.runtime.network",
    "pystack.link.link",
    "pystack.link.config",
    "pystack.apps.iperf3",
    "pystack.cli.lab",
    "importlib.metadata",
)


def imported_after(code: str) -> set[str]:
    """Return the modules that a new Python has after running this."""
    text = f"{code}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_up_imports_nothing_that_it_does_not_need() -> None:
    code = (
        "from pystack.cli.main import make_app; make_app('up'); import pystack.cli.up; "
        "from pystack.apps.service import place_services; place_services(['echo'])"
    )
    assert imported_after(code).isdisjoint(NOT_NEEDED)


def test_the_package_itself_imports_next_to_nothing() -> None:
    modules = imported_after("import pystack")
    assert [name for name in modules if name.startswith("pystack.")] == []
    assert "trio" not in modules


@pytest.mark.parametrize("words", [["--help"], ["no-such-command"], []])
def test_whatever_is_not_a_command_sees_all_of_them(words: list[str]) -> None:
    argv = [sys.executable, "-m", "pystack", *words]
    said = subprocess.run(argv, check=False, capture_output=True, text=True)
    if words == ["no-such-command"]:
        assert "No such command 'no-such-command'" in said.stderr
    else:
        assert all(
            f"\n  {name} " in said.stdout + said.stderr
            for name in ("up", "lab", "plugins", "packetdrill")
        )

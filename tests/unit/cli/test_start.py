"""What `pystack up` imports: only what it needs, for people wait for it."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

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


def test_who_will_speak_http_2_has_read_it_before_root_is_given_up() -> None:
    code = "from pystack.apps.service import place_services; place_services(['https'])"
    assert "pystack.apps.http.http2" in imported_after(code)


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


@pytest.mark.parametrize("words", [(), ("lab",)])
def test_no_words_at_all_get_the_help_and_status_2(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", "from pystack.cli.start import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: ")
    assert "..." not in done.stderr.partition("Commands:")[2]  # each is told in a whole sentence


def test_tests_of_ctrl_c_work_where_it_is_ignored() -> None:
    test = "tests/unit/cli/test_run_command.py::test_an_interrupt_that_waited_ends_it_too"
    run = f"trap '' INT; exec {shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider {test}"
    done = subprocess.run(["sh", "-c", run], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_is_said_to_a_closed_standard_error_does_not_go_to_standard_output() -> None:
    argv = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "pystack", "exec", "./none"]
    said = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (127, "")

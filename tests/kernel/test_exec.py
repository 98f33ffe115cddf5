"""`pystack exec`: what is the caller's own is the command's, all but the network."""

import os
import signal
import subprocess
import sys
from typing import Final

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

EXEC: Final = (sys.executable, "-m", "pystack", "exec")
TIMEOUT_S: Final = 60.0


def run_exec(
    *words: str, stdin: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [*EXEC, *words],
        input=stdin,
        env=None if env is None else {**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_the_command_reaches_a_server_of_ours_over_the_line() -> None:
    command = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code} %{time_total}"]
    done = run_exec("--delay", "50ms", "--", *command, "http://server/")
    assert done.returncode == 0, done.stderr
    code, total_s = done.stdout.split()
    assert code == "200"
    assert float(total_s) >= 0.2  # the handshake, and the request
    assert "pystack: the command's network is" in done.stderr


def test_streams_environment_directory_and_open_files_are_the_callers(tmp_path: object) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    script = (
        f'cat; echo "$WORD"; pwd; ls /proc/self/fd; echo through >/proc/self/fd/{write}; exit 7'
    )
    done = subprocess.run(
        [*EXEC, "--", "sh", "-c", script],
        input="what is said\n",
        env={**os.environ, "WORD": "of the caller", "LC_ALL": "C"},
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        pass_fds=[write],
        check=False,
    )
    os.close(write)
    with open(read) as other:
        assert other.read() == "through\n"
    assert done.returncode == 7, done.stderr
    said, word, directory, *files = done.stdout.splitlines()
    assert (said, word, directory) == ("what is said", "of the caller", str(tmp_path))
    assert {int(name) for name in files} - {0, 1, 2, 3, write} == set()  # 3: ls's own


def test_who_is_ended_by_a_signal_ends_us_by_it() -> None:
    done = run_exec("--", "sh", "-c", "kill -TERM $$")
    assert done.returncode == -signal.SIGTERM, done.stderr


@pytest.mark.parametrize("command", ["no-such-program", "./no-such-program"])
def test_no_such_program_is_127_as_a_shell_has_it(command: str) -> None:
    done = run_exec("--", command)
    assert done.returncode == 127
    assert command in done.stderr.splitlines()[-1]

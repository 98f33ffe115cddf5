"""A lab without root: everything real of it lives in user namespaces of a plain user."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

HERE: Final = Path(__file__).resolve().parent
NOBODY: Final = 65534


def as_nobody(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program as a user without any power."""
    who = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all"]
    # The user's Python may be another one than that of the tests, and then has not their packages.
    packages = [path for path in sys.path if path.endswith("site-packages")]
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), *packages])
    return subprocess.run(
        # setpriv starts a program while it still has root's powers; env has none left.
        ["setpriv", *who, "--", "env", *argv],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def python() -> str:
    """Return a Python that nobody can run, with which a user namespace can be had."""
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    problem = ""
    for candidate in (sys.executable, system):
        try:
            probe = as_nobody([candidate, "-c", "import pystack, os; open(os.devnull).close()"])
        except OSError as error:
            pytest.skip(f"no setpriv here: {error}")
        if probe.returncode == 0:
            break
        problem = (probe.stderr.strip() or "?").splitlines()[-1]
    else:
        pytest.skip(f"the plain user nobody cannot run pystack: {problem}")
    # A TAP where /dev/net/tun is open to users, else a veth pair.
    make = ["unshare", "--user", "--map-root-user", "--net", "ip", "link", "add", "v0"]
    probe = as_nobody([*make, "type", "veth", "peer", "name", "v1"])
    if probe.returncode:
        pytest.skip(f"plain users may not make namespaces here: {probe.stderr.strip()}")
    return candidate


def test_a_plain_user_runs_curl_and_a_server_in_a_lab(python: str) -> None:
    done = as_nobody([python, str(HERE / "clients" / "lab_user.py")])
    assert done.returncode == 0, done.stderr
    page, user, milliseconds = done.stdout.splitlines()
    assert page == "a page"
    assert user == "0"  # inside; outside nothing is root's
    assert 100 <= float(milliseconds) < 200


def test_where_users_may_make_no_namespace_it_is_one_sentence(python: str) -> None:
    # In a user namespace that allows no further ones, and whose root has lost its powers.
    limit = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all"
    argv = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{limit} --inh-caps=-all "$@"']
    done = as_nobody([*argv, "sh", python, str(HERE / "clients" / "lab_user.py")])
    assert done.returncode == 1
    assert "(user.max_user_namespaces is 0)" in done.stderr


def test_a_command_in_exec_is_the_user_without_powers_and_may_serve_and_ping(python: str) -> None:
    script = """
        id -u; grep CapEff /proc/self/status; ping -c 1 -W 9 server > /dev/null && echo there
        python3 -c 'import socket; socket.create_server(("", 80)); print("listens")'
    """
    done = as_nobody([python, "-m", "pystack", "exec", "-q", "--", "sh", "-c", script])
    assert done.returncode == 0, done.stderr
    user, powers, *rest = done.stdout.splitlines()
    assert user == str(NOBODY)
    assert int(powers.split()[1], 16) == 0
    assert rest == ["there", "listens"]
    done = as_nobody([python, "-m", "pystack", "exec", "-q", "--as-root", "--", "id", "-u"])
    assert done.stdout == "0\n", done.stderr

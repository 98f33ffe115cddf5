"""`pystack exec`: what is the caller's own is the command's, all but the network."""

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from kernel.netns import wait_until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

EXEC: Final = (sys.executable, "-m", "pystack", "exec")
QUICK: Final = (*EXEC, "-q", "--serve", "echo")  # the usual services take a moment
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
    assert "pystack: the network is one host, server (10.77.0.1, fd77::1)" in done.stderr


def test_streams_environment_directory_and_open_files_are_the_callers(tmp_path: object) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    script = (
        f'cat; echo "$WORD"; pwd; ls /proc/self/fd; echo through >/proc/self/fd/{write}; exit 7'
    )
    done = subprocess.run(
        [*QUICK, "--", "sh", "-c", script],
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
    done = run_exec("--serve", "echo", "--", "sh", "-c", "kill -TERM $$")
    assert done.returncode == -signal.SIGTERM, done.stderr


@pytest.mark.parametrize("command", ["no-such-program", "./no-such-program"])
def test_no_such_program_is_127_as_a_shell_has_it(command: str) -> None:
    done = run_exec("--", command)
    assert done.returncode == 127
    assert command in done.stderr.splitlines()[-1]


@contextmanager
def started(script: str, *words: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Have it run, with the ids of processes that the script prints first."""
    with subprocess.Popen(
        [*QUICK, *words, "--", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, [int(word) for word in process.stdout.readline().split()]
        finally:
            process.kill()


def holder_of(process: subprocess.Popen[str]) -> int:
    """Return the id of the process that holds the namespace."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    children = [pid for task in tasks for pid in task.read_text().split()]
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in children}
    (holder,) = (pid for pid, line in lines.items() if "hold" in line)
    return holder


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, also if nobody has taken note of it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


TWO: Final = "sleep 300 & echo $$ $!; wait"


@pytest.mark.parametrize("victim", ["pystack", "holder", "command"])
def test_whoever_is_killed_nothing_stays_behind(victim: str) -> None:
    with started(TWO) as (process, inside):
        holder = holder_of(process)
        victims = {"pystack": process.pid, "holder": holder, "command": inside[0]}
        os.kill(victims[victim], signal.SIGKILL)
        _, said = process.communicate(timeout=TIMEOUT_S)
        wait_until(lambda: all(map(is_gone, [holder, *inside])), "all have ended")
    assert process.returncode == (125 if victim == "holder" else -signal.SIGKILL)
    if victim == "holder":
        sentence = "the namespace client has gone: the process that held it was ended"
        assert said.splitlines()[-1] == f"pystack: {sentence}"


def test_too_few_files_are_our_fault_and_said_in_a_sentence() -> None:
    done = subprocess.run(
        ["prlimit", "--nofile=12", *QUICK, "--", "true"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 125, done.stderr
    assert "ulimit -n" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_runs_on_in_the_background_ends_with_the_command() -> None:
    # The second has a network of its own, as the parts of a browser do.
    sleep = "sleep 300 >/dev/null 2>&1 & echo $!"
    script = f"one=$({sleep}); two=$(unshare --net {sleep}); echo $one $two; exit 3"
    with started(script) as (process, inside):
        process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 3
        wait_until(lambda: all(map(is_gone, inside)), "it has ended")


def test_signals_to_us_are_the_commands() -> None:
    names = ["HUP", "INT", "USR1", "TERM"]
    traps = [f'trap "echo got {name}" {name};' for name in names]
    script = f"{' '.join(traps)} trap 'exit 4' USR2; echo 0; while :; do sleep 0.02; done"
    with started(script) as (process, _):
        assert process.stdout is not None
        for name in names:
            process.send_signal(signal.Signals[f"SIG{name}"])
            assert process.stdout.readline() == f"got {name}\n"
        process.send_signal(signal.SIGUSR2)
        assert process.wait(TIMEOUT_S) == 4


def test_the_environment_is_as_it_came_and_nothing_more() -> None:
    path = os.environ["PATH"]
    done = subprocess.run(
        [*QUICK, "--", "env"],
        env={"PATH": path, "LANG": "C"},  # where Python would put a locale of its own
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert sorted(done.stdout.splitlines()) == ["LANG=C", f"PATH={path}"], done.stderr


LAB: Final = """
[hosts.laptop]
[hosts.peer]
[switches.sw]
[namespaces.web]
programs = [{ command = ["sh", "-c", "echo of the lab; touch web; exec sleep 300"] }]
[namespaces.bad]
programs = [{ command = ["sh", "-c", "echo $$ > number; mv number bad; exit 1"] }]
""" + "".join(
    f'[[links]]\nbetween = ["{name}", "sw"]\n' for name in ("laptop", "peer", "web", "bad")
)


def test_the_command_takes_the_place_of_a_host_and_the_labs_programs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    Path("lab.toml").write_text(LAB)
    script = """
        hostname; ping -c 1 -W 9 peer > /dev/null && echo there
        until [ -e web ] && [ -e bad ]; do sleep 0.02; done
        while kill -0 $(cat bad) 2> /dev/null; do sleep 0.02; done
        exit 3
    """
    done = run_exec("--lab", "lab.toml", "--as", "laptop", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (3, "laptop\nthere\n"), done.stderr
    assert "of the lab\n" in done.stderr  # and not on the command's standard output
    assert "pystack: bad: sh ended with status 1\n" in done.stderr


def forbidding(call: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it where a filter forbids a system call."""
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip(f"the numbers of system calls of {platform.machine()} are not known here")
    client = Path(__file__).parent / "clients" / "forbidding.py"
    argv = [sys.executable, str(client), call, *QUICK, *words, "--", "echo", "it runs"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_a_filter_that_forbids_namespaces_is_said_with_what_helps() -> None:
    done = forbidding("unshare")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("pystack: no permission to make a network namespace: a seccomp")
    assert done.stderr.count("\n") == 1


def test_without_mounts_there_is_a_way_without_names() -> None:
    done = forbidding("mount")
    assert (done.returncode, done.stdout) == (125, "")
    assert "--own-files" in done.stderr
    assert done.stderr.count("\n") == 1
    assert forbidding("mount", "--own-files").stdout == "it runs\n"


@pytest.mark.parametrize("words", [(), ("--outside",)], ids=["server", "outside"])
def test_the_command_alone_is_enough_for_it(words: tuple[str, ...]) -> None:
    """What `pip install pystack-net[cli]` brings: neither h11 nor dnspython."""
    script = (
        "import sys; sys.modules.update(dns=None, h11=None); "
        "from importlib import util; found = util.find_spec; "
        "util.find_spec = lambda name, *more: None if name == 'dns' else found(name, *more); "
        "from pystack.cli.start import main; main()"
    )
    command = ["exec", "-q", *words, "--", "ping", "-q", "-c", "1", "10.77.0.1"]
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

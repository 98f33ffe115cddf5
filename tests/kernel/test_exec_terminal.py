"""`pystack exec` on a terminal: a shell with job control inside, and one outside."""

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from kernel.terminal import Terminal

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

EXEC: Final = (sys.executable, "-m", "pystack", "exec", "-q", "--serve", "echo")
BASH: Final = shutil.which("bash") or "bash"
ENV: Final[Mapping[str, str]] = {
    **os.environ,
    "PS1": "prompt> ",
    "TERM": "dumb",
    "HISTFILE": "/dev/null",
    "INPUTRC": "/dev/null",
}
CTRL_C: Final = "\x03"
CTRL_Z: Final = "\x1a"


def inside(*command: str) -> Terminal:
    """Return a terminal on which a command runs in `exec`."""
    return Terminal([*EXEC, "--", *command], env=ENV)


def test_a_shell_inside_has_job_control() -> None:
    with inside(BASH, "--norc", "-i") as terminal:
        terminal.expect("prompt> ")
        terminal.type("sh -c 'echo be\"\"gun; read word; echo got $word; exec sleep 100'\n")
        terminal.expect("\nbegun\r\n")
        terminal.type(CTRL_Z)
        terminal.expect(r"\[1\]\+ +Stopped +sh -c")
        terminal.type("fg\n")
        # Before it is in the foreground again, Ctrl-C would be the shell's: it has to say so.
        terminal.type("it\n")
        terminal.expect("got it")
        terminal.type(CTRL_C)
        terminal.expect("prompt> ")
        terminal.type("echo status $?\n")
        terminal.expect("\nstatus 130\r\n")
        terminal.type("exit 5\n")
        assert terminal.wait() == 5


def test_ctrl_c_is_the_commands() -> None:
    script = 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.1; done'
    with inside("sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.type(CTRL_C)
        terminal.expect("caught")
        assert terminal.wait() == 9


def test_who_does_not_catch_it_ends_by_it_and_so_do_we() -> None:
    with inside("sh", "-c", "echo ready; exec sleep 100") as terminal:
        terminal.expect("ready")
        terminal.type(CTRL_C)
        assert terminal.wait() == -signal.SIGINT


def test_a_shell_outside_stops_and_continues_it_as_one_job() -> None:
    with Terminal([BASH, "--norc", "-i"], env=ENV) as terminal:
        terminal.expect("prompt> ")
        terminal.type(
            f"{shlex.join(EXEC)} -- sh -c 'echo be''gin; while read x; do echo got $x; done'\n"
        )
        terminal.expect("\nbegin\r\n")
        terminal.type("one\n")
        terminal.expect("got one")
        terminal.type(CTRL_Z)
        terminal.expect(r"Stopped")
        terminal.expect("prompt> ")
        terminal.type("fg\n")
        terminal.expect("sh -c")
        terminal.type("two\n")
        terminal.expect("got two")
        terminal.type(CTRL_C)
        terminal.expect("prompt> ")
        terminal.type("echo status $?\n")
        terminal.expect("\nstatus 130\r\n")


def test_it_is_told_of_the_size_of_the_window() -> None:
    script = 'trap "stty size" WINCH; stty size; while :; do sleep 0.1; done'
    with inside("sh", "-c", script) as terminal:
        terminal.expect("24 80")
        terminal.resize(50, 132)
        terminal.expect("50 132")
        terminal.type(CTRL_C)
        assert terminal.wait() == -signal.SIGINT


def test_a_shell_inside_that_suspends_itself_gives_the_terminal_back() -> None:
    with Terminal([BASH, "--norc", "-i"], env=ENV) as terminal:
        terminal.expect("prompt> ")
        terminal.type(f"PS1='inner> ' {shlex.join(EXEC)} -- bash --norc -i\n")
        terminal.expect("inner> ")
        terminal.type("suspend\n")
        terminal.expect("Stopped")
        terminal.expect("prompt> ")
        terminal.type("fg\n")
        terminal.type("exit 3\n")
        terminal.expect("prompt> ")
        terminal.type("echo status $?\n")
        terminal.expect("\nstatus 3\r\n")


def test_what_we_have_to_say_waits_until_the_command_has_left_the_terminal(tmp_path: Path) -> None:
    timeline = tmp_path / "worse.toml"
    timeline.write_text('[[timeline]]\nat = "10ms"\nset = { delay = "150ms" }\n')
    # When the ping is back, the line has changed, and it has been said if it ever is.
    script = "echo begin; sleep 0.1; ping -c 1 -W 9 10.77.0.1 > /dev/null; echo end"
    words = ("--serve", "echo", "--timeline", str(timeline), "--", "sh", "-c", script)
    with Terminal([*EXEC[:4], *words], env=ENV) as terminal:
        terminal.expect("the network is one host, server")
        terminal.expect("begin\r\nend\r\npystack: 0.01 s: link client - server: delay 150ms")
        assert terminal.wait() == 0

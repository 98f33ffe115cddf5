"""`pystack top` in a pseudo-terminal: what is drawn, what keys do, and how it ends."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

COMMAND: Final = [sys.executable, "-m", "pystack"]
PATIENCE_S: Final = 60.0
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")

LAB: Final = """
[hosts.client]
programs = [{ run = "top_programs:ask" }]
[hosts.server]
serve = ["http"]
[[links]]
between = ["client", "server"]
delay = "10ms"
rate = "10mbit"
loss = "1%"
"""
PROGRAM: Final = """
async def ask(host):
    stream = await host.open_tcp_stream("server", 80)
    await stream.send_all(b"GET /bytes/1000000000 HTTP/1.1\\r\\nHost: server\\r\\n\\r\\n")
    while await stream.receive_some():
        pass
"""
# What runs tests in parallel says how wide it is; a terminal knows that itself.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")
}


class Lab:
    """A lab that runs, under control."""

    def __init__(self, folder: Path) -> None:
        (folder / "top_programs.py").write_text(PROGRAM)
        (folder / "top.toml").write_text(LAB)
        self.socket = str(folder / "c.sock")
        self.process = subprocess.Popen(
            [*COMMAND, "lab", "run", str(folder / "top.toml"), "--control-socket", self.socket],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("control:"):
                break
        else:
            raise AssertionError(f"it ended with {self.process.wait()}")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory() as name:  # short, for the path of a socket
        made = Lab(Path(name))
        yield made
        made.end()


class Terminal:
    """A program in a terminal."""

    def __init__(
        self, argv: list[str], *, columns: int = 140, lines: int = 30, kind: str = "xterm-256color"
    ) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, lines)
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**ENVIRONMENT, "TERM": kind},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.seen = ""

    def resize(self, columns: int, lines: int) -> None:
        size = struct.pack("4H", lines, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str) -> str:
        """Return what was drawn up to what is waited for, from after what was waited for before."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, self.seen)) is None:
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"no {pattern!r} in {self.seen[-2000:]!r}"
            if select.select([self._master], [], [], left_s)[0]:
                try:
                    data = os.read(self._master, 65536)
                except OSError:  # nobody has the other end any more
                    raise AssertionError(f"it ended without {pattern!r}: {self.seen!r}") from None
                text = data.decode(errors="replace").replace("\x1b[H", "\n")  # to the top
                self.seen = _ANSI.sub("", self.seen + text)
        drawn, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return drawn

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def test_it_draws_takes_keys_fits_itself_and_ends(lab: Lab) -> None:
    terminal = Terminal([*COMMAND, "top", "--socket", lab.socket, "--per-s", "10"])
    try:
        terminal.wait_for(r"2 hosts, 1 link, 2 connections")
        drawn = terminal.wait_for(r"q quit")
        assert "ESTABLISHED" in drawn
        assert "sorted by out" in drawn
        assert re.search(r"\d(\.\d+)?mbit", terminal.wait_for(r"\d(\.\d+)?mbit"))
        terminal.wait_for(r"client -> server")

        terminal.press("s")
        terminal.wait_for(r"sorted by in")
        terminal.press("r")
        terminal.wait_for(r"sorted by in \(backwards\)")
        terminal.press("p")
        terminal.wait_for(r"\[held\]")
        terminal.press("p/nobody\r")
        terminal.wait_for(r"filter: nobody\s")
        assert "ESTABLISHED" not in terminal.wait_for(r"q quit")

        terminal.press("/\x1b")
        terminal.wait_for("ESTABLISHED")
        terminal.resize(60, 12)
        for _ in range(50):  # of what was drawn before it heard of that, some may be left
            terminal.wait_for(r"2 hosts")
            lines = terminal.wait_for(r"q quit").replace("\r", "").split("\n")
            if max(map(len, lines)) <= 60 and len(lines) <= 12:
                break
        assert max(map(len, lines)) <= 60
        assert len(lines) <= 12
        assert "10.0.0.1:" in "".join(lines)

        lab.end()
        terminal.wait_for(r"c has ended")
        assert terminal.process.wait(PATIENCE_S) == 0
    finally:
        terminal.close()


def test_a_terminal_that_cannot_be_drawn_on_is_written_to_once(lab: Lab) -> None:
    terminal = Terminal([*COMMAND, "top", "--socket", lab.socket], kind="dumb")
    try:
        terminal.wait_for(r"2 hosts, 1 link, 2 connections")
        assert terminal.process.wait(PATIENCE_S) == 0
    finally:
        terminal.close()


def test_q_ends_it(lab: Lab) -> None:
    terminal = Terminal([*COMMAND, "top", "--socket", lab.socket])
    try:
        terminal.wait_for("q quit")
        terminal.press("q")
        assert terminal.process.wait(PATIENCE_S) == 0
    finally:
        terminal.close()


def test_once_is_for_programs(lab: Lab) -> None:
    def top(*words: str) -> str:
        argv = [*COMMAND, "top", "--socket", lab.socket, *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    shown = json.loads(top("--once", "--json", "--sort", "in"))
    assert [flow["host"] for flow in shown["flows"]] == ["client", "server"]
    assert 1e6 < shown["flows"][0]["in_bps"] < 20e6
    assert shown["ways"][0]["words"].startswith("delay 10ms")
    text = top()  # no terminal: the same as --once
    assert text.startswith("c  2 hosts, 1 link, 2 connections, at ")
    assert "client <- server" in text


def test_wrong_words_are_one_sentence() -> None:
    for words, sentence in (
        (("--sort", "outt"), "there is no key 'outt' to sort by; did you mean 'out'?"),
        (("--per-s", "100"), "--per-s is 100.0: it must be 0.01 to 20"),
    ):
        done = subprocess.run(
            [*COMMAND, "top", *words], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (2, f"pystack: {sentence}\n")

"""Progress is drawn on a terminal, and nowhere else."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

LAB = '[hosts.a]\n[hosts.b]\n[[links]]\nbetween = ["a", "b"]\n'
# What runs tests in parallel says how wide it is; a terminal knows that itself.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")
}


def run(folder: Path, *words: str, stderr: int) -> subprocess.CompletedProcess[bytes]:
    (folder / "idle.toml").write_text(LAB)
    return subprocess.run(
        [sys.executable, "-m", "pystack", "lab", "run", str(folder / "idle.toml"), *words],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**ENVIRONMENT, "TERM": "xterm"},
        timeout=60,
        check=True,
    )


def test_a_lab_that_ends_after_a_time_says_how_far_it_is(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    done = run(tmp_path, "--for", "600ms", stderr=slave)
    os.close(slave)
    drawn = b""
    while select.select([master], [], [], 0)[0]:
        try:
            drawn += os.read(master, 65536)
        except OSError:  # all is read, and nobody has the other end
            break
    os.close(master)
    assert b"idle.toml" in drawn
    assert b"%" in drawn
    assert b"\x1b[2K" in drawn  # it is taken away at the end
    assert b"\x1b" not in done.stdout
    assert done.stdout.startswith(b"ready:")


def test_in_a_pipe_there_is_none(tmp_path: Path) -> None:
    for words in (("--for", "600ms"), ("--virtual", "--for", "10min")):
        done = run(tmp_path, *words, stderr=subprocess.PIPE)
        assert done.stderr == b""
        assert b"\x1b" not in done.stdout

"""Network namespaces for tests: each has an interface `lo`, and ends with all that ran in it."""

import ctypes
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

_CLIENTS: Final = Path(__file__).parent / "clients"
_CLONE_NEWNET: Final = 0x40000000
_libc: Final = ctypes.CDLL(None, use_errno=True)

TIMEOUT_S: Final = 60.0  # of whatever is waited for; nothing should take a tenth of it


def why_not() -> str:
    """Return why no namespace with a TAP can be had here; empty if it can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root (scripts/test finds a way without)"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "no /dev/net/tun here"
    try:
        with NetworkNamespace() as namespace:
            namespace.run(["ip", "tuntap", "add", "probe0", "mode", "tap"])
    except (AssertionError, OSError) as error:
        return f"no TAP in a network namespace: {error}"
    return ""


class NetworkNamespace:
    """A namespace that lives as long as the process that holds it open."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.path = f"/proc/{self._holder.pid}/ns/net"
        assert self._holder.stdout is not None
        first = self._holder.stdout.readline()
        if first != b"ready\n":
            self.close()
            raise AssertionError("unshare --net failed")

    def __enter__(self) -> "NetworkNamespace":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill what was started, each by its id, and let the namespace go."""
        for process in [*self._started, self._holder]:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def popen(
        self,
        argv: Sequence[str],
        *,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.PIPE,
        stderr: int | IO[bytes] | None = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; nsenter becomes it, so that its id is the program's."""
        process = subprocess.Popen(
            ["nsenter", f"--net={self.path}", "--", *argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        self._started.append(process)
        return process

    def run(
        self,
        argv: Sequence[str],
        *,
        data: bytes | None = None,  # for its standard input
        expect: int | None = 0,  # its exit status; None: whatever it is
        timeout_s: float = TIMEOUT_S,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program inside to its end; a wrong exit status fails with all that it said."""
        stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
        process = self.popen(argv, stdin=stdin)
        try:
            out, err = process.communicate(data, timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(
                f"{' '.join(argv)}: not done after {timeout_s} s\n{out[-2000:]!r}\n{err[-2000:]!r}"
            ) from None
        if expect is not None and process.returncode != expect:
            raise AssertionError(
                f"{' '.join(argv)}: exit status {process.returncode}, not {expect}\n"
                f"{out[-2000:].decode(errors='replace')}\n{err[-4000:].decode(errors='replace')}"
            )
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def python(self, client: str, *arguments: object) -> str:
        """Run `clients/CLIENT.py` inside and return what it printed."""
        argv = [sys.executable, str(_CLIENTS / f"{client}.py"), *map(str, arguments)]
        return self.run(argv).stdout.decode()

    def popen_python(self, client: str, *arguments: object) -> subprocess.Popen[bytes]:
        """Start `clients/CLIENT.py` inside; it is talked to through its standard streams."""
        argv = [sys.executable, str(_CLIENTS / f"{client}.py"), *map(str, arguments)]
        return self.popen(argv, stdin=subprocess.PIPE, stderr=None)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread be inside: what it opens belongs to the namespace for ever."""
        with open("/proc/thread-self/ns/net") as before, open(self.path) as inside:
            _setns(inside.fileno())
            try:
                yield
            finally:
                _setns(before.fileno())


def read_line(process: subprocess.Popen[bytes], timeout_s: float = TIMEOUT_S) -> str:
    """Return the next line that a program prints (unbuffered); "" if it ended without one."""
    assert process.stdout is not None
    line = b""
    deadline = time.monotonic() + timeout_s
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"no line within {timeout_s} s, only {line!r}"
        # Byte by byte, for what comes after the line is the next reader's.
        byte = os.read(process.stdout.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode().rstrip("\n")


def least_ms(said: str) -> float:
    """Return the least round trip of those that ping has printed: a busy machine delays some."""
    return min(float(each) for each in re.findall(r"time=([\d.]+) ms", said))


def without_lateness(said: str) -> str:
    """Return it without the line that is rightly there where a busy machine comes late."""
    lines = said.splitlines(keepends=True)
    return "".join(line for line in lines if "this machine is too slow for the network" not in line)


def wait_until(true: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait for something that can only be asked for, with a bound."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        select.select([], [], [], 0.01)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

"""The processes that run points, as a sweep sees them: started, watched, ended, and cleaned up."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal

from pystack.core.errors import ConfigError
from pystack.experiments.model import Point
from pystack.experiments.running import framing, guard
from pystack.experiments.running.printed import printed_last

if TYPE_CHECKING:
    from pystack.experiments.experiment import Experiment

Why = Literal["time_limit", "memory_limit", "stopped", "garbled"]

CHILD: Final = "pystack.experiments.running.child"  # the module that it runs
_BEGIN_S: Final = 120.0  # it has read the experiment by then
_LOOK_S: Final = 0.05  # how often limits are looked at
_END_S: Final = 2.0  # whose pipes are closed has so long to end
_LOOKS: Final = 20  # for what a process has started, until there is nothing new
_SAID_BYTES: Final = 1 << 20  # of what a point prints; what is more is thrown away
_LAST_CHARACTERS: Final = 300
_CRASH: Final = "Fatal Python error"  # faulthandler's
_LIBRARY: Final = str(Path(os.__file__).parent)  # and its own modules
_PACKAGE: Final = str(Path(__file__).parents[3])  # where Python finds pystack


class Child:
    """One process. What it is given is read by it in order, a message for each."""

    def __init__(self, crew: Crew, folder: Path) -> None:
        """Start it. Raises ConfigError where the machine lets no process begin."""
        self._crew = crew
        self._folder = folder
        # On the clock `time.monotonic`; None: it is idle
        self.busy_since: float | None = time.monotonic()
        self._is_ready = False
        self.why: Why | None = None  # it was ended by us, and for what; None: not by us
        self.run_s = 0.0  # what the run has taken that was received last
        self.peak_bytes = 0  # as far as was looked at, in its present run
        self._lock = threading.Lock()
        self._said: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in `end`
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
                env=_environment(),
            )
        except OSError as error:
            self._said.close()
            raise ConfigError(
                f"no process can be started for the runs: {error.strerror or error}"
            ) from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        crew.tell_guard(f"+{self.pid}")
        self._write(crew.hello(folder), crew.experiment.encode())

    @property
    def pid(self) -> int:
        """Its number, which is its group's too."""
        return self._process.pid

    def is_ready(self) -> bool:
        """Wait until it has read the experiment; False: it died of it."""
        self._is_ready = self._read() is not None
        self.busy_since = None
        return self._is_ready

    def send(self, point: Point) -> None:
        """Have it run a point, when it has done those that it was given before."""
        if self.busy_since is None:
            self.busy_since = time.monotonic()
        head = {
            "number": point.number,
            "parameters": dict(point.parameters),
            "repetition": point.repetition,
            "seed": point.seed,
        }
        self._write(head, b"")

    def receive(self, number: int, *, is_last: bool) -> framing.Message | None:
        """Wait for what the point of this number has come to; None: the process is dead."""
        message = self._read()
        if message is not None and message.head.get("number") != number:
            self.end("garbled")
            message = None
        with self._lock:  # from here on, its limits are those of the next point
            now = time.monotonic()
            self.run_s = now - (self.busy_since or now)
            if message is not None:
                self.peak_bytes = 0
                self.busy_since = None if is_last else now
        return message

    def last_words(self) -> str:
        """Return what a process has printed last that is dead, on one line."""
        return self.words_of(printed_last(self._said.fileno()))

    def words_of(self, text: str) -> str:
        """Return what of a text is told that was printed last, on one line."""
        words = self.everywhere(" ".join(text.split()))
        # Of a crash, the first lines tell the most.
        crash = words.rfind(_CRASH)
        if crash >= 0:
            return words[crash:][:_LAST_CHARACTERS]
        return words[-_LAST_CHARACTERS:]

    def everywhere(self, text: str) -> str:
        """Return a text without what differs between processes and machines: folders, addresses."""
        for place in (str(self._folder), _PACKAGE, _LIBRARY):
            text = text.replace(f"{place}{os.sep}", "")
        return re.sub(r"\b0x[0-9a-f]{6,}", "0x...", text)

    def how_it_ended(self) -> str:
        """Return it in words: "was killed by SIGSEGV", "ended with status 3"."""
        code = self._reap()
        if self.why == "garbled":
            return "wrote what is no result into the pipe of its results"
        if code >= 0:
            return f"ended with status {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    @property
    def was_killed(self) -> bool:
        """Whether a signal has ended it; of one that has been waited for."""
        code = self._process.returncode
        return self.why != "garbled" and code is not None and code < 0

    def look(self, time_s: float, memory_bytes: int) -> None:
        """End it if it is beyond its limits, or if only things that it has left are there."""
        with self._lock:  # neither is it closed meanwhile, nor is another point at its beginning
            if self._said.closed:
                return
            if os.fstat(self._said.fileno()).st_size > _SAID_BYTES:
                os.ftruncate(self._said.fileno(), 0)
                os.lseek(self._said.fileno(), 0, os.SEEK_SET)
            if self.busy_since is None:
                return
            self.peak_bytes = max(self.peak_bytes, resident := _resident_bytes(self.pid))
            if resident > memory_bytes:
                self._end("memory_limit")
            elif time.monotonic() - self.busy_since > (time_s if self._is_ready else _BEGIN_S):
                self._end("time_limit")
            elif hasattr(os, "waitid") and _has_died(self.pid):
                self._end(None)  # what it has started may hold its pipes, and keep us waiting

    def end(self, why: Why | None) -> None:
        """End it and all that it has started, at once. More than once is no error."""
        with self._lock:
            self._end(why)

    def close(self) -> None:
        """End it, if it has not, and forget it."""
        self.end("stopped")
        self._reap()
        with self._lock:
            for file in (self._in, self._out, self._said):
                with contextlib.suppress(OSError):
                    file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _reap(self) -> int:
        """Wait until it has ended, and end what it has left; return its status."""
        until = time.monotonic() + _END_S
        while not _has_died(self.pid) and time.monotonic() < until:
            time.sleep(_LOOK_S / 10)
        with self._lock:
            if self._process.returncode is None:
                # As long as it is not waited for, its number is no other's.
                _kill_all(self.pid)
                self._crew.tell_guard(f"-{self.pid}")
            return self._process.wait()

    def _end(self, why: Why | None) -> None:
        if self._process.returncode is None:
            self.why = self.why or why
            _kill_all(self.pid)

    def _read(self) -> framing.Message | None:
        try:
            return framing.read(self._out)
        except framing.GarbledError:
            self.end("garbled")
            return None

    def _write(self, head: dict[str, object], body: bytes) -> None:
        # It has died already: that is told where its answer is waited for.
        with contextlib.suppress(BrokenPipeError):
            framing.write(self._in, head, body)


class Crew:
    """All processes of one sweep on this machine, their limits, and their guard. A `with` block."""

    def __init__(self, experiment: Experiment, *, dies_with_thread: bool) -> None:
        """`dies_with_thread`: the thread that starts processes is there as long as they are."""
        if os.name != "posix":
            raise ConfigError(
                "runs have processes that are ended by signals, which this system does not have: "
                "use Linux, macOS, or WSL"
            )
        self.experiment = experiment.program_json()
        self.limits = experiment.limits
        self.is_stopping = False  # no process is to be started any more
        self._dies_with_thread = dies_with_thread
        self._children: set[Child] = set()
        self._numbers = count()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._folder = Path(tempfile.mkdtemp(prefix="pystack-runs-"))
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        self.tell_guard(f"={self._folder}")
        self._watch = threading.Thread(target=self._look, name="limits of runs", daemon=True)
        self._watch.start()

    def __enter__(self) -> Crew:
        """Return it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End all processes, and their guard."""
        self.close()

    def start(self) -> Child:
        """Start a process."""
        with self._lock:
            child = Child(self, self._folder / str(next(self._numbers)))
            self._children.add(child)
        if self.is_stopping:
            child.end("stopped")
        return child

    def dismiss(self, child: Child) -> None:
        """End a process."""
        with self._lock:
            self._children.discard(child)
        child.close()

    def stop(self) -> None:
        """End all processes at once; whoever waits for them finds them dead."""
        self.is_stopping = True
        for child in self._all():
            child.end("stopped")

    def close(self) -> None:
        """End all that there is. More than once is no error."""
        self.stop()
        for child in self._all():
            self.dismiss(child)
        self._over.set()
        self._watch.join()
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):
            self._guard.stdin.close()
        try:
            self._guard.wait(_END_S)
        except subprocess.TimeoutExpired:  # somebody has stopped it
            self._guard.kill()
            self._guard.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def tell_guard(self, what: str) -> None:
        """Tell the guard of a process, or of a folder. Without it, they are less well guarded."""
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._guard.stdin.write(f"{what}\n")
            self._guard.stdin.flush()

    def hello(self, folder: Path) -> dict[str, object]:
        """Return what a process is told first."""
        return {
            "parent": os.getpid(),
            "dies_with_thread": self._dies_with_thread,
            "path": _path(),
            "python_path": os.environ.get("PYTHONPATH"),
            "folder": str(folder),
        }

    def _all(self) -> list[Child]:
        with self._lock:
            return list(self._children)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            for child in self._all():
                child.look(self.limits.time_s, self.limits.memory_bytes)


def _path() -> list[str]:
    """Return where modules are looked for, wherever the working folder is."""
    return [os.path.abspath(place) for place in sys.path]


def _environment() -> dict[str, str]:
    """Return the environment of a process that runs points."""
    environment = dict(os.environ)
    # Sets of texts have the same order everywhere; so have programs that go through them.
    environment["PYTHONHASHSEED"] = "0"
    # It finds what we find; then it forgets how, for whatever it starts in its turn.
    environment["PYTHONPATH"] = os.pathsep.join([_PACKAGE, *_path()])
    # There are as many processes as processors: libraries need no threads of their own.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.setdefault(name, "1")
    return environment


def _resident_bytes(pid: int) -> int:
    """Return how much memory a process has; 0: it has gone, or that is not known here."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _has_died(pid: int) -> bool:
    """Tell whether a child of ours has ended, and leave it for whoever waits for it."""
    if not hasattr(os, "waitid"):
        return True
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _kill_all(pid: int) -> None:
    """Kill a process, its group, and what has left its group but descends from it."""
    # All of them are stopped first: those that go on starting others would be ahead of us.
    others: set[int] = set()
    for _ in range(_LOOKS):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGSTOP)
        found = set(_descendants(pid)) - others
        for other in found:
            _signal(other, signal.SIGSTOP)
        others |= found
        if not found:
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for other in others:
        _signal(other, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _descendants(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started, and those that they have; of Linux alone."""
    children: dict[int, list[int]] = {}
    try:
        processes = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return
    for process in processes:
        try:
            text = Path(f"/proc/{process}/stat").read_bytes()
        except OSError:
            continue
        # pid (name) state parent: a name may have spaces, parentheses and any bytes, proc(5)
        parent = int(text.rpartition(b")")[2].split()[1])
        children.setdefault(parent, []).append(process)
    found = list(children.get(pid, ()))
    for each in found:  # grows as we go
        yield each
        found.extend(children.get(each, ()))

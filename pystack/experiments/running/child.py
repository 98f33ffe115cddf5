"""A process that runs points of an experiment, one after the other, for a sweep.

It reads points from its standard input and writes what they came to to its standard output, as
messages. For the program that it runs, standard input is empty, and its standard output is the
file to which standard error goes. After a point that has left something behind (threads, processes,
a network that is open) it says so, and takes no further one: the sweep puts another in its place.
"""

from __future__ import annotations

import builtins
import contextlib
import faulthandler
import gc
import os
import random
import signal
import sys
import threading
import time
import warnings
from _signal import getsignal  # type: ignore[import-not-found] # signal's makes enums, of 64
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from pystack.experiments.experiment import Experiment
from pystack.experiments.functions import AnyFunction, function_of
from pystack.experiments.model import FunctionBase, Outcome, Point
from pystack.experiments.point import run_point
from pystack.experiments.running import framing
from pystack.experiments.running.numpy_chance import NumpyChance
from pystack.experiments.running.printed import printed_last
from pystack.runtime.onlookers import onlookers

if TYPE_CHECKING:
    from pystack.runtime.network import Network

_PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER: Final = 36
_MANY_DESCRIPTORS: Final = 64  # more than at first are a leak that later points would run into
_RESIDENT: Final = 1  # columns of /proc/PID/statm, proc(5)
_DATA: Final = 5
_IDLE_THREADS: Final = "Trio thread "  # of Trio's cache, as they are called while they do nothing


def main() -> None:
    """Serve the sweep at the other ends of standard input and output, until it goes."""
    incoming, outgoing = _take_over_stdio()
    hello = framing.read(incoming)
    if hello is None:
        os._exit(0)
    _die_with(hello.head["parent"], by_signal=hello.head["dies_with_thread"])
    sys.path[:] = hello.head["path"]
    if hello.head["python_path"] is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = hello.head["python_path"]
    serving = _Serving(hello.head, hello.body.decode())
    framing.write(outgoing, {"ready": True})
    while (message := framing.read(incoming)) is not None:
        head, body = serving.run(message.head)
        try:
            framing.write(outgoing, head, body)
        except OSError:  # the sweep has gone, or the program has closed our pipe
            os._exit(1)
        if head["left"]:
            incoming.read()  # until this process is ended
    os._exit(0)  # whatever the points have left behind has no say in it


class _Serving:
    """One experiment, and what this process is like between its points."""

    def __init__(self, hello: Mapping[str, Any], text: str) -> None:
        self._folder = Path(hello["folder"])
        self._folder.mkdir(parents=True)
        self._experiment = Experiment.from_json(text)
        self._experiment.unpack(self._folder)
        os.chdir(self._folder)
        self._memory_bytes = self._experiment.limits.memory_bytes
        self._environ = os.environ
        self._environment = dict(_variables())
        self._path = list(sys.path)
        self._networks = _Networks()
        self._descriptors = _descriptors()
        self._state = _State()
        self._said = os.dup(2)
        self._is_first = True  # no point has been run yet
        self._function: AnyFunction | None = None  # None: not imported yet, or it is a lab
        self._numpy_chance = NumpyChance()

    def run(self, head: Mapping[str, Any]) -> tuple[dict[str, object], bytes]:
        """Run a point; return what is said of it, and its series."""
        point = Point(head["number"], head["parameters"], head["repetition"], head["seed"])
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
        _limit_memory(self._memory_bytes)
        began_at, cpu_began_at = time.perf_counter(), time.process_time()
        self._seed(point.seed)
        outcome = self._outcome(point)
        with contextlib.suppress(Exception):  # it has been closed, or is something else by now
            sys.stdout.flush()
        # Before the next one, in which what is found dead now would else be finalized.
        gc.collect()
        if self._is_first:
            # Modules are here now, and stay: the collector need not look at them for each point.
            gc.freeze()
            self._is_first = False
        said: dict[str, object] = {
            "number": point.number,
            "ended": outcome.ended,
            "error": outcome.error,
            "measures": dict(outcome.measures),
            "digest": outcome.digest,
            "words": self._words() if outcome.ended != "ok" else "",
            "has_series": outcome.series is not None,
            "wall_s": time.perf_counter() - began_at,
            "cpu_s": time.process_time() - cpu_began_at,
            "peak_bytes": _peak_bytes(),
            "left": self._left(outcome),
        }
        return said, outcome.series or b""

    def _seed(self, seed: int) -> None:
        """Have what is drawn hang on the run alone, wherever it is drawn from."""
        base = self._experiment.base
        if self._is_first and isinstance(base, FunctionBase):
            # What its module draws when it is imported is not to be missing from later runs.
            with contextlib.suppress(BaseException):  # told when it is called
                self._function = function_of(base, self._experiment.folder)
        random.seed(seed)
        self._numpy_chance.seed(seed)

    def _outcome(self, point: Point) -> Outcome:
        try:
            with warnings.catch_warnings():
                return run_point(self._experiment, point, self._function)
        except BaseException as error:  # the program's own SystemExit, or KeyboardInterrupt
            told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return Outcome("raised", told)

    def _words(self) -> str:
        """Return what the point has printed last, before the next one prints anything."""
        try:
            return printed_last(self._said)
        except OSError:  # it has closed all files that there are
            return ""

    def _left(self, outcome: Outcome) -> str:
        """Put back what can be, and return what a point has left behind; "": nothing."""
        sys.path[:] = self._path
        os.environ = self._environ  # noqa: B003 - it may have been another object
        if _variables() != self._environment:
            os.environ.clear()
            os.environb.update(self._environment)
        if outcome.ended == "memory_limit":
            return "no memory"
        try:
            os.chdir(self._folder)
        except OSError:
            return "no folder"
        if not self._state.is_put_back():
            return "other standard streams, limits or modules"
        if self._networks.open:
            return "a network that is open"
        if _has_children():
            return "processes"
        if any(
            thread is not threading.main_thread() and not thread.name.startswith(_IDLE_THREADS)
            for thread in threading.enumerate()
        ):
            return "threads"
        if _descriptors() > self._descriptors + _MANY_DESCRIPTORS:
            return "open files"
        if _memory_now(_RESIDENT) > self._memory_bytes // 2:
            return "much memory"
        return ""


class _State:
    """What is there once in a process, and all of its points share."""

    def __init__(self) -> None:
        self._files = self._standard_files()
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._limits = self._limits_now()
        self._mask = _umask()
        self._builtins = dict(vars(builtins))
        self._modules = set(sys.modules)
        self._signals = {number: getsignal(number) for number in signal.valid_signals()}
        self._traced = sys.gettrace(), sys.getprofile()
        self._recursion = sys.getrecursionlimit()

    def is_put_back(self) -> bool:
        """Put it back as it was; False: that cannot be."""
        sys.stdin, sys.stdout, sys.stderr = self._streams
        os.umask(self._mask)
        sys.settrace(self._traced[0])
        sys.setprofile(self._traced[1])
        sys.setrecursionlimit(self._recursion)
        gc.enable()
        vars(builtins).update(self._builtins)
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        for number, handler in self._signals.items():
            if getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
        return (
            not any(stream.closed for stream in self._streams)
            and self._standard_files() == self._files
            and self._limits_now() == self._limits
            and self._modules <= sys.modules.keys()
        )

    @staticmethod
    def _standard_files() -> list[tuple[int, int]] | None:
        """Return what 0, 1 and 2 are; None: one of them has been closed."""
        try:
            return [(found.st_dev, found.st_ino) for found in map(os.fstat, range(3))]
        except OSError:
            return None

    @staticmethod
    def _limits_now() -> list[tuple[int, int]]:
        import resource

        names = ("NOFILE", "AS", "FSIZE", "CPU", "STACK")
        return [resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names]


def _variables() -> dict[bytes, bytes]:
    """Return the environment as it is kept: to decode it took as long as to end a network."""
    return os.environ._data  # type: ignore[attr-defined, no-any-return]


def _umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


class _Networks:
    """Counts those that are open."""

    def __init__(self) -> None:
        self.open = 0
        onlookers.set((*onlookers.get(), self._opened))

    def _opened(self, network: Network) -> None:
        self.open += 1
        network.resources.callback(self._closed)

    def _closed(self) -> None:
        self.open -= 1


def _take_over_stdio() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the pipes to ourselves; nobody else gets at them by the numbers 0 and 1."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    faulthandler.enable()
    return incoming, outgoing


def _die_with(parent: int, *, by_signal: bool) -> None:
    """End with the sweep. Elsewhere than on Linux, its guard and the end of input see to that."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    # So that a process which a point has left, and whose parent has ended, is seen to be ours.
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if by_signal:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)


def _limit_memory(limit_bytes: int) -> None:
    """Have the kernel refuse what is far beyond the limit: the sweep sees it only by and by."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _memory_now(_DATA) + limit_bytes
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _memory_now(column: int) -> int:
    """Return one of the sizes of this process in bytes; 0: unknown here."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[column]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _peak_bytes() -> int:
    """Return the most memory that this process has had."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _descriptors() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 0


def _has_children() -> bool:
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()

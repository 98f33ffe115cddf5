"""Runs held against each other: the first is written down, the next is compared while it goes on.

What was seen of a run goes to a temporary file beyond some megabytes, so that memory is bounded.
The run that is compared ends a few events after the first difference.
"""

from __future__ import annotations

import pickle
import re
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import CodeType
from typing import IO, TYPE_CHECKING, Final

import trio

from pystack.observe.journal import ENTERS, Digest, Entry, Journal
from pystack.observe.reading import read
from pystack.runtime.driver.waiting import PACKAGE, TRIO
from pystack.runtime.onlookers import onlookers

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

    from pystack.runtime.driver.driver import Driver
    from pystack.runtime.network import Network

IN_MEMORY_BYTES: Final = 16 << 20  # of a run; what is more goes to a file
LAST: Final = 8  # entries before a difference that are shown
AFTERWARDS: Final = 24  # entries behind it that are looked at

_SIZE: Final = struct.Struct("<I")
_LIBRARIES: Final = (str(Path(struct.__file__).parent / "_")[:-1], "<frozen")


class Enough(BaseException):
    """Ends a run of which nothing more is wanted. No Exception, for no program is to catch it."""


class Account:
    """What was seen of a run, in order."""

    def __init__(self, file: IO[bytes] | None = None) -> None:
        """`file`: where it is written to, or has been; None: one of its own."""
        self.entries = 0
        self._file: IO[bytes] = file or SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115

    def add(self, entry: Entry) -> None:
        """Write an entry down."""
        self.entries += 1
        text = pickle.dumps(tuple(entry), pickle.HIGHEST_PROTOCOL)
        self._file.write(_SIZE.pack(len(text)))
        self._file.write(text)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries from the first on; one reader at a time."""
        self._file.seek(0)
        while head := self._file.read(_SIZE.size):
            yield Entry(*pickle.loads(self._file.read(*_SIZE.unpack(head))))

    def __del__(self) -> None:
        """Close the file, which has no name: with whoever reads it last."""
        self._file.close()


class Comparison:
    """A run that is held against the account of another."""

    def __init__(self, account: Account) -> None:
        self.same = 0  # entries that were equal, up to the first that was not
        self.differs = False
        self.before: deque[Entry] = deque(maxlen=LAST)  # the last that both have
        # From the first difference on: of either run; nothing: it has ended there
        self.first: list[Entry] = []
        self.second: list[Entry] = []
        self._expected = iter(account)
        self._is_over = False

    def add(self, entry: Entry) -> None:
        """Take the next entry of the run that goes on."""
        if self.differs:
            if len(self.second) < AFTERWARDS:
                self.second.append(entry)
            self._is_over = len(self.second) >= AFTERWARDS
            return
        expected = next(self._expected, None)
        if expected is not None and _equal(expected, entry):
            self.same += 1
            self.before.append(entry)
            return
        self._part(expected)
        self.second.append(entry)

    def end(self) -> None:
        """Know that the run has ended."""
        if not self.differs:
            expected = next(self._expected, None)
            if expected is not None:
                self._part(expected)

    def comes_later(self) -> bool:
        """Tell whether what the second run carried where they part, the first one carries later."""
        if not (self.first and self.second):
            return False
        wanted = carried(self.second[0])
        if not wanted or wanted == carried(self.first[0]):
            return False
        return any(carried(entry) == wanted for entry in (*self.first, *self._expected))

    def third(self) -> tuple[Watch, Callable[[], str]]:
        """Return what looks on at a third run, and whose way it went where these two part.

        That is "first", "second", or "other".
        """
        seen: list[Entry] = []
        entries = 0

        def take(entry: Entry) -> None:
            nonlocal entries
            entries += 1
            if entries > self.same:
                seen.append(entry)

        def whose() -> str:
            here = seen[0].happened() if seen else None
            for name, there in (("first", self.first), ("second", self.second)):
                if here == (there[0].happened() if there else None):
                    return name
            return "other"

        return Watch(take, lambda: bool(seen)), whose

    @property
    def is_over(self) -> bool:
        """Tell whether the run need not go on."""
        return self._is_over

    def _part(self, expected: Entry | None) -> None:
        self.differs = True
        if expected is not None:
            self.first = [expected, *islice(self._expected, AFTERWARDS - 1)]


def carried(entry: Entry) -> bytes:
    """Return what a frame carries for programs; empty: nothing."""
    return bytes(read(entry.data).text) if entry.kind == ENTERS else b""


def _equal(one: Entry, other: Entry) -> bool:
    return one.happened() == other.happened()


@dataclass
class Watch:
    """Looks on at all networks of a run; `add` takes what happens."""

    add: Callable[[Entry], object]
    is_over: Callable[[], bool] = bool  # nothing more is wanted of the run
    digest: Digest = field(default_factory=Digest)
    _is_ending: bool = False
    seeds: list[int] = field(default_factory=list)  # of the networks that have opened
    _drivers: list[Driver] = field(default_factory=list)

    def opened(self, network: Network) -> None:
        """Look on at a network that has opened."""

        def take(entry: Entry) -> None:
            if self._is_ending:
                return
            self.digest.add(entry)
            self.add(entry)
            if self.is_over():
                self._is_ending = True
                # As an event, which ends a run whatever its programs are written with.
                network.driver.scheduler.call_at(network.now(), _enough)

        network.observe(Journal(take, _maker))
        self._drivers.append(network.driver)
        self.seeds.append(network.seed)

    @property
    def had_threads(self) -> bool:
        """Tell whether time had to wait for real threads."""
        return any(getattr(driver, "had_threads", False) for driver in self._drivers)


def hints_of(first: list[int], second: list[int]) -> list[str]:
    """Return what the seeds of the networks of two runs say of why they differ."""
    if first[: len(second)] == second[: len(first)]:
        return []
    return [
        "the networks have other seeds in each run: one that is given none draws one; say "
        "pystack.Network(seed=...)"
    ]


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Have all networks that open in this context looked at."""
    token = onlookers.set((*onlookers.get(), watch.opened))
    try:
        yield
    finally:
        onlookers.reset(token)


def _enough(_now: float) -> None:
    raise Enough


def _maker() -> str:
    """Return which task does what happens now, and where it is; "": the network by itself."""
    try:
        task = trio.lowlevel.current_task()
    except RuntimeError:  # an event: something arrives, or a timer has run out
        return ""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not _is_of_a_program(frame.f_code):
        frame = frame.f_back
    name = "the main task" if task.name.startswith("pystack.runtime.") else task.name
    inner = _task_of_asyncio()
    if inner is not None:  # a loop's task goes before the one that runs the loop
        name = getattr(inner.get_coro(), "__qualname__", inner.get_name())
    if frame is None:
        return name
    file = Path(frame.f_code.co_filename).name
    return f"{name} in {frame.f_code.co_qualname} ({file}:{frame.f_lineno})"


def _task_of_asyncio() -> asyncio.Task[object] | None:
    """Return the task that an event loop runs here; None: none does."""
    if "asyncio" not in sys.modules:
        return None
    try:
        return sys.modules["asyncio"].current_task()  # type: ignore[no-any-return]
    except RuntimeError:  # no loop runs
        return None


@cache
def _is_of_a_program(code: CodeType) -> bool:
    """Tell the code of a program from that of libraries and of ours."""
    file = code.co_filename
    return not (file.startswith((PACKAGE, TRIO, *_LIBRARIES)) or "site-packages" in file)


def outcome_of(error: BaseException | None, result: object = None) -> str:
    """Return how a run ended, as a text that is the same where it ended the same way."""
    if error is not None:
        return f"it raised {type(error).__qualname__}: {_without_addresses(str(error))}"
    return f"it returned {_without_addresses(_shown(result))}"


def _shown(value: object) -> str:
    """Return a value as a text that does not hang on the order of sets."""
    if type(value) in (set, frozenset):
        assert isinstance(value, set | frozenset)
        return f"{{{', '.join(sorted(map(_shown, value)))}}}"
    if type(value) in (list, tuple):
        assert isinstance(value, list | tuple)
        return f"({', '.join(map(_shown, value))})"
    if type(value) is dict:
        assert isinstance(value, dict)
        return f"{{{', '.join(f'{_shown(key)}: {_shown(each)}' for key, each in value.items())}}}"
    return repr(value)


def _without_addresses(text: str) -> str:
    return re.sub(r"\bat 0x[0-9a-fA-F]+", "at ...", text)

"""What a descriptor of the scripts' program stands for, and what a call comes to."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pystack.core.scheduler import Handle
    from pystack.testing.packetdrill.messages import Message
    from pystack.testing.packetdrill.settings import Settings
    from pystack.testing.packetdrill.sysctls import Sysctls
    from pystack.testing.packetdrill.world import World


@dataclass(slots=True)
class Outcome:
    """What a call returned, and what it wrote where its arguments point to."""

    value: int
    error: int = 0  # errno; 0: none
    # position of an argument -> what is there now, as numbers in the order of the script's list
    written: dict[int, list[int]] = field(default_factory=dict)
    text: bytes | None = None  # what a read gave; None: it was not a read
    message: Message | None = None  # flags and control messages of recvmsg; None: no message

    def __str__(self) -> str:
        """Return it as a script writes it."""
        if not self.error:
            return str(self.value)
        name = errno.errorcode.get(self.error, str(self.error))
        return f"{self.value} {name} ({os.strerror(self.error)})"


# A call under way: it yields when it has to wait for something to happen, and returns its outcome.
Steps = Generator[None, None, Outcome]


def failed(number: int) -> Outcome:
    """Return what a call comes to that sets errno."""
    return Outcome(-1, number)


class File(Protocol):
    """Anything that a descriptor can stand for."""

    nonblocking: bool

    def poll_mask(self) -> int:
        """Return the poll bits that hold now."""
        ...

    def close(self) -> Steps:
        """Give it up."""
        ...


class DataFile:
    """A file that a script opens: it holds as much as is asked for, and is never changed."""

    nonblocking = False

    def poll_mask(self) -> int:
        """Return no bits: nobody waits for a file."""
        return 0

    def close(self) -> Steps:
        """Do nothing."""
        return Outcome(0)
        yield


class Program:
    """The program that the script's calls belong to: its descriptors."""

    def __init__(self, world: World, settings: Settings, sysctls: Sysctls) -> None:
        self.world = world
        self.settings = settings
        self.sysctls = sysctls
        self.files: dict[int, File] = {}
        # Told of sockets that packets of the script will belong to from now on
        self.on_subject: Callable[[File], None] = lambda _file: None
        self.patterned = True  # all data written so far is the pattern of `inject`

    @property
    def now(self) -> float:
        """Return the world's time."""
        return self.world.now

    def add(self, file: File, wanted: int) -> int:
        """Give a descriptor: the number that the script calls it by."""
        number = wanted
        if number < 0:
            number = next(free for free in range(3, 1 << 20) if free not in self.files)
        self.files[number] = file
        return number

    def wake_at(self, when: float) -> Handle:
        """Let a call that waits look again at an instant."""
        return self.world.scheduler.call_at(when, lambda _now: None)

"""The seal: what would leave the emulated network in silence is an error that tells the way out.

Python's audit events (PEP 578) tell of every socket and process that is made. One hook looks at
them; it can't be taken away again, so it asks each time whether the code that runs now is sealed
in: on a host of a sealed network (also in `trio.to_thread`), or, where time is virtual, anywhere in
the run, and in any thread that was started since.
"""

from __future__ import annotations

import functools
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Final
from weakref import WeakKeyDictionary

import trio

from pystack.core.errors import PystackError
from pystack.runtime.current import current_host
from pystack.runtime.driver.driver import Driver
from pystack.runtime.driver.virtual import VirtualClock

_LENDER: Final = "pystack.runtime.borrowed.sockets"  # what stands in for the functions
_AF_UNIX: Final = getattr(socket, "AF_UNIX", None)
_NUMERIC: Final = socket.AI_NUMERICHOST

_SOCKETS: Final = frozenset(
    {
        "socket.__new__",
        "socket.bind",
        "socket.connect",
        "socket.sendto",
        "socket.sendmsg",
    }
)
_NAMES: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_PROCESSES: Final = frozenset(
    {"subprocess.Popen", "os.system", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"}
)
_WATCHED: Final = _SOCKETS | _NAMES | _PROCESSES


class _World:
    """A world with sealed networks in it."""

    def __init__(self) -> None:
        self.networks = 0
        # Threads that were there before are none of its business: a debugger's, for one. Those in
        # which Trio runs what it is given are used again and again.
        self.strangers = frozenset(
            thread.ident for thread in threading.enumerate() if not thread.name.startswith("Trio")
        )


_worlds: Final[WeakKeyDictionary[Driver, _World]] = WeakKeyDictionary()
_broken: Final[ContextVar[bool]] = ContextVar("pystack_seal_broken", default=False)


class SealedError(PystackError, RuntimeError):
    """A program in a sealed network tried to use something of the machine itself.

    It is not an OSError, so that no retry logic takes it for a network failure.
    """


@contextmanager
def unsealed() -> Iterator[None]:
    """Let this block (and tasks that it starts) use the machine's sockets, threads, processes."""
    token = _broken.set(True)
    try:
        yield
    finally:
        _broken.reset(token)


def is_broken() -> bool:
    """Tell whether the code that runs now is in a block `with unsealed()`."""
    return _broken.get()


def seal(driver: Driver) -> None:
    """Seal a world, once more: each needs its `unseal`."""
    add_hook()
    _worlds.setdefault(driver, _World()).networks += 1


def unseal(driver: Driver) -> None:
    """Take back one `seal`; without one, nothing happens."""
    world = _worlds.get(driver)
    if world is not None:
        world.networks -= 1
        if world.networks == 0:
            del _worlds[driver]


def check(what: str) -> None:
    """Raise SealedError where the code that runs now is sealed in; `what` would leave."""
    where = _sealed_in()
    if where is not None:
        raise SealedError(f"{what} {where[0]} would reach the machine's real network. {where[1]}")


def check_look_up(*args: object) -> None:
    """Raise SealedError where the code is sealed in; `args` are those of getaddrinfo."""
    if _worlds and not _is_numeric(args):
        check(f"a real look-up of {_text(args[0])!r}")


def check_library(name: str, core: str, instead: str) -> None:
    """Raise SealedError where the code is sealed in that has a library open sockets in C."""
    where = _sealed_in()
    if where is not None:
        raise SealedError(
            f"{name} {where[0]} would connect by {core}, which opens the machine's sockets past "
            f"Python and the emulated network: use {instead}, or run the program in a network "
            "namespace in real time (net.namespace, with a TAP). If the real network is meant: "
            "`with pystack.unsealed(): ...`, or Network(seal=False)."
        )


def _sealed_in() -> tuple[str, str] | None:
    """Return the place of the code that runs now, and the way out; None where it is not sealed."""
    if not _worlds or _broken.get():
        return None
    host = current_host.get()
    if host is not None:
        return (f"on host {host.name!r}", _WAY_OUT_ON_HOST) if host.driver in _worlds else None
    try:
        clock = trio.lowlevel.current_clock()
    except RuntimeError:  # no Trio here: another thread
        for driver, world in _worlds.items():
            if driver.is_virtual and threading.get_ident() not in world.strangers:
                return "in a thread beside the virtual time", _WAY_OUT_OF_THREAD
        return None
    if isinstance(clock, VirtualClock) and clock.driver in _worlds:
        return "in virtual time, on no host,", _WAY_OUT
    return None


@functools.cache
def add_hook() -> None:
    """Have the hook look on from now on."""
    sys.addaudithook(_on_audit)


# The default argument outlives the module's names, which go first when the interpreter ends.
def _on_audit(
    event: str, args: tuple[object, ...], watched: frozenset[str] | None = _WATCHED
) -> None:
    if watched is not None and event in watched and _WATCHED:
        _judge(event, args)


def _judge(event: str, args: tuple[object, ...]) -> None:
    if event in _SOCKETS:
        # A pair of Unix sockets reaches nobody; loops and threads are woken through them.
        if event != "socket.__new__" or args[1] != _AF_UNIX:
            check(_SOCKET_WORDS.get(event, "a real socket"))
    elif event in _NAMES:
        if "%" in _text(args[0]) and current_host.get() is not None:
            # Trio asks the machine first, whose `eth0` is another one than the host's.
            raise socket.gaierror(socket.EAI_NONAME, "a zone is the host's own to know")
        check_look_up(*args)
    elif current_host.get() is not None and (where := _sealed_in()) is not None:
        if _is_asked_by("ctypes.util"):
            return  # by ldconfig where a library is: no business of any network
        # Only programs on hosts: a test may start what it likes.
        raise SealedError(
            f"a process started {where[0]} would be in the machine's real network, not in the "
            "emulated one. Real programs join in real time: see net.namespace(). If it needs "
            "no network: `with pystack.unsealed(): ...`, or Network(seal=False)."
        )


def _is_asked_by(module: str) -> bool:
    """Tell whether code of a module has led to what is done now."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") != module:
        frame = frame.f_back
    return frame is not None


_WAY_OUT: Final = (
    "Put the program on a host: `await host.run_asyncio(main, ...)` for asyncio, "
    "`await host.run_sync(function, ...)` for blocking code, `await host.run(async_fn, ...)` for "
    "Trio. If the real network is meant: `with pystack.unsealed(): ...`, or Network(seal=False)."
)
_WAY_OUT_ON_HOST: Final = (
    "Sockets of AF_INET and AF_INET6 that a program opens there are the host's: by Python's socket "
    "module, by asyncio and by Trio. Those of other families, and those opened elsewhere, are the "
    "machine's: open them on the host, or use TCP and UDP (socket.socketpair within a program). If "
    "the real network is meant: `with pystack.unsealed(): ...`, or Network(seal=False)."
)
_WAY_OUT_OF_THREAD: Final = (
    "host.run_sync runs blocking code on a host, and threads that it starts are there too; so does "
    "trio.to_thread.run_sync from a program of a host. "
    "If the real network is meant: `with pystack.unsealed(): ...` in that thread, or "
    "Network(seal=False)."
)
_SOCKET_WORDS: Final = {
    "socket.__new__": "a real socket opened",
    "socket.bind": "a real socket bound",
    "socket.connect": "a real socket connected",
}


def _is_numeric(args: tuple[object, ...]) -> bool:
    """Tell whether a look-up can do without the network.

    Trio tries every name as a number first; the event does not tell its flags, but `getaddrinfo`
    is a function of Python's, and its frame does.
    """
    if args[0] is None:
        return True
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__") in (__name__, _LENDER):
        if frame.f_back is None:
            return False
        frame = frame.f_back
    flags = frame.f_locals.get("flags", 0) if frame.f_code.co_name == "getaddrinfo" else 0
    if isinstance(flags, int) and flags & _NUMERIC:
        return True
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, _text(args[0]))
        except (OSError, ValueError):
            continue
        return True
    return False


def _text(name: object) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)

"""A command in the foreground of a namespace: what is the caller's own is the command's.

It is a child of this process, in the same session and process group, so that a terminal treats
the two as one job: Ctrl-C, Ctrl-Z, a window that changes its size, all reach it without us. What
this process is sent by others it passes on; that the command stops, it does too, so that the shell
which waits for it has its terminal back.

The command begins as `namespace_process.py front`, which becomes it: its id is the command's own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

import trio

from pystack.core.errors import DeviceError
from pystack.runtime.lab import namespace_process
from pystack.runtime.lab.taken_signals import Arrived, TakenSignals

if TYPE_CHECKING:
    from pystack.runtime.device.privileges import Account
    from pystack.runtime.lab.namespaces import Holder


def _numbers(*names: str) -> tuple[signal.Signals, ...]:
    """Return the signals of these names; elsewhere there are fewer, and no commands either."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


# What is passed on, unless the kernel sent it to the command as well.
PASSED_ON: Final = _numbers(
    *("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGWINCH"),
    *("SIGTSTP", "SIGCONT"),
)
_STOPS: Final = _numbers("SIGTSTP", "SIGTTIN", "SIGTTOU")  # by a terminal
_ENDING: Final = _numbers("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
TAKEN: Final = frozenset({*PASSED_ON, *_STOPS, *_numbers("SIGCHLD")})


class StandsStill(Protocol):
    """A network, of which this is needed."""

    @property
    def paused(self) -> bool:
        """Tell whether its time stands still."""
        ...

    def pause(self) -> None:
        """Let it stand still."""
        ...

    def resume(self) -> None:
        """Let it go on from there."""
        ...


class Foreground:
    """One command, from its start to its end."""

    def __init__(self, signals: TakenSignals, files: int, account: Account | None) -> None:
        """`files`: how many it may open, which is what we were allowed when we began.

        `account`: who it is to be; None: who we are.
        """
        self.interrupted: int | None = None  # by this signal, while there was no command; None: not
        self._signals = signals
        self._files = files
        self._account = account
        self._time: StandsStill | None = None  # None: not started
        self._pid: int | None = None  # likewise
        self._status: int | None = None  # None: it has not ended
        self._ended = trio.Event()

    @property
    def has_ended(self) -> bool:
        """Tell whether it has begun, and ended."""
        return self._status is not None

    async def watch(self) -> None:
        """Take signals as they come; return when one asks for the end, and there is no command."""
        while self.interrupted is None:
            await trio.lowlevel.wait_readable(self._signals.fd)
            for arrived in self._signals.read():
                self._take(arrived)

    def start(
        self, holder: Holder, words: Sequence[str], directory: str, time: StandsStill
    ) -> None:
        """Start it, with the standard streams, environment and open files that we were given.

        `time`: what stands still while it is stopped.
        In the thread whose end is to be the end of it: Linux takes a parent to be a thread.
        Raises DeviceError.
        """
        argv = holder.foreground(
            words,
            directory,
            blocked=sorted(self._signals.mask),
            files=self._files,
            account=self._account,
        )
        self._time = time
        environ = namespace_process.environment()
        if self._account is not None:  # as su(1) does it
            name = os.fsencode(self._account.name)
            environ |= {b"USER": name, b"LOGNAME": name, b"HOME": os.fsencode(self._account.home)}
        try:
            self._pid = os.posix_spawn(argv[0], argv, environ)
        except OSError as error:
            raise DeviceError(f"no process can be started: {error.strerror}") from None

    async def wait(self) -> int:
        """Wait for its end, while `watch` runs; return its exit status, or -n of the signal n."""
        await self._ended.wait()
        assert self._status is not None
        return self._status

    def reap(self) -> None:
        """See to it that it has ended; all others in its namespace were ended, and more gently."""
        if self._pid is None or self._status is not None:
            return
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitid(os.P_PID, self._pid, os.WEXITED)

    def _take(self, arrived: Arrived) -> None:
        if self._pid is None or self._status is not None:
            if arrived.number in _ENDING:
                self.interrupted = arrived.number
        elif arrived.number == signal.SIGCHLD:
            self._look()
        elif arrived.number in PASSED_ON and arrived.sender not in (None, self._pid):
            with suppress(ProcessLookupError):
                os.kill(self._pid, arrived.number)

    def _look(self) -> None:
        """See what the command has come to. One SIGCHLD may stand for several changes."""
        assert self._pid is not None
        while self._status is None:
            found = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WSTOPPED | os.WNOHANG)
            if found is None:
                return
            if found.si_code == os.CLD_EXITED:
                self._status = found.si_status
            elif found.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
                self._status = -found.si_status
            else:
                self._stop(found.si_status)
        self._ended.set()

    def _stop(self, number: int) -> None:
        """Stop as the command did, until somebody continues us: that SIGCONT is passed on to it.

        In a process group that no shell cares for, the kernel lets nobody stop.
        """
        assert self._time is not None
        assert self._pid is not None
        was_paused = self._time.paused
        with _lent_terminal(self._pid) as has_terminal:
            # At a terminal its shell is to have it back, whatever the signal (`suspend` of bash).
            # Elsewhere whoever sends SIGSTOP knows the command by its id, and continues it by that.
            if number == signal.SIGSTOP and not has_terminal:
                return
            self._time.pause()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
            signal.raise_signal(number)
            signal.pthread_sigmask(signal.SIG_BLOCK, [number])
            if not was_paused:
                self._time.resume()


@contextmanager
def _lent_terminal(pid: int) -> Iterator[bool]:
    """Take the terminal from a process for the length of the block, if it has it; tell whether.

    A shell has a process group of its own; where that is not in front any more when we are
    continued, neither are we.
    """
    own, its = os.getpgrp(), os.getpgid(pid)
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # there is none
        yield False
        return
    try:
        front = os.tcgetpgrp(terminal)
        # The leader of a session has no shell that could continue it.
        if front not in (own, its) or os.getsid(0) == os.getpid():
            yield False
            return
        if front != own:
            os.tcsetpgrp(terminal, own)
        yield True
        if front == its and os.tcgetpgrp(terminal) == own:
            os.tcsetpgrp(terminal, its)
    finally:
        os.close(terminal)


def end_as(status: int) -> int:
    """End by the same signal as the command, or return the exit status that we are to end with.

    A shell whose script is interrupted looks at how its command ended, to end as well.
    """
    if status >= 0:
        return status
    import resource

    number = -status
    sys.stdout.flush()
    sys.stderr.flush()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # if there is a core, it is the command's
        signal.signal(number, signal.SIG_DFL)
    with suppress(OSError, ValueError):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    return 128 - status

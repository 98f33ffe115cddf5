"""Program: one of those that run on a host, as a process is to the machine; it takes signals."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, Final, TypeVar

import trio

from pystack.core.errors import ConfigError
from pystack.runtime.borrowed.dropping import Later
from pystack.runtime.lab.crash import Life

T = TypeVar("T")

# What a handler may be: a function, signal.SIG_IGN or signal.SIG_DFL
Handler = Callable[[int, Any], Any] | int | None

_IGNORED_BY_DEFAULT: Final = frozenset(
    {"SIGCHLD", "SIGCLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGTSTP", "SIGTTIN", "SIGTTOU"}
)
_NEVER_HANDLED: Final = frozenset({"SIGKILL", "SIGSTOP"})


def _call(fn: Callable[[], object]) -> object:
    return fn()


class Program:
    """One program on a host. What it says of signals (`signal.signal`) is said to this alone."""

    def __init__(self, name: str, cancel: Callable[[], object]) -> None:
        """`cancel`: ends it, so that it can clean up."""
        self.name = name
        self.ended_by: signal.Signals | None = None  # None: by none
        # How its handlers are called where it runs in an event loop; None: at once
        self.post: Callable[..., object] | None = None
        self.loop: object = None  # that loop; None: there is none
        self.scope: trio.CancelScope | None = None  # around it, in a Trio task; None: it has none
        self.life: Life | None = None  # None: it has not begun, or can only be cancelled
        # Ends what it runs in an event loop; None: it runs in none
        self.crash_tasks: Callable[[Later], None] | None = None
        self.forget: Callable[[], None] = _nothing  # it is among those that run no more
        self._cancel = cancel
        self._handlers: dict[int, Handler] = {}
        self._context: Context = copy_context()  # of its handlers

    def entered(self) -> None:
        """Take the context that runs now for that of its handlers."""
        self._context = copy_context()

    def cancel(self) -> None:
        """End it: it is cancelled, and can clean up. A second time, or too late, does nothing."""
        self._cancel()

    def living(self, awaitable: Awaitable[T]) -> Awaitable[T]:
        """Return what is to be awaited in place of a program's coroutine, so that it can crash."""
        assert self.scope is not None
        self.life = Life(self, awaitable, self.scope)
        return self.life

    def crash(self, later: Later) -> None:
        """End it here and now, without its clean-ups; what runs at this moment, as it waits next.

        `later`: calls a function at this instant, when no task can run.
        """
        if self.crash_tasks is not None:
            self.crash_tasks(later)
        if self.life is not None:
            self.life.crash(later)
        elif self.crash_tasks is None:
            self.cancel()  # it has not begun

    def handler(self, number: int) -> Handler:
        """Return what it does about a signal, as `signal.getsignal`."""
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        return self._handlers.get(number, default)

    def handle(self, number: int, handler: Handler) -> Handler:
        """Set that, as `signal.signal`; return what it was. OSError, TypeError, ValueError."""
        named = signal_of(number)
        if not callable(handler) and handler not in (signal.SIG_IGN, signal.SIG_DFL):
            raise TypeError(
                "signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object"
            )
        if named.name in _NEVER_HANDLED:
            raise OSError(22, "Invalid argument")
        before = self.handler(number)
        self._handlers[number] = handler
        return before

    def deliver(self, number: int, call: Callable[[Callable[[], object]], object] = _call) -> None:
        """Send it a signal. What its handler raises comes out here.

        `call`: how a function is called in Trio's thread, where this is another.
        """
        handler = self.handler(number)
        if callable(handler) and handler is not signal.default_int_handler:
            context = self._context.copy()
            if self.post is not None:
                call(partial(self.post, handler, number, None, context=context))
            else:
                context.run(handler, number, None)
        elif handler != signal.SIG_IGN and signal_of(number).name not in _IGNORED_BY_DEFAULT:
            self.ended_by = signal_of(number)
            call(self.cancel)

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return f"<program {self.name!r}>"


def signal_of(number: int) -> signal.Signals:
    """Return a signal by its number. ConfigError: there is none."""
    try:
        return signal.Signals(number)
    except ValueError:
        raise ConfigError(f"{number!r} is not the number of a signal") from None


def _nothing() -> None:
    """Stand in for what is not known yet."""


# None: the code belongs to no program
current_program: Final[ContextVar[Program | None]] = ContextVar("pystack_program", default=None)

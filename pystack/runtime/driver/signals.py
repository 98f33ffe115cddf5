"""The signals that ask a program to end in order.

A program that is asked twice has been asked: nothing that comes later may end it in another way.
"""

import signal
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import trio


def ending_signals() -> list[signal.Signals]:
    """Return them: Ctrl-C, SIGTERM, and SIGHUP, which comes when the terminal goes.

    SIGHUP not where it was ignored when we began, which is what nohup(1) is for, or there is none.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


@contextmanager
def signals_heard(numbers: Collection[signal.Signals]) -> Iterator[AsyncIterator[int]]:
    """Hear signals, as `trio.open_signal_receiver`; in `last_run`, none that comes later does harm.

    Trio gives what nobody took back to the handler of before, and so it does with what comes next.
    """
    handlers = [signal.getsignal(number) for number in numbers]
    with trio.open_signal_receiver(*numbers) as signals:
        for handler in handlers:
            if isinstance(handler, _Handler):
                handler.is_over = True  # where it is asked again, the receiver has been closed
        yield signals


@contextmanager
def last_run() -> Iterator[None]:
    """Run what a process was started for, and ends after: then ending signals are ignored.

    That is from when `signals_heard` is left, whatever for, until the process is no more: between
    the two an event loop is closed, and Python takes itself apart.
    """
    handlers = {number: _Handler(signal.getsignal(number)) for number in ending_signals()}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            # Python itself sets functions back as it ends, but not this.
            signal.signal(number, signal.SIG_IGN if handler.is_over else handler.before)


class _Handler:
    """What was to be done about a signal, until that is over."""

    def __init__(self, before: Callable[[int, FrameType | None], Any] | int | None) -> None:
        self.before = before
        self.is_over = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.is_over:
            return
        if callable(self.before):
            self.before(number, frame)
        else:
            signal.signal(number, self.before)
            signal.raise_signal(number)

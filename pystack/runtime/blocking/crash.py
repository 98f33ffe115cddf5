"""Crashes of threads: they end where they wait, and nothing of their programs runs once more.

A thread of the machine has to come to its end by itself. It is given a last turn, in which its wait
raises, and in which nothing of the program's has a handler (`borrowed/dropping.py`): not the code
that it is in, nor what that has entered by way of generators.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from functools import partial
from traceback import walk_stack
from types import CodeType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

from pystack.runtime.blocking.turns import WorldThread, turns_in_use
from pystack.runtime.borrowed.dropping import Later, without_handlers

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

# Whose clean-ups are the thread's own, and not its program's
_OWN: Final = ("pystack.runtime.", "threading")


def crash_threads(host: BareHost, later: Later) -> None:
    """End all threads of a host; one that runs now, where it waits next.

    `later`: calls a function at this instant, when no task can run.
    """
    turns = turns_in_use(host.driver)
    if turns is None:
        return
    for thread in [thread for thread in turns.threads if thread.host is host]:
        if thread is turns.running:
            end = partial(_end, thread)
            turns.crashing.append(end)
            later(end)
        else:
            _end(thread)


def _end(thread: WorldThread) -> None:
    frame = sys._current_frames().get(thread.ident)
    with without_handlers({*_codes_in(frame), *_codes_entered()}):
        thread.end()


def _codes_in(frame: FrameType | None) -> Iterator[CodeType]:
    for each, _ in () if frame is None else walk_stack(frame):
        if not str(each.f_globals.get("__name__")).startswith(_OWN):
            yield each.f_code


def _codes_entered() -> Iterator[CodeType]:
    """Yield the code of all generators that are suspended: whose they are cannot be told.

    None but those that the thread lets go is run meanwhile.
    """
    for each in gc.get_objects():
        if type(each) is GeneratorType:
            generator: GeneratorType[Any, Any, Any] = each
            frame = generator.gi_frame
            if frame is not None and not generator.gi_running:
                yield from _codes_in(frame)

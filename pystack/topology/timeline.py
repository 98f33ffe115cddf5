"""Timelines: what is to happen to a network, and when."""

import inspect
from collections.abc import Callable, Iterable
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.scheduler import Handle, Scheduler, no_upkeep
from pystack.core.units import parse_time_s

_TIDY_AT: Final = 256  # so many handles are kept, before those that are done are forgotten

Step = tuple[str | float, Callable[[], object]]


class Timeline:
    """Instants of one network, and what is done at each.

    A number is an instant of the world's clock, a text ("5s") a time since the `origin`: in virtual
    time, where a network is mostly opened at 0, the two are the same.

    What happens at one instant happens in the order in which it was asked for, and before packets
    that are sent later for the same instant. A function that raises ends the run.
    """

    def __init__(self, scheduler: Scheduler, origin: float) -> None:
        self._scheduler = scheduler
        self.origin = origin  # in the world's time
        self._handles: list[Handle] = []
        self._tidy_at = _TIDY_AT

    def at(self, when: str | float, fn: Callable[[], object]) -> Handle:
        """Call `fn()` at `when` (5, "5s"); the handle's `cancel` takes it back. ConfigError."""
        due = parse_time_s(when) + (self.origin if isinstance(when, str) else 0.0)
        if not callable(fn):
            raise ConfigError(f"what happens at {when} must be a function to call, not {fn!r}")
        if inspect.iscoroutinefunction(fn):
            raise ConfigError(
                f"what happens at {when} must be a plain function; let it start the async one, "
                "as host.start_soon does"
            )
        now = self._scheduler.now
        if due < now:
            since = f", {now - self.origin:g} s since the opening" if self.origin else ""
            raise ConfigError(f"{when} has passed: it is {now:g} s already{since}")

        def happen(_now: float) -> None:
            fn()

        handle = self._scheduler.call_at(due, happen, no_upkeep)
        if len(self._handles) >= self._tidy_at:  # one that repeats itself goes on for ever
            self._handles = [known for known in self._handles if known.fn is not None]
            self._tidy_at = 2 * len(self._handles) + _TIDY_AT
        self._handles.append(handle)
        return handle

    def after(self, delay: str | float, fn: Callable[[], object]) -> Handle:
        """Call `fn()` so long from now ("5s", or seconds). See `at`."""
        return self.at(self._scheduler.now + parse_time_s(delay), fn)

    def timeline(self, steps: Iterable[Step]) -> list[Handle]:
        """Call several functions, each at its time: [(5, fn), ("8s", other)]. All, or none."""
        handles: list[Handle] = []
        try:
            for step in steps if isinstance(steps, Iterable) else (steps,):
                if not isinstance(step, tuple | list) or len(step) != 2:
                    raise ConfigError(f"a step of a timeline is (time, function), not {step!r}")
                handles.append(self.at(*step))
        except BaseException:
            for handle in handles:
                handle.cancel()
            raise
        return handles

    def clear(self) -> None:
        """Forget all that has not happened yet."""
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()

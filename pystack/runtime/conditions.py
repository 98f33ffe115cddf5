"""Conditions: what is to hold in a network at all times, or some time.

They are looked at after each event of the world and whenever all tasks have come to rest, by the
driver (`driver/checks.py`), and end the run with an error that says what, when, and what happened
last. Where there are none, nobody looks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError, PystackError
from pystack.core.scheduler import Handle, no_upkeep
from pystack.core.units import parse_time_s
from pystack.observe.recording import Recorder

if TYPE_CHECKING:
    from pystack.runtime.bare_network import BareNetwork

_RUNGS: Final = 8  # of the ladder in an error
_KEPT: Final = 64  # frames and events, where nothing else records


class Conditions:
    """All those of one network."""

    def __init__(self, net: BareNetwork) -> None:
        self._net = net
        self._all: list[Condition] = []
        self._recorder: Recorder | None = None  # of what errors show; None: there are none

    def add(self, condition: Condition) -> Condition:
        """Look at it from now on. Raises ConditionError where it does not hold now."""
        condition.check()
        if condition.met_at is not None:
            return condition
        if self._recorder is None:
            self._recorder = Recorder(_KEPT)
            self._net.observe(self._recorder)
        self._all.append(condition)
        self._net.driver.checks.add(condition)
        return condition

    def remove(self, condition: Condition) -> None:
        """Look at it no more."""
        self._net.driver.checks.remove(condition)
        if condition in self._all:
            self._all.remove(condition)
            if not self._all and self._recorder is not None:
                self._net.unobserve(self._recorder)
                self._recorder = None

    def end(self, *, failed: bool) -> BaseException | None:
        """Look at none any more; return what the last look finds, unless all has `failed` anyway.

        The network closes.
        """
        error: BaseException | None = None
        for condition in tuple(self._all):
            if not failed and error is None:
                try:
                    condition.end()
                except BaseException as raised:
                    error = raised
            condition.cancel()
        return error

    def lines(self) -> list[str]:
        """Return the last that happened, as a ladder."""
        from pystack.observe.ladder import TROUBLE, Ladder  # slow to import, and for failures

        items = () if self._recorder is None else self._recorder.items()
        recording = self._net.recording_of(items)
        ladder = Ladder.of(recording, last=_RUNGS, most=_RUNGS, notes=TROUBLE)
        return ladder.lines(window=False)


class ConditionError(PystackError, AssertionError):
    """What was always to hold does not hold any more, or what was to come has not come."""


class Condition:
    """One of them, until `cancel`, or until the end of a `with` block."""

    __slots__ = ("_at_the_end", "_deadline", "_net", "_predicate", "met_at", "words")

    def __init__(
        self,
        net: BareNetwork,
        predicate: Callable[[], object],
        words: str,
        *,
        within_s: str | float | None = None,
        is_eventual: bool = False,
    ) -> None:
        if not callable(predicate):
            raise ConfigError(f"a condition is a function to call, not {predicate!r}")
        if inspect.iscoroutinefunction(predicate):
            raise ConfigError(
                f"the condition {words!r} is an async function, and it is looked at between two "
                "events, where nothing can be waited for: give a plain function"
            )
        if not isinstance(words, str) or not words.strip():
            raise ConfigError(f"a condition is said in words, for its error, not {words!r}")
        self.words = words
        self.met_at: float | None = None  # `eventually`: when it came to hold; None: not yet
        self._net = net
        self._predicate = predicate
        self._at_the_end = is_eventual
        self._deadline: Handle | None = None
        if within_s is not None:
            seconds = parse_time_s(within_s)
            scheduler = net.driver.scheduler
            if not scheduler.now + seconds >= scheduler.now:  # NaN, too
                raise ConfigError(f"within_s is {within_s!r}: it must be 0 or more seconds")
            if seconds < float("inf"):
                due = scheduler.now + seconds
                self._deadline = scheduler.call_at(due, self._is_late, no_upkeep)

    def check(self) -> None:
        """Look whether it holds. Raises ConditionError where it must, and does not."""
        result = self._holds()
        if self._at_the_end:
            if result:
                self.met_at = self._net.now()
                self.cancel()
        elif not result:
            raise self._over(f"{self.words!r} does not hold any more", result)

    def end(self) -> None:
        """Have a last look: the network closes. Raises ConditionError."""
        self.check()
        if self._at_the_end and self.met_at is None:
            raise self._over(f"{self.words!r} has not come true before the end", result=True)

    def cancel(self) -> None:
        """Look no more. A second call does nothing."""
        self._net.conditions.remove(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def _is_late(self, _now: float) -> None:
        if self.met_at is None:
            self.check()
        if self.met_at is None:
            raise self._over(f"{self.words!r} has not come true in time", result=True)

    def _holds(self) -> object:
        try:
            return self._predicate()
        except BaseException as error:
            self.cancel()
            error.add_note(f"pystack: in the condition {self.words!r}, at {self._instant()}")
            raise

    def _instant(self) -> str:
        return f"{self._net.now() - self._net.opened_at:.6f} s"

    def _over(self, what: str, result: object) -> ConditionError:
        """Look no more, and return the error that says why. `result`: what its function said."""
        text = f"{what}, at {self._instant()}"
        if result is None:
            text += " (its function returned None: it is to return what is true or false)"
        lines = self._net.conditions.lines()
        self.cancel()
        if lines:
            text = "\n".join((f"{text}; the last that happened:", "", *lines))
        return ConditionError(text)

    def __enter__(self) -> Condition:
        """It is looked at already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Look no more; what was to come by now has failed otherwise. Raises ConditionError."""
        try:
            if kind is None and self.met_at is None:
                self.end()
        finally:
            self.cancel()

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        kind = "eventually" if self._at_the_end else "always"
        return f"<Condition {kind} {self.words!r}>"

"""Somebody else's congestion control may be wrong: what it raises, or answers, harms nobody else.

The first fault is the last: the control is told nothing more, the window stays at the last one that
made sense until the connection's owner ends it, which `ControlError` among its events asks for.
Another control in its place would let an experiment go on that is none any more.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from inspect import iscoroutinefunction
from numbers import Real
from typing import Final

from pystack.core.errors import ConfigError, PystackError, one_line
from pystack.tcp.congestion.around import Around
from pystack.tcp.congestion.base import (
    AckSample,
    CongestionControl,
    LossSample,
    LostSegment,
    MarkSample,
    Opening,
    initial_window_bytes,
)
from pystack.wire.ecn import ECT_0, ECT_1

_METHODS: Final = tuple(name for name in vars(CongestionControl) if name.startswith("on_"))
_MOST_BYTES: Final = sys.maxsize
_WISHES: Final = ("wants_rate", "wants_ecn", "wants_accurate_ecn", "owns_recovery")


class ControlError(PystackError):
    """A congestion control has raised, or answered what can't be; `__cause__`: what it raised."""


class Guarded(Around):
    """A control whose faults end its own connection, and nothing else."""

    __slots__ = (
        "_cwnd_bytes",
        "_ect",
        "_is_paced",
        "_name",
        "_pacing_begins",
        "_pacing_bps",
        "_quantum_bytes",
        "_report",
        "_ssthresh",
        "_wishes",
        "failure",
    )

    def __init__(
        self,
        inner: CongestionControl,
        smss_bytes: int,
        report: Callable[[ControlError], None],
        pacing_begins: Callable[[], None] = lambda: None,
    ) -> None:
        """`report` is told of the fault, once; `pacing_begins` of a rate where there was none."""
        super().__init__(inner)
        self._pacing_begins = pacing_begins
        self._is_paced = False
        self._report = report
        self.failure: ControlError | None = None  # None: it works
        # The last answers that made sense
        self._cwnd_bytes = self._ssthresh = initial_window_bytes(smss_bytes)
        self._pacing_bps: float | None = None
        self._quantum_bytes: int | None = None
        self._wishes: dict[str, bool] = {}
        self._ect = ECT_0
        try:
            self._name = str(inner.name)
        except Exception:  # which was a text on trial
            self._name = type(inner).__name__

    @property
    def cwnd_bytes(self) -> int:
        """Return its window, in whole bytes; a fault: not a number from 1 on."""
        if self.failure is None:
            try:
                self._cwnd_bytes = whole_bytes("cwnd_bytes", self.inner.cwnd_bytes, 1)
            except Exception as error:
                self._fail("cwnd_bytes", error)
        return self._cwnd_bytes

    @property
    def ssthresh_bytes(self) -> int:
        """Return where its slow start ends; a fault: not a number from 0 on."""
        if self.failure is None:
            try:
                self._ssthresh = whole_bytes("ssthresh_bytes", self.inner.ssthresh_bytes, 0)
            except Exception as error:
                self._fail("ssthresh_bytes", error)
        return self._ssthresh

    @property
    def pacing_bps(self) -> float | None:
        """Return its rate; a fault: neither None nor a number above 0. Infinity: no pacing."""
        if self.failure is None:
            try:
                self._pacing_bps = rate("pacing_bps", self.inner.pacing_bps)
            except Exception as error:
                self._fail("pacing_bps", error)
        return self._pacing_bps

    @property
    def send_quantum_bytes(self) -> int | None:
        """Return its largest burst; a fault: neither None nor a number from 1 on."""
        if self.failure is None:
            try:
                quantum = self.inner.send_quantum_bytes
                if quantum is not None:
                    quantum = whole_bytes("send_quantum_bytes", quantum, 1)
                self._quantum_bytes = quantum
            except Exception as error:
                self._fail("send_quantum_bytes", error)
        return self._quantum_bytes

    @property
    def name(self) -> str:
        """Return its name, as it was."""
        return self._name

    @property
    def wants_rate(self) -> bool:
        """Tell what it wants; a fault: neither True nor False."""
        return self._wish("wants_rate")

    @property
    def wants_ecn(self) -> bool:
        """Tell what it wants; a fault: neither True nor False."""
        return self._wish("wants_ecn")

    @property
    def wants_accurate_ecn(self) -> bool:
        """Tell what it wants; a fault: neither True nor False."""
        return self._wish("wants_accurate_ecn")

    @property
    def owns_recovery(self) -> bool:
        """Tell what it does; a fault: neither True nor False."""
        return self._wish("owns_recovery")

    @property
    def ect(self) -> int:
        """Return its codepoint; a fault: there is none of that number."""
        if self.failure is None:
            try:
                self._ect = codepoint(self.inner.ect)
            except Exception as error:
                self._fail("ect", error)
        return self._ect

    def on_established(self, opening: Opening) -> None:
        """Hand it on."""
        self._tell("on_established", opening)

    def on_segment_size(self, smss_bytes: int) -> None:
        """Hand it on."""
        self._tell("on_segment_size", smss_bytes)

    def on_sent(self, sent_bytes: int, now: float) -> None:
        """Hand it on."""
        self._tell("on_sent", sent_bytes, now)

    def on_ack(self, sample: AckSample) -> None:
        """Hand it on."""
        self._tell("on_ack", sample)

    def on_loss(self, sample: LossSample) -> None:
        """Hand it on."""
        self._tell("on_loss", sample)

    def on_marks(self, sample: MarkSample) -> None:
        """Hand it on."""
        self._tell("on_marks", sample)

    def on_segment_lost(self, lost: LostSegment) -> None:
        """Hand it on."""
        self._tell("on_segment_lost", lost)

    def on_recovery_exit(self, now: float) -> None:
        """Hand it on."""
        self._tell("on_recovery_exit", now)

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Hand it on."""
        self._tell("on_rto", now, flight_size_bytes)

    def on_undo(self, now: float) -> None:
        """Hand it on."""
        self._tell("on_undo", now)

    def on_idle(self, now: float, idle_s: float, rto_s: float) -> None:
        """Hand it on."""
        self._tell("on_idle", now, idle_s, rto_s)

    def fail(self, error: Exception) -> None:
        """Be one that works no more: it could not be made."""
        self._end(one_line(error), error)

    def _wish(self, what: str) -> bool:
        if self.failure is None:
            try:
                wish = getattr(self.inner, what)
                if not isinstance(wish, bool):
                    raise ConfigError(f"{what} is {wish!r}: it is True or False")
                self._wishes[what] = wish
            except Exception as error:
                self._fail(what, error)
        return self._wishes.get(what, False)

    def _tell(self, what: str, *told: object) -> None:
        if self.failure is None:
            try:
                getattr(self.inner, what)(*told)
            except Exception as error:
                self._fail(what, error)
                return
            if (self.pacing_bps is not None) != self._is_paced:
                self._is_paced = not self._is_paced
                self._pacing_begins()

    def _fail(self, what: str, error: Exception) -> None:
        said = one_line(error)
        if not isinstance(error, ConfigError):
            said = f"{what} raised {type(error).__name__}: {said}"
        self._end(f"congestion control {self._name}: {said}", error)

    def _end(self, text: str, error: Exception) -> None:
        self.failure = ControlError(text)
        self.failure.__cause__ = error
        self._report(self.failure)


def whole_bytes(what: str, value: object, least: int) -> int:
    """Return a number of bytes, without its fraction. ConfigError: it is none from `least` on.

    More than can ever be is as good as the most that can: what is reckoned with it is a float.
    """
    if type(value) is int and value >= least:
        return min(value, _MOST_BYTES)
    number = _number(value)
    if math.isfinite(number) and int(number) >= least:
        return min(int(number), _MOST_BYTES)
    raise ConfigError(f"{what} is {value!r}: it is a number of bytes, from {least} on")


def rate(what: str, value: object) -> float | None:
    """Return a rate in bits a second, None for no pacing. ConfigError: it is neither."""
    if value is None:
        return None
    number = _number(value)
    if number > 0:
        return None if number == math.inf else number
    raise ConfigError(f"{what} is {value!r}: it is a rate in bit/s above 0, or None for no pacing")


def codepoint(value: object) -> int:
    """Return the codepoint that packets go out with. ConfigError: it is none of those."""
    if isinstance(value, int) and value in (ECT_0, ECT_1):
        return int(value)
    raise ConfigError(f"its `ect` is {value!r}: it is 2 for ECT(0), or 1 for ECT(1), that of L4S")


def _number(value: object) -> float:
    """Return a number of any library; what is none is NaN."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan


def check_control(control: object) -> None:
    """Look at one that was made on trial, so that what it lacks is said when it is asked for.

    ConfigError: a method or an attribute is missing, or what it answers can't be.
    """
    name = getattr(control, "name", None)
    if not isinstance(name, str):
        raise ConfigError(f"its `name` is {name!r}: it is a text")
    for what in _METHODS:
        if iscoroutinefunction(getattr(control, what, None)):
            raise ConfigError(f"its {what!r} is async: nobody awaits it, it is told and returns")
    lacking = [what for what in _METHODS if not callable(getattr(control, what, None))]
    lacking += [what for what in _WISHES if not isinstance(getattr(control, what, None), bool)]
    lacking += _without_value(control, ("cwnd_bytes", "ssthresh_bytes", "ect"))
    if lacking:
        raise ConfigError(
            f"it has no {lacking[0]!r}: inherit `pystack.plugins.ControlDefaults`, which has what "
            "most leave as it is, and write the rest"
        )
    codepoint(getattr(control, "ect", None))
    whole_bytes("cwnd_bytes", getattr(control, "cwnd_bytes", None), 1)
    whole_bytes("ssthresh_bytes", getattr(control, "ssthresh_bytes", None), 0)
    rate("pacing_bps", getattr(control, "pacing_bps", None))


def _without_value(control: object, names: Sequence[str]) -> list[str]:
    return [name for name in names if not hasattr(control, name)]

"""What the connections of one host have in common: limits that hold for all of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.counters import Counters
from pystack.core.rng import Random, component_rng

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.states import TcpState

_NO_SECOND: Final = -1


class ChallengeLimit:
    """How many challenge ACKs a host sends in a second (RFC 5961 section 7).

    The number is drawn anew each second, from half of the limit to one and a half of it. With one
    that is known, a stranger who makes the host send to himself learns from what is missing how
    many others got, and so which numbers he guessed right (CVE-2016-5696).
    """

    __slots__ = ("_left", "_rng", "_second", "per_s")

    def __init__(self, rng: Random, per_s: int = 1000) -> None:
        self.per_s = per_s  # `TcpLimits.challenge_acks_per_s`
        self._rng = rng
        self._second = _NO_SECOND
        self._left = 0

    def take(self, now: float) -> bool:
        """Tell whether one more may be sent now."""
        per_s, second = self.per_s, int(now)
        if second != self._second:
            self._second = second
            self._left = (per_s + 1) // 2 + self._rng.randrange(per_s) if per_s else 0
        if not self._left:
            return False
        self._left -= 1
        return True


class Memory:
    """How much the connections of a host hold, in bytes: text in their buffers, and themselves.

    Counted by the pump, which compares it with one number (HOT); `stack/tcp_memory.py` has the
    policy. The thresholds are those of Linux's `tcp_mem`.
    """

    __slots__ = ("alarm_bytes", "pressed", "used_bytes")

    def __init__(self) -> None:
        self.used_bytes = 0
        self.alarm_bytes = 0  # above that, `tcp_memory` is called
        self.pressed = False  # True: windows and send buffers do not grow


class Shared:
    """One per host, and known to all its connections."""

    __slots__ = ("challenges", "counters", "entered", "memory", "watchers")

    def __init__(
        self,
        counters: Counters | None = None,
        rng: Random | None = None,
        watchers: Sequence[object] = (),
    ) -> None:
        """Without arguments: for a connection that is alone in the world.

        Events that only watchers want are made only while there are any.
        """
        self.watchers = watchers
        # Each is called with a connection that has entered a state, and the one before: cheaper
        # than an observer of the host, which has events made of each frame
        self.entered: list[Callable[[Connection, TcpState], object]] = []
        self.counters = Counters() if counters is None else counters
        self.memory = Memory()
        self.challenges = ChallengeLimit(component_rng(0, "alone") if rng is None else rng)

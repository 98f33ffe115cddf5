"""What ends after a silence: nothing tells when a program inside closes its socket."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from pystack.core.scheduler import Handle, Scheduler


class Idler(Protocol):
    """What can be silent."""

    used_at: float  # when it last was not

    def close(self) -> None:
        """Give back what it holds."""
        ...


KeyT = TypeVar("KeyT", bound=Hashable)
IdlerT = TypeVar("IdlerT", bound=Idler)


class Aging(Generic[KeyT, IdlerT]):
    """Idlers by their keys, the one that was silent for longest first; each is closed in time."""

    __slots__ = ("_idle_s", "_idlers", "_on_expired", "_scheduler", "_timer", "_what")

    def __init__(
        self,
        scheduler: Scheduler,
        idle_s: float,
        what: str,
        on_expired: Callable[[], object] | None = None,
    ) -> None:
        """`idle_s`: after how much silence one is closed; `what`: what they are, in words.

        `on_expired`: called for each that was closed for its silence; None: nobody wants to know.
        """
        self._scheduler = scheduler
        self._idle_s = idle_s
        self._what = what
        self._on_expired = on_expired
        self._idlers: OrderedDict[KeyT, IdlerT] = OrderedDict()
        self._timer: Handle | None = None  # None: there are none

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._idlers)

    def get(self, key: KeyT) -> IdlerT | None:
        """Return the one of this key; None: there is none."""
        return self._idlers.get(key)

    def add(self, key: KeyT, idler: IdlerT, now: float) -> None:
        """Take one in, which is not silent now."""
        idler.used_at = now
        self._idlers[key] = idler
        if self._timer is None:
            self._arm(now + self._idle_s)

    def used(self, key: KeyT, now: float) -> bool:
        """Take note that one is not silent; False: there is none of this key (HOT)."""
        idler = self._idlers.get(key)
        if idler is None:
            return False
        idler.used_at = now
        self._idlers.move_to_end(key)
        return True

    def forget(self, key: KeyT) -> None:
        """Let one go, which is somebody else's to close. One that is not there is nothing."""
        self._idlers.pop(key, None)

    def spend(self) -> bool:
        """Close the one that is missed least; False: there is none."""
        if not self._idlers:
            return False
        _, idler = self._idlers.popitem(last=False)
        idler.close()
        return True

    def close(self) -> None:
        """Close all of them."""
        while self.spend():
            pass
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        self._timer = self._scheduler.call_at(when, self._expire, lambda: self._what)

    def _expire(self, now: float) -> None:
        self._timer = None
        while self._idlers:
            until = next(iter(self._idlers.values())).used_at + self._idle_s
            if until > now:
                self._arm(until)
                return
            self.spend()
            if self._on_expired is not None:
                self._on_expired()

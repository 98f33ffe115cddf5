"""Which sockets of hosts are ready: what an event loop asks where others ask `epoll`.

Level-triggered, as asyncio wants it. A socket tells when something of it may have changed, and is
looked at from then on, as long as it is ready for what is wanted; one that is idle costs nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import TYPE_CHECKING, Any, Final

from pystack.core.errors import error_of
from pystack.runtime.socket import readiness

if TYPE_CHECKING:
    from pystack.runtime.socket.descriptors import Descriptor

# As selectors.EpollSelector takes what epoll tells: but for the ready-made, an error is both.
_READ: Final = readiness.IN | readiness.ANYWAY
_WRITE: Final = readiness.OUT | readiness.ANYWAY


class _Entry:
    """One descriptor that is registered."""

    __slots__ = ("descriptor", "key", "may_be_ready", "told")

    def __init__(self, key: SelectorKey, descriptor: Descriptor, told: Callable[[], None]) -> None:
        self.key = key
        self.descriptor = descriptor
        self.told = told
        self.may_be_ready = False


class _Map(Mapping[Any, SelectorKey]):
    """What is registered, as event loops look it up (HOT)."""

    def __init__(self, entries: dict[int, _Entry]) -> None:
        self._entries = entries

    def __getitem__(self, fileobj: Any) -> SelectorKey:  # noqa: ANN401
        return self._entries[number_of(fileobj)].key

    def get(self, fileobj: Any, default: Any = None) -> Any:  # noqa: ANN401
        entry = self._entries.get(number_of(fileobj))
        return default if entry is None else entry.key

    def __iter__(self) -> Iterator[int]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class Selector:
    """A selector (`selectors.BaseSelector` in all but its waiting) over sockets of hosts."""

    def __init__(self, find: Callable[[int], Descriptor | None], wake: Callable[[], None]) -> None:
        """`find`: returns the socket of a descriptor. `wake`: called when one may be ready."""
        self._find = find
        self._wake = wake
        self._entries: dict[int, _Entry] = {}
        self._map = _Map(self._entries)
        self._candidates: list[_Entry] = []  # those that may be ready, as they became it

    @property
    def has_candidates(self) -> bool:
        """Tell whether it is worth to `select`."""
        return bool(self._candidates)

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:  # noqa: ANN401
        """Watch a descriptor. KeyError: it is watched. OSError (EBADF): it is no host's."""
        fd = number_of(fileobj)
        if fd in self._entries:
            raise KeyError(f"{fileobj!r} (FD {fd}) is already registered")
        descriptor = self._find(fd)
        if descriptor is None:
            raise error_of(errno.EBADF, f"{fd} is none of a host's sockets")
        key = SelectorKey(fileobj, fd, events, data)
        entry = _Entry(key, descriptor, lambda: self._told(entry))
        self._entries[fd] = entry
        descriptor.watch(entry.told)
        self._told(entry)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:  # noqa: ANN401
        """Watch it for something else."""
        entry = self._entries[number_of(fileobj)]
        entry.key = entry.key._replace(events=events, data=data)
        self._told(entry)
        return entry.key

    def unregister(self, fileobj: Any) -> SelectorKey:  # noqa: ANN401
        """Watch it no more. KeyError: it was not watched."""
        entry = self._entries.pop(number_of(fileobj))
        entry.descriptor.unwatch(entry.told)
        if entry.may_be_ready:
            self._candidates.remove(entry)
        return entry.key

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Return what is ready now, in the order in which it became so. It never waits."""
        if not self._candidates:
            return []
        found = []
        still = []
        for entry in self._candidates:
            key, descriptor = entry.key, entry.descriptor
            mask = 0 if descriptor.closed else descriptor.poll()
            events = EVENT_READ if mask & _READ else 0
            if mask & _WRITE:
                events |= EVENT_WRITE
            if events := events & key.events:
                found.append((key, events))
                still.append(entry)
            else:
                entry.may_be_ready = False
        self._candidates = still
        return found

    def get_key(self, fileobj: Any) -> SelectorKey:  # noqa: ANN401
        """Return what was registered. KeyError: nothing."""
        return self._entries[number_of(fileobj)].key

    def get_map(self) -> Mapping[Any, SelectorKey]:
        """Return all that is registered, by descriptor, or by what has one."""
        return self._map

    def close(self) -> None:
        """Watch nothing any more."""
        for fd in list(self._entries):
            self.unregister(fd)

    def _told(self, entry: _Entry) -> None:
        if not entry.may_be_ready:
            entry.may_be_ready = True
            self._candidates.append(entry)
            self._wake()


def number_of(fileobj: Any) -> int:  # noqa: ANN401
    """Return the number of a descriptor, or of what has one. ValueError."""
    number = fileobj
    if type(fileobj) is not int:
        try:
            number = int(fileobj.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fileobj!r}") from None
    if number < 0:
        raise ValueError(f"Invalid file descriptor: {number}")
    return int(number)

"""poll(2) and epoll(7) over the program's descriptors."""

from __future__ import annotations

import errno
import math
from dataclasses import dataclass
from typing import Final

from pystack.testing.packetdrill.constants import VALUES
from pystack.testing.packetdrill.files import File, Outcome, Program, Steps, failed
from pystack.testing.packetdrill.streams import Stream

_ALWAYS: Final = VALUES["POLLERR"] | VALUES["POLLHUP"] | VALUES["POLLNVAL"]
_EDGE: Final = VALUES["EPOLLET"]
_ONESHOT: Final = VALUES["EPOLLONESHOT"]


def poll(program: Program, wanted: list[tuple[int, int]], timeout_ms: int) -> Steps:
    """Wait until one of the descriptors has one of its events; `written[0]` are the revents."""
    until = program.now + timeout_ms / 1000 if timeout_ms >= 0 else math.inf
    waiter = program.wake_at(until) if timeout_ms > 0 else None
    while True:
        revents = [_revents(program, fd, events) for fd, events in wanted]
        ready = sum(1 for bits in revents if bits)
        if ready or program.now >= until:
            if waiter is not None:
                waiter.cancel()
            return Outcome(ready, written={0: revents})
        yield


def _revents(program: Program, fd: int, events: int) -> int:
    if fd < 0:
        return 0
    file = program.files.get(fd)
    if file is None:
        return VALUES["POLLNVAL"]
    return file.poll_mask() & (events | _ALWAYS)


@dataclass(slots=True)
class _Watched:
    file: File
    events: int
    data: int
    news: bool = True  # for EPOLLET: something happened since it was last told
    armed: bool = True  # for EPOLLONESHOT


class Epoll:
    """An epoll descriptor."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nonblocking = False
        self._watched: dict[int, _Watched] = {}

    def control(self, op: int, fd: int, events: int, data: int) -> Outcome:
        """Add, change or remove a descriptor."""
        file = self.program.files.get(fd)
        if file is None:
            return failed(errno.EBADF)
        if op == VALUES["EPOLL_CTL_DEL"]:
            return Outcome(0) if self._watched.pop(fd, None) else failed(errno.ENOENT)
        if op == VALUES["EPOLL_CTL_ADD"] and fd in self._watched:
            return failed(errno.EEXIST)
        if op == VALUES["EPOLL_CTL_MOD"] and fd not in self._watched:
            return failed(errno.ENOENT)
        watched = self._watched[fd] = _Watched(file, events, data)
        if isinstance(file, Stream):
            file.watch(lambda: _note_news(watched))
        return Outcome(0)

    def wait(self, most: int, timeout_ms: int) -> Steps:
        """Wait for events; `written[1]` are bits and data of each, in turn."""
        until = self.program.now + timeout_ms / 1000 if timeout_ms >= 0 else math.inf
        waiter = self.program.wake_at(until) if timeout_ms > 0 else None
        while True:
            found = self._collect(most)
            if found or self.program.now >= until:
                if waiter is not None:
                    waiter.cancel()
                return Outcome(len(found) // 2, written={1: found})
            yield

    def poll_mask(self) -> int:
        """Return POLLIN where `wait` would give something."""
        waiting = any(self._bits(one) for one in self._watched.values())
        return VALUES["POLLIN"] if waiting else 0

    def close(self) -> Steps:
        """Watch nothing any more."""
        self._watched.clear()
        return Outcome(0)
        yield

    def _bits(self, watched: _Watched) -> int:
        if not watched.armed or (watched.events & _EDGE and not watched.news):
            return 0
        return watched.file.poll_mask() & (watched.events | _ALWAYS)

    def _collect(self, most: int) -> list[int]:
        found: list[int] = []
        for watched in self._watched.values():
            bits = self._bits(watched)
            if bits and len(found) < 2 * most:
                found += [bits, watched.data]
                watched.armed = not watched.events & _ONESHOT
                watched.news = False
        return found


def _note_news(watched: _Watched) -> None:
    watched.news = True

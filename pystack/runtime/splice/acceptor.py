"""Accepts the connections of a listening kernel socket, without a task that waits for them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final

from pystack.core.counters import Counters
from pystack.core.scheduler import Handle
from pystack.runtime.splice.poller import READ, Poller

Address = tuple[str, int] | tuple[str, int, int, int]
Accepted = Callable[[socket.socket, Address, float], None]  # (socket, the peer's address, now)

_BATCH: Final = 64
# The process or the machine has no more descriptors, or no memory. Some may be free again soon.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S: Final = 0.1


class Acceptor:
    """Gives each connection of a listening socket to `on_accepted`, in batches.

    When there is no descriptor for one it waits in the kernel's queue, and accepting goes on after
    a tenth of a second: `splice_accept_paused` counts these.
    """

    __slots__ = ("_counters", "_on_accepted", "_pause", "_poller", "_watch", "sock")

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        on_accepted: Accepted,
        counters: Counters,
    ) -> None:
        """`sock` listens already, and is the acceptor's from now on.

        What `on_accepted` is given does not block, and is its own.
        """
        sock.setblocking(False)
        self.sock = sock
        self._poller = poller
        self._on_accepted = on_accepted
        self._counters = counters
        self._pause: Handle | None = None  # None: it accepts
        self._watch = poller.watch(sock, self._ready, READ, self.close)

    def _ready(self, events: int, now: float) -> None:
        for _ in range(_BATCH):
            try:
                sock, address = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._counters.add("splice_accept_paused")
                    self._watch.want(0)
                    self._pause = self._poller.driver.scheduler.call_at(now + _PAUSE_S, self._go_on)
                    return
                # accept(2): what befell the connection that was to be accepted is told here.
                self._counters.add("splice_accept_failed")
                continue
            sock.setblocking(False)
            self._counters.add("splice_accepted")
            self._on_accepted(sock, address, now)
            if self.sock.fileno() < 0:  # closed by that
                return

    def _go_on(self, now: float) -> None:
        self._pause = None
        self._watch.want(READ)

    def close(self) -> None:
        """Accept no more; the kernel refuses who comes now. A second time is nothing."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._watch.close()
        self.sock.close()

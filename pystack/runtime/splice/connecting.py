"""Opens a connection of the machine's kernel, without a task that waits for it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Final

from pystack.core.scheduler import Handle
from pystack.runtime.socket.seal import unsealed
from pystack.runtime.splice.acceptor import Address
from pystack.runtime.splice.poller import WRITE, Poller, Watch

Done = Callable[[socket.socket | OSError, float], None]  # (what came of it, now)

# connect(2) of a socket that does not block; Windows has names of its own.
_UNDER_WAY: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK})


class Pending:
    """A connection that is being opened."""

    __slots__ = ("_failure", "_on_done", "_sock", "_timer", "_watch")

    def __init__(self, on_done: Done) -> None:
        self._on_done: Done | None = on_done  # None: it was told, or nobody wants to know any more
        self._sock: socket.socket | None = None  # None: there is none (any more)
        self._watch: Watch | None = None
        self._timer: Handle | None = None
        self._failure: OSError | None = None  # what is to be told when the timer fires

    def cancel(self) -> None:
        """Give up, and tell nothing. When it is over that is nothing."""
        self._on_done = None
        self._let_go()
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _begin(
        self,
        poller: Poller,
        sock: socket.socket,
        address: Address,
        timeout_s: float,
        now: float,
    ) -> None:
        self._sock = sock
        number = sock.connect_ex(address)
        if number not in _UNDER_WAY and number != 0:
            raise OSError(number, os.strerror(number))
        self._watch = poller.watch(sock, self._ready, WRITE, self.cancel)
        self._fail_at(
            poller, now + timeout_s, TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        )

    def _fail_at(self, poller: Poller, when: float, failure: OSError) -> None:
        self._failure = failure
        self._timer = poller.driver.scheduler.call_at(when, self._failed)

    def _failed(self, now: float) -> None:
        assert self._failure is not None
        self._tell(self._failure, now)

    def _ready(self, events: int, now: float) -> None:
        assert self._sock is not None
        number = _error_of(self._sock)
        if number:
            self._tell(OSError(number, os.strerror(number)), now)
        else:
            sock, self._sock = self._sock, None
            self._tell(sock, now)

    def _tell(self, outcome: socket.socket | OSError, now: float) -> None:
        on_done = self._on_done
        self.cancel()
        if on_done is not None:
            on_done(outcome, now)

    def _let_go(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _error_of(sock: socket.socket) -> int:
    """Return what has befallen a socket, unless there is something to be read from it first.

    A server may have sent something, and then a reset, by now: who asks for SO_ERROR takes it away.
    """
    try:
        if sock.recv(1, socket.MSG_PEEK):
            return 0
    except BlockingIOError:
        pass
    except OSError as error:
        return error.errno or errno.EIO
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def connect(
    poller: Poller,
    family: int,
    address: Address,
    on_done: Done,
    *,
    timeout_s: float,
) -> Pending:
    """Open a TCP connection of the kernel's to `address`, in numbers.

    `on_done` is called once, later, with a socket that does not block, or with the OSError as the
    kernel has it: ECONNREFUSED, EHOSTUNREACH, EMFILE; ETIMEDOUT after `timeout_s` seconds;
    ECONNRESET where it was opened, and then reset with nothing sent.
    """
    now = poller.driver.now()
    pending = Pending(on_done)
    sock = None
    try:
        with unsealed():  # what asks for it may be worked on while a program of a host runs
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            pending._begin(poller, sock, address, timeout_s, now)
    except OSError as error:
        pending._let_go()
        if sock is not None:
            sock.close()
            pending._sock = None
        pending._fail_at(poller, now, error)
    return pending

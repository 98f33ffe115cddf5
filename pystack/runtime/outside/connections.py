"""TCP to the outside: a connection of the machine's for each that is asked for inside.

The client inside hears nothing before the real server has answered: while its SYN is held, the
machine connects, and what comes of that is what the client is told. A refusal is a reset, a
router's complaint the same complaint, silence silence; only what is established is accepted, and
then both are spliced. A client that gives up meanwhile takes the real connection with it.
"""

from __future__ import annotations

import errno
import os
import socket
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip
from pystack.runtime.outside.ground import SHORT_OF, Ground, family_of, text_of, trouble_of
from pystack.runtime.splice.connecting import Pending, connect
from pystack.runtime.splice.splice import Splice, SpliceResult, reset_on_close

if TYPE_CHECKING:
    from pystack.stack.intercept import HeldSyn
    from pystack.stack.tcp_socket import TcpSocket

# The kernel gives up after its own 127 s (tcp_syn_retries), as the client inside does: this is for
# kernels that are told to be more patient.
CONNECT_S: Final = 130.0
_SILENCE: Final = frozenset({errno.ETIMEDOUT})


class Connections:
    """All of one host's."""

    def __init__(self, ground: Ground, *, connect_s: float = CONNECT_S) -> None:
        """`connect_s`: how long a server may take to answer."""
        self._ground = ground
        self._connect_s = connect_s
        self._pending: dict[HeldSyn, Pending] = {}
        self._accepted: set[socket.socket] = set()  # the client's handshake is not over
        self._splices: dict[int, Splice] = {}
        self._numbers = count()
        ground.spenders.append(self._spend)

    def __len__(self) -> int:
        """Return how many there are, those included that are only being opened."""
        return len(self._pending) + len(self._accepted) + len(self._splices)

    def syn_arrived(self, syn: HeldSyn, real: Ip, now: float) -> None:
        """Connect to the real server, and let the client wait for what comes of it."""
        ground = self._ground
        if not ground.take():
            syn.drop(now)
            return
        ground.counters.add("outside_tcp_tried")
        syn.on_over = partial(self._given_up, syn)
        self._pending[syn] = connect(
            ground.poller,
            family_of(real),
            (text_of(real), syn.local_port),
            partial(self._connected, syn),
            timeout_s=self._connect_s,
        )

    def join(self, sock: socket.socket, tcp: TcpSocket) -> Splice:
        """Splice two connections; the descriptor was taken, and is given back at the end."""
        ground = self._ground
        number = next(self._numbers)

        def ended(_result: SpliceResult) -> None:
            self._splices.pop(number, None)
            ground.give()

        splice = Splice(ground.poller, sock, ground.host, tcp, on_end=ended)
        if not splice.is_over:  # its other side may have broken by then
            self._splices[number] = splice
        return splice

    def close(self, now: float) -> None:
        """Reset all of them."""
        for pending in self._pending.values():
            pending.cancel()
            self._ground.give()
        self._pending.clear()
        for sock in list(self._accepted):
            self._reset(sock)
        for splice in list(self._splices.values()):
            splice.reset(now)

    def _spend(self) -> bool:
        """Drop the oldest that no server has answered: its client tries again. False: it stays."""
        now = self._ground.scheduler.now
        syn = next(iter(self._pending), None)
        if syn is None or not syn.may_give_way(now):
            return False
        self._pending.pop(syn).cancel()
        self._ground.give()
        self._ground.counters.add("outside_tcp_evicted")
        syn.on_over = None
        syn.drop(now)
        return True

    def _given_up(self, syn: HeldSyn, _now: float) -> None:
        pending = self._pending.pop(syn, None)
        if pending is not None:
            pending.cancel()
            self._ground.give()
            self._ground.counters.add("outside_tcp_given_up")

    def _connected(self, syn: HeldSyn, outcome: socket.socket | OSError, now: float) -> None:
        ground = self._ground
        self._pending.pop(syn, None)
        syn.on_over = None
        if not isinstance(outcome, OSError) and _is_its_own_peer(outcome):
            outcome.close()
            outcome = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        if isinstance(outcome, OSError):
            ground.give()
            self._failed(syn, outcome, now)
            return
        self._accepted.add(outcome)
        syn.accept(
            now,
            on_established=partial(self._established, outcome),
            on_gone=partial(self._reset, outcome),
        )

    def _failed(self, syn: HeldSyn, error: OSError, now: float) -> None:
        """Tell the client what the machine was told."""
        ground = self._ground
        if error.errno == errno.ECONNREFUSED:
            ground.counters.add("outside_tcp_refused")
            syn.refuse(now)
        elif error.errno in _SILENCE:
            ground.counters.add("outside_tcp_timed_out")
            syn.drop(now)
        elif error.errno in SHORT_OF:
            ground.counters.add("outside_no_descriptor")
            syn.drop(now)
        elif (trouble := trouble_of(error)) is not None:
            ground.counters.add("outside_tcp_unreachable")
            syn.unreachable(trouble, now)
        elif error.errno == errno.ECONNRESET:  # accepted, and then reset at once: so is the client
            ground.counters.add("outside_tcp_failed")
            syn.accept(now, on_established=self._break, on_gone=_forget)
        else:
            ground.counters.add("outside_tcp_failed")
            syn.refuse(now)

    def _established(self, sock: socket.socket, tcp: TcpSocket) -> None:
        if sock not in self._accepted:  # the way outside was closed meanwhile
            self._ground.host.tcp.abort(tcp, self._ground.scheduler.now)
            return
        self._accepted.discard(sock)
        self._ground.counters.add("outside_tcp_opened")
        self.join(sock, tcp)

    def _break(self, tcp: TcpSocket) -> None:
        table, now = self._ground.host.tcp, self._ground.scheduler.now
        table.abort(tcp, now)
        table.release(tcp, now)

    def _reset(self, sock: socket.socket) -> None:
        """End a real connection whose client has gone before it was established."""
        if sock not in self._accepted:
            return
        self._accepted.discard(sock)
        reset(sock)
        self._ground.give()
        self._ground.counters.add("outside_tcp_given_up")


def _forget() -> None:
    """Do nothing for a client that has gone before it could be reset."""


def _is_its_own_peer(sock: socket.socket) -> bool:
    """Tell whether a socket has connected to itself.

    It happens where nobody listens at a port of this machine that is then taken for our own end:
    two SYNs that cross (RFC 9293 section 3.5).
    """
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False


def reset(sock: socket.socket) -> None:
    """Close a connection of the machine's with a reset."""
    reset_on_close(sock)
    sock.close()

"""Carries a transfer out: sends, waits, sends again, and gives up."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import trio

from pystack.apps.tftp import packets
from pystack.apps.tftp.packets import Packet
from pystack.apps.tftp.transfer import Receiving, Side, TransferError
from pystack.apps.turns import Turn
from pystack.core.errors import WireError
from pystack.runtime.datagrams import UdpSocket

TRIES: Final = 6  # then the peer has gone
FIRST_TRIES: Final = 3  # as long as it has never been heard of
UNHEARD_S: Final = 1.0  # then it makes room for others
MAX_WAIT_S: Final = 8.0  # waits double up to this, or are what was agreed
LINGER_S: Final = 5.0
GRACE_S: Final = 60.0
SLOWEST_S: Final = 10.0  # for each block on average, when the grace is over
_PACKET_UNITS: Final = 5  # of work: it takes about 50 us

_log: Final = logging.getLogger("pystack.apps")


class Conversation:
    """One transfer with one peer."""

    def __init__(
        self,
        side: Side,
        timeout_s: float,
        peer: tuple[str, int],
        may_send: Callable[[int, str], bool],
        count: Callable[[str], None],
        asked_bytes: int,
    ) -> None:
        """`may_send`: whether an address may get so much more than came from it, `asked_bytes`.

        `count`: counts what has happened, by its name.
        """
        self.peer = peer
        self.scope = trio.CancelScope()  # of the task that carries it out
        self._began_at = trio.current_time()
        self._side = side
        self._timeout_s = timeout_s
        self._may_send = may_send
        self._count = count
        self._asked_bytes = asked_bytes
        self._turn = Turn(peer[0])
        self._is_port_closed = False  # the peer's, as its host has told

    @property
    def may_be_asked_again(self) -> bool:
        """Tell whether the end may not have arrived, and the peer will ask for it."""
        return isinstance(self._side, Receiving) and self._side.is_done

    def is_unheard(self, now: float) -> bool:
        """Tell whether the peer had time to answer, and did not: it may never have asked."""
        return not self._side.progress and now - self._began_at > UNHEARD_S

    async def run(self, socket: UdpSocket) -> None:
        """Go on until all is there, or the peer is not. Raises TransferError, OSError."""
        side, began = self._side, self._began_at
        self.send(socket, side.begin())
        tries, deadline = 1, began + self._wait_s(1)
        while not side.is_done:
            packet = await self._next(socket, deadline)
            now = trio.current_time()
            if packet is None:
                if self._is_port_closed or tries >= (TRIES if side.progress else FIRST_TRIES):
                    _log.debug("tftp: %s port %d has gone", *self.peer)
                    return
                tries += 1
                deadline = now + self._wait_s(tries)
                self.send(socket, side.again())
                continue
            if isinstance(packet, packets.Error):
                _log.debug("tftp: %s port %d has ended it: %s", *self.peer, packet.text)
                return
            before = side.progress
            answers = side.take(packet)
            if self._turn.spend(_PACKET_UNITS * (1 + len(answers))):
                await self._turn.wait()
            self.send(socket, answers)
            # What is nothing new wins no time.
            if side.progress > before:
                tries, deadline = 1, now + self._wait_s(1)
                if now - began > GRACE_S + SLOWEST_S * side.progress:
                    raise TransferError(packets.UNDEFINED, "too slow")

    async def linger(self, socket: UdpSocket) -> None:
        """Say once more that all has come, to a peer that has not heard it."""
        deadline = trio.current_time() + LINGER_S
        while (packet := await self._next(socket, deadline)) is not None:
            if isinstance(packet, packets.Error):
                return
            self.send(socket, self._side.take(packet))

    def send(self, socket: UdpSocket, ready: Sequence[bytes]) -> None:
        """Send them, if all of them may go to somebody who may not have asked for them."""
        if ready and not self._side.progress:
            excess_bytes = sum(map(len, ready)) - self._asked_bytes
            self._asked_bytes = 0
            if excess_bytes > 0 and not self._may_send(excess_bytes, self.peer[0]):
                return
        self._look_for_errors(socket)  # else the next call raises one, and sends nothing
        for packet in ready:
            try:
                socket.send_to_nowait(packet, self.peer)
            except OSError as error:
                _log.debug("tftp: nothing sent to %s port %d: %s", *self.peer, error)

    def _wait_s(self, tries: int) -> float:
        doubled_s = self._timeout_s * float(1 << (tries - 1))
        return max(self._timeout_s, min(doubled_s, MAX_WAIT_S))

    async def _next(self, socket: UdpSocket, deadline: float) -> Packet | None:
        """Return the next packet of the peer's; None: there is none in time."""
        with trio.CancelScope(deadline=deadline):
            while not self._is_port_closed:
                try:
                    payload, sender = await socket.receive_from()
                except OSError:
                    if not self._look_for_errors(socket):
                        raise
                    continue
                if sender != self.peer:
                    self._refuse(socket, payload, sender)
                    continue
                try:
                    return packets.parse(payload)
                except WireError as error:
                    self._count(error.reason)
        return None

    def _look_for_errors(self, socket: UdpSocket) -> bool:
        """Hear what ICMP has told; return whether that was anything.

        A client that has been stopped has no port any more: waiting for it would keep its place
        from its next transfer. What is told of strangers disturbs nothing.
        """
        was_told = False
        while (error := socket.take_error_details()) is not None:
            was_told = True
            if error.number == errno.ECONNREFUSED and error.destination == self.peer:
                self._is_port_closed = True
        return was_told

    def _refuse(self, socket: UdpSocket, payload: bytes, sender: tuple[str, int]) -> None:
        """Tell somebody else that this is not a transfer with him; this one goes on."""
        self._count("tftp_unknown_transfer")
        answer = packets.pack_error(packets.UNKNOWN_ID, "unknown transfer")
        # An error is never answered, else two could go on for ever.
        is_error = payload[:2] == answer[:2]
        if not is_error and self._may_send(len(answer) - len(payload), sender[0]):
            with suppress(OSError):
                socket.send_to_nowait(answer, sender)

"""Answers the datagrams of one service, without a task for each."""

from __future__ import annotations

import logging
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import trio

from pystack.apps.base import SendingSocket, Service
from pystack.apps.reflection import PRIVILEGED_PORTS, Excess, excess_bytes, sockets_of_this_run

if TYPE_CHECKING:
    from pystack.runtime.host import Host

_log: Final = logging.getLogger("pystack.apps")

_Datagram: TypeAlias = tuple[bytes, tuple[str, int]]  # payload, sender


class DatagramSocket(SendingSocket, Protocol):
    """Just what is needed of a bound UDP socket."""

    async def receive_from(self) -> tuple[bytes, tuple[str, int]]:
        """Return the next datagram and where it came from."""
        ...

    def receive_from_nowait(self) -> tuple[bytes, tuple[str, int]] | None:
        """Return it if it has come already."""
        ...

    async def aclose(self) -> None:
        """Give the port back."""
        ...


class Answering:
    """One service on one UDP port of a host."""

    def __init__(self, host: Host, service: Service, socket: DatagramSocket, port: int) -> None:
        """The host's counters tell what was not answered, and why."""
        self._host = host
        self._service = service
        self._socket = socket
        self._port = port
        self._counters = host.counters
        self._excess = Excess()
        self._sockets = sockets_of_this_run()
        self._answers_anything = service.answers_anything
        self._in_a_row = service.datagrams_in_a_row

    async def run(self) -> None:
        """Answer until the socket is closed."""
        if not self._answers_anything:
            await self._answer()
            return
        with self._sockets.served(self._host, self._port):
            await self._answer()

    async def _answer(self) -> None:
        socket = self._socket
        try:
            while True:
                row: list[_Datagram] = []
                try:
                    row.append(await socket.receive_from())
                    while len(row) < self._in_a_row:
                        datagram = socket.receive_from_nowait()
                        if datagram is None:
                            break
                        row.append(datagram)
                except OSError as error:
                    # What became of an earlier answer: the host found out that nobody is there.
                    _log.debug("%s: an answer did not arrive: %s", self._service.name, error)
                self._answer_row(row)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            _log.debug("%s: the socket was closed", self._service.name)

    def _answer_row(self, row: list[_Datagram]) -> None:
        """Answer datagrams in their order; answers to one peer in a row are sent as one."""
        now = trio.current_time()
        for peer, datagrams in groupby(row, key=itemgetter(1)):
            if self._answers_anything and self._would_loop(peer):
                self._counters.add("udp_loop_refused", sum(1 for _ in datagrams))
                continue
            answers = []
            for payload, _ in datagrams:
                answer = self._answer_to(payload, peer, now)
                if answer is not None:
                    answers.append(answer)
            try:
                self._send(answers, peer)
            except OSError as error:
                _log.debug("%s: no answer to %s port %d: %s", self._service.name, *peer, error)

    def _answer_to(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        try:
            answer = self._service.answer_udp(payload, peer, now)
        except Exception:
            _log.exception("%s: a datagram was not answered", self._service.name)
            return None
        if answer is None or self._may_send(answer, payload, peer, now):
            return answer
        answer = self._service.shorten(answer)
        if answer is not None and self._may_send(answer, payload, peer, now):
            self._counters.add("udp_answers_shortened")
            return answer
        self._counters.add("udp_answers_withheld")
        return None

    def _may_send(self, answer: bytes, payload: bytes, peer: tuple[str, int], now: float) -> bool:
        excess = excess_bytes(payload, answer)
        return not excess or self._excess.allows(excess, peer[0], now)

    def _would_loop(self, peer: tuple[str, int]) -> bool:
        """Tell whether the sender is such a service itself, or looks like one."""
        address, port = peer
        return port < PRIVILEGED_PORTS or port == self._port or self._sockets.has(address, port)

    def _send(self, answers: list[bytes], peer: tuple[str, int]) -> None:
        if len(answers) == 1:
            self._socket.send_to_nowait(answers[0], peer)
        elif answers:
            try:
                self._socket.send_many_to_nowait(answers, peer)
            except OSError as error:
                # Of an earlier answer, or of one of these: the others are to arrive all the same.
                _log.debug("an answer to %s port %d was not sent: %s", *peer, error)
                for answer in answers:
                    with suppress(OSError):
                        self._socket.send_to_nowait(answer, peer)

"""Runs a service on a host: listens, gives each connection a task, answers datagrams.

Whatever a handler raises ends its own connection and nothing else. There is no task per datagram.
"""

import errno
import logging
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Final, Protocol, TypeAlias

import trio

from pystack.apps.service import Service, SpeaksFirst

MAX_CONNECTIONS: Final = 1024  # at once; further ones wait in the listener's backlog
FIN_GRACE_S: Final = 2.0  # what a connection gets for its FIN when the service is stopped
CLOSE_S: Final = 60.0  # what a connection that is done gets to bring out what it still holds
ACCEPT_PAUSE_S: Final = 0.1

# Then others run: more would keep them waiting for a millisecond.
_DATAGRAMS_IN_A_ROW: Final = 32

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_log: Final = logging.getLogger("pystack.apps")


_Datagram: TypeAlias = tuple[bytes, tuple[str, int]]  # payload, sender


class DatagramSocket(Protocol):
    """Just what is needed of a bound UDP socket."""

    async def receive_from(self) -> tuple[bytes, tuple[str, int]]:
        """Return the next datagram and where it came from."""
        ...

    def receive_from_nowait(self) -> tuple[bytes, tuple[str, int]] | None:
        """Return it if it has come already."""
        ...

    def send_to_nowait(self, data: bytes, address: tuple[str, int]) -> None:
        """Send one datagram."""
        ...

    def send_many_to_nowait(self, datagrams: Sequence[bytes], address: tuple[str, int]) -> None:
        """Send all of them, or none and raise OSError."""
        ...

    async def aclose(self) -> None:
        """Give the port back."""
        ...


class ServingHost(Protocol):
    """Just what is needed of a host."""

    async def open_tcp_listeners(
        self, port: int
    ) -> Sequence[trio.abc.Listener[trio.abc.HalfCloseableStream]]:
        """Listen on all addresses."""
        ...

    async def open_udp_socket(self, port: int) -> DatagramSocket:
        """Bind on all addresses."""
        ...


async def serve(
    host: ServingHost,
    service: Service,
    *,
    tcp_port: int | None,
    udp_port: int | None,
    max_connections: int = MAX_CONNECTIONS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; None for a port leaves that side out.

    A port that cannot be had is an `OSError` here, before anything is served.

    Cancelled, it closes the listeners, gives every open connection its FIN, and is done after
    `FIN_GRACE_S` at the latest.
    """
    listeners = () if tcp_port is None else await host.open_tcp_listeners(tcp_port)
    try:
        socket = None if udp_port is None else await host.open_udp_socket(udp_port)
    except BaseException:
        for listener in listeners:
            await _close(listener)
        raise
    async with trio.open_nursery() as nursery:
        slots = trio.Semaphore(max_connections)
        for listener in listeners:
            nursery.start_soon(_accept, listener, service, slots, nursery)
        if socket is not None:
            if isinstance(service, SpeaksFirst):
                service.use_socket(socket)
            nursery.start_soon(_answer, socket, service)
        task_status.started()


async def _accept(
    listener: trio.abc.Listener[trio.abc.HalfCloseableStream],
    service: Service,
    slots: trio.Semaphore,
    nursery: trio.Nursery,
) -> None:
    try:
        await slots.acquire()
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                _log.error("%s: accepting pauses: %s", service.name, error)
                await trio.sleep(ACCEPT_PAUSE_S)
                continue
            nursery.start_soon(_converse, stream, service, slots)
            # A round of Trio's loop for each, so that handlers begin in the order of their
            # connections: of those that are started in one round, any may be the first.
            await slots.acquire()
    except trio.ClosedResourceError:
        _log.debug("%s: the listener was closed", service.name)
    finally:
        await _close(listener)


async def _converse(
    stream: trio.abc.HalfCloseableStream, service: Service, slots: trio.Semaphore
) -> None:
    closed = False
    try:
        await service.handle_tcp(stream)
        with trio.move_on_after(CLOSE_S):
            await stream.aclose()
            closed = True
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        _log.debug("%s: the peer went away: %r", service.name, error)
    except Exception:
        _log.exception("%s: a connection failed", service.name)
    finally:
        if not closed:
            await _close(stream)
        slots.release()


async def _answer(socket: DatagramSocket, service: Service) -> None:
    try:
        while True:
            row: list[_Datagram] = []
            try:
                row.append(await socket.receive_from())
                while len(row) < _DATAGRAMS_IN_A_ROW:
                    datagram = socket.receive_from_nowait()
                    if datagram is None:
                        break
                    row.append(datagram)
            except OSError as error:
                # What became of an earlier answer: the host has found out that nobody is there.
                _log.debug("%s: an answer did not arrive: %s", service.name, error)
            _answer_row(socket, service, row)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        _log.debug("%s: the socket was closed", service.name)
    finally:
        await _close(socket)


def _answer_row(socket: DatagramSocket, service: Service, row: list[_Datagram]) -> None:
    """Answer datagrams in their order; answers to one peer in a row are sent as one."""
    now = trio.current_time()
    for peer, datagrams in groupby(row, key=itemgetter(1)):
        answers = []
        for payload, _ in datagrams:
            try:
                answer = service.answer_udp(payload, peer, now)
            except Exception:
                _log.exception("%s: a datagram was not answered", service.name)
            else:
                if answer is not None:
                    answers.append(answer)
        try:
            _send(socket, answers, peer)
        except OSError as error:
            _log.debug("%s: no answer to %s port %d: %s", service.name, *peer, error)


def _send(socket: DatagramSocket, answers: list[bytes], peer: tuple[str, int]) -> None:
    if len(answers) == 1:
        socket.send_to_nowait(answers[0], peer)
    elif answers:
        try:
            socket.send_many_to_nowait(answers, peer)
        except OSError as error:
            # Of an earlier answer, or of one of these: the others are to arrive all the same.
            _log.debug("an answer to %s port %d was not sent: %s", *peer, error)
            for answer in answers:
                with suppress(OSError):
                    socket.send_to_nowait(answer, peer)


async def _close(resource: trio.abc.AsyncResource | DatagramSocket) -> None:
    """Close in order, also while being cancelled, for a bounded time."""
    with trio.move_on_after(FIN_GRACE_S, shield=True), suppress(trio.BrokenResourceError):
        await resource.aclose()

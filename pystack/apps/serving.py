"""Runs a service on a host: listens, gives each connection a task, answers datagrams.

Whatever a handler raises ends its own connection and nothing else.
"""

import errno
import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Final

import trio

from pystack.apps.answering import Answering, DatagramSocket
from pystack.apps.ending import cut
from pystack.apps.roster import Connection, Roster
from pystack.apps.service import Placement, Service
from pystack.apps.troubles import in_words, own_fault
from pystack.apps.turns import begin_turn
from pystack.core.counters import Counters
from pystack.runtime.driver.exception_groups import unwrapped
from pystack.runtime.host import Host

MAX_CONNECTIONS: Final = 1024  # at once; then see `pystack.apps.roster`
FIN_GRACE_S: Final = 2.0  # what a connection gets for its FIN when the service is stopped
CLOSE_S: Final = 60.0  # what a connection that is done gets to bring out what it still holds
ACCEPT_PAUSE_S: Final = 0.1
TELL_AGAIN_S: Final = 60.0

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_log: Final = logging.getLogger("pystack.apps")


async def serve(
    host: Host,
    service: Service,
    *,
    tcp_port: int | None,
    udp_port: int | None,
    max_connections: int = MAX_CONNECTIONS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; None for a port leaves that side out.

    A port that cannot be had is an `OSError` here, before anything is served. What else a service
    does at its start may raise too.

    With `max_connections` open, whoever comes takes the place of one that hardly moves, or waits.

    Cancelled, it closes the listeners, gives every open connection its FIN, and is done after
    `FIN_GRACE_S` at the latest.
    """
    service.use_host(host)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(service.live)
            listeners = () if tcp_port is None else await host.open_tcp_listeners(tcp_port)
            try:
                socket = None if udp_port is None else await host.open_udp_socket(udp_port)
            except BaseException:
                for listener in listeners:
                    await _close(listener)
                raise
            door = _Door(service, max_connections, nursery, host.counters)
            for listener in listeners:
                nursery.start_soon(door.accept, listener)
            if socket is not None and udp_port is not None:
                service.use_socket(socket)
                nursery.start_soon(_answer, Answering(host, service, socket, udp_port), socket)
            task_status.started()
    except ExceptionGroup as group:
        raise unwrapped(group) from None


async def start(host: Host, placements: Iterable[Placement]) -> None:
    """Serve on a host of a network, until that ends; return when all answer. Raises OSError."""
    for placement in placements:
        await host.start(partial(serve_placed, host, placement))


async def serve_placed(
    host: Host,
    placement: Placement,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve where it has been placed: see `serve`."""
    await serve(
        host,
        placement.service,
        tcp_port=placement.tcp_port,
        udp_port=placement.udp_port,
        task_status=task_status,
    )


class _Door:
    """Lets connections in, as many as there is room for."""

    def __init__(
        self, service: Service, max_connections: int, nursery: trio.Nursery, counters: Counters
    ) -> None:
        self._service = service
        self._roster = Roster(max_connections)
        self._nursery = nursery
        self._counters = counters
        self._told_at = -inf

    async def accept(self, listener: trio.abc.Listener[trio.abc.HalfCloseableStream]) -> None:
        """Let in whoever comes, for ever."""
        name = self._service.name
        try:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in _EXHAUSTED:
                        raise
                    _log.error("%s: accepting pauses: %s", name, error)
                    await trio.sleep(ACCEPT_PAUSE_S)
                    continue
                connection = self._roster.enter(stream)
                try:
                    await self._make_room(connection)
                except BaseException:
                    await _close(stream)
                    raise
                self._nursery.start_soon(self._converse, connection)
                # A round of Trio's loop for each, so that handlers begin in the order of their
                # connections: of those that are started in one round, any may be the first.
                await trio.lowlevel.checkpoint()
        except trio.ClosedResourceError:
            _log.debug("%s: the listener was closed", name)
        finally:
            await _close(listener)

    async def _make_room(self, newcomer: Connection) -> None:
        while self._roster.is_full:
            if self._roster.shed_for(newcomer) is None:
                await self._roster.wait_for_room()
                continue
            self._counters.add("service_connections_shed")
            now = trio.current_time()
            if now - self._told_at >= TELL_AGAIN_S:
                self._told_at = now
                words = (
                    "no room for more connections: of those with the most, the slowest are ended"
                )
                _log.warning("%s: %s", self._service.name, words)

    async def _converse(self, connection: Connection) -> None:
        stream = connection.stream
        closed = False
        connection.turn = begin_turn(stream)
        try:
            with connection.scope:
                await self._service.handle_tcp(stream)
                with trio.move_on_after(CLOSE_S):
                    await stream.aclose()
                    closed = True
        except Exception as error:
            self._tell(error)
        except BaseExceptionGroup as group:
            # Cancelled while something else went wrong: that is not for whoever has cancelled.
            errors, rest = group.split(Exception)
            if errors is not None:
                self._tell(errors)
            if rest is not None:
                raise rest from None
        finally:
            if connection.is_shed:
                await cut(stream)
            elif not closed:
                await _close(stream)
            self._roster.leave(connection)

    def _tell(self, error: Exception) -> None:
        fault = own_fault(error)
        if fault is None:
            _log.debug("%s: the peer went away: %s", self._service.name, in_words(error))
        else:
            _log.error("%s: a connection failed", self._service.name, exc_info=fault)


async def _answer(answering: Answering, socket: DatagramSocket) -> None:
    try:
        await answering.run()
    finally:
        await _close(socket)


async def _close(resource: trio.abc.AsyncResource | DatagramSocket) -> None:
    """Close in order, also while being cancelled, for a bounded time."""
    with trio.move_on_after(FIN_GRACE_S, shield=True), suppress(trio.BrokenResourceError):
        await resource.aclose()

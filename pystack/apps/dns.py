"""The service `dns`: what `pystack.dns` answers, with the manners of all services.

By UDP, who is sent more than asks for it is sent the question back with the flag TC, and comes by
TCP, where nobody can lie about an address: see `pystack.apps.reflection`.
"""

from __future__ import annotations

from typing import Final

import trio

from pystack.apps.base import SendingSocket, Service
from pystack.apps.options import ServiceOptions
from pystack.apps.reflection import Excess, excess_bytes
from pystack.apps.turns import current_turn
from pystack.core.counters import Counters
from pystack.dns.names import Names
from pystack.dns.server import DnsServer
from pystack.runtime.host import Host
from pystack.runtime.names.dns_service import LateAnswers, converse, names_of
from pystack.wire import dns

QUERY_UNITS: Final = 10
ANSWER_BYTES_A_UNIT: Final = 16  # an address of many


class DnsService(Service):
    """Answers for the names of the network, or of its own host alone, and for given records."""

    name: Final = "dns"
    tcp_port: Final = dns.PORT
    udp_port: Final = dns.PORT
    # Of 0.1 ms, and up to 1; more at once made pings wait 7 ms, not 1.
    datagrams_in_a_row: Final = 1

    def __init__(self, options: ServiceOptions) -> None:
        """Raises ConfigError for bad records and faults."""
        self._options = options
        self._server = self._make(None, Counters())
        self._late = LateAnswers(self._send)
        self._excess = Excess()
        self._socket: SendingSocket | None = None  # None: not served yet

    @property
    def server(self) -> DnsServer:
        """Return what answers, for `server.fault(...)` and `server.set(...)`."""
        return self._server

    def use_host(self, host: Host) -> None:
        """Learn its names: those of its network, or its own."""
        topology = host.topology
        names = _own_names(self._options) if topology is None else names_of(topology)
        self._server = self._make(names, host.counters)

    def use_socket(self, socket: SendingSocket) -> None:
        """Take the socket for what leaves late."""
        self._socket = socket

    async def live(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Send what leaves late."""
        task_status.started()
        await self._late.run()

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Answer the queries of one connection."""
        turn = current_turn()

        async def before_answer(last_bytes: int) -> None:
            # How long an answer is shows only when it is there: it is paid for with the next one.
            if turn.spend(QUERY_UNITS + last_bytes // ANSWER_BYTES_A_UNIT):
                await turn.wait()

        await converse(stream, self._server, before_answer)

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return the answer that leaves now."""
        reply = self._server.answer(payload)
        if reply is None or not reply.after_s:
            return None if reply is None else reply.data
        # Nobody else sees it, so its length is bounded here.
        data, counters = reply.data, self._server.counters
        excess = excess_bytes(payload, data)
        if excess and not self._excess.allows(excess, peer[0], now):
            counters.add("udp_answers_shortened")
            data = dns.without_records(data)
        self._late.hold(data, peer, reply.after_s, counters)
        return None

    def shorten(self, answer: bytes) -> bytes | None:
        """Return an answer that is no longer than its question: come by TCP."""
        return dns.without_records(answer)

    def _make(self, names: Names | None, counters: Counters) -> DnsServer:
        options = self._options
        return DnsServer(
            records=options.records,
            faults=options.faults,
            names=names,
            host_name=options.host_name,
            rng=options.rng,
            counters=counters,
        )

    def _send(self, answer: bytes, peer: tuple[str, int]) -> None:
        assert self._socket is not None
        self._socket.send_to_nowait(answer, peer)


def _own_names(options: ServiceOptions) -> Names:
    """Return the names of a host that is in no network of ours: its own."""
    own = dns.canonical(options.host_name)
    return Names(
        lambda name: options.addresses if name == own else None,
        lambda address: own if address in options.addresses else None,
        lambda: (own,),
        are_all=False,
    )

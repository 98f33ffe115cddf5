"""The lab's DNS: a service on UDP port 53 of any host of ours that knows the hosts' names.

For real programs that joined: programs on hosts of ours have their names looked up without a
packet. Answers may not be kept, for the lab can change at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import Ip4
from pystack.core.errors import WireError
from pystack.wire import dns

if TYPE_CHECKING:
    from pystack.runtime.host import TrioHost
    from pystack.topology.topology import Topology

_ADDRESS_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Names:
    """What is called how. Asked for each query, so it may change."""

    address_of: Callable[[str], Ip4 | None]  # of a name in lower case; None: nobody has it
    name_of: Callable[[Ip4], str | None]  # None: nobody has that address


def names_of(topology: Topology) -> Names:
    """Return the names of all nodes, whatever their letters' case is (RFC 4343)."""

    in_lower_case: dict[str, str] = {}
    counted = 0

    def known_as(name: str) -> str | None:
        # Made anew when nodes have come or gone: a query takes no longer the more there are.
        nonlocal counted
        found = in_lower_case.get(name)
        if counted != len(topology.nodes) or (found is not None and found not in topology.nodes):
            counted = len(topology.nodes)
            in_lower_case.clear()
            for known in topology.nodes:
                in_lower_case.setdefault(known.lower(), known)
        return in_lower_case.get(name)

    def address_of(name: str) -> Ip4 | None:
        known = known_as(name)
        if known is not None:
            return topology.resolve(known)
        base, _, interface = name.rpartition(".")
        known = known_as(base)  # "client.eth1"
        return None if known is None else topology.resolve(f"{known}.{interface}")

    def name_of(address: Ip4) -> str | None:
        for name, node in topology.nodes.items():
            if any(address == own for own, _ in node.addresses):
                return name
        return None

    return Names(address_of, name_of)


def answer(data: bytes, names: Names) -> bytes:
    """Return the answer to a query. Raises WireError for what is none, and gets no answer."""
    query = dns.parse_query(data)
    if not query.is_standard:
        return dns.pack_answer(query, dns.NOT_IMPLEMENTED)
    if query.klass not in (dns.IN, dns.ANY):
        return dns.pack_answer(query, dns.REFUSED)
    backwards = dns.reversed_address(query.name)
    if backwards is not None:
        return _answer_backwards(query, names.name_of(backwards))
    address = names.address_of(query.name)
    if address is None:
        return dns.pack_answer(query, dns.NAME_ERROR)
    if query.kind in (dns.A, dns.ANY):
        record = dns.A, address.to_bytes(_ADDRESS_BYTES, "big")
        return dns.pack_answer(query, dns.NO_ERROR, record)
    # There is such a host, but nothing of that kind is known of it (RFC 2308 section 2.2): for
    # AAAA the way to say that it has IPv4 only.
    return dns.pack_answer(query, dns.NO_ERROR)


async def serve_dns(
    host: TrioHost,
    names: Names,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer queries on a host, for ever. Raises OSError(EADDRINUSE) where it has a DNS already."""
    async with await host.open_udp_socket(dns.PORT) as socket:
        task_status.started()
        while True:
            try:
                data, client = await socket.receive_from()
                await socket.send_to(answer(data, names), client)
            except WireError as error:
                host.counters.add(error.reason)
            except OSError:
                # A client has gone before its answer came; ICMP says so, and nobody else cares.
                host.counters.add("dns_unanswerable")


def _answer_backwards(query: dns.Query, name: str | None) -> bytes:
    if name is None:
        return dns.pack_answer(query, dns.NAME_ERROR)
    if query.kind not in (dns.PTR, dns.ANY):
        return dns.pack_answer(query, dns.NO_ERROR)
    try:
        return dns.pack_answer(query, dns.NO_ERROR, (dns.PTR, dns.pack_name(name)))
    except ValueError:  # a name that only the lab can say
        return dns.pack_answer(query, dns.NAME_ERROR)

"""The lab's DNS: a service on UDP port 53 of any host of ours that knows the hosts' names.

For real programs that joined: programs on hosts of ours have their names looked up without a
packet. Answers may not be kept, for the lab can change at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import Ip4, format_ip4, parse_ip4
from pystack.core.errors import WireError

if TYPE_CHECKING:
    from pystack.runtime.host import TrioHost
    from pystack.topology.topology import Topology
    from pystack.wire.dns import Question, Record

PORT: Final = 53


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
    from pystack.wire import dns

    query = dns.parse_message(data)
    if query.is_response:
        raise WireError("dns_not_a_query")
    if not query.questions:
        raise WireError("dns_no_question")
    [question] = query.questions
    records: tuple[Record, ...] = ()
    rcode = dns.NO_ERROR
    if query.opcode != dns.QUERY:
        rcode = dns.NOT_IMPLEMENTED
    elif question.klass not in (dns.IN, dns.ANY_CLASS):
        rcode = dns.REFUSED
    else:
        found = _records_of(question, names)
        rcode, records = (dns.NAME_ERROR, ()) if found is None else (rcode, found)
    reply = dns.Message(
        ident=query.ident,
        is_response=True,
        opcode=query.opcode,
        rcode=rcode,
        authoritative=True,
        recursion_desired=query.recursion_desired,
        recursion_available=True,
        questions=query.questions,
        answers=records,
    )
    return dns.pack_message(reply, dns.UDP_BYTES)


async def serve_dns(
    host: TrioHost,
    names: Names,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer queries on a host, for ever. Raises OSError(EADDRINUSE) where it has a DNS already."""
    async with await host.open_udp_socket(PORT) as socket:
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


def _records_of(question: Question, names: Names) -> tuple[Record, ...] | None:
    """Return what answers a question; None: there is no such name."""
    from pystack.wire import dns

    backwards = dns.reversed_address(question.name)
    if backwards is not None and "." in backwards:
        name = names.name_of(parse_ip4(backwards))
        if name is None:
            return None
        try:
            found = dns.record(question.name, dns.PTR, 0, name)
        except ValueError:  # a name that only the lab can say
            return None
    else:
        address = names.address_of(question.name)
        if address is None:
            return None
        found = dns.record(question.name, dns.A, 0, format_ip4(address))
    # There is such a host, but perhaps nothing of that kind is known of it (RFC 2308 section 2.2):
    # for AAAA the way to say that it has IPv4 only.
    return (found,) if question.kind in (found.kind, dns.ANY) else ()

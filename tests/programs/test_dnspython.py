"""dnspython's resolver on Trio against a small DNS server, both as they are."""

from collections.abc import Awaitable, Callable

import dns.asyncbackend
import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
import trio
from worlds import Status, in_virtual_time, pair

import pystack

try:
    dns.asyncbackend.get_backend("trio")
except ImportError as error:
    pytest.skip(f"dnspython and this Trio do not fit together: {error}", allow_module_level=True)

ZONE = {"www.example.": ["192.0.2.1", "192.0.2.2"]}
LONG = "long.example."
LONG_TEXTS = [f'"{number:03} {"x" * 200}"' for number in range(20)]


class DnsServer:
    """A DNS server: A records over UDP; what is too long comes over TCP."""

    def __init__(self) -> None:
        self.queries = {"udp": 0, "tcp": 0}

    async def serve(self, *, task_status: Status) -> None:
        """Serve until cancelled."""
        udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        await udp.bind(("", 53))
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_tcp, self.converse, 53)
            task_status.started()
            while True:
                data, peer = await udp.recvfrom(4096)
                self.queries["udp"] += 1
                await udp.sendto(self.answer(data, max_bytes=1232), peer)

    async def converse(self, stream: trio.SocketStream) -> None:
        """Answer one query: two bytes of length before each message (RFC 1035 section 4.2.2)."""
        data = b""
        while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
            data += await stream.receive_some()
        self.queries["tcp"] += 1
        reply = self.answer(data[2:], max_bytes=65535)
        await stream.send_all(len(reply).to_bytes(2, "big") + reply)

    def answer(self, data: bytes, *, max_bytes: int) -> bytes:
        """Return the reply to a query, with the flag TC where it is too long."""
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        name = query.question[0].name.to_text()
        if name in ZONE:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", *ZONE[name]))
        elif name == LONG:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *LONG_TEXTS))
        else:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        wire = reply.to_wire()
        if len(wire) > max_bytes:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            wire = reply.to_wire()
        return wire


def resolver() -> dns.asyncresolver.Resolver:
    """Return a resolver that asks the server alone, again and again."""
    found = dns.asyncresolver.Resolver(configure=False)
    found.nameservers = ["10.0.0.2"]
    found.timeout, found.lifetime = 1.0, 60.0
    return found


def run(program: Callable[[], Awaitable[None]], **words: str) -> DnsServer:
    """Run a program against the server, on a lossy link unless told otherwise."""
    server = DnsServer()

    async def main() -> None:
        async with pair(**words) as world:
            await world.server.start(server.serve)
            await world.client.run(program)

    in_virtual_time(main)
    return server


def test_a_name_is_resolved_however_many_datagrams_are_lost() -> None:
    async def program() -> None:
        for _ in range(20):
            answer = await resolver().resolve("www.example.", "A")
            assert sorted(record.address for record in answer) == ["192.0.2.1", "192.0.2.2"]

    server = run(program, delay="20ms", loss="20%")
    assert server.queries["udp"] > 20


def test_a_name_that_is_not_there_is_nxdomain() -> None:
    async def program() -> None:
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver().resolve("nothing.example.", "A")

    run(program)


def test_a_long_answer_is_fetched_over_tcp() -> None:
    async def program() -> None:
        answer = await resolver().resolve(LONG, "TXT")
        assert len(answer) == len(LONG_TEXTS)

    server = run(program)
    assert server.queries["tcp"] == 1


def test_a_server_that_does_not_run_is_silence_as_on_linux() -> None:
    async def program() -> None:
        # dnspython's sockets have no partner, so they hear nothing of ICMP: udp(7).
        query = dns.message.make_query("www.example.", "A")
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(query, "10.0.0.1", timeout=1.0)

    run(program)


# --- against the service `dns`

RECORDS = [
    "www.example.test 60 A 192.0.2.1",
    "www.example.test 60 A 192.0.2.2",
    "alias.example.test 60 CNAME www.example.test",
    *(f'long.example.test 60 TXT "{number:03} {"x" * 200}"' for number in range(20)),
]


def run_served(program: Callable[[], Awaitable[None]], *faults: str, **words: str) -> list[int]:
    """Run a program against our service; return how many queries were answered, and faulty."""
    counted: list[int] = []

    async def main() -> None:
        async with pair(**words) as world:
            await pystack.serve(world.server, "dns", records=RECORDS, faults=faults)
            await world.client.run(program)
            counters = world.server.counters
            faulty = (name for name in counters if name.startswith("dns_fault_"))
            counted.extend((counters["dns_answered"], sum(map(counters.get, faulty))))

    in_virtual_time(main)
    return counted


def test_our_service_is_asked_until_it_answers() -> None:
    async def program() -> None:
        for _ in range(20):
            answer = await resolver().resolve("alias.example.test.", "A")
            assert sorted(record.address for record in answer) == ["192.0.2.1", "192.0.2.2"]
            assert answer.canonical_name.to_text() == "www.example.test."
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver().resolve("nothing.example.test.", "A")
        with pytest.raises(dns.resolver.NoAnswer):
            await resolver().resolve("www.example.test.", "AAAA")
        with pytest.raises(dns.resolver.NoNameservers, match="REFUSED"):
            await resolver().resolve("version.bind.", "TXT", rdclass="CH")
        reverse = await resolver().resolve_address("10.0.0.1")
        assert reverse[0].to_text() == "client."

    answered, faulty = run_served(program, delay="20ms", loss="20%")
    assert answered > 23  # each once, and some again
    assert faulty == 0


def test_a_long_answer_of_our_service_is_fetched_over_tcp() -> None:
    async def program() -> None:
        for _ in range(3):
            answer = await resolver().resolve("long.example.test.", "TXT")
            assert len(answer) == len(LONG_TEXTS)

    run_served(program, delay="20ms", loss="5%")


def test_faults_of_our_service_are_seen_and_gone_through() -> None:
    async def program() -> None:
        answer = await resolver().resolve("www.example.test.", "A")
        assert next(record.address for record in answer) == "192.0.2.99"
        with pytest.raises(dns.resolver.NoNameservers, match="SERVFAIL"):
            await resolver().resolve("alias.example.test.", "A")
        began = trio.current_time()
        assert len(await resolver().resolve("long.example.test.", "TXT")) == len(LONG_TEXTS)
        # By UDP and by TCP, each half a second late
        assert 1.0 <= trio.current_time() - began < 1.2

    faults = "www.example.test dead 192.0.2.99", "alias.example.test servfail"
    run_served(program, *faults, "long.example.test late 500ms", delay="10ms")

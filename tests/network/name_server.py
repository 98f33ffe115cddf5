"""A name server of a test's own: it notes what it is asked, and a function says what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import trio

import pystack
from pystack.runtime.host import Host
from pystack.wire import dns

WWW = "www.example.test"
ZONE = (
    f"{WWW} 60 A 10.0.0.80",
    "six.example.test 60 AAAA 2001:db8::80",
    "both.example.test 60 A 10.0.0.80",
    "both.example.test 60 AAAA 2001:db8::80",
    "alias.example.test 60 CNAME www.example.test",
    "away.example.test 60 CNAME www.elsewhere.test",
    "text.example.test 60 TXT hello",
    "80.0.0.10.in-addr.arpa 60 PTR www.example.test",
)
SOA = "ns1.example.test. root.example.test. 1 3600 600 86400 {minimum}"
ReplyFn = Callable[[dns.Message], dns.Message | None]


@dataclass
class World:
    """A client behind a link of 40 ms, name servers, and two hosts that have names."""

    net: pystack.Network
    client: Host
    servers: list[Host]

    async def serve(self, reply: ReplyFn, number: int = 0, **words: object) -> None:
        """Answer on one of the servers."""
        await self.servers[number].start(partial(serve, self.servers[number], reply, **words))


@asynccontextmanager
async def world(
    *, servers: int = 1, seed: int = 7, delay: str = "40ms", **words: object
) -> AsyncIterator[World]:
    """Open a network in which all have found each other already; `words` are of the resolver."""
    # One question for a look-up: test_names_of_both_versions.py has the hosts that ask two.
    async with pystack.Network(seed=seed, seal=True, ip="4") as net:
        names = [f"ns{number}" for number in range(1, servers + 1)]
        client = net.host("client", dns={"servers": names, **words})
        switch = net.switch("switch")
        net.link(client, switch, delay=delay)
        made = [
            net.host(name, address=f"10.0.0.{number}/24") for number, name in enumerate(names, 53)
        ]
        others = [*made, net.host("web", address="10.0.0.80/24")]
        for host in others:
            net.link(host, switch)
        for host in others:
            await client.ping(host.address)
        yield World(net, client, made)


@dataclass
class Zone:
    """Answers by name and kind, as lines of a zone file; anything else is NXDOMAIN."""

    records: list[dns.Record]
    minimum_s: int = 60
    asked: list[tuple[float, str, str]] = field(default_factory=list)  # when, name, kind

    @classmethod
    def of(cls, *lines: str, minimum_s: int = 60) -> Zone:
        """Read "www.example.test 60 A 10.0.0.9"."""
        records = []
        for line in lines:
            name, ttl, kind, data = line.split(maxsplit=3)
            records.append(dns.record(name, kind, int(ttl), data))
        return cls(records, minimum_s)

    def reply(self, query: dns.Message) -> dns.Message:
        """Answer from the table, aliases followed."""
        (question,) = query.questions
        self.asked.append((trio.current_time(), question.name, dns.kind_name(question.kind)))
        answers: list[dns.Record] = []
        name: str | None = question.name
        rcode = dns.NO_ERROR
        while name is not None and len(answers) < 40:
            own = [record for record in self.records if record.name == name]
            found = [record for record in own if record.kind == question.kind]
            answers += found
            aliases = [record for record in own if record.kind == dns.CNAME]
            if found or not aliases:
                rcode = dns.NO_ERROR if own else dns.NAME_ERROR
                break
            answers += aliases
            name = aliases[0].target
        has = any(record.kind == question.kind for record in answers)
        soa = dns.record("example.test", "SOA", 3600, SOA.format(minimum=self.minimum_s))
        return response(query, answers, rcode, authority=() if has else (soa,))


def response(
    query: dns.Message,
    answers: list[dns.Record] | tuple[dns.Record, ...] = (),
    rcode: int = dns.NO_ERROR,
    authority: tuple[dns.Record, ...] = (),
    *,
    truncated: bool = False,
) -> dns.Message:
    """Return the answer to a query."""
    return dns.Message(
        ident=query.ident,
        is_response=True,
        rcode=rcode,
        authoritative=True,
        truncated=truncated,
        recursion_desired=query.recursion_desired,
        questions=query.questions,
        answers=tuple(answers),
        authority=authority,
        edns=query.edns,
    )


async def serve(
    host: Host,
    reply: ReplyFn,
    *,
    by_tcp: ReplyFn | None = None,
    max_bytes: int = 1232,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer at port 53 of a host, by UDP and, where `by_tcp` is given, by TCP."""
    listeners = [] if by_tcp is None else await host.open_tcp_listeners(53)

    async def converse(stream: trio.abc.Stream) -> None:
        framer = dns.Framer()
        async with stream:
            with suppress(trio.BrokenResourceError):
                await answer(stream, framer)

    async def answer(stream: trio.abc.Stream, framer: dns.Framer) -> None:
        async for data in stream:
            framer.feed(data)
            while (message := framer.next()) is not None:
                assert by_tcp is not None
                said = by_tcp(dns.parse_message(message))
                if said is not None:
                    await stream.send_all(dns.frame(dns.pack_message(said)))

    async with trio.open_nursery() as nursery, await host.open_udp_socket(53) as socket:
        if listeners:
            nursery.start_soon(trio.serve_listeners, converse, listeners)
        task_status.started()
        while True:
            data, client = await socket.receive_from()
            said = reply(dns.parse_message(data))
            if said is not None:
                await socket.send_to(dns.pack_message(said, max_bytes), client)


def run(program: Callable[[], Awaitable[None]], seed: int = 7) -> None:
    """Run it in virtual time."""
    pystack.run(program, seed=seed)


async def took(call: Awaitable[object]) -> tuple[object, float]:
    """Return what a call gives (or its error) and how long it took."""
    began_at = trio.current_time()
    try:
        result = await call
    except OSError as error:
        result = error
    return result, round(trio.current_time() - began_at, 9)


def asked(zone: Zone) -> list[tuple[str, str]]:
    """Return names and kinds that a server was asked for."""
    return [(name, kind) for _, name, kind in zone.asked]

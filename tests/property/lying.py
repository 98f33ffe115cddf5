"""A name server that says anything: half an answer, somebody else's, several, in pieces."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random
from typing import Final

import trio

import pystack
from pystack.wire import dns

_DATA: Final = (
    *("A 10.0.0.9", "AAAA fd00::9", "CNAME x.test", "CNAME www.example.test", "CNAME ."),
    *("PTR evil.test", "PTR .", "SOA a. b. 1 2 3 4 60", "NS a.", "TXT x"),
)
_RCODES: Final = (0, 0, 0, 0, 1, 2, 3, 4, 5, 9, 15)


async def lie(host: pystack.Host, rng: Random) -> None:
    """Serve lies at port 53, by UDP and TCP, until the network ends."""
    await host.start(partial(_by_udp, host, rng))
    await host.start(partial(_by_tcp, host, rng))


async def _by_udp(host: pystack.Host, rng: Random, *, task_status: trio.TaskStatus[None]) -> None:
    async with await host.open_udp_socket(53) as socket:
        task_status.started()
        while True:
            with suppress(OSError):  # whoever asked has gone
                data, client = await socket.receive_from()
                for _ in range(rng.choice((0, 1, 1, 1, 2, 5))):
                    await socket.send_to(answer(dns.parse_message(data), rng), client)


async def _by_tcp(host: pystack.Host, rng: Random, *, task_status: trio.TaskStatus[None]) -> None:
    async def serve(stream: pystack.TcpStream) -> None:
        framer = dns.Framer()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in stream:
                framer.feed(data)
                query = framer.next()
                if query is None:
                    continue
                lies = [answer(dns.parse_message(query), rng) for _ in range(rng.choice((0, 1, 3)))]
                text = b"".join(map(dns.frame, lies))
                text = text[: rng.choice((len(text), rng.randint(0, len(text))))]
                step = rng.choice((1, 7, 1000))
                for at in range(0, len(text), step):
                    await stream.send_all(text[at : at + step])
                if rng.random() < 0.4:
                    return
        await trio.aclose_forcefully(stream)

    listeners = await host.open_tcp_listeners(53)
    task_status.started()
    await trio.serve_listeners(serve, listeners)


def answer(query: dns.Message, rng: Random) -> bytes:
    """Return what is an answer, nearly one, or none."""
    name = query.questions[0].name

    def records(count: int) -> tuple[dns.Record, ...]:
        made = []
        for _ in range(count):
            kind, data = rng.choice(_DATA).split(" ", 1)
            owner = rng.choice((name, name, "x.test", "www.example.test", ""))
            made.append(dns.record(owner, kind, rng.choice((0, 1, 60, 2**31 - 1)), data))
        return tuple(made)

    message = dns.Message(
        ident=query.ident ^ (rng.random() < 0.1),
        is_response=rng.random() < 0.95,
        opcode=5 if rng.random() < 0.05 else 0,
        rcode=rng.choice(_RCODES),
        truncated=rng.random() < 0.2,
        questions=query.questions,
        answers=records(rng.choice((0, 1, 1, 2, 5, 30))),
        authority=records(rng.randint(0, 2)),
        additional=records(rng.randint(0, 2)),
        edns=rng.choice((None, query.edns)),
    )
    if rng.random() < 0.1:
        message.questions = (dns.Question("bank.test", rng.choice((dns.A, dns.AAAA))),)
    data = bytearray(dns.pack_message(message))
    for _ in range(rng.choice((0, 0, 0, 1, 4))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(
        data[: rng.choice((len(data), len(data), len(data), rng.randrange(len(data)))) or 1]
    )

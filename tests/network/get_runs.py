"""Runs of `pystack get`'s transfers in virtual time, for tests: a client, a link, and a server."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

import pystack
from pystack.apps.clients.desk import Source
from pystack.apps.clients.getting import Getter
from pystack.apps.clients.job import GetOptions
from pystack.apps.clients.transfer import Transfer
from pystack.link.link import Link
from pystack.runtime.host import Host

Handler = Callable[[trio.SocketStream], Awaitable[None]]
# Prepares the server, and may change the link.
Prepare = Callable[[Host, Link], Awaitable[None]]


class Memory:
    """A sink that keeps what is written."""

    name = ""

    def __init__(self) -> None:
        self.data = b""
        self.is_closed = False

    async def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.is_closed = True


@dataclass(slots=True)
class Run:
    """What came of the transfers."""

    transfers: list[Transfer] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    talk: list[str] = field(default_factory=list)

    @property
    def one(self) -> Transfer:
        """Return the only one."""
        [transfer] = self.transfers
        return transfer

    @property
    def body(self) -> bytes:
        """Return the last one's."""
        return self.bodies[-1]


def serving(*services: str, **words: object) -> Prepare:
    """Let the server have these services."""

    async def prepare(server: Host, _link: Link) -> None:
        await pystack.serve(server, *services, **words)  # type: ignore[arg-type]

    return prepare


def answering(*replies: bytes, port: int = 80, then: str = "close") -> Prepare:
    """Let the server answer each request of a connection with the next reply, whatever it asks.

    Afterwards it closes, resets, or says nothing more ("hang").
    """

    async def handle(stream: trio.SocketStream) -> None:
        for reply in replies:
            if not await stream.receive_some():
                return
            if reply:
                await stream.send_all(reply)
        if then == "reset":
            stream.setsockopt(1, 13, bytes((1, 0, 0, 0, 0, 0, 0, 0)))  # SO_LINGER, 0 s
        elif then == "hang":
            await trio.sleep_forever()

    return handling(handle, port)


def handling(handle: Handler, port: int = 80) -> Prepare:
    """Let the server serve this."""

    async def prepare(server: Host, _link: Link) -> None:
        await server.start(trio.serve_tcp, handle, port)

    return prepare


def scripted(*steps: tuple[str | None, str], port: int) -> Prepare:
    """Let the server answer lines: what is to begin each (None: no line is read), and the reply."""

    async def handle(stream: trio.SocketStream) -> None:
        data = b""
        for expected, reply in steps:
            if expected is not None:
                while b"\r\n" not in data:
                    more = await stream.receive_some()
                    if not more:
                        return
                    data += more
                line, _, data = data.partition(b"\r\n")
                assert line.decode().startswith(expected), (line, expected)
            await stream.send_all(reply.encode())

    return handling(handle, port)


def run_get(
    prepare: Prepare,
    *urls: str,
    options: GetOptions | None = None,
    source: Callable[[], Source] | None = None,
    seed: int = 3,
    **words: object,
) -> Run:
    """Get the URLs from a client at the other end of a link with these words."""
    run = Run()

    async def main() -> None:
        async with pystack.Network(seed=seed) as net:
            client, server = net.host("client"), net.host("server")
            link = net.link(client, server, **words)  # type: ignore[arg-type]
            await prepare(server, link)

            async def get() -> None:
                getter = Getter(client, options, run.talk.append)
                for url in urls:
                    sink = Memory()
                    made = None if source is None else source()
                    run.transfers.append(await getter.get(url, sink, made))
                    run.bodies.append(sink.data)
                await getter.aclose()

            await client.run(get)

    pystack.run(main, seed=seed)
    return run

"""A transfer over one slow link, for tests of what watches it and reaches into it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

import trio

import pystack
from pystack.link.link import Link
from pystack.runtime.streams import TcpStream
from pystack.tcp.congestion.registry import ControlLike

PATTERN = Random(1).randbytes(4 << 20)


class Transfer:
    """`client` sends to `server`, which reads all that comes into `got`."""

    def __init__(
        self, link: Link, client: TcpStream, server: TcpStream, nursery: trio.Nursery
    ) -> None:
        self.link, self.client, self.server = link, client, server
        self.nursery = nursery
        self.got = bytearray()
        self.ended = trio.Event()  # `server` has read all there is to read
        self.broken: trio.BrokenResourceError | None = None  # the sender's; None: it is whole

    def send(self, size: int, *, eof: bool = False) -> None:
        """Begin to send so much of the pattern, in a task."""

        async def all_of_it() -> None:
            try:
                await self.client.send_all(memoryview(PATTERN)[:size])
                if eof:
                    await self.client.send_eof()
            except trio.BrokenResourceError as error:
                self.broken = error
            except trio.ClosedResourceError:
                pass

        self.nursery.start_soon(all_of_it)

    async def drain(self) -> None:
        """Read until the end."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in self.server:
                self.got += data
        self.ended.set()


async def until(condition: Callable[[], bool], within_s: float = 30) -> None:
    """Wait, in steps of a millisecond of the world's time."""
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - nobody says when
            await trio.sleep(0.001)


@asynccontextmanager
async def transfer(
    *,
    congestion: ControlLike | None = None,
    version: int = 4,
    loss: str = "0%",
    limit: int = 50,
    ecn: bool = False,
    seed: int = 1,
    see: Callable[[pystack.Network], object] = lambda _net: None,
) -> AsyncIterator[Transfer]:
    """Open a connection from `client` to `server`, over 10 Mbit/s and 40 ms there and back."""
    config = pystack.TcpConfig(ecn="request" if ecn else "accept")
    async with pystack.Network(seed=seed) as net, trio.open_nursery() as nursery:
        client, server = net.host("client", tcp=config), net.host("server", tcp=config)
        link = net.link(client, server, delay="20ms", rate="10mbit", limit=limit, loss=loss)
        see(net)
        (listener,) = await server.open_tcp_listeners(9)
        address = server.address if version == 4 else server.address6
        stream = await client.open_tcp_stream(address, 9, congestion=congestion)
        rig = Transfer(link, stream, await listener.accept(), nursery)
        nursery.start_soon(rig.drain)
        yield rig
        nursery.cancel_scope.cancel()

"""Toxics on the bytes of real connections, as the filter of a splice: what its client sees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from proxy_rig import echo, until
from splice_rig import Rig, rig

from pystack.apps.proxy.toxics.chain import Chain
from pystack.apps.proxy.toxics.registry import checked
from pystack.apps.proxy.toxics.spec import ToxicSpec
from pystack.apps.proxy.toxics.stage import STAGE_BYTES


def toxic(type_name: str, **attributes: object) -> ToxicSpec:
    return checked(ToxicSpec("", type_name, attributes=attributes))


class Place:
    """A rig whose clients' bytes go through chains."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.chain: Chain

    @asynccontextmanager
    async def client(self, *toxics: ToxicSpec) -> AsyncIterator[trio.SocketStream]:
        """Open a connection whose bytes to the upstream go through these."""
        made = trio.Event()

        def make() -> Chain:
            self.chain = Chain(self.rig.net.driver.scheduler, Random(7), toxics)
            made.set()
            return self.chain

        self.rig.make_filter = make
        async with await trio.open_tcp_stream(*self.rig.address) as client:
            await made.wait()
            yield client

    async def update(self, *toxics: ToxicSpec) -> None:
        """Change the toxics of the last connection, from a task, as the API does."""
        changed = trio.Event()

        def change(now: float) -> None:
            self.chain.update(toxics, now)
            changed.set()

        self.rig.net.driver.scheduler.call_next(change)
        await changed.wait()


Handler = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def place(handler: Handler) -> AsyncIterator[Place]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        with trio.fail_after(60):
            async with rig(listener.socket.getsockname()) as made:
                yield Place(made)
        nursery.cancel_scope.cancel()


async def everything(stream: trio.SocketStream) -> bytes:
    return b"".join([data async for data in stream])


def test_slices_arrive_whole_and_in_order() -> None:
    text = bytes(range(256)) * 20
    slicer = toxic("slicer", average_size=100, size_variation=50)

    async def main() -> None:
        async with place(echo) as here, here.client(slicer, toxic("latency", latency=1)) as client:
            await client.send_all(text)
            await client.send_eof()
            assert await everything(client) == text
            assert {end.by for end in await here.rig.ends(2)} == {"both"}

    trio.run(main)


def test_limit_data_closes_both_ends_after_its_last_byte() -> None:
    async def main() -> None:
        received: list[bytes] = []

        async def keep(stream: trio.SocketStream) -> None:
            received.append(await everything(stream))

        async with place(keep) as here, here.client(toxic("limit_data", bytes=1000)) as client:
            await client.send_all(bytes(999) + b"abc")
            assert await everything(client) == b""
            await until(lambda: received)
            assert received == [bytes(999) + b"a"]

    trio.run(main)


def test_reset_peer_is_a_reset_to_both_ends() -> None:
    async def main() -> None:
        was_reset = trio.Event()

        async def wait_for_it(stream: trio.SocketStream) -> None:
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            was_reset.set()

        async with place(wait_for_it) as here, here.client(toxic("reset_peer")) as client:
            await client.send_all(b"x")
            with pytest.raises(trio.BrokenResourceError) as caught:
                await client.receive_some()
            assert isinstance(caught.value.__cause__, ConnectionResetError)
            await was_reset.wait()

    trio.run(main)


def test_a_timeout_closes_and_so_does_its_removal() -> None:
    async def main() -> None:
        async with place(echo) as here:
            async with here.client(toxic("timeout", timeout=20)) as client:
                await client.send_all(b"x")
                assert await client.receive_some() == b""
            async with here.client(toxic("timeout")) as client:
                await here.update()
                assert await client.receive_some() == b""

    trio.run(main)


def test_a_live_connection_gets_toxics_and_loses_them() -> None:
    async def main() -> None:
        async with place(echo) as here, here.client() as client:
            await client.send_all(b"before ")
            assert await client.receive_some() == b"before "
            await here.update(toxic("bandwidth"))  # nothing gets through
            await client.send_all(b"while ")
            await until(lambda: here.chain.held_bytes == 6)
            await here.update()
            await client.send_all(b"and after")
            await client.send_eof()
            assert await everything(client) == b"while and after"

    trio.run(main)


def test_what_a_toxic_holds_back_is_left_with_the_sender() -> None:
    async def main() -> None:
        async with (
            place(echo) as here,
            here.client(toxic("bandwidth")) as client,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(client.send_all, bytes(64 << 20))
            await until(lambda: not here.chain.room_bytes)
            assert here.chain.held_bytes == STAGE_BYTES
            nursery.cancel_scope.cancel()

    trio.run(main)

"""What goes ahead of a reset through a splice, and urgent data, on real sockets of the loopback."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

import pytest
import trio
from splice_rig import number_of, place, read_all, reset

from pystack.runtime.splice import splice
from pystack.runtime.splice.filters import FilterSink

TEXT = bytes(range(256)) * 160  # 40 KiB, less than what the kernel takes without being read


async def all_before_the_reset(stream: trio.SocketStream) -> bytes:
    """Read until there is a reset."""
    read = b""

    async def to_the_end() -> None:
        nonlocal read
        async for data in stream:
            read += data

    with pytest.raises(trio.BrokenResourceError) as caught:
        await to_the_end()
    assert number_of(caught.value) == errno.ECONNRESET
    return read


@pytest.mark.parametrize("by_client", [True, False])
def test_what_was_sent_before_a_reset_goes_ahead_of_it_in_many_windows(by_client: bool) -> None:
    async def main() -> None:
        async with place(delay="2ms", offload=False) as here:
            client, server = await here.connected()
            one, other = (client, server) if by_client else (server, client)
            await one.send_all(TEXT)
            reset(one)
            assert await all_before_the_reset(other) == TEXT
            assert {end.error for end in await here.rig.ends(2)} == {errno.ECONNRESET}

    trio.run(main)


def test_an_answer_that_comes_before_a_reset_reaches_who_is_still_sending() -> None:
    async def main() -> None:
        async with place() as here:
            client, server = await here.connected()
            right = next(it for it in here.rig.splices if it._host is here.rig.right.stack)
            while not right._held:  # the server has read nothing, and more waits for it
                with trio.move_on_after(0.01):
                    await client.send_all(bytes(1 << 20))
            # Both at once, as a server that closes and has not read all
            server.socket._sock.send(b"413 Content Too Large")  # type: ignore[attr-defined]
            reset(server)
            with trio.fail_after(30):
                read = b""
                while data := await client.receive_some():  # who sends may have met the error
                    read += data
                    if len(read) == 21:
                        break
            assert read == b"413 Content Too Large"

    trio.run(main)


class Keeping:
    """A filter that passes nothing on, not even the end."""

    room_bytes = 1000

    def begin(self, sink: FilterSink, now: float) -> None:
        self.sink, self.ends = sink, 0

    def take(self, data: bytes, now: float) -> None:
        return

    def end(self, now: float) -> None:
        self.ends += 1

    def room(self, now: float) -> None:
        return

    def over(self, now: float) -> None:
        return

    def end_now(self, now: float) -> None:
        self.sink.put(b"late", now)
        self.sink.end(now)


def test_a_reset_waits_for_what_a_filter_holds() -> None:
    async def main() -> None:
        async with place() as here:
            keeping = Keeping()
            here.rig.make_filter = lambda: keeping
            client, server = await here.connected()
            reset(client)
            while not keeping.ends:
                await trio.lowlevel.checkpoint()
            here.rig.net.driver.scheduler.call_next(keeping.end_now)
            assert await all_before_the_reset(server) == b"late"

    trio.run(main)


def test_a_filter_that_is_over_hears_of_no_end() -> None:
    async def main() -> None:
        async with place() as here:
            keeping = Keeping()
            here.rig.make_filter = lambda: keeping
            client, server = await here.connected()
            here.rig.net.driver.scheduler.call_next(keeping.end_now)
            assert await read_all(server) == b"late"
            reset(client)
            ended = await here.rig.ends(1)
            assert (ended[0].by, keeping.ends) == ("kernel", 0)

    trio.run(main)


def test_a_reset_waits_no_longer_than_something_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splice, "_STANDSTILL_S", 0.0)

    async def main() -> None:
        async with place() as here:
            here.rig.make_filter = Keeping
            client, server = await here.connected()
            reset(client)
            assert await all_before_the_reset(server) == b""

    trio.run(main)


async def out_of_line(stream: trio.SocketStream) -> bytes:
    """Wait for an urgent byte; nothing but asking tells that there is one."""
    while True:
        with suppress(OSError):
            return await stream.socket.recv(1, socket.MSG_OOB | socket.MSG_DONTWAIT)
        await trio.sleep(0.001)


@pytest.mark.parametrize("by_client", [True, False])
def test_urgent_data_is_urgent_at_the_other_end(by_client: bool) -> None:
    async def main() -> None:
        async with place() as here:
            client, server = await here.connected()
            one, other = (client, server) if by_client else (server, client)
            await one.send_all(b"before")
            await one.socket.send(b"!", socket.MSG_OOB)
            await one.send_all(b"after")
            await one.send_eof()
            assert await other.receive_some() == b"before"
            assert await out_of_line(other) == b"!"
            assert b"".join([data async for data in other]) == b"after"

    trio.run(main)


def test_an_urgent_byte_that_is_read_in_line_is_not_lost() -> None:
    async def main() -> None:
        async with place() as here:
            client, server = await here.connected()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            await server.send_all(b"before")
            await server.socket.send(b"!", socket.MSG_OOB)
            await server.send_all(b"after")
            await server.send_eof()
            assert b"".join([data async for data in client]) == b"before!after"

    trio.run(main)

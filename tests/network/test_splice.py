"""Splices: real sockets on the loopback, joined to connections of stack hosts."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from splice_rig import number_of, place, read_all, reset

from pystack.runtime.splice.filters import FilterSink
from pystack.runtime.splice.poller import READ
from pystack.tcp.config import TcpConfig

SMALL = TcpConfig(send_buffer_bytes=65536, receive_buffer_bytes=65536)


@pytest.mark.parametrize(
    ("tasks", "early", "ip"),
    [(False, False, "4"), (False, False, "6"), (True, False, "4"), (False, True, "4")],
)
def test_bytes_go_both_ways_and_each_direction_ends_by_itself(
    tasks: bool, early: bool, ip: str
) -> None:
    async def main() -> None:
        async with place(tasks=tasks, early=early, ip=ip) as here:
            client, server = await here.connected()
            await client.send_all(b"hello")
            assert await server.receive_some() == b"hello"
            await server.send_all(b"welcome")
            assert await client.receive_some() == b"welcome"
            text = bytes(range(256)) * 8000
            async with trio.open_nursery() as nursery:

                async def send() -> None:
                    await client.send_all(text)
                    await client.send_eof()

                nursery.start_soon(send)
                assert await read_all(server) == text
            # The other direction is still open.
            await server.send_all(b"still here")
            assert await client.receive_some() == b"still here"
            await server.send_eof()
            assert await client.receive_some() == b""
            ends = await here.rig.ends(2)
        assert [(end.by, end.error) for end in ends] == [("both", None)] * 2
        assert sorted((end.inward_bytes, end.outward_bytes) for end in ends) == [
            (17, len(text) + 5),
            (len(text) + 5, 17),
        ]

    trio.run(main)


def test_a_server_may_end_first_and_hear_the_rest() -> None:
    async def main() -> None:
        async with place() as here:
            client, server = await here.connected()
            await server.send_all(b"bye")
            await server.send_eof()
            assert await read_all(client) == b"bye"
            await client.send_all(b"one more thing")
            await client.send_eof()
            assert await read_all(server) == b"one more thing"
            await here.rig.ends(2)

    trio.run(main)


def test_what_a_client_sends_with_its_end_waits_for_the_handshake() -> None:
    async def main() -> None:
        async with place(early=True, delay="50ms") as here:
            client = await trio.open_tcp_stream(*here.rig.address)
            here.streams.append(client)
            await client.send_all(b"all of it")
            await client.send_eof()
            server = await here.listening.accept()
            here.streams.append(server)
            assert await read_all(server) == b"all of it"
            await server.send_all(b"answer")
            await server.send_eof()
            assert await read_all(client) == b"answer"

    trio.run(main)


async def nothing(client: trio.SocketStream, server: trio.SocketStream) -> None:
    """Both directions are open, and nothing is under way."""


async def client_has_ended(client: trio.SocketStream, server: trio.SocketStream) -> None:
    await client.send_eof()
    assert await server.receive_some() == b""


async def server_has_ended(client: trio.SocketStream, server: trio.SocketStream) -> None:
    await server.send_eof()
    assert await client.receive_some() == b""


async def fill(stream: trio.SocketStream) -> int:
    """Send until nothing more is taken; return how much was."""
    size = 0
    with trio.move_on_after(0.1) as scope:
        while True:
            await trio.lowlevel.wait_writable(stream.socket)
            size += stream.socket._sock.send(bytes(65536))  # type: ignore[attr-defined]
            scope.deadline = trio.current_time() + 0.1
    return size


async def client_is_not_read(client: trio.SocketStream, server: trio.SocketStream) -> None:
    await fill(client)


async def server_is_not_read(client: trio.SocketStream, server: trio.SocketStream) -> None:
    await fill(server)


@pytest.mark.parametrize("by_client", [True, False])
@pytest.mark.parametrize(
    "before",
    [nothing, client_has_ended, server_has_ended, client_is_not_read, server_is_not_read],
)
def test_a_reset_is_a_reset_for_the_other_end(
    before: Callable[[trio.SocketStream, trio.SocketStream], Awaitable[None]], by_client: bool
) -> None:
    async def main() -> None:
        async with place(tcp=SMALL) as here:
            client, server = await here.connected()
            await before(client, server)
            one, other = (client, server) if by_client else (server, client)
            reset(one)
            ends = await here.rig.ends(2)
            # As the kernel tells of a reset after a FIN, and as the stack does
            has_ended = before is (client_has_ended if by_client else server_has_ended)
            number = errno.EPIPE if has_ended else errno.ECONNRESET
            assert {(end.by, end.error) for end in ends} == {("kernel", number), ("stack", number)}
            with pytest.raises(trio.BrokenResourceError) as caught:
                await until_it_breaks(other)
            assert number_of(caught.value) in (errno.ECONNRESET, errno.EPIPE)

    trio.run(main)


async def until_it_breaks(stream: trio.SocketStream) -> None:
    """Read to the end, and write: what has ended its direction is told of a reset only there."""
    while await stream.receive_some():
        pass
    await stream.send_all(b"x")
    await stream.send_all(b"x")


def test_what_was_sent_before_a_reset_arrives_before_it() -> None:
    async def main() -> None:
        async with place() as here:
            client, server = await here.connected()
            await server.send_all(bytes(1000))
            reset(server)
            await here.rig.ends(2)
            assert await client.receive_some() == bytes(1000)
            with pytest.raises(trio.BrokenResourceError) as caught:
                await client.receive_some()
            assert number_of(caught.value) == errno.ECONNRESET

    trio.run(main)


def test_what_the_stack_gives_up_is_a_reset_and_told_as_what_it_was() -> None:
    async def main() -> None:
        async with place(tcp=TcpConfig(user_timeout_s=0.1)) as here:
            client, _ = await here.connected()
            here.rig.net.links[0].down()
            await client.send_all(b"into the void")
            ends = await here.rig.ends(1)
            assert [(end.by, end.error) for end in ends] == [("stack", errno.ETIMEDOUT)]
            with pytest.raises(trio.BrokenResourceError) as caught:
                await client.receive_some()
            assert number_of(caught.value) == errno.ECONNRESET

    trio.run(main)


def test_a_host_that_loses_its_power_resets() -> None:
    async def main() -> None:
        async with place() as here:
            client, _ = await here.connected()
            here.rig.net.power_off("left")
            assert (await here.rig.ends(1))[0].by == "stack"
            with pytest.raises(trio.BrokenResourceError):
                await client.receive_some()

    trio.run(main)


@pytest.mark.parametrize("from_client", [True, False])
def test_who_does_not_read_stops_the_sender_with_little_in_between(from_client: bool) -> None:
    async def main() -> None:
        async with place(tcp=SMALL) as here:
            client, server = await here.connected()
            one, other = (client, server) if from_client else (server, client)
            size = await fill(one)
            for splice in here.rig.splices:
                connection = splice._tcp.connection
                assert len(connection.send_buffer) <= 65536
                assert connection.receive_buffer.readable_bytes <= 65536
                assert len(splice._held) <= 512 << 10
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.send_eof)
                assert len(await read_all(other)) == size

    trio.run(main)


def test_a_socket_that_has_ended_both_ways_and_is_not_read_makes_no_noise() -> None:
    async def main() -> None:
        async with place() as here:
            held = Holding()
            here.rig.make_filter = lambda: held
            client, server = await here.connected()
            await server.send_eof()
            assert await client.receive_some() == b""
            await client.send_all(b"x" * 1500)
            client.socket.close()  # epoll says so for ever, with 500 bytes unread
            left = next(it for it in here.rig.splices if it._filter is held)
            while not left._watch.resting:
                await trio.lowlevel.checkpoint()
            ready, calls = left._watch.ready, 0

            def counting(events: int, now: float) -> None:
                nonlocal calls
                calls += 1
                assert ready is not None
                ready(events, now)

            left._watch.ready = counting
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert calls == 0
            got = 0
            while got < 1500:
                held.let_go(here.rig.net.now())
                with trio.move_on_after(0.01):
                    got += len(await server.receive_some())
            while not held.ended:
                await trio.lowlevel.checkpoint()
            held.end_now(here.rig.net.now())
            assert await server.receive_some() == b""
            assert [end.by for end in await here.rig.ends(2)] == ["both", "both"]

    trio.run(main)


def test_all_sockets_are_closed_when_the_world_ends() -> None:
    async def main() -> None:
        async with place() as here:
            client, server = await here.connected()
            address = here.rig.address
            streams, here.streams = here.streams, []
        for stream in (client, server):
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        for stream in streams:
            await stream.aclose()
        with pytest.raises(OSError, match=r"refused|failed|attempts"):
            await trio.open_tcp_stream(*address)
        assert [end.by for end in here.rig.ended] == ["here", "here"]

    trio.run(main)


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_splice_can_be_ended_from_here(how: str) -> None:
    async def main() -> None:
        async with place() as here:
            client, server = await here.connected()
            await client.send_all(b"before")
            assert await server.receive_some() == b"before"
            left, now = here.rig.splices[0], here.rig.net.now()
            for _ in range(2):  # a second time is nothing
                getattr(left, how)(now)
            await here.rig.ends(1)
            for stream in (client, server):
                if how == "close":
                    assert await stream.receive_some() == b""
                else:
                    with pytest.raises(trio.BrokenResourceError):
                        await stream.receive_some()

    trio.run(main)


def test_many_short_connections_leave_nothing_behind() -> None:
    async def main() -> None:
        async with place() as here:
            done = 0

            async def serve() -> None:
                while True:
                    stream = await here.listening.accept()
                    inner.start_soon(answer, stream)

            async def answer(stream: trio.SocketStream) -> None:
                async with stream:
                    await stream.send_all(await stream.receive_some())

            async def ask() -> None:
                nonlocal done
                for number in range(20):
                    async with await trio.open_tcp_stream(*here.rig.address) as stream:
                        await stream.send_all(b"%d" % number)
                        assert await read_all(stream) == b"%d" % number
                        done += 1

            async with trio.open_nursery() as inner:
                inner.start_soon(serve)
                async with trio.open_nursery() as nursery:
                    for _ in range(10):
                        nursery.start_soon(ask)
                inner.cancel_scope.cancel()
            assert done == 200
            assert {(end.by, end.error) for end in await here.rig.ends(400)} == {("both", None)}
            assert len(here.rig.poller._backend.watches()) == 1  # that which accepts
            for host in (here.rig.left, here.rig.right):
                assert not host.stack.tcp.sockets
            assert here.rig.counters == {"splice_accepted": 200}

    trio.run(main)


class Holding:
    """A filter that holds what it is given until it is told to let go, up to 1,000 bytes."""

    def __init__(self) -> None:
        self.held: deque[bytes] = deque()
        self.sink: FilterSink | None = None
        self.ended = self.was_over = 0
        self.rooms = 0

    @property
    def room_bytes(self) -> int:
        return 1000 - sum(map(len, self.held))

    def begin(self, sink: FilterSink, now: float) -> None:
        self.sink = sink

    def take(self, data: bytes, now: float) -> None:
        self.held.append(data)

    def end(self, now: float) -> None:
        self.ended += 1

    def room(self, now: float) -> None:
        self.rooms += 1

    def over(self, now: float) -> None:
        self.was_over += 1

    def end_now(self, now: float) -> None:
        assert self.sink is not None
        self.sink.end(now)

    def let_go(self, now: float) -> None:
        assert self.sink is not None
        while self.held:
            data = self.held.popleft()
            assert self.sink.put(data.upper(), now) == len(data)
        self.sink.read_on(now)


@pytest.mark.parametrize("live", [False, True])
def test_a_filter_stands_between_the_kernel_and_the_stack(live: bool) -> None:
    async def main() -> None:
        async with place() as here:
            held = Holding()
            if not live:
                here.rig.make_filter = lambda: held
            client, server = await here.connected()
            left = next(it for it in here.rig.splices if it._host is here.rig.left.stack)
            if live:
                await client.send_all(b"plain")
                assert await server.receive_some() == b"plain"
                left.filter_with(held, here.rig.net.now())
            await client.send_all(b"x" * 1500)
            while held.room_bytes:
                await trio.lowlevel.checkpoint()
            assert not left._watch.events & READ  # the rest is left in the kernel's buffer
            got = b""
            while len(got) < 1500:
                held.let_go(here.rig.net.now())
                with trio.move_on_after(0.01):
                    got += await server.receive_some()
            assert got == b"X" * 1500
            await client.send_eof()
            while not held.ended:
                await trio.lowlevel.checkpoint()
            await server.send_all(b"not over")
            assert await client.receive_some() == b"not over"
            held.end_now(here.rig.net.now())
            assert await server.receive_some() == b""
            await server.send_eof()
            await here.rig.ends(2)
            assert (held.ended, held.was_over) == (1, 1)

    trio.run(main)


def test_a_filter_on_a_splice_that_is_over_hears_that_it_is() -> None:
    async def main() -> None:
        async with place() as here:
            await here.connected()
            splice, held = here.rig.splices[0], Holding()
            splice.reset(here.rig.net.now())
            splice.filter_with(held, here.rig.net.now())
            assert (held.sink, held.was_over) == (None, 1)

    trio.run(main)


def test_a_window_grows_to_what_the_round_trip_needs() -> None:
    async def main() -> None:
        async with place() as here:
            client, server = await here.connected()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send_all, bytes(4 << 20))
                size = 0
                while size < 4 << 20:
                    size += len(await server.receive_some())
            right = next(it for it in here.rig.splices if it._host is here.rig.right.stack)
            tcb = right._tcp.connection.tcb
            most = (1 << 20) + 500_000_000 * (tcb.rcv_rtt_s or 0.0)
            assert 1 << 20 <= tcb.rcv_buf_max_bytes <= min(2 * most, 8 << 20)

    trio.run(main)

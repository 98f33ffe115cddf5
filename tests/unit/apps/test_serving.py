"""Running a service on a host: what fails, fails alone; what ends, ends in order."""

import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from pystack.apps.serving import ACCEPT_PAUSE_S, serve
from pystack.apps.simple import Echo
from pystack.core.counters import Counters

pytestmark = pytest.mark.trio


class FakeListener(trio.abc.Listener[trio.abc.HalfCloseableStream]):
    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[trio.StapledStream](100)
        self.errors: list[OSError] = []
        self.closed = False

    async def accept(self) -> trio.abc.HalfCloseableStream:
        if self.errors:
            await trio.lowlevel.checkpoint()
            raise self.errors.pop(0)
        return await self.receive.receive()

    async def aclose(self) -> None:
        self.closed = True
        self.receive.close()
        await trio.lowlevel.checkpoint()

    async def connect(self) -> trio.StapledStream:
        client, server = trio.testing.memory_stream_pair()
        await self.send.send(server)
        return client


class FakeDatagrams:
    def __init__(self) -> None:
        self.arrive, self.arrived = trio.open_memory_channel[tuple[bytes, tuple[str, int]]](100)
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.rows: list[int] = []  # how many were sent as one
        self.fail_for: set[int] = set()
        self.errors: list[OSError] = []  # what ICMP has told
        self.closed = False

    async def receive_from(self) -> tuple[bytes, tuple[str, int]]:
        datagram = await self.arrived.receive()
        if self.errors:
            raise self.errors.pop()
        return datagram

    def receive_from_nowait(self) -> tuple[bytes, tuple[str, int]] | None:
        try:
            return self.arrived.receive_nowait()
        except trio.WouldBlock:
            return None

    def send_to_nowait(self, data: bytes, address: tuple[str, int]) -> None:
        if address[1] in self.fail_for or data == b"too large":
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        self.sent.append((data, address))

    def send_many_to_nowait(self, datagrams: Sequence[bytes], address: tuple[str, int]) -> None:
        if address[1] in self.fail_for or b"too large" in datagrams:
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        self.rows.append(len(datagrams))
        self.sent += [(data, address) for data in datagrams]

    async def aclose(self) -> None:
        self.closed = True


class FakeHost:
    def __init__(self) -> None:
        self.listener = FakeListener()
        self.datagrams = FakeDatagrams()
        self.counters = Counters()
        self.interfaces: list[object] = []

    async def open_tcp_listeners(self, port: int) -> list[FakeListener]:
        return [self.listener]

    async def open_udp_socket(self, port: int) -> FakeDatagrams:
        return self.datagrams


class Moody(Echo):
    """Fails when it is told to."""

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        if await stream.receive_some(4) == b"fail":
            raise ZeroDivisionError
        await super().handle_tcp(stream)

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        if payload == b"fail":
            raise ZeroDivisionError
        return super().answer_udp(payload, peer, now)


@asynccontextmanager
async def serving(max_connections: int = 10) -> AsyncIterator[FakeHost]:
    host = FakeHost()
    async with trio.open_nursery() as nursery:
        run = partial(serve, host, Moody(), tcp_port=7, udp_port=7, max_connections=max_connections)
        await nursery.start(run)
        yield host
        nursery.cancel_scope.cancel()
    assert host.listener.closed
    assert host.datagrams.closed


async def test_a_connection_that_fails_ends_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as host:
        good, bad = await host.listener.connect(), await host.listener.connect()
        await bad.send_all(b"fail")
        assert await bad.receive_some() == b""
        await good.send_all(b"echo, and on")
        assert await good.receive_some() == b", and on"
    assert "ZeroDivisionError" in caplog.text


async def test_a_peer_that_goes_away_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with serving() as host:
            client = await host.listener.connect()
            await client.send_all(b"echo more")
            await client.aclose()
            await trio.testing.wait_all_tasks_blocked()
    assert caplog.records == []


async def test_a_stopped_service_ends_its_open_connections_with_a_fin() -> None:
    async with serving() as host:
        client = await host.listener.connect()
        await client.send_all(b"echo more")
        assert await client.receive_some() == b" more"
    assert await client.receive_some() == b""


async def test_more_connections_than_the_cap_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving(max_connections=1) as host:
        first, second = await host.listener.connect(), await host.listener.connect()
        await second.send_all(b"echo second")
        with trio.move_on_after(1000) as waited:
            await second.receive_some()
        assert waited.cancelled_caught
        await first.aclose()
        assert await second.receive_some() == b" second"


class ListenerOfMany(FakeListener):
    """As a host's, it lets nobody else run while connections are there."""

    async def accept(self) -> trio.abc.HalfCloseableStream:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            return self.receive.receive_nowait()
        except trio.WouldBlock:
            return await self.receive.receive()


class Recording(Echo):
    def __init__(self) -> None:
        super().__init__()
        self.streams: list[trio.abc.HalfCloseableStream] = []

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.streams.append(stream)


async def test_handlers_begin_in_the_order_of_connections_that_came_together() -> None:
    host, service = FakeHost(), Recording()
    host.listener = ListenerOfMany()
    pairs = [trio.testing.memory_stream_pair() for _ in range(12)]
    for _, theirs in pairs:
        host.listener.send.send_nowait(theirs)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, host, service, tcp_port=7, udp_port=None))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert service.streams == [theirs for _, theirs in pairs]


async def test_when_the_system_has_no_more_to_give_accepting_pauses(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as host:
        host.listener.errors = [OSError(errno.EMFILE, "Too many open files")] * 3
        for _ in range(2):
            client = await host.listener.connect()
            await client.send_all(b"echo me")
            assert await client.receive_some() == b" me"
        assert trio.current_time() == pytest.approx(3 * ACCEPT_PAUSE_S)
    assert caplog.text.count("accepting pauses") == 3


async def test_datagrams_are_answered_and_one_that_fails_stops_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as host:
        udp = host.datagrams
        udp.fail_for = {5002}
        for payload, port in ((b"a", 5001), (b"b", 5002), (b"fail", 5003), (b"c", 7), (b"d", 5004)):
            await udp.arrive.send((payload, ("10.0.0.1", port)))
        await trio.testing.wait_all_tasks_blocked()
        assert udp.sent == [(b"a", ("10.0.0.1", 5001)), (b"d", ("10.0.0.1", 5004))]
    assert "ZeroDivisionError" in caplog.text


async def test_answers_in_a_row_to_one_peer_leave_as_one() -> None:
    async with serving() as host:
        udp = host.datagrams
        row = [
            (b"a", 5001),
            (b"b", 5001),
            (b"c", 5002),
            (b"d", 5001),
            (b"fail", 5001),
            (b"e", 5001),
        ]
        for payload, port in row:
            udp.arrive.send_nowait((payload, ("10.0.0.1", port)))
        await trio.testing.wait_all_tasks_blocked()
        del row[4]
        assert udp.sent == [(payload, ("10.0.0.1", port)) for payload, port in row]
        assert udp.rows == [2, 2]


async def test_an_answer_that_cannot_be_sent_takes_none_with_it() -> None:
    async with serving() as host:
        udp = host.datagrams
        for payload in (b"a", b"too large", b"b"):
            udp.arrive.send_nowait((payload, ("10.0.0.1", 5001)))
        await trio.testing.wait_all_tasks_blocked()
        assert [payload for payload, _ in udp.sent] == [b"a", b"b"]


async def test_an_answer_that_never_arrived_stops_no_service() -> None:
    async with serving() as host:
        udp = host.datagrams
        udp.errors.append(OSError(errno.EHOSTUNREACH, "No route to host"))
        await udp.arrive.send((b"lost", ("10.0.0.1", 5001)))
        await udp.arrive.send((b"a", ("10.0.0.1", 5002)))
        await trio.testing.wait_all_tasks_blocked()
        assert udp.sent == [(b"a", ("10.0.0.1", 5002))]


async def test_a_port_that_cannot_be_had_is_told_to_who_starts_the_service() -> None:
    class Taken(FakeHost):
        async def open_udp_socket(self, port: int) -> FakeDatagrams:
            raise OSError(errno.EADDRINUSE, "Address already in use")

    host = Taken()
    with pytest.raises(OSError, match="already in use"):
        await serve(host, Echo(), tcp_port=7, udp_port=7)
    assert host.listener.closed


@pytest.mark.parametrize("port", [7, 13, 19, 53, 123, 1023])
async def test_what_may_be_another_service_is_counted_and_not_answered(port: int) -> None:
    async with serving() as host:
        await host.datagrams.arrive.send((b"x", ("10.0.0.1", port)))
        await host.datagrams.arrive.send((b"x", ("10.0.0.1", 5001)))
        await trio.testing.wait_all_tasks_blocked()
        assert host.datagrams.sent == [(b"x", ("10.0.0.1", 5001))]
        assert host.counters["udp_loop_refused"] == 1


async def test_who_answers_at_length_is_heard_by_one_address_only_so_often() -> None:
    class Long(Echo):
        def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
            return payload + bytes(1024)

    host = FakeHost()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, host, Long(), tcp_port=None, udp_port=7))
        for address in ("10.0.0.1", "10.0.0.2"):
            for number in range(50):
                await host.datagrams.arrive.send((b"?", (address, 5000 + number)))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(host.datagrams.sent) == 2 * 16
    assert host.counters["udp_answers_withheld"] == 2 * 34


async def _broken(stream: trio.abc.HalfCloseableStream) -> None:
    raise trio.BrokenResourceError("10.0.0.1: Connection reset by peer")


async def _deep(stream: trio.abc.HalfCloseableStream) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(_two, stream)


async def _two(stream: trio.abc.HalfCloseableStream) -> None:
    raise ExceptionGroup("", [trio.ClosedResourceError(), ConnectionResetError("reset")])


async def _slow(stream: trio.abc.HalfCloseableStream) -> None:
    with trio.fail_after(0):
        await trio.sleep_forever()


@pytest.mark.parametrize("handler", [_broken, _deep, _two, _slow])
async def test_trouble_of_a_peers_making_is_a_line_whatever_nurseries_it_came_through(
    caplog: pytest.LogCaptureFixture,
    handler: Callable[[trio.abc.HalfCloseableStream], Awaitable[None]],
) -> None:
    service = Echo()
    service.handle_tcp = handler  # type: ignore[method-assign, assignment]
    host = FakeHost()
    with caplog.at_level(logging.DEBUG, "pystack.apps"):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve, host, service, tcp_port=7, udp_port=None))
            client = await host.listener.connect()
            assert await client.receive_some() == b""
            nursery.cancel_scope.cancel()
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.DEBUG, None)
    assert "the peer went away" in record.getMessage()


async def test_a_bug_beside_a_peers_trouble_is_told_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def both(stream: trio.abc.HalfCloseableStream) -> None:
        raise ExceptionGroup("", [trio.BrokenResourceError(), ZeroDivisionError("a bug")])

    service = Echo()
    service.handle_tcp = both  # type: ignore[method-assign]
    host = FakeHost()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, host, service, tcp_port=7, udp_port=None))
        client = await host.listener.connect()
        assert await client.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert "ZeroDivisionError: a bug" in caplog.text
    assert "BrokenResourceError" not in caplog.text


async def test_trouble_of_a_peers_making_while_the_service_is_stopped_is_no_error() -> None:
    async def clumsy(stream: trio.abc.HalfCloseableStream) -> None:
        try:
            await trio.sleep_forever()
        finally:
            await _deep(stream)

    async def deep_and_cancelled(stream: trio.abc.HalfCloseableStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(clumsy, stream)

    service = Echo()
    service.handle_tcp = deep_and_cancelled  # type: ignore[method-assign]
    host = FakeHost()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, host, service, tcp_port=7, udp_port=None))
        await host.listener.connect()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

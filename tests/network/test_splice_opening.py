"""Accepting and connecting by callbacks, on real sockets of the loopback and by a stack host."""

from __future__ import annotations

import errno
import resource
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
import trio.testing

import pystack
from pystack.core.addresses import parse_ip
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.runtime.splice.acceptor import Acceptor, Address
from pystack.runtime.splice.connecting import connect
from pystack.runtime.splice.poller import READ, Poller
from pystack.runtime.splice.stack_side import StackAcceptor, connect_stack
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.states import TcpState

both_backends = pytest.mark.parametrize("tasks", [False, True])


@asynccontextmanager
async def polling(*, tasks: bool = False) -> AsyncIterator[Poller]:
    """Run a poller and its driver for a minute at most."""
    driver = RealtimeDriver()
    poller = Poller(driver, tasks=tasks)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await nursery.start(poller.run)
            yield poller
            nursery.cancel_scope.cancel()


class Outcome:
    """What a connection came to."""

    def __init__(self) -> None:
        self.told: list[socket.socket | OSError | TcpSocket] = []
        self._event = trio.Event()

    def __call__(self, outcome: socket.socket | OSError | TcpSocket, now: float) -> None:
        self.told.append(outcome)
        self._event.set()

    async def error(self) -> int | None:
        await self._event.wait()
        (outcome,) = self.told
        assert isinstance(outcome, OSError)
        return outcome.errno

    async def sock(self) -> socket.socket:
        await self._event.wait()
        (outcome,) = self.told
        assert isinstance(outcome, socket.socket)
        return outcome


def to(poller: Poller, address: Address, timeout_s: float = 5) -> Outcome:
    """Connect."""
    outcome = Outcome()
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    connect(poller, family, address, outcome, timeout_s=timeout_s)
    return outcome


def listening(host: str = "127.0.0.1", backlog: int = 100) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, backlog=backlog)


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Have the process open nothing more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as free:
        lowest = free.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@both_backends
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_opens_and_is_accepted(tasks: bool, host: str) -> None:
    async def main() -> None:
        async with polling(tasks=tasks) as poller:
            accepted: list[tuple[socket.socket, Address]] = []
            counters = Counters()
            acceptor = Acceptor(
                poller,
                listening(host),
                lambda sock, address, now: accepted.append((sock, address)),
                counters,
            )
            sock = await to(poller, acceptor.sock.getsockname()[:2]).sock()
            assert sock.getblocking() is False
            while not accepted:
                await trio.lowlevel.checkpoint()
            ((other, address),) = accepted
            assert address == sock.getsockname()
            assert other.getblocking() is False
            assert counters == {"splice_accepted": 1}
            sock.close()
            other.close()
            acceptor.close()
            acceptor.close()
            assert acceptor.sock.fileno() == -1

    trio.run(main)


@both_backends
def test_a_connection_that_is_refused_is_told_as_that(tasks: bool) -> None:
    async def main() -> None:
        async with polling(tasks=tasks) as poller:
            with listening() as closed:
                address = closed.getsockname()
            assert await to(poller, address).error() == errno.ECONNREFUSED

    trio.run(main)


@both_backends
@pytest.mark.parametrize("greeting", [b"", b"421 too many"])
def test_a_server_that_resets_at_once_has_accepted(tasks: bool, greeting: bytes) -> None:
    async def main() -> None:
        async with polling(tasks=tasks) as poller:
            with listening() as server:
                outcome = to(poller, server.getsockname())
                accepted, _ = server.accept()
                accepted.sendall(greeting)
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                accepted.close()
                if not greeting:
                    assert await outcome.error() == errno.ECONNRESET
                    return
                with await outcome.sock() as sock:
                    assert sock.recv(100) == greeting
                    with pytest.raises(ConnectionResetError):
                        sock.recv(100)

    trio.run(main)


@both_backends
def test_nobody_answers_and_it_times_out_or_is_cancelled(tasks: bool) -> None:
    async def main() -> None:
        async with polling(tasks=tasks) as poller:
            # A full accept queue ignores SYNs.
            with listening(backlog=0) as deaf, socket.create_connection(deaf.getsockname()):
                assert await to(poller, deaf.getsockname(), 0.05).error() == errno.ETIMEDOUT
                outcome = Outcome()
                pending = connect(
                    poller, socket.AF_INET, deaf.getsockname(), outcome, timeout_s=0.05
                )
                pending.cancel()
                pending.cancel()
                assert await to(poller, deaf.getsockname(), 0.1).error() == errno.ETIMEDOUT
                assert outcome.told == []

    trio.run(main)


def test_what_the_kernel_refuses_at_once_is_told_later() -> None:
    async def main() -> None:
        async with polling() as poller:
            outcome = to(poller, ("255.255.255.255", 9))
            assert outcome.told == []  # never from inside the call
            assert await outcome.error() in (errno.EACCES, errno.ENETUNREACH)

    trio.run(main)


def test_without_descriptors_a_connection_fails_and_accepting_waits() -> None:
    async def main() -> None:
        async with polling() as poller:
            accepted: list[socket.socket] = []
            counters = Counters()
            acceptor = Acceptor(
                poller, listening(), lambda sock, address, now: accepted.append(sock), counters
            )
            with socket.socket() as client:
                with no_descriptors_left():
                    client.connect(acceptor.sock.getsockname())
                    failed = to(poller, acceptor.sock.getsockname())
                    assert await failed.error() == errno.EMFILE
                    while not counters["splice_accept_paused"]:
                        await trio.lowlevel.checkpoint()
                while not accepted:
                    await trio.lowlevel.checkpoint()
            assert counters["splice_accepted"] == 1
            accepted[0].close()

    trio.run(main)


def test_an_acceptor_that_pauses_can_be_closed() -> None:
    async def main() -> None:
        async with polling() as poller:
            counters = Counters()
            acceptor = Acceptor(poller, listening(), _nobody, counters)
            with socket.socket() as client, no_descriptors_left():
                client.connect(acceptor.sock.getsockname())
                while not counters["splice_accept_paused"]:
                    await trio.lowlevel.checkpoint()
                acceptor.close()
            await trio.testing.wait_all_tasks_blocked(0.15)  # longer than the pause

    trio.run(main)


def test_whoever_accepts_may_close_the_acceptor() -> None:
    async def main() -> None:
        async with polling() as poller:
            accepted: list[socket.socket] = []

            def on_accepted(sock: socket.socket, address: Address, now: float) -> None:
                accepted.append(sock)
                acceptor.close()

            acceptor = Acceptor(poller, listening(), on_accepted, Counters())
            address = acceptor.sock.getsockname()
            with socket.create_connection(address), socket.create_connection(address):
                while not accepted:
                    await trio.lowlevel.checkpoint()
            assert len(accepted) == 1
            accepted[0].close()

    trio.run(main)


def _nobody(sock: socket.socket, address: Address, now: float) -> None:
    raise AssertionError("somebody was accepted")


@both_backends
def test_a_socket_that_is_closed_by_another_callback_is_not_called(tasks: bool) -> None:
    async def main() -> None:
        async with polling(tasks=tasks) as poller:
            calls: list[str] = []
            pairs = [socket.socketpair() for _ in range(2)]
            watches = [
                poller.watch(one, lambda events, now, name=name: ready(name), READ)
                for name, (one, _) in zip("ab", pairs, strict=True)
            ]

            def ready(name: str) -> None:
                calls.append(name)
                for watch in watches:
                    watch.close()

            for _, other in pairs:
                other.send(b"x")
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert len(calls) == 1
            for pair in pairs:
                for sock in pair:
                    sock.close()

    trio.run(main)


@both_backends
def test_only_what_is_wanted_is_told(tasks: bool) -> None:
    async def main() -> None:
        async with polling(tasks=tasks) as poller:
            one, other = socket.socketpair()
            told: list[int] = []

            def ready(events: int, now: float) -> None:
                told.append(events)
                watch.want(0)

            watch = poller.watch(one, ready)
            other.send(b"x")
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert told == []
            for count in (1, 2):
                watch.want(READ)
                while len(told) < count:
                    await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert told == [READ, READ]
            watch.close()
            watch.want(READ)  # which is nothing now
            one.close()
            other.close()

    trio.run(main)


def test_a_callback_that_fails_ends_the_poller_and_all_that_it_watches() -> None:
    async def main() -> None:
        one, other = socket.socketpair()

        def ready(events: int, now: float) -> None:
            raise KeyError("mine")

        async def poll() -> None:
            async with polling() as poller:
                poller.watch(one, ready, READ)
                other.send(b"x")
                await trio.sleep_forever()

        with pytest.raises(ExceptionGroup) as caught:
            await poll()
        assert caught.group_contains(KeyError)
        assert one.fileno() == -1
        other.close()

    trio.run(main)


def test_virtual_time_has_no_sockets_of_the_machine() -> None:
    async def main() -> None:
        async with pystack.Network(seed=0) as net:
            with pytest.raises(ConfigError, match="live in real time"):
                Poller(net.driver)

    pystack.run(main)


def test_a_stack_host_opens_and_accepts_by_callbacks() -> None:
    async def program(net: pystack.Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay="10ms")
        remote = parse_ip(str(b.address))
        accepted: list[TcpSocket] = []
        acceptor = StackAcceptor(b.stack, 0, 80, lambda tcp, now: accepted.append(tcp))
        opened, refused, cancelled = Outcome(), Outcome(), Outcome()
        connect_stack(a.stack, remote, 80, opened, net.now())
        connect_stack(a.stack, remote, 81, refused, net.now())
        pending = connect_stack(a.stack, remote, 80, cancelled, net.now())
        pending.cancel(net.now())
        pending.cancel(net.now())
        await trio.sleep(0.1)
        assert await refused.error() == errno.ECONNREFUSED
        (tcp,) = opened.told
        assert isinstance(tcp, TcpSocket)
        assert tcp.connection.state is TcpState.ESTABLISHED
        assert len(accepted) == 1
        assert cancelled.told == []
        acceptor.close(net.now())
        acceptor.close(net.now())
        late = Outcome()
        connect_stack(a.stack, remote, 80, late, net.now())
        await trio.sleep(0.1)
        assert await late.error() == errno.ECONNREFUSED

    async def main() -> None:
        async with pystack.Network(seed=0) as net:
            await program(net)

    pystack.run(main)

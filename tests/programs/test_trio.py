"""Trio's own high-level networking, as programs call it."""

import errno
from hashlib import pbkdf2_hmac
from itertools import product

import pytest
import trio
import trio.testing
from worlds import Certificates, echo, in_virtual_time, pair

import pystack

DATA = b"0123456789" * 5000


async def exchange(stream: trio.abc.HalfCloseableStream | trio.SSLStream) -> None:
    """Send data to an echo service while receiving it."""
    received = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, DATA)
        while len(received) < len(DATA):
            received += await stream.receive_some()
    assert received == DATA


def test_serve_tcp_and_open_tcp_stream_over_a_lossy_link() -> None:
    async def program() -> None:
        async with await trio.open_tcp_stream("server", 7) as stream:
            await exchange(stream)
            await stream.send_eof()
            assert await stream.receive_some() == b""

    async def main() -> None:
        async with pair() as world:
            await world.server.start(trio.serve_tcp, echo, 7)
            await world.client.run(program)
            assert world.client.counters["tcp_segments_in"] > 0

    in_virtual_time(main)


def test_many_clients_at_once() -> None:
    done: list[int] = []

    async def program(number: int) -> None:
        async with await trio.open_tcp_stream("server", 7) as stream:
            await exchange(stream)
        done.append(number)

    async def main() -> None:
        async with pair() as world, trio.open_nursery() as nursery:
            await world.server.start(trio.serve_tcp, echo, 7)
            for number in range(20):
                nursery.start_soon(world.client.run, program, number)

    in_virtual_time(main)
    assert sorted(done) == list(range(20))


def test_ssl_stream_over_a_lossy_link(certificates: Certificates) -> None:
    async def program() -> None:
        stream = await trio.open_ssl_over_tcp_stream("server", 7, ssl_context=certificates.client)
        async with stream:
            await exchange(stream)

    async def main() -> None:
        async with pair() as world:
            await world.server.start(trio.serve_ssl_over_tcp, echo, 7, certificates.server)
            await world.client.run(program)

    in_virtual_time(main)


class TwoAddresses(trio.abc.HostnameResolver):
    """Says that every name has two addresses, the first of which nobody has."""

    async def getaddrinfo(self, host: bytes, port: int, *_words: int) -> list[tuple[object, ...]]:
        """Return both."""
        return [
            (trio.socket.AF_INET, trio.socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("10.0.0.99", "10.0.0.2")
        ]

    async def getnameinfo(self, *_words: object) -> tuple[str, str]:
        """Not asked."""
        raise NotImplementedError


def test_happy_eyeballs_turn_to_the_second_address_after_a_quarter_of_a_second() -> None:
    async def program() -> None:
        began = trio.current_time()
        async with await trio.open_tcp_stream("server", 7) as stream:
            assert stream.socket.getpeername() == ("10.0.0.2", 7)
        # The wait, then ARP and the handshake.
        assert trio.current_time() - began == pytest.approx(0.25 + 2 * 0.04)

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.server.start(trio.serve_tcp, echo, 7)
            trio.socket.set_custom_hostname_resolver(TwoAddresses())
            await world.client.run(program)

    in_virtual_time(main)


def test_nobody_at_the_address_is_told_after_three_seconds_of_arp() -> None:
    async def program() -> None:
        with pytest.raises(OSError, match="all attempts") as caught:
            await trio.open_tcp_stream("10.0.0.99", 7)
        (inner,) = caught.value.__cause__.exceptions
        assert inner.errno == errno.EHOSTUNREACH
        assert trio.current_time() == pytest.approx(3.0)

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.client.run(program)

    in_virtual_time(main)


def test_the_local_address_can_be_chosen() -> None:
    async def program() -> None:
        stream = await trio.open_tcp_stream("server", 7, local_address="10.0.0.1")
        async with stream:
            assert stream.socket.getsockname()[0] == "10.0.0.1"
        with pytest.raises(OSError, match="all attempts"):
            await trio.open_tcp_stream("server", 7, local_address="10.0.0.77")

    async def main() -> None:
        async with pair(delay="20ms") as world:
            await world.server.start(trio.serve_tcp, echo, 7)
            await world.client.run(program)

    in_virtual_time(main)


def test_listeners_of_a_host_are_its_own_also_on_its_loopback() -> None:
    async def local() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, echo, 0)
            listener, _of_ipv6 = listeners
            async with await trio.testing.open_stream_to_socket_listener(listener) as stream:
                assert stream.socket.getpeername()[0] == "127.0.0.1"
                await exchange(stream)
            async with await trio.open_tcp_stream("localhost", 7) as stream:
                await exchange(stream)
            nursery.cancel_scope.cancel()

    async def elsewhere() -> None:
        with pytest.raises(OSError, match="all attempts"):
            await trio.open_tcp_stream("127.0.0.1", 7)

    async def main() -> None:
        async with pair() as world:
            await world.server.start(trio.serve_tcp, echo, 7)
            await world.server.run(local)
            await world.client.run(elsewhere)

    in_virtual_time(main)


def test_socket_streams_keep_all_promises_of_trios_streams() -> None:
    async def make() -> tuple[trio.SocketStream, trio.SocketStream]:
        listener = (await trio.open_tcp_listeners(0))[0]
        async with listener, trio.open_nursery() as nursery:
            accepted: list[trio.SocketStream] = []

            async def accept() -> None:
                accepted.append(await listener.accept())

            nursery.start_soon(accept)
            opened = await trio.testing.open_stream_to_socket_listener(listener)
        return opened, accepted[0]

    async def make_clogged() -> tuple[trio.SocketStream, trio.SocketStream]:
        opened, accepted = await make()
        # A byte at a time at the end: a task that waits with a large piece leaves small room.
        for stream, size in product((opened, accepted), (65536, 1)):
            with trio.move_on_after(5):
                while True:
                    await stream.send_all(b"x" * size)
        return opened, accepted

    async def main() -> None:
        async with pair(delay="1ms") as world:
            check = trio.testing.check_half_closeable_stream
            await world.client.run(check, make, make_clogged)

    in_virtual_time(main)


def test_virtual_time_stands_still_while_a_thread_works() -> None:
    async def program() -> None:
        began = trio.current_time()
        with trio.fail_after(0.01):
            # No sleep: that of a host's thread is in the world's time. It takes 50 ms or so.
            key = await trio.to_thread.run_sync(pbkdf2_hmac, "sha256", b"", b"", 100_000)
        assert len(key) == 32
        assert trio.current_time() == began

    async def main() -> None:
        async with pair() as world:
            await world.client.run(program)

    in_virtual_time(main)


def test_a_program_that_waits_until_all_are_blocked_goes_on_before_time_does() -> None:
    async def program() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 10)
            for _ in range(20):
                await trio.testing.wait_all_tasks_blocked()
                assert trio.current_time() == 0.0
            nursery.cancel_scope.cancel()

    async def main() -> None:
        async with pair() as world:
            await world.client.run(program)

    in_virtual_time(main)


def test_a_thread_may_sleep_for_an_hour_of_the_networks_time() -> None:
    def work() -> None:
        trio.from_thread.run(trio.sleep, 3600)

    async def main() -> float:
        async with pystack.Network(seed=1) as net:
            host = net.host("host")
            net.link(host, net.host("other"))
            await host.run(trio.to_thread.run_sync, work)
            return trio.current_time()

    assert pystack.run(main) == 3600

"""`TcpStream` and `TcpListener` as Trio means them, in virtual and in real time."""

import errno
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from wires import PORT, Pair, connected, in_network, pair, read_to_end

import pystack
from pystack.runtime.streams import TcpStream
from pystack.runtime.tcp_listener import TcpListener
from pystack.tcp.config import TcpConfig
from pystack.tcp.states import TcpState

# Two segments: a window of that is used up at once, with nothing left for an override.
# Two full segments, which without the option have 1460 bytes
TINY = TcpConfig(send_buffer_bytes=2920, receive_buffer_bytes=2920, msl_s=0.1, timestamps=False)

Program = Callable[[pystack.Network], Awaitable[None]]


def in_virtual_time(program: Program) -> None:
    in_network(program)


def over_ipv6(program: Program) -> None:
    in_network(program, ip="6")


def in_real_time(program: Program) -> None:
    async def main() -> None:
        async with pystack.Network(seed=0) as net:
            await program(net)

    trio.run(main)


both_times = pytest.mark.parametrize("run", [in_virtual_time, over_ipv6, in_real_time])


@both_times
def test_a_stream_is_what_trio_calls_a_half_closeable_stream(
    run: Callable[[Program], None],
) -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        wire.configure(TINY)

        async def make() -> tuple[TcpStream, TcpStream]:
            return await connected(wire)

        async def make_clogged() -> tuple[TcpStream, TcpStream]:
            one, other = await connected(wire)
            for stream in (one, other):
                with trio.move_on_after(0.05):
                    while True:
                        await stream.send_all(bytes(1460))
                assert len(stream._socket.connection.send_buffer) == 2920
            return one, other

        with trio.fail_after(1000):
            await trio.testing.check_half_closeable_stream(make, make_clogged)

    run(program)


async def quiet(wire: Pair) -> None:
    """Wait until both hosts have forgotten every connection, and nothing is left to happen."""
    await trio.sleep(400)
    assert len(wire.client.tcp) == len(wire.server.tcp) == 0
    assert len(wire.client.driver.scheduler) == 0


def test_cancelling_in_the_midst_of_anything_leaves_the_stack_whole() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.01)
        wire.configure(TINY)
        client, server = await connected(wire)
        with trio.move_on_after(5) as scope:
            await client.send_all(bytes(100_000))
        assert scope.cancelled_caught
        with trio.move_on_after(0.5) as scope:
            await client.receive_some()
        assert scope.cancelled_caught
        with trio.move_on_after(0.5) as scope:
            await client.wait_send_all_might_not_block()
        assert scope.cancelled_caught
        (listener,) = await wire.server.open_tcp_listeners(PORT)
        with trio.move_on_after(0.5) as scope:
            await listener.accept()
        assert scope.cancelled_caught
        wire.to_server.passes = lambda _frame: False
        with trio.move_on_after(0.5) as scope:
            await wire.client.open_tcp_stream("server", PORT)
        assert scope.cancelled_caught
        assert len(wire.client.tcp) == 1
        wire.to_server.passes = lambda _frame: True

        # and everything still works
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose)
            assert 5840 <= len(await read_to_end(server)) < 100_000
        second, third = await connected_to(wire, listener)
        await second.send_all(b"hello")
        assert await third.receive_some() == b"hello"
        for stream in (server, second, third, listener):
            await stream.aclose()
        await quiet(wire)

    in_network(program)


async def connected_to(wire: Pair, listener: TcpListener) -> tuple[TcpStream, TcpStream]:
    stream = await wire.client.open_tcp_stream("server", PORT)
    return stream, await listener.accept()


@pytest.mark.parametrize("delay_s", [0.0, 0.004, 0.01, 0.016, 0.02, 0.025])
def test_a_connect_cancelled_at_any_instant_leaves_nothing(delay_s: float) -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.004)
        (listener,) = await wire.server.open_tcp_listeners(PORT)
        with trio.move_on_after(delay_s):
            stream = await wire.client.open_tcp_stream("server", PORT)
            await stream.aclose()
        listener.close()
        await quiet(wire)

    in_network(program)


def test_closing_while_blocked_raises_closed_resource_error_in_the_other_task() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        wire.configure(TINY)
        client, _server = await connected(wire)
        (listener,) = await wire.server.open_tcp_listeners(PORT)

        async def blocked(call: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await call()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocked, client.receive_some)
            nursery.start_soon(blocked, lambda: client.send_all(bytes(100_000)))
            nursery.start_soon(blocked, listener.accept)
            await trio.sleep(1)
            await client.aclose()
            await listener.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await client.send_eof()
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    in_network(program)


def test_two_tasks_at_once_are_busy() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        wire.configure(TINY)
        client, _server = await connected(wire)
        (listener,) = await wire.server.open_tcp_listeners(PORT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.receive_some)
            nursery.start_soon(client.send_all, bytes(100_000))
            nursery.start_soon(listener.accept)
            await trio.sleep(1)
            for call in (
                client.receive_some,
                lambda: client.send_all(b"x"),
                client.wait_send_all_might_not_block,
                client.send_eof,
                listener.accept,
            ):
                with pytest.raises(trio.BusyResourceError):
                    await call()
            nursery.cancel_scope.cancel()

    in_network(program)


@pytest.mark.rfc("9293", "MUST-12")
def test_a_reset_breaks_the_stream_and_says_why() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        client, server = await connected(wire)

        async def broken(call: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(trio.BrokenResourceError, match="reset by peer") as caught:
                await call()
            assert isinstance(caught.value.__cause__, ConnectionResetError)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(broken, client.receive_some)
            await trio.sleep(1)
            server.abort()
        await broken(lambda: client.send_all(b"x"))
        await broken(client.receive_some)
        await broken(client.send_eof)
        await client.aclose()
        assert len(wire.client.tcp) == len(wire.server.tcp) == 0

    in_network(program)


@pytest.mark.rfc("9293", "SHLD-3")
def test_leaving_with_data_unread_resets_the_peer() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        client, server = await connected(wire)
        await client.send_all(b"you will not read this")
        await trio.sleep(1)
        await server.aclose()
        await trio.sleep(1)
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()

    in_network(program)


def test_what_was_sent_before_close_arrives_after_it() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.05)
        client, server = await connected(wire)
        await client.send_all(bytes(500_000))
        await client.aclose()
        assert len(await read_to_end(server)) == 500_000
        await server.aclose()

    in_network(program)


def test_what_is_urgent_arrives_in_line_and_its_end_is_told() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.01)
        client, server = await connected(wire)
        await client.send_all(b"calm")
        await client.send_urgent(b"URGENT")
        await client.send_all(b"calm again")
        await trio.sleep(1)
        assert server.urgent_bytes == len(b"calmURGENT")
        assert await server.receive_some(4) == b"calm"
        assert server.urgent_bytes == len(b"URGENT")
        assert await server.receive_some(100) == b"URGENTcalm again"
        assert server.urgent_bytes == 0

    in_network(program)


@pytest.mark.rfc("9293", "MUST-20")
def test_a_peer_that_vanishes_is_given_up_after_its_time() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        client, server = await connected(wire)
        wire.to_server.passes = lambda _frame: False
        await client.send_all(b"anybody there?")
        started_at = trio.current_time()
        with pytest.raises(trio.BrokenResourceError) as caught:
            await client.receive_some()
        assert isinstance(caught.value.__cause__, TimeoutError)
        # The round trip is 0: a probe after 0.2, then 0.2 + 0.4 + ... + 51.2, and 7 times 60
        assert trio.current_time() - started_at == pytest.approx(522.4)
        assert server.info().state is TcpState.ESTABLISHED  # it had nothing to say
        assert len(wire.client.tcp) == 0

    in_network(program)


def test_an_accepted_connection_may_have_ended_already() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        (listener,) = await wire.server.open_tcp_listeners(PORT)
        stream = await wire.client.open_tcp_stream("server", PORT)
        stream.abort()
        await trio.sleep(1)
        accepted = await listener.accept()
        with pytest.raises(trio.BrokenResourceError):
            await accepted.receive_some()

    in_network(program)


def test_wrong_sizes_are_value_errors() -> None:
    async def program(net: pystack.Network) -> None:
        client, _server = await connected(pair(net))
        with pytest.raises(ValueError, match="1 or more"):
            await client.receive_some(0)
        with pytest.raises(TypeError):
            await client.receive_some(1.5)  # type: ignore[arg-type]

    in_network(program)


def test_a_stream_tells_about_itself() -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=0.01)
        client, server = await connected(wire)
        assert client.remote_address == ("10.0.0.2", PORT)
        assert server.remote_address == client.local_address
        info = client.info()
        assert info.state is TcpState.ESTABLISHED
        # 20 ms, and as much for ARP before it
        assert info.srtt_s == pytest.approx(0.04)
        assert [entry.flags for entry in client.handshake] == ["SYN", "SYN ACK", "ACK"]
        assert "ESTABLISHED" in repr(client)
        assert client.link.mtu_bytes == 1500
        await wire.server.open_tcp_listeners(PORT)
        with pytest.raises(OSError, match="taken") as caught:
            await wire.server.open_tcp_listeners(PORT)
        assert caught.value.errno == errno.EADDRINUSE

    in_network(program)


@both_times
def test_closing_by_force_still_sends_what_is_queued(run: Callable[[Program], None]) -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        client, server = await connected(wire)
        await client.send_all(bytes(500_000))
        await trio.aclose_forcefully(client)  # as trio.serve_listeners does after each handler
        assert len(await read_to_end(server)) == 500_000

    run(program)


@both_times
def test_an_aborted_stream_leaves_nothing_behind(run: Callable[[Program], None]) -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        wire.configure(TINY)
        client, server = await connected(wire)
        with trio.move_on_after(0.05):
            while True:
                await client.send_all(bytes(1460))
        client.abort()
        assert wire.client.connections() == []
        with pytest.raises(trio.BrokenResourceError):
            await read_to_end(server)

    run(program)


def test_what_came_before_a_reset_may_still_be_read() -> None:
    async def program(net: pystack.Network) -> None:
        client, server = await connected(pair(net))
        await server.send_all(b"the last words")
        await trio.sleep(1)
        server.abort()
        await trio.sleep(1)
        assert await client.receive_some() == b"the last words"
        with pytest.raises(trio.BrokenResourceError, match="reset"):
            await client.receive_some()

    in_network(program)


@both_times
def test_little_that_may_be_unsent_does_not_stop_a_sender(run: Callable[[Program], None]) -> None:
    # What a write queues goes out with it, and the room that this makes is told to nobody yet.
    async def program(net: pystack.Network) -> None:
        wire = pair(net)
        wire.configure(TcpConfig(notsent_lowat_bytes=1000))
        ours, theirs = await connected(wire)
        received = bytearray()
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_all, theirs, received)
                await ours.send_all(bytes(100_000))
                await ours.send_eof()
        assert len(received) == 100_000

    async def read_all(stream: TcpStream, received: bytearray) -> None:
        async for data in stream:
            received += data

    run(program)

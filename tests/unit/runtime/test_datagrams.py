"""UDP as Trio programs know it."""

import errno
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

import pystack

Body = Callable[[pystack.Host, pystack.Host], Awaitable[None]]


def between(body: Body) -> None:
    """Run a test between two hosts that are 10 ms apart."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="10ms")
            await body(a, b)

    pystack.run(main)


def test_a_datagram_arrives_with_its_sender_and_can_be_answered() -> None:
    async def body(a: pystack.Host, b: pystack.Host) -> None:
        async with await a.open_udp_socket() as client, await b.open_udp_socket(7) as server:
            await client.send_to(b"question", ("b", 7))
            assert await server.receive_from() == (b"question", ("10.0.0.1", client.address[1]))
            await server.send_to(b"answer", ("a", client.address[1]))
            assert await client.receive_from() == (b"answer", ("10.0.0.2", 7))
            assert trio.current_time() == pytest.approx(0.04)  # ARP included
            assert server.address == ("::", 7)  # both versions of IP

    between(body)


def test_a_socket_on_one_address_has_it() -> None:
    async def body(a: pystack.Host, _b: pystack.Host) -> None:
        async with await a.open_udp_socket(9, host="a") as socket:
            assert socket.address == ("10.0.0.1", 9)
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
            await a.open_udp_socket(9, host="b")
        assert caught.value.errno == errno.EADDRNOTAVAIL

    between(body)


def test_a_cancelled_receive_loses_nothing_and_can_be_tried_again() -> None:
    async def body(a: pystack.Host, b: pystack.Host) -> None:
        async with await a.open_udp_socket() as client, await b.open_udp_socket(7) as server:
            with trio.move_on_after(1):
                await server.receive_from()
            assert trio.current_time() == 1.0
            with trio.CancelScope() as scope:
                scope.cancel()
                await client.send_to(b"never sent", ("b", 7))
            await client.send_to(b"data", ("b", 7))
            await trio.sleep(1)
            with trio.CancelScope() as scope:
                scope.cancel()
                await server.receive_from()
            assert scope.cancelled_caught
            assert await server.receive_from() == (b"data", ("10.0.0.1", client.address[1]))

    between(body)


def test_closing_while_a_task_receives_raises_there() -> None:
    async def body(a: pystack.Host, _b: pystack.Host) -> None:
        socket = await a.open_udp_socket(7)

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await socket.receive_from()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.sleep(1)
            await socket.aclose()
        await (await a.open_udp_socket(7)).aclose()  # the port is free again

    between(body)


def test_a_closed_socket_does_nothing_but_close_again() -> None:
    async def body(a: pystack.Host, _b: pystack.Host) -> None:
        socket = await a.open_udp_socket(7)
        socket.connect(("b", 9))
        await socket.aclose()
        await socket.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await socket.receive_from()
        with pytest.raises(trio.ClosedResourceError):
            await socket.send_to(b"", ("b", 9))
        with pytest.raises(trio.ClosedResourceError):
            await socket.send(b"")
        with pytest.raises(trio.ClosedResourceError):
            socket.connect(("b", 9))

    between(body)


def test_closing_is_a_checkpoint_that_closes_even_when_cancelled() -> None:
    async def body(a: pystack.Host, _b: pystack.Host) -> None:
        socket = await a.open_udp_socket(7)
        with trio.CancelScope() as scope:
            scope.cancel()
            await socket.aclose()
        assert scope.cancelled_caught
        await (await a.open_udp_socket(7)).aclose()

    between(body)


def test_two_tasks_may_not_receive_at_once() -> None:
    async def body(a: pystack.Host, _b: pystack.Host) -> None:
        async with await a.open_udp_socket(7) as socket, trio.open_nursery() as nursery:
            nursery.start_soon(socket.receive_from)
            await trio.sleep(1)
            with pytest.raises(trio.BusyResourceError):
                await socket.receive_from()
            nursery.cancel_scope.cancel()

    between(body)


def test_every_call_is_a_checkpoint() -> None:
    async def body(a: pystack.Host, b: pystack.Host) -> None:
        with trio.testing.assert_checkpoints():
            socket = await a.open_udp_socket()
        other = await b.open_udp_socket(7)
        socket.connect(("b", 7))
        with trio.testing.assert_checkpoints():
            await socket.send(b"1")
        with trio.testing.assert_checkpoints():
            await socket.send_to(b"2", ("b", 7))
        await trio.sleep(1)
        for expected in (b"1", b"2"):
            with trio.testing.assert_checkpoints():
                payload, _ = await other.receive_from()
            assert payload == expected
        with trio.testing.assert_checkpoints():
            await socket.aclose()

    between(body)


def test_a_connected_socket_hears_that_nobody_has_the_port() -> None:
    async def body(a: pystack.Host, _b: pystack.Host) -> None:
        async with await a.open_udp_socket() as socket:
            socket.connect(("b", 9))
            await socket.send(b"anybody?")
            with pytest.raises(ConnectionRefusedError):
                await socket.receive_from()
            await socket.send(b"anybody?")
            await trio.sleep(1)
            with pytest.raises(ConnectionRefusedError):
                await socket.send(b"told at the next call")
            await socket.send(b"and only once")

    between(body)


def test_an_unconnected_socket_hears_nothing_of_it() -> None:
    async def body(a: pystack.Host, _b: pystack.Host) -> None:
        async with await a.open_udp_socket() as socket:
            await socket.send_to(b"anybody?", ("b", 9))
            with trio.move_on_after(5) as scope:
                await socket.receive_from()
            assert scope.cancelled_caught

    between(body)


def test_who_asks_hears_that_a_neighbour_is_not_there_after_three_seconds() -> None:
    async def body(a: pystack.Host, _b: pystack.Host) -> None:
        async with await a.open_udp_socket() as socket:
            socket.set_receive_errors()
            await trio.sleep(7)
            await socket.send_to(b"anybody?", ("10.0.0.99", 9))
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
                await socket.receive_from()
            assert caught.value.errno == errno.EHOSTUNREACH
            assert trio.current_time() == 10.0
            details = socket.take_error_details()
            assert details is not None
            assert (details.number, details.destination) == (errno.EHOSTUNREACH, ("10.0.0.99", 9))
            assert (details.reporter, details.payload) == ("10.0.0.1", b"anybody?")
            assert socket.take_error_details() is None

    between(body)


def test_without_asking_a_server_never_hears_of_clients_that_went() -> None:
    async def body(a: pystack.Host, b: pystack.Host) -> None:
        async with await a.open_udp_socket(7) as server, await b.open_udp_socket() as client:
            for gone in (("10.0.0.99", 9), ("b", 9), ("127.0.0.1", 9)):
                await server.send_to(b"to one who has gone", gone)
            await trio.sleep(5)
            await client.send_to(b"hello", ("a", 7))
            assert (await server.receive_from())[0] == b"hello"

    between(body)


def test_a_partner_is_taken_and_let_go() -> None:
    async def body(a: pystack.Host, b: pystack.Host) -> None:
        async with await a.open_udp_socket() as socket, await b.open_udp_socket(9) as other:
            socket.connect(("b", 8))
            assert socket.address[0] == "10.0.0.1"
            await other.send_to(b"not heard", socket.address)
            await trio.sleep(1)
            assert socket.receive_from_nowait() is None
            address = socket.address
            socket.disconnect()
            assert socket.address[0] == "::"
            await other.send_to(b"heard", address)
            assert (await socket.receive_from())[0] == b"heard"

    between(body)


def test_broadcast_needs_permission_and_reaches_every_host() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            hosts = [net.host(name) for name in "abcd"]
            switch = net.switch("switch")
            for host in hosts:
                net.link(host, switch)
            sockets = [await host.open_udp_socket(9) for host in hosts]
            with pytest.raises(PermissionError):
                await sockets[0].send_to(b"all", ("10.0.0.255", 9))
            sockets[0].allow_broadcast()
            await sockets[0].send_to(b"all", ("10.0.0.255", 9))
            for socket in sockets[1:]:
                assert await socket.receive_from() == (b"all", ("10.0.0.1", 9))

    pystack.run(main)


def test_send_needs_a_partner() -> None:
    async def body(a: pystack.Host, _b: pystack.Host) -> None:
        async with await a.open_udp_socket() as socket:
            with pytest.raises(RuntimeError, match="connect"):
                await socket.send(b"to whom?")

    between(body)


def test_what_is_sent_is_what_it_was_at_that_time() -> None:
    async def body(a: pystack.Host, b: pystack.Host) -> None:
        async with await a.open_udp_socket() as client, await b.open_udp_socket(7) as server:
            for size in (10, 5000):
                data = bytearray(b"x" * size)
                await client.send_to(data, ("b", 7))
                data[:] = b"y" * size
                payload, _ = await server.receive_from()
                assert payload == b"x" * size

    between(body)


def test_many_datagrams_arrive_each_by_itself_and_in_order() -> None:
    async def body(a: pystack.Host, b: pystack.Host) -> None:
        async with await a.open_udp_socket() as client, await b.open_udp_socket(7) as server:
            await client.send_to(b"who are you", ("b", 7))
            await server.receive_from()
            datagrams = [b"one", b"two", b"", b"three", memoryview(b"x")]
            with trio.testing.assert_checkpoints():
                await client.send_many_to(datagrams, ("b", 7))
            assert [(await server.receive_from())[0] for _ in datagrams] == datagrams
            with pytest.raises(OSError, match="too long"):
                await client.send_many_to([b"fits", bytes(65508)], ("b", 7))
            assert server.receive_from_nowait() is None

    between(body)

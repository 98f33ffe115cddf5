"""What socket options do between hosts, where Linux cannot be asked on a loopback."""

import errno
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
import trio
from worlds import in_virtual_time

import pystack
from pystack.core.addresses import format_ip4

SOL, IP = socket.SOL_SOCKET, socket.IPPROTO_IP
UDP = socket.SOCK_DGRAM
REUSEADDR, REUSEPORT, DEVICE = (SOL, 2), (SOL, 15), (SOL, 25)
MTU_DISCOVER, RECVERR, MTU = (IP, 10), (IP, 11), (IP, 14)
MSG_ERRQUEUE = 0x2000
GROUP = "239.1.2.3"
COUNT = 200

Socket = trio.socket.SocketType


def on_net(body: Callable[[pystack.Network], Awaitable[None]]) -> None:
    async def main() -> None:
        async with pystack.Network(seed=5) as net:
            await body(net)

    in_virtual_time(main)


async def made(kind: int, *options: tuple[tuple[int, int], object]) -> Socket:
    opened = trio.socket.socket(type=kind)
    for option, value in options:
        opened.setsockopt(*option, value)
    return opened


async def bound(
    port: int, *options: tuple[tuple[int, int], object], kind: int = UDP, address: str = ""
) -> Socket:
    opened = await made(kind, *options)
    await opened.bind((address, port))
    if kind != UDP:
        opened.listen()
    return opened


@contextmanager
def refusal(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
        yield
    assert caught.value.errno == number


def test_connections_are_shared_out_among_listeners_that_share_a_port() -> None:
    async def body(net: pystack.Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b)
        servers = [await b.run(bound_stream, ((REUSEADDR, 1), (REUSEPORT, 1))) for _ in range(4)]
        streams = [await a.open_tcp_stream("b", 80) for _ in range(COUNT)]
        await trio.sleep(1)
        counts = [len(server._end.listener.ready) for server in servers]  # type: ignore[attr-defined]
        assert sum(counts) == COUNT
        # 50 each on the average; a fair draw is within 20 of that in all but one of 500 runs.
        assert all(30 <= count <= 70 for count in counts)
        servers[0].close()
        again = [await a.open_tcp_stream("b", 80) for _ in range(20)]
        await trio.sleep(1)
        assert sum(len(s._end.listener.ready) for s in servers[1:]) == COUNT - counts[0] + 20  # type: ignore[attr-defined]
        for stream in (*streams, *again):
            stream.abort()

    async def bound_stream(options: tuple[tuple[tuple[int, int], object], ...]) -> Socket:
        return await bound(80, *options, kind=socket.SOCK_STREAM)

    on_net(body)


def test_datagrams_of_one_sender_reach_one_of_the_sockets_that_share_a_port() -> None:
    async def body(net: pystack.Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b)

        async def share() -> Socket:
            return await bound(9, (REUSEPORT, 1))

        sharing = [await b.run(share) for _ in range(4)]
        senders = [await a.open_udp_socket() for _ in range(COUNT)]
        await a.ping("b")  # ARP: little may wait for it
        for _ in range(2):
            for sender in senders:
                await sender.send_to(b"x", ("b", 9))
            await trio.sleep(1)
        got: list[Counter[int]] = []
        for one in sharing:
            ports: Counter[int] = Counter()
            while one.is_readable():
                ports[(await one.recvfrom(9))[1][1]] += 1
            got.append(ports)
        assert sorted(port for ports in got for port in ports) == sorted(
            sender.address[1] for sender in senders
        )
        assert all(set(ports.values()) == {2} and 30 <= len(ports) <= 70 for ports in got)

    on_net(body)


def test_a_port_is_in_use_for_the_time_wait_of_its_connections_without_so_reuseaddr() -> None:
    async def body(net: pystack.Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay="10ms")

        async def program() -> None:
            server = await bound(80, kind=socket.SOCK_STREAM)
            async with await a.open_tcp_stream("b", 80) as client:
                accepted, _ = await server.accept()
                accepted.close()  # first: TIME-WAIT is here
                server.close()
                assert await client.receive_some() == b""
            await trio.sleep(1)
            with refusal(errno.EADDRINUSE):
                await bound(80, kind=socket.SOCK_STREAM)
            # Of both: the old one did not have it.
            with refusal(errno.EADDRINUSE):
                await bound(80, (REUSEADDR, 1), kind=socket.SOCK_STREAM)
            await trio.sleep(60)
            (await bound(80, kind=socket.SOCK_STREAM)).close()

        await b.run(program)

    on_net(body)


def test_servers_of_trio_and_of_hosts_start_again_at_once() -> None:
    async def body(net: pystack.Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay="10ms")

        async def serve_once() -> None:
            first, second = await trio.open_tcp_listeners(80)  # 0.0.0.0 and ::, as on Linux
            async with first, second, await a.open_tcp_stream("b", 80):
                await (await first.accept()).aclose()

        for _ in range(3):
            await b.run(serve_once)
        for _ in range(3):
            (listener,) = await b.open_tcp_listeners(80)
            async with listener, await a.open_tcp_stream("b", 80):
                await (await listener.accept()).aclose()

    on_net(body)


def test_a_socket_of_one_device_hears_and_sends_there_alone() -> None:
    async def body(net: pystack.Network) -> None:
        a, b, c = net.host("a"), net.host("b"), net.host("c")
        net.link(a, b)
        net.link(a, c)

        async def program() -> None:
            there = await bound(9, (DEVICE, b"eth1"))
            server = await bound(80, (DEVICE, b"eth1"), kind=socket.SOCK_STREAM)
            there_on = [format_ip4(interface.address) for interface in a.interfaces[1:]]
            for host, heard, address in zip((b, c), (False, True), there_on, strict=True):
                async with await host.open_udp_socket() as sender:
                    await sender.send_to(b"x", (address, 9))
                    await trio.sleep(0.1)
                    assert there.is_readable() is heard
                if heard:
                    await (await host.open_tcp_stream(address, 80)).aclose()
                    await server.accept()
                else:
                    with pytest.raises(ConnectionRefusedError):
                        await host.open_tcp_stream(address, 80)
            with refusal(errno.ENODEV):
                await made(UDP, (DEVICE, b"eth7"))

        await a.run(program)

    on_net(body)


def test_a_group_is_heard_by_who_has_joined_it_and_reached_by_the_chosen_device() -> None:
    async def body(net: pystack.Network) -> None:
        hosts = [net.host(name) for name in "abc"]
        switch = net.switch("s")
        for host in hosts:
            net.link(host, switch)
        a, b, c = hosts

        async def joined(address: str) -> Socket:
            member = socket.inet_aton(GROUP) + socket.inet_aton(address)
            return await bound(9, ((IP, 35), member))

        async def sender() -> Socket:
            device = socket.inet_aton(a.address)
            return await made(UDP, ((IP, 32), device), ((IP, 33), 3))

        one, own = await b.run(joined, b.address), await a.run(joined, a.address)
        other = await c.run(bound, 9)
        to_group = await a.run(sender)
        await to_group.sendto(b"all", (GROUP, 9))
        assert await one.recv(9) == b"all"
        assert await own.recv(9) == b"all"  # IP_MULTICAST_LOOP
        await trio.sleep(1)
        assert not other.is_readable()
        to_group.setsockopt(IP, 34, 0)
        await to_group.sendto(b"again", (GROUP, 9))
        assert await one.recv(9) == b"again"
        one.close()
        await trio.sleep(1)
        assert not own.is_readable()
        lone = b.stack.interfaces[1].groups
        of_ip4 = [group for group in lone if group >> 32 == 0]
        assert len(of_ip4) == 1  # all hosts; the close has left the other

    on_net(body)


def test_a_datagram_that_may_not_be_cut_finds_out_the_paths_mtu() -> None:
    async def body(net: pystack.Network) -> None:
        a, b, router = net.host("a"), net.host("b"), net.router("r")
        net.link(a, router)
        net.link(router, b, mtu_bytes=1000)

        async def program() -> None:
            asking = await made(UDP, (MTU_DISCOVER, 2), (RECVERR, 1))
            await asking.connect((b.address, 9))
            assert asking.getsockopt(*MTU) == 1500
            await asking.send(bytes(1200))
            with refusal(errno.EMSGSIZE):
                await asking.recv(9)
            _, messages, flags, sender = await asking.recvmsg(9, 100, MSG_ERRQUEUE)
            number, origin, kind, code, _, info = struct.unpack_from("=IBBBBI", messages[0][2])
            assert (number, origin, kind, code, info) == (errno.EMSGSIZE, 2, 3, 4, 1000)
            assert (flags & MSG_ERRQUEUE, sender) == (MSG_ERRQUEUE, (b.address, 9))
            assert asking.getsockopt(*MTU) == 1000
            with refusal(errno.EMSGSIZE):
                await asking.send(bytes(1200))
            _, messages, _, _ = await asking.recvmsg(9, 100, MSG_ERRQUEUE)
            assert struct.unpack_from("=IB", messages[0][2]) == (errno.EMSGSIZE, 1)
            assert await asking.send(bytes(972)) == 972

            usual = await made(UDP)
            await usual.sendto(bytes(1200), (b.address, 10))
            wanting = await made(UDP, (MTU_DISCOVER, 1))
            await wanting.sendto(bytes(1201), (b.address, 10))

        hears = await b.open_udp_socket(10)
        await a.run(program)
        sizes = [len((await hears.receive_from())[0]) for _ in range(2)]
        assert sorted(sizes) == [1200, 1201]

    on_net(body)


def test_a_datagram_tells_when_it_came_and_what_there_was_no_room_for() -> None:
    async def body(net: pystack.Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay="20ms")

        async def listen() -> Socket:
            return await bound(9, ((SOL, 29), 1), ((SOL, 40), 1), ((SOL, 8), 1152))

        async with await a.open_udp_socket() as sender:
            server = await b.run(listen)
            await sender.send_to(b"x", ("b", 9))  # ARP on the way
            await server.recv(9)
            await trio.sleep(1 - trio.current_time())
            for _ in range(3):
                await sender.send_to(bytes(1000), ("b", 9))
            await trio.sleep(5)
            _, messages, _, _ = await server.recvmsg(9, 200)
            found = {name: data for _, name, data in messages}
            # One second and the link's delay after the world's calendar begins: 2026
            assert struct.unpack("@ll", found[29]) == (1_767_225_601, 20_000)
            assert struct.unpack("I", found[40]) == (2,)  # one fills a buffer of 2,304 bytes

    on_net(body)


def test_what_is_beyond_a_router_is_unreachable_without_routing() -> None:
    async def body(net: pystack.Network) -> None:
        a, b, router = net.host("a"), net.host("b"), net.router("r")
        net.link(a, router)
        net.link(router, b)

        async def program() -> None:
            for kind in (UDP, socket.SOCK_STREAM):
                local = await made(kind, ((SOL, 5), 1))
                with refusal(errno.ENETUNREACH):
                    await local.connect((b.address, 9))
            plain = await made(UDP)
            with refusal(errno.ENETUNREACH):
                await plain.sendto(b"x", socket.MSG_DONTROUTE, (b.address, 9))
            assert await plain.sendto(b"x", (b.address, 9)) == 1

        await a.run(program)

    on_net(body)


def test_a_receive_buffer_bounds_the_window_from_the_syn_ack_on() -> None:
    async def body(net: pystack.Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay="10ms")

        async def program() -> None:
            server = await bound(80, ((SOL, 8), 20_000), kind=socket.SOCK_STREAM)
            stream = await a.open_tcp_stream("b", 80)
            assert stream.info().snd_wnd_bytes <= 20_000
            accepted, _ = await server.accept()
            assert accepted.getsockopt(SOL, 8) == 40_000
            await stream.send_all(bytes(1_000_000))
            await trio.sleep(5)
            (taken,) = (info.bytes_received for info in b.connections())
            assert 15_000 <= taken <= 20_000
            accepted.setsockopt(SOL, 8, 60_000)  # while it is in use
            await accepted.recv(20_000)
            await trio.sleep(5)
            (taken_then,) = (info.readable_bytes for info in b.connections())
            assert 45_000 <= taken_then <= 60_000
            for wanted, told in ((0, 2304), (-1, 8 << 20), (100_000, 200_000)):
                accepted.setsockopt(SOL, 8, wanted)
                assert accepted.getsockopt(SOL, 8) == told

        await b.run(program)

    on_net(body)


def test_a_socket_that_connects_is_not_writable_before_it_is_open() -> None:
    async def body(net: pystack.Network) -> None:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay="100ms")
        await b.open_tcp_listeners(80)

        async def program() -> None:
            opened = await made(socket.SOCK_STREAM)
            other = opened.dup()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(opened.connect, (b.address, 80))
                await trio.sleep(0.01)
                with refusal(errno.ENOTCONN):
                    other.getpeername()
                await other.wait_writable()
                assert trio.current_time() >= 0.2
                assert other.getpeername() == (b.address, 80)

        await a.run(program)

    on_net(body)


def test_a_silent_neighbour_is_told_to_who_asks_and_to_nobody_else() -> None:
    async def body(net: pystack.Network) -> None:
        a = net.host("a", address="10.0.0.1/24")
        net.link(a, net.host("b"))

        async def program() -> None:
            asking, connected = await made(UDP, (RECVERR, 1)), await made(UDP)
            await connected.connect(("10.0.0.77", 9))
            await connected.send(b"to nobody")
            await asking.sendto(b"to nobody", ("10.0.0.77", 9))
            await trio.sleep(5)
            assert not connected.is_readable()
            with refusal(errno.EHOSTUNREACH):
                await asking.recv(9)
            data, messages, _, _ = await asking.recvmsg(99, 99, MSG_ERRQUEUE)
            offender = socket.inet_ntoa(messages[0][2][20:24])
            assert (data, offender) == (b"to nobody", "10.0.0.1")

        await a.run(program)

    on_net(body)

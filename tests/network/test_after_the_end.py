"""What is held of a network that has ended, or of a host without power: it says so at once."""

import errno
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

import pystack
from pystack.core.addresses import ALL_HOSTS, is_v6

SOL = socket.SOL_SOCKET


class Held:
    """What a program may hold of a host."""

    def __init__(self) -> None:
        self.host: pystack.Host
        self.stream: pystack.TcpStream
        self.listener: pystack.TcpListener
        self.socket: pystack.UdpSocket
        self.sockets: list[trio.socket.SocketType] = []

    def calls(self) -> dict[str, Callable[[], Awaitable[object]]]:
        connected, listening, datagram = self.sockets
        return {
            "receive_some": self.stream.receive_some,
            "send_all": lambda: self.stream.send_all(bytes(1 << 24)),
            "send_eof": self.stream.send_eof,
            "accept": self.listener.accept,
            "receive_from": self.socket.receive_from,
            "send_to": lambda: self.socket.send_to(b"x", ("10.0.0.2", 9)),
            "socket recv": lambda: connected.recv(1),
            "socket send": lambda: connected.send(b"x"),
            "socket accept": listening.accept,
            "datagram recv": lambda: datagram.recv(1),
            "datagram send": lambda: datagram.sendto(b"x", ("10.0.0.2", 9)),
            "open_tcp_stream": lambda: self.host.open_tcp_stream("10.0.0.2", 80),
            "open_tcp_listeners": lambda: self.host.open_tcp_listeners(81),
            "open_udp_socket": self.host.open_udp_socket,
            "ping": lambda: self.host.ping("10.0.0.2"),
        }


WAITING = (
    "receive_some",
    "accept",
    "receive_from",
    "socket recv",
    "socket accept",
    "datagram recv",
)


async def hold(net: pystack.Network) -> Held:
    held = Held()
    held.host, peer = net.host("a"), net.host("b")
    net.link(held.host, peer, delay="1ms")

    async def idle(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        await trio.serve_tcp(idle, 80, task_status=task_status)

    await peer.start(serve)
    held.stream = await held.host.open_tcp_stream("b", 80)
    held.listener = (await held.host.open_tcp_listeners(7))[0]
    held.socket = await held.host.open_udp_socket(7)

    async def sockets() -> None:
        connected, listening = trio.socket.socket(), trio.socket.socket()
        await connected.connect(("10.0.0.2", 80))
        await listening.bind(("", 8))
        listening.listen()
        datagram = trio.socket.socket(type=socket.SOCK_DGRAM)
        await datagram.bind(("", 8))
        held.sockets = [connected, listening, datagram]

    await held.host.run(sockets)
    return held


async def outcome(call: Callable[[], Awaitable[object]]) -> str:
    with trio.move_on_after(100):
        try:
            await call()
        except trio.BrokenResourceError:
            return "broken"
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "nothing"
    return "hangs"


def expected(name: str) -> tuple[str, ...]:
    if name in ("receive_some", "send_all", "send_eof", "accept", "receive_from", "send_to"):
        return ("broken",)
    if name == "socket send":
        return ("ENETDOWN", "EPIPE")  # the second, where another call was told
    if name == "socket recv":
        return ("ENETDOWN", "nothing")
    return ("ENETDOWN",)


@pytest.mark.parametrize("how", ["ends", "power"])
def test_every_call_after_the_end_raises(how: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            held = await hold(net)
            if how == "power":
                held.host.power_off()
                await check(held)
        if how == "ends":
            await check(held)

    async def check(held: Held) -> None:
        found = {name: await outcome(call) for name, call in held.calls().items()}
        wrong = {name: said for name, said in found.items() if said not in expected(name)}
        assert wrong == {}

    pystack.run(main)


@pytest.mark.parametrize("how", ["ends", "power"])
@pytest.mark.parametrize("name", WAITING)
def test_who_waits_is_told_at_the_end(name: str, how: str) -> None:
    found: list[str] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:

            async def wait(held: Held) -> None:
                found.append(await outcome(held.calls()[name]))
                found.append(f"{trio.current_time():.3f}")

            async with pystack.Network(seed=1) as net:
                held = await hold(net)
                nursery.start_soon(wait, held)
                await trio.sleep(1 - trio.current_time())
                if how == "power":
                    held.host.power_off()
                    await trio.testing.wait_all_tasks_blocked()
            await trio.testing.wait_all_tasks_blocked()

    pystack.run(main)
    assert found[0] in expected(name)
    assert found[1:] == ["1.000"]


def test_the_networks_own_programs_are_cancelled_and_hear_nothing_else() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b)
            ended: list[str] = []

            async def serve() -> None:
                try:
                    await trio.serve_tcp(receive, 80)
                finally:
                    ended.append("server")

            async def receive(stream: trio.SocketStream) -> None:
                await stream.receive_some(1)

            async def client() -> None:
                stream = await trio.open_tcp_stream("b", 80)
                await stream.receive_some(1)

            b.start_soon(serve)
            await trio.sleep(0.1)
            a.start_soon(client)
            await trio.sleep(1)
        assert ended == ["server"]

    pystack.run(main)
    trio.run(main)


class LibraryError(Exception):
    """What a library makes of the errors of its streams."""


@pytest.mark.parametrize("end", ["power", "network"])
def test_a_program_that_meets_the_end_before_its_cancellation_tells_nobody(end: str) -> None:
    async def program(listener: pystack.TcpListener) -> None:
        try:
            await listener.accept()  # its first step, at the very instant of the end
        except trio.BrokenResourceError as error:
            raise LibraryError from error

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            server, client = net.host("server"), net.host("client")
            net.link(server, client)
            [listener] = await server.open_tcp_listeners(80)
            server.start_soon(program, listener)
            if end == "power":
                server.power_off()
                await trio.sleep(1)

    pystack.run(main)


def test_a_program_whose_own_fault_shows_at_the_end_is_heard() -> None:
    async def program() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("its own")

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("host")
            net.link(host, net.host("other"))
            host.start_soon(program)
            await trio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        pystack.run(main)
    assert caught.group_contains(ValueError, match="its own")


@pytest.mark.parametrize("group", ["224.0.0.1", "239.1.2.3"])
def test_a_socket_leaves_its_groups_after_its_host_has_forgotten_them(group: str) -> None:
    async def join_and_wait(host: pystack.Host) -> None:
        where = socket.inet_aton(group) + socket.inet_aton("10.0.0.1")
        with trio.socket.socket(type=socket.SOCK_DGRAM) as member:
            await member.bind(("", 9))
            member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, where)
            host.power_off()
        assert [heard for heard in host.interfaces[1].groups if not is_v6(heard)] == [ALL_HOSTS]

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("host", address="10.0.0.1/24")
            net.link(host, net.host("other"))
            await host.run(join_and_wait, host)

    pystack.run(main)


@pytest.mark.parametrize("service", ["dns", "echo", "iperf3"])
def test_an_error_while_services_begin_is_told_alone(service: str) -> None:
    # Of a service's tasks one meets with what is broken, and others with their cancellation.
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server)
            await pystack.serve(server, service)
            raise pystack.ConfigError("of the block's own")

    with pytest.raises(pystack.ConfigError, match="of the block's own"):
        pystack.run(main)

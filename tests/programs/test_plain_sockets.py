"""`socket.socket` on a host: one of the host's, as CPython's on Linux, that does not block or does.

What calls do state by state is compared with Linux in `test_plain_sockets_like_linux.py`.
"""

import errno
import fcntl
import os
import select
import socket
import struct
import termios
import threading
from collections.abc import Callable

import anyio
import anyio.abc
import pytest
import trio
from worlds import Certificates, in_virtual_time

import pystack
from pystack.runtime.borrowed.clock import BlockedWorldError
from pystack.runtime.socket import descriptors
from pystack.runtime.socket.plain_socket import PlainSocket


def on_a(program: Callable[[], None], *, seal: bool = False) -> float:
    """Run a program on host a, beside b with an echo on port 7; return how long it took."""
    took = []

    async def main() -> None:
        async with pystack.Network(seed=1, ip="both", seal=seal) as net:
            net.link(net.host("a"), net.host("b"), delay="10ms")

            async def echo(stream: trio.SocketStream) -> None:
                async for data in stream:
                    await stream.send_all(data)

            await net.hosts["b"].start(trio.serve_tcp, echo, 7)
            began = trio.current_time()
            await net.hosts["a"].run_sync(program)
            took.append(trio.current_time() - began)

    in_virtual_time(main)
    return took[0]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_blocking_client_talks_to_a_trio_server(family: int) -> None:
    def program() -> None:
        with socket.socket(family) as made:
            assert isinstance(made, PlainSocket)
            assert (made.family, made.type, made.proto) == (family, socket.SOCK_STREAM, 0)
            made.connect(("b", 7))
            made.sendall(b"x" * 100_000)
            found = b""
            while len(found) < 100_000:
                found += made.recv(65536)
            made.shutdown(socket.SHUT_WR)
            assert made.recv(1) == b""

    on_a(program)


def test_a_socket_that_does_not_block_says_so_as_on_linux() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.link(net.host("a"), net.host("b"), delay="10ms")

            async def client() -> None:
                made = socket.socket()
                made.setblocking(False)
                assert made.poll() & 0xFF == select.EPOLLOUT | select.EPOLLHUP
                assert made.connect_ex(("10.0.0.2", 7)) == errno.EINPROGRESS
                with pytest.raises(BlockingIOError):
                    made.connect(("10.0.0.2", 7))  # EALREADY
                assert made.poll() == 0
                with pytest.raises(BlockingIOError):
                    made.recv(1)
                await trio.sleep(1)
                assert made.poll() & 0x3F == select.EPOLLOUT
                assert made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                assert made.send(b"hello") == 5
                with pytest.raises(BlockingIOError):
                    made.recv(5)
                await trio.sleep(1)
                assert made.poll() & 0x3F == select.EPOLLOUT | select.EPOLLIN
                assert made.recv(100) == b"hello"
                made.close()
                assert made.fileno() == -1
                with pytest.raises(OSError, match="Bad file descriptor") as caught:
                    made.recv(1)
                assert caught.value.errno == errno.EBADF

            async def echo(stream: trio.SocketStream) -> None:
                await stream.send_all(await stream.receive_some())

            await net.hosts["b"].start(trio.serve_tcp, echo, 7)
            await net.hosts["a"].run(client)

    in_virtual_time(main)


def test_what_would_wait_in_trios_own_thread_is_refused_with_what_to_use() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.link(net.host("a"), net.host("b"))

            async def program() -> None:
                with (
                    socket.create_server(("", 80)) as server,
                    pytest.raises(
                        BlockedWorldError, match=r"socket\.accept \(timeout None\).*run_sync"
                    ),
                ):
                    server.accept()

            await net.hosts["a"].run(program)

    in_virtual_time(main)


def test_timeouts_are_the_worlds() -> None:
    def program() -> None:
        with socket.create_connection(("b", 7), timeout=2) as made:
            with pytest.raises(TimeoutError, match="timed out"):
                made.recv(1)
            assert made.connect_ex(("b", 7)) in (0, errno.EISCONN)
        with socket.socket() as made:
            made.settimeout(3)
            with pytest.raises(TimeoutError, match="timed out"):
                made.connect(("10.0.0.99", 7))

    assert on_a(program) == pytest.approx(0.02 + 0.02 + 2 + 3)  # a neighbor is asked for first


def test_numbers_are_the_worlds_own_and_the_same_in_each_run() -> None:
    def program() -> None:
        one, other = socket.socket(), socket.socket()
        assert (one.fileno(), other.fileno()) == (1 << 20, (1 << 20) + 1)
        found = descriptors.find(one.fileno())
        assert found is not None
        assert found.poll() == one.poll()
        number = one.detach()
        assert one.fileno() == -1
        again = socket.socket(fileno=number)
        assert (again.family, again.fileno()) == (socket.AF_INET, number)
        with again.dup() as third:
            assert third.fileno() == number + 2
        with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as fourth:
            assert fourth.fileno() == number + 3
        socket.close(again.detach())
        assert descriptors.find(number) is None
        other.close()

    for _ in range(2):
        on_a(program)


def test_a_pair_is_in_the_world() -> None:
    def program() -> None:
        one, other = socket.socketpair()
        assert isinstance(one, PlainSocket)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)
        one.sendall(b"wake")
        assert other.poll() & select.EPOLLIN
        assert other.recv(100) == b"wake"
        one.close()
        assert other.recv(100) == b""
        with pytest.raises(BrokenPipeError):
            other.send(b"x")
        other.close()

    on_a(program)


def test_names_are_the_hosts() -> None:
    def program() -> None:
        assert socket.gethostname() == socket.getfqdn() == "a"
        assert socket.gethostbyname("b") == "10.0.0.2"
        assert socket.gethostbyname_ex("b") == ("b", [], ["10.0.0.2"])
        assert socket.gethostbyaddr("10.0.0.1") == ("a", [], ["10.0.0.1"])
        assert socket.getnameinfo(("127.0.0.1", 80), 0) == ("localhost", "http")
        assert socket.if_nameindex() == [(1, "lo"), (2, "eth0")]
        assert socket.if_nametoindex("eth0") == 2
        assert socket.if_indextoname(1) == "lo"
        assert socket.has_dualstack_ipv6()
        with pytest.raises(socket.gaierror, match="a knows no host 'c'"):
            socket.getaddrinfo("c", 80)
        with pytest.raises(OSError, match="no interface with this name"):
            socket.if_nametoindex("eth7")

    on_a(program)


def test_the_default_timeout_is_of_one_host() -> None:
    def program() -> None:
        socket.setdefaulttimeout(1.5)
        assert socket.getdefaulttimeout() == 1.5
        with socket.socket() as made:
            assert made.gettimeout() == 1.5

    on_a(program)
    assert socket.getdefaulttimeout() is None


def test_classes_that_build_on_socket_are_of_the_host_too() -> None:
    class Counting(socket.socket):
        sent = 0

        def __init__(self, *args: int, **words: int) -> None:
            socket.socket.__init__(self, *args, **words)  # by name

        def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
            self.sent += len(data)
            return super().send(data, flags)

    def program() -> None:
        with Counting(socket.AF_INET, socket.SOCK_STREAM) as made:
            made.connect(("b", 7))
            made.send(b"abc")
            assert made.recv(3) == b"abc"
            assert (made.sent, type(made).__name__) == (3, "Counting")
            assert isinstance(made, Counting)
            with made.dup() as again:
                assert isinstance(again, Counting)

    on_a(program)


def test_what_is_forgotten_is_closed_with_the_usual_warning() -> None:
    def program() -> None:
        made = [socket.create_connection(("b", 7))]
        with pytest.warns(ResourceWarning, match=r"unclosed .*PlainSocket .*'10.0.0.2', 7"):
            made.clear()

    on_a(program)


def test_all_is_the_machines_again_after_the_last_network() -> None:
    on_a(lambda: None)
    with socket.socket() as made:
        assert type(made) is socket.socket
        assert made.fileno() < 1 << 20
    assert socket.gethostname() == os.uname().nodename


def test_elsewhere_sockets_are_the_machines() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1, seal=False) as net:
            host = net.host("a")
            with socket.socket() as made:
                assert type(made) is socket.socket

            async def program() -> None:
                with socket.socket() as made:
                    assert type(made) is PlainSocket
                with pystack.unsealed(), socket.socket() as made:
                    assert type(made) is socket.socket

            await host.run(program)

    in_virtual_time(main)


def test_what_is_done_to_a_descriptor_by_its_number() -> None:
    def program() -> None:
        with socket.create_connection(("b", 7)) as made:
            number = made.fileno()
            assert fcntl.fcntl(number, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
            assert fcntl.fcntl(made, fcntl.F_SETFD, 0) == 0
            os.set_inheritable(number, False)
            assert not os.get_inheritable(number)
            made.sendall(b"12345")
            assert fcntl.ioctl(made, termios.TIOCOUTQ, bytes(4)) == struct.pack("i", 5)
            made.recv(1)
            room = bytearray(4)
            assert fcntl.ioctl(number, termios.FIONREAD, room) == 0
            assert struct.unpack("i", room) == (4,)
            assert os.get_blocking(number)
            fcntl.fcntl(number, fcntl.F_SETFL, os.O_NONBLOCK)
            assert fcntl.fcntl(number, fcntl.F_GETFL) == os.O_RDWR | os.O_NONBLOCK
            assert made.recv(9) == b"2345"
            with pytest.raises(BlockingIOError):  # though it has no timeout
                made.recv(9)
            with pytest.raises(OSError, match="inside pystack"):
                fcntl.ioctl(number, 0x1234)
            os.close(made.detach())
        out, into = os.pipe()
        assert not os.get_inheritable(out)
        os.close(out)
        os.close(into)

    on_a(program)


def test_trio_takes_such_a_socket_as_one_of_the_same_host() -> None:
    async def serve(listening: socket.socket) -> None:
        taken = trio.socket.from_stdlib_socket(listening)
        made, _ = await taken.accept()
        await made.send(await made.recv(100))
        made.close()
        taken.close()
        assert listening.fileno() == -1

    async def program() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, socket.create_server(("127.0.0.1", 80)))
            stream = await trio.open_tcp_stream("127.0.0.1", 80)
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
        one, other = trio.socket.socketpair()
        await one.send(b"in a pair")
        assert await other.recv(100) == b"in a pair"
        one.close()
        assert await other.recv(100) == b""
        other.close()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await net.host("a").run(program)

    in_virtual_time(main)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", None])
def test_listeners_of_anyio_are_on_the_host_under_trio(host: str | None) -> None:
    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(await stream.receive())

    async def program() -> None:
        listener = await anyio.create_tcp_listener(local_host=host, local_port=80)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, handle)
            address = "::1" if host == "::" else "127.0.0.1"
            async with await anyio.connect_tcp(address, 80) as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
            group.cancel_scope.cancel()

    async def main() -> None:
        async with pystack.Network(seed=1, ip="both") as net:
            net.link(net.host("a"), net.host("b"))
            await net.hosts["a"].run(program)

    in_virtual_time(main)


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_nothing_is_said_of_what_was_open_when_its_host_ended() -> None:
    left = []
    on_a(lambda: left.append(socket.create_server(("", 80))))
    left.clear()


def test_sockets_that_hosts_do_not_have_are_refused_with_words() -> None:
    def program() -> None:
        with pytest.raises(OSError, match="no sockets of type 3 on a") as caught:
            socket.socket(socket.AF_INET, socket.SOCK_RAW)
        assert caught.value.errno == errno.ESOCKTNOSUPPORT
        with pytest.raises(OSError, match="Protocol not supported"):
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_UDP)
        for family in (socket.AF_PACKET, socket.AF_NETLINK):
            with pytest.raises(pystack.SealedError, match="are the host's"):
                socket.socket(family, socket.SOCK_RAW)
        with socket.socket(socket.AF_UNIX) as unix:
            with pytest.raises(pystack.SealedError, match="use TCP and UDP"):
                unix.bind("\0nobody")
            with pytest.raises(pystack.SealedError, match="use TCP and UDP"):
                unix.connect("/nowhere")

    on_a(program, seal=True)


def test_in_real_time_it_is_the_same(certificates: Certificates) -> None:
    said = []

    def serve(listening: socket.socket) -> None:
        made, _ = listening.accept()
        with certificates.server.wrap_socket(made, server_side=True) as tls:
            tls.sendall(tls.recv(10).upper())
        listening.close()

    def program() -> None:
        listening = socket.create_server(("127.0.0.1", 443))
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        made = socket.create_connection(("localhost", 443), timeout=5)
        with certificates.client.wrap_socket(made, server_hostname="server") as tls:
            tls.sendall(b"hello")
            said.append(tls.recv(10))
        thread.join()
        with socket.create_server(("127.0.0.1", 80)) as listening:
            listening.settimeout(0.001)
            with pytest.raises(TimeoutError):
                listening.accept()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await net.host("a").run_sync(program)

    trio.run(main)
    assert said == [b"HELLO"]


def test_name_servers_are_asked_in_threads_and_not_in_trios_own() -> None:
    found = []

    def program() -> None:
        found.append(socket.gethostbyname("www.example"))
        with socket.socket() as made:
            made.settimeout(2)
            assert made.connect_ex(("www.example", 9)) == errno.ECONNREFUSED
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("nobody.example", 80)
        found.append(socket.getnameinfo(("10.0.0.2", 80), socket.NI_NUMERICSERV)[0])

    async def in_trio() -> None:
        assert socket.gethostbyname("a") == "10.0.0.1"  # the host knows itself
        with pytest.raises(BlockedWorldError, match=r"getaddrinfo\('www\.example'\), which asks"):
            socket.gethostbyname("www.example")

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="1ms")
            records = ["www.example 60 A 10.0.0.2", "2.0.0.10.in-addr.arpa 60 PTR b.example"]
            await net.dns(b, records=records, hosts=[a])
            await a.run(in_trio)
            await a.run_sync(program)

    in_virtual_time(main)
    assert found == ["10.0.0.2", "b.example"]

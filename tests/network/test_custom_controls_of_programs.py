"""A congestion control of one's own under programs that know sockets, and in files."""

import asyncio
import errno
import socket

import pytest
import trio

import pystack
from pystack.core.errors import ConfigError
from pystack.plugins import AckSample, ControlDefaults, ControlError, LossSample

OPTION = socket.IPPROTO_TCP, socket.TCP_CONGESTION


class Mine(ControlDefaults):
    name = "mine"

    def __init__(self, smss_bytes: int) -> None:
        self.cwnd_bytes = 10 * smss_bytes

    def on_ack(self, sample: AckSample) -> None:
        pass

    def on_loss(self, sample: LossSample) -> None:
        pass

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        pass


class Bad(Mine):
    name = "bad"

    def on_ack(self, sample: AckSample) -> None:
        raise ValueError("ouch")


def with_control(control: type, program: object, how: str) -> object:
    """Run a program on host a, all whose connections have that control; b takes what comes."""

    async def main() -> object:
        async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
            a, b = net.host("a", congestion=control), net.host("b")
            net.link(a, b, rate="5mbit", delay="10ms")

            async def take(stream: pystack.TcpStream) -> None:
                with trio.move_on_after(60):
                    await stream.receive_each(lambda _data: None)

            listeners = await b.open_tcp_listeners(80)
            nursery.start_soon(trio.serve_listeners, take, listeners)
            result: object = await getattr(a, how)(program)
            nursery.cancel_scope.cancel()
            return result

    return pystack.run(main)


def name_of(sock: socket.socket) -> bytes:
    return sock.getsockopt(*OPTION, 16).rstrip(b"\0")


def exchanged(sock: socket.socket) -> list[bytes]:
    names = [name_of(sock)]
    for name in (b"mine", b"bbr", b"mine"):  # its own, another's, and its own again
        sock.setsockopt(*OPTION, name)
        names.append(name_of(sock))
    with pytest.raises(FileNotFoundError, match="there is no congestion 'yours'"):
        sock.setsockopt(*OPTION, b"yours")
    return names


def test_sockets_exchange_it_by_its_name() -> None:
    def blocking() -> list[bytes]:
        with socket.create_connection(("b", 80)) as sock:
            return exchanged(sock)

    async def with_asyncio() -> list[bytes]:
        _reader, writer = await asyncio.open_connection("b", 80)
        names = exchanged(writer.get_extra_info("socket"))
        writer.close()
        return names

    names = [b"mine", b"mine", b"bbr", b"mine"]
    assert with_control(Mine, blocking, "run_sync") == names
    assert with_control(Mine, with_asyncio, "run_asyncio") == names


def test_sockets_say_which_control_has_failed() -> None:
    def blocking() -> OSError:
        with socket.create_connection(("b", 80)) as sock:
            sock.sendall(bytes(100_000))
            with pytest.raises(ConnectionAbortedError) as caught:
                sock.recv(1)
        return caught.value

    async def with_asyncio() -> OSError:
        reader, writer = await asyncio.open_connection("b", 80)
        writer.write(bytes(100_000))
        with pytest.raises(ConnectionAbortedError) as caught:
            await reader.read()
        return caught.value

    for program, how in ((blocking, "run_sync"), (with_asyncio, "run_asyncio")):
        error = with_control(Bad, program, how)
        assert isinstance(error, OSError)
        assert error.errno == errno.ECONNABORTED
        assert "congestion control bad: on_ack raised ValueError: ouch" in str(error)
        assert isinstance(error.__cause__, ControlError)


def test_a_class_named_as_programs_are_in_labs_says_how_it_gets_a_name() -> None:
    with pytest.raises(ConfigError, match=r"gets a name by an entry point 'pystack\.congestion'"):
        pystack.Network().host("a", congestion="mine:Mine")

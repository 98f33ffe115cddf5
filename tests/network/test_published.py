"""Ports of the machine that lead inwards, to hosts of a network."""

import socket
import struct
from functools import partial

import pytest
import trio
from outside_rig import V4, V6, Place, open_place

import pystack
from pystack.core.errors import ConfigError, DeviceError

BOTH = pytest.mark.parametrize("address", [V4, V6], ids=["IPv4", "IPv6"])


async def echo(stream: pystack.TcpStream) -> None:
    async for data in stream:
        await stream.send_all(data)
    await stream.send_all(b"bye")


async def connect(place: Place, address: str, port: int) -> trio.SocketStream:
    """Connect to the machine; it is closed when the place is.

    By the kernel, at once: a reset could come before Trio knows that it is connected.
    """
    sock = socket.create_connection((address, port))
    await trio.lowlevel.checkpoint()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    place.net.resources.callback(stream.socket.close)
    return stream


async def serve(host: pystack.Host, nursery: trio.Nursery) -> None:
    """Serve on port 80 of a host: who connects is echoed."""
    listeners = await host.open_tcp_listeners(80)
    nursery.start_soon(trio.serve_listeners, echo, listeners)


@BOTH
def test_a_client_of_the_machine_reaches_a_server_inside(address: str) -> None:
    async def main() -> None:
        async with open_place() as place:
            await serve(place.client, place.nursery)
            opened = place.outside.publish("0:80", place.client)
            assert [each.address for each in opened] == [V4, V6]
            assert len({each.port for each in opened}) == 1
            stream = await connect(place, address, opened[0].port)
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
            await stream.send_eof()
            assert await stream.receive_some() == b"bye"
            assert await stream.receive_some() == b""
            assert place.count("publish_opened") == 1

    trio.run(main)


def test_a_program_of_a_host_may_open_ways_out_and_in() -> None:
    async def main() -> None:
        async with open_place(by_program=True) as place:
            where = await place.serve_udp(lambda data, _: data[::-1])
            sock = await place.client.open_udp_socket(0)
            await sock.send_to(b"hello", where)
            assert await sock.receive_from() == (b"olleh", where)
            await serve(place.client, place.nursery)
            publish = partial(place.net.publish, place.gateway, "0:80", to="client")
            opened = await place.client.run(publish)
            stream = await connect(place, V4, opened[0].port)
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"

    trio.run(main)


def test_the_client_is_the_host_that_publishes_in_the_same_ip_version() -> None:
    async def main() -> None:
        async with open_place() as place:
            [listener] = await place.client.open_tcp_listeners(80)
            [four, six] = place.outside.publish("0:80", "client")
            for spec, seen in ((four, "10.77.0.1"), (six, "fd77::1")):
                stream = await connect(place, spec.address, spec.port)
                inside = await listener.accept()
                assert inside.remote_address[0] == seen
                await stream.aclose()

    trio.run(main)


def test_a_port_inside_at_which_nobody_is_is_a_reset() -> None:
    async def main() -> None:
        async with open_place() as place:
            [spec, _] = place.outside.publish("0:80", place.client)
            stream = await connect(place, V4, spec.port)
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            assert place.count("publish_refused") == 1
            assert len(place.outside.published._opening) == 0

    trio.run(main)


def test_a_client_that_has_gone_meanwhile_is_gone_inside() -> None:
    async def main() -> None:
        async with open_place() as place:
            [listener] = await place.client.open_tcp_listeners(80)
            [spec, _] = place.outside.publish("0:80", place.client)
            sock = socket.create_connection((V4, spec.port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            inside = await listener.accept()
            with pytest.raises(trio.BrokenResourceError):
                await inside.receive_some()

    trio.run(main)


@BOTH
def test_datagrams_reach_a_server_inside_and_its_answers_the_client(address: str) -> None:
    async def main() -> None:
        async with open_place() as place:
            server = await place.client.open_udp_socket(53)
            opened = place.outside.publish("0:53/udp", place.client)
            spec = next(each for each in opened if each.address == address)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            seen = set()
            with (
                trio.socket.socket(family, socket.SOCK_DGRAM) as one,
                trio.socket.socket(family, socket.SOCK_DGRAM) as other,
            ):
                for sock in (one, other):
                    await sock.connect((address, spec.port))
                for sock, data in ((one, b"1"), (other, b"2"), (one, b"3")):
                    await sock.send(data)
                    got, sender = await server.receive_from()
                    seen.add(sender)
                    await server.send_to(got * 2, sender)
                    assert await sock.recv(100) == data * 2
            assert len(seen) == 2
            assert place.count("publish_datagrams") == 3

    trio.run(main)


def test_ports_are_published_without_a_way_outside() -> None:
    async def main() -> None:
        async with pystack.Network(seed=7) as net, trio.open_nursery() as nursery:
            server, router, edge = net.host("server"), net.router("r1"), net.host("edge")
            net.link(server, router, delay="1ms")
            net.link(router, edge)
            await serve(server, nursery)
            [four, _] = await net.publish(edge, ["0:80"], to="server")
            stream = await trio.open_tcp_stream(four.address, four.port)
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
            await stream.aclose()
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    async def main() -> None:
        with socket.create_server((V4, 0)) as taken:
            port = taken.getsockname()[1]
            async with open_place() as place:
                with pytest.raises(DeviceError, match=f"127.0.0.1:{port} of this machine cannot"):
                    place.outside.publish(f"{V4}:{port}:80", place.client)
                with pytest.raises(DeviceError, match="cannot be published"):
                    place.outside.publish(f"192.0.2.1:{port}:80", place.client)
                with pytest.raises(ConfigError, match="not an IP address"):
                    place.outside.publish("0:80", "nobody")

    trio.run(main)


def test_ports_are_free_again_when_the_network_has_ended() -> None:
    async def main() -> None:
        async with open_place() as place:
            opened = place.outside.publish(["0:80", "0:53/udp"], place.client)
            assert len(opened) == 4
        for spec in opened:
            kind = socket.SOCK_DGRAM if spec.protocol == "udp" else socket.SOCK_STREAM
            family = socket.AF_INET6 if ":" in spec.address else socket.AF_INET
            with socket.socket(family, kind) as sock:
                sock.bind((spec.address, spec.port))

    trio.run(main)

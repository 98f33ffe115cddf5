"""Services in an emulated network: dates, loops, made-up senders, full houses."""

from functools import partial
from pathlib import Path

import pytest
import trio

import pystack
from pystack.apps.http import Request, Response, serve_connection
from pystack.apps.service import place_services
from pystack.apps.serving import serve
from pystack.core.addresses import UNSPECIFIED


async def start(host: pystack.Host, *words: str, max_connections: int = 1024) -> None:
    for placed in place_services(words):
        await host.start(
            partial(
                serve,
                host,
                placed.service,
                tcp_port=placed.tcp_port,
                udp_port=placed.udp_port,
                max_connections=max_connections,
            )
        )


def test_the_date_is_that_of_the_network() -> None:
    async def hello(request: Request) -> Response:
        return Response.text("hello")

    async def main() -> bytes:
        async with pystack.Network(seed=1) as net, trio.open_nursery() as nursery:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms")
            listeners = await server.open_tcp_listeners(80)
            handler = partial(serve_connection, handler=hello)
            nursery.start_soon(trio.serve_listeners, handler, listeners)
            await trio.sleep(86_400)
            stream = await client.open_tcp_stream("server", 80)
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n")
            received = await stream.receive_some()
            nursery.cancel_scope.cancel()
        return received

    received = pystack.run(main)
    assert b"Date: Fri, 02 Jan 2026 00:00:00 GMT\r\n" in received


PAIRS = [
    ("echo:7", "echo:7"),
    ("echo:7", "chargen:19"),
    ("echo:7000", "echo:7000"),
    ("echo:7000", "echo:8000"),
    ("echo:7000", "daytime:8000"),
    ("daytime:7000", "daytime:8000"),
    ("time:7000", "echo:8000"),
    ("chargen:7000", "echo:8000"),
]


@pytest.mark.parametrize(
    ("here", "there", "on_one_host"),
    [
        *((*pair, False) for pair in PAIRS),
        *((*pair, True) for pair in PAIRS if pair[0] != pair[1]),  # a host has each port but once
    ],
)
def test_two_services_that_are_set_upon_each_other_stop(
    here: str, there: str, *, on_one_host: bool
) -> None:
    ports = int(here.split(":")[1]), int(there.split(":")[1])

    async def main() -> int:
        async with pystack.Network(seed=1) as net:
            first, second = net.host("first"), net.host("second")
            net.link(first, second, delay="1ms")
            await start(first, here)
            other = first if on_one_host else second
            await start(other, there)
            # as a forger would: a datagram to the first that says it is from the second's service
            forged = other.stack.udp.bind(UNSPECIFIED, 0)
            forged.local_port = ports[1]
            forged.send_to(b"x" * 100, first.resolve(first.address), ports[0], net.now())
            await trio.sleep(60)
            return sum(host.counters["udp_datagrams_in"] for host in (first, second))

    assert 1 <= pystack.run(main) <= 4


def test_a_host_that_is_full_sheds_who_only_holds_on() -> None:
    async def main() -> tuple[bytes, int]:
        async with pystack.Network(seed=1) as net:
            crowd, client, server = (net.host(name) for name in ("crowd", "client", "server"))
            lan = net.switch("lan")
            for host in (crowd, client, server):
                net.link(host, lan)
            await start(server, "http", max_connections=20)
            streams = [await crowd.open_tcp_stream("server", 80) for _ in range(30)]
            head = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"
            for stream in streams:
                await stream.send_all(head)
            began = trio.current_time()
            stream = await client.open_tcp_stream("server", 80)
            await stream.send_all(b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n")
            status = (await stream.receive_some())[9:12]
            assert trio.current_time() - began < 30
            return status, server.counters["service_connections_shed"]

    status, shed = pystack.run(main)
    assert status == b"200"
    assert shed == 11


def test_a_service_is_served_on_a_host_by_its_name_and_words(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("a page")
    (tmp_path / ".hidden").write_text("hidden")

    async def main() -> list[int]:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server)
            await pystack.serve(server, "http:8080", root=tmp_path, dotfiles=True)
            await pystack.serve(server, "http", root=tmp_path)
            statuses = []
            for port, path in ((8080, "page.txt"), (8080, ".hidden"), (80, ".hidden")):
                async with await client.open_tcp_stream("server", port) as stream:
                    await stream.send_all(f"GET /{path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
                    statuses.append(int((await stream.receive_some()).split()[1]))
            with pytest.raises(OSError, match="TCP port 80 is taken on server"):
                await pystack.serve(server, "http")
            with pytest.raises(pystack.ConfigError, match="no service was named"):
                await pystack.serve(server)
            with pytest.raises(pystack.ConfigError, match="no word 'rot'; did you mean 'root'"):
                await pystack.serve(server, "http:81", rot="x")  # type: ignore[call-arg]
            return statuses

    assert pystack.run(main) == [200, 200, 404]

"""What must work with Trio alone: networks from Python and TOML, TCP and UDP, captures, services.

    python tests/programs/alone.py FOLDER

It writes its files there, and "all is well" at the end. `tests/programs/test_alone.py` runs it
where all else is taken away, scripts/lowest where nothing else was installed.
"""

import asyncio
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

import pystack
from pystack.apps import service
from pystack.apps.hosting import start_services
from pystack.observe.summary import summarize
from pystack.runtime.lab.lab import LabOptions, run_lab
from pystack.testing.packetdrill.runner import run_all
from pystack.testing.packetdrill.settings import Settings
from pystack.topology.file import load

LAB = """
seed = 7
subnet = "10.1.0.0/24"

[hosts.client]
[hosts.server]
serve = ["echo", "discard", "daytime", "chargen"]
[switches.middle]

[[hosts.client.programs]]
run = "alone_programs:ask"

[[links]]
between = ["client", "middle"]
preset = "dsl"
qdisc = "fq_codel"

[[links]]
between = ["middle", "server"]
delay = "5ms"
loss = "1%"

[[timeline]]
at = "10s"
link = ["middle", "server"]
set = { delay = "50ms" }
"""
PROGRAMS = """
import trio

async def ask(host):
    async with await host.open_tcp_stream("server", 7) as stream:
        await stream.send_all(b"through a lab")
        assert await stream.receive_some() == b"through a lab"
    await host.ping("server")
"""


SCRIPT = """
   0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
  +0    bind(3, ..., ...) = 0
  +0    listen(3, 1) = 0
  +0    < S 0:0(0) win 65535 <mss 1000>
  +0    > S. 0:0(0) ack 1 <mss 1460>
  +.1   < . 1:1(0) ack 1 win 65535
  +0    accept(3, ..., ...) = 4
  +0    close(4) = 0
  +0    > F. 1:1(0) ack 1
"""
# A DHCPDISCOVER from port 68 to port 67, of which only the ports matter here
DHCP = bytes.fromhex(
    "ffffffffffff0200000000010800 4500002400000000401100000a0000010a000002 0044004300100000"
) + bytes(8)


async def echo(stream: trio.SocketStream) -> None:
    """Send back what comes."""
    async for data in stream:
        await stream.send_all(data)


async def ask() -> None:
    """Use what Trio has for networks."""
    async with await trio.open_tcp_stream("server", 80) as stream:
        await stream.send_all(b"by TCP")
        assert await stream.receive_some() == b"by TCP"
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as one:
        await one.sendto(b"by UDP", ("10.0.0.9", 7))
        assert await one.recv(100) == b"by UDP"


def network(folder: Path) -> Callable[[], Awaitable[None]]:
    """Two hosts that hear each other badly, and all that can be seen of it."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server", address="10.0.0.9/24")
            link = net.link(client, server, delay="1ms", loss="1%", rate="10mbit", qdisc="codel")
            net.capture(folder / "run.pcap")
            lines: list[str] = []
            net.observe("log packets", say=lines.append)
            net.observe("ladder", say=lines.append)
            await server.start(trio.serve_tcp, echo, 80)
            await pystack.serve(server, "echo", "discard", "daytime", "iperf3")
            await client.run(ask)
            link.set(delay="2ms")
            assert 0.004 <= await client.ping("server", timeout_s=9) < 9
        assert len(lines) > 30

    return main


async def kinds() -> None:
    """A server in asyncio, and a client that blocks."""

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    async def serve() -> None:
        await (await asyncio.start_server(shout, port=7)).serve_forever()

    def ask() -> bytes:
        with socket.create_connection(("server", 7), timeout=5) as connection:
            connection.sendall(b"hello\n")
            return connection.recv(100)

    async with pystack.Network(seed=1) as net:
        client, server = net.host("client"), net.host("server")
        net.link(client, server, delay="10ms")
        await server.start_asyncio(serve, port=7)
        assert await client.run_sync(ask) == b"HELLO\n"


def lab(folder: Path) -> None:
    """A lab from its file."""
    (folder / "lab.toml").write_text(LAB)
    (folder / "alone_programs.py").write_text(PROGRAMS)
    lines: list[str] = []
    options = LabOptions(
        virtual=True, observe=(f"pcap file {shlex.quote(str(folder / 'lab.pcap'))}",)
    )
    run_lab(load(folder / "lab.toml"), options, start_services, lines.append)
    assert lines[0].startswith("ready: "), lines


def script(folder: Path) -> None:
    """A script of packetdrill."""
    (folder / "close.pkt").write_text(SCRIPT)
    lines: list[str] = []
    assert run_all([folder / "close.pkt"], Settings(), lines.append), lines


def missing() -> None:
    """What is not here says which extra brings it."""
    for name in ("http", "https", "dns", "asgi"):
        try:
            service.BUILT_IN[name](service.ServiceOptions())
        except pystack.ConfigError as error:
            print(error)
    try:
        from pystack.apps import http

        http.serve_connection  # noqa: B018
    except pystack.ConfigError as error:
        print(error)
    print(summarize(DHCP))


def main(folder: Path) -> None:
    """Run it all."""
    for name in pystack.__all__:
        assert getattr(pystack, name) is not None
    pystack.run(network(folder))
    trio.run(network(folder))
    pystack.run(kinds)
    lab(folder)
    script(folder)
    missing()
    for name in ("run.pcap", "lab.pcap"):
        assert (folder / name).stat().st_size > 500, name
    print("all is well")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

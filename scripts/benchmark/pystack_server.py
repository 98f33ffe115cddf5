"""The servers on pystack: a host on a TAP, and programs as a user would write them.

    python -m benchmark.pystack_server NUMBER offload|no-offload [captured]

`captured`: all frames are written to a ring of files.
Says `ready` and serves until its standard input ends.
"""

import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

import pystack
from benchmark import ports
from pystack.apps.options import ServiceOptions
from pystack.apps.service import BUILT_IN, place_services
from pystack.apps.serving import serve_placed

Handler = Callable[[pystack.TcpStream], Awaitable[None]]


async def echo(stream: pystack.TcpStream) -> None:
    """Send back what comes."""
    while data := await stream.receive_some():
        await stream.send_all(data)


async def sink(stream: pystack.TcpStream) -> None:
    """Throw away what comes."""
    while await stream.receive_some():
        pass


async def source(stream: pystack.TcpStream) -> None:
    """Send for as long as somebody takes it."""
    chunk = bytes(ports.CHUNK_BYTES)
    while True:
        await stream.send_all(chunk)


async def fixed(stream: pystack.TcpStream) -> None:
    """Answer everything with the same bytes."""
    while await stream.receive_some():
        await stream.send_all(ports.FIXED_ANSWER)


async def converse(handle: Handler, stream: pystack.TcpStream) -> None:
    """Handle one connection; that a client goes away is nothing special."""
    try:
        async with stream:
            await handle(stream)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def tcp(host: pystack.Host, port: int, handle: Handler) -> None:
    """Serve on a port, with a task for each connection."""
    (listener,) = await host.open_tcp_listeners(port, backlog=1024)
    async with trio.open_nursery() as nursery:
        while True:
            nursery.start_soon(converse, handle, await listener.accept())


async def held(host: pystack.Host) -> None:
    """Accept and keep, without a task."""
    (listener,) = await host.open_tcp_listeners(ports.HELD, backlog=1024)
    kept = []
    while True:
        kept.append(await listener.accept())


async def datagrams(host: pystack.Host) -> None:
    """Send back what comes."""
    socket = await host.open_udp_socket(ports.ECHO)
    while True:
        socket.send_to_nowait(*await socket.receive_from())
        for _ in range(32):  # then let others run
            datagram = socket.receive_from_nowait()
            if datagram is None:
                break
            socket.send_to_nowait(*datagram)


async def main(number: str, offload: str, captured: str = "") -> None:
    """Serve until the standard input ends."""
    config = pystack.TapHostConfig(
        ports.interface(number),
        address=ports.far(number),
        host_address=ports.near(number),
        seed=1,
        offload=offload == "offload",
    )
    async with pystack.tap_host(config) as host, trio.open_nursery() as nursery:
        for port, handle in HANDLERS.items():
            nursery.start_soon(tcp, host, port, handle)
        nursery.start_soon(held, host)
        nursery.start_soon(datagrams, host)
        with tempfile.TemporaryDirectory() as folder:
            if captured:
                host.capture(Path(folder) / "run.pcapng", ring="64mb")
            for place in place_services(SERVICES, options(Path(folder), host)):
                await nursery.start(serve_placed, host, place)
            print("ready", flush=True)
            await trio.lowlevel.wait_readable(sys.stdin)
        nursery.cancel_scope.cancel()


def options(root: Path, host: pystack.Host) -> ServiceOptions:
    """Return what the services are told."""
    ports.lay_out(root)
    return ServiceOptions(
        root=root,
        host_name="bench.test",
        addresses=host.addresses,
        mail_for=("*",),
        records=(f"{ports.NAME} 300 A 10.0.0.1",),
    )


HANDLERS: Final = {
    ports.ECHO: echo,
    ports.SINK: sink,
    ports.SOURCE: source,
    ports.FIXED: fixed,
    ports.WAITED: sink,
}

SERVICES: Final = (
    f"http:{ports.HTTP}",
    f"echo:{ports.SERVICE}",
    "iperf3",
    *(name for name in ("https", "ftp", "smtp", "dns") if name in BUILT_IN),
)

if __name__ == "__main__":
    logging.getLogger("pystack").setLevel(logging.ERROR)  # the table is all that is to be read
    trio.run(main, *sys.argv[1:])

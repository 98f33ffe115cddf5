"""Shells, remote procedures, QUIC, names, machines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import trio
from probe import OUTAGE_S, Probe, Way, fails
from servers import program
from servers.certificates import authority_file, certificate_files

import pystack

if TYPE_CHECKING:
    from asyncssh import SSHServerProcess

PATIENCE_S: Final = 3.0


async def asyncssh_server() -> None:
    import asyncssh

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return username == "ann"  # who else comes needs none

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return True

    async def answer(process: SSHServerProcess[str]) -> None:
        process.stdout.write(f"you said {process.command}\n")
        process.exit(0)

    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(
        Server, "", 22, server_host_keys=[key], process_factory=answer
    )
    await server.wait_closed()


async def asyncssh_asked() -> None:
    import asyncssh

    words: dict[str, Any] = {"known_hosts": None, "client_keys": None, "config": None}
    connection = await asyncssh.connect("ssh", username="bob", **words)
    assert (await connection.run("ls")).stdout == "you said ls\n"
    await asyncio.sleep(OUTAGE_S)
    with fails(TimeoutError):
        await asyncio.wait_for(connection.run("ls"), PATIENCE_S)
    connection.abort()


def paramiko_asked() -> None:
    import paramiko

    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        words: dict[str, Any] = {"allow_agent": False, "look_for_keys": False}
        client.connect("ssh", username="ann", password="x", timeout=PATIENCE_S, **words)
        _, out, _ = client.exec_command("ls", timeout=PATIENCE_S)
        assert out.read() == b"you said ls\n"
        time.sleep(OUTAGE_S)
        with fails(TimeoutError, paramiko.SSHException):
            client.exec_command("ls", timeout=PATIENCE_S)


async def grpclib_server() -> None:
    from grpclib.health.service import Health
    from grpclib.server import Server

    server = Server([Health()])
    await server.start("0.0.0.0", 50051)
    await server.wait_closed()


async def grpclib_asked() -> None:
    from grpclib.client import Channel
    from grpclib.health.v1.health_grpc import HealthStub
    from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

    async with Channel("grpc", 50051) as channel:
        stub = HealthStub(channel)
        answer = await stub.Check(HealthCheckRequest())
        assert answer.status == HealthCheckResponse.SERVING
        await asyncio.sleep(OUTAGE_S)
        with fails(TimeoutError):
            await stub.Check(HealthCheckRequest(), timeout=PATIENCE_S)


async def aioquic_server() -> None:
    from aioquic.asyncio import serve
    from aioquic.quic.configuration import QuicConfiguration

    configuration = QuicConfiguration(is_client=False, alpn_protocols=["upper"])
    configuration.load_cert_chain(*certificate_files("quic"))
    tasks = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.write_eof()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(answer(reader, writer))
        tasks.add(task)

    server = await serve("0.0.0.0", 4433, configuration=configuration, stream_handler=accepted)
    try:
        await asyncio.Event().wait()
    finally:
        server.close()


async def aioquic_asked() -> None:
    from aioquic.asyncio import connect
    from aioquic.quic.configuration import QuicConfiguration

    configuration = QuicConfiguration(is_client=True, alpn_protocols=["upper"], idle_timeout=5.0)
    configuration.load_verify_locations(authority_file())
    async with connect("quic", 4433, configuration=configuration) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"HELLO"
        await asyncio.sleep(OUTAGE_S)
        with fails(TimeoutError, ConnectionError):
            await asyncio.wait_for(connection.ping(), PATIENCE_S)


async def pymodbus_server() -> None:
    from pymodbus.server import StartAsyncTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    registers = SimData(0, count=100, values=17, datatype=DataType.REGISTERS)
    await StartAsyncTcpServer(SimDevice(1, [registers]), address=("0.0.0.0", 502))


async def pymodbus_asked() -> None:
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.exceptions import ModbusException

    client = AsyncModbusTcpClient("plc", timeout=PATIENCE_S, retries=0)
    assert await client.connect()
    assert (await client.read_holding_registers(1, count=2)).registers == [17, 17]
    await asyncio.sleep(OUTAGE_S)
    with fails(ModbusException):
        await client.read_holding_registers(1, count=2)
    client.close()


def pymodbus_blocking() -> None:
    from pymodbus.client import ModbusTcpClient
    from pymodbus.exceptions import ModbusException

    with ModbusTcpClient("plc", timeout=PATIENCE_S, retries=0) as client:
        assert client.read_holding_registers(1, count=2).registers == [17, 17]
        time.sleep(OUTAGE_S)
        with fails(ModbusException):
            client.read_holding_registers(1, count=2)


async def dnspython_on_trio() -> None:
    address = (await trio.socket.getaddrinfo("names", 53))[0][4][0]
    await _dnspython("trio", address, trio.sleep)


async def dnspython_on_asyncio() -> None:
    found = await asyncio.get_running_loop().getaddrinfo("names", 53)
    await _dnspython("asyncio", found[0][4][0], asyncio.sleep)


async def _dnspython(
    name: str, address: str, sleep: Callable[[float], Coroutine[Any, Any, None]]
) -> None:
    from dns.asyncbackend import get_backend
    from dns.asyncresolver import Resolver
    from dns.resolver import LifetimeTimeout

    backend = get_backend(name)  # the default is that of the first who asked in this process
    resolver = Resolver(configure=False)
    resolver.nameservers, resolver.lifetime = [address], PATIENCE_S
    assert [each.to_text() for each in await resolver.resolve("names", backend=backend)]
    await sleep(OUTAGE_S)
    with fails(LifetimeTimeout):
        await resolver.resolve("names", backend=backend)


def dnspython_blocking() -> None:
    import socket

    from dns.resolver import LifetimeTimeout, Resolver

    resolver = Resolver(configure=False)
    resolver.nameservers = [socket.gethostbyname("names")]
    resolver.lifetime = PATIENCE_S
    assert [answer.to_text() for answer in resolver.resolve("names", "A")]
    time.sleep(OUTAGE_S)
    with fails(LifetimeTimeout):
        resolver.resolve("names", "A")


async def _serve_names(host: pystack.Host) -> None:
    await pystack.serve(host, "dns", records=("names A 192.0.2.1",))


def _itself(main: program.Main, name: str) -> dict[str, program.Serve]:
    return {name: program.on_asyncio(main)}


_NAMES: Final = {"names": _serve_names}
_DNS: Final = "pystack's name server"
_SSH: Final = _itself(asyncssh_server, "ssh")
_PLC: Final = _itself(pymodbus_server, "plc")
_OWN: Final = "itself"
_BACKEND: Final = "`backend=` where one process uses it on Trio and on asyncio"

PROBES: Final = (
    Probe("asyncssh", "asyncssh", Way.ASYNCIO, asyncssh_asked, _SSH, _OWN),
    Probe("Paramiko", "paramiko", Way.BLOCKING, paramiko_asked, _SSH, "asyncssh"),
    Probe(
        "grpclib",
        "grpclib",
        Way.ASYNCIO,
        grpclib_asked,
        _itself(grpclib_server, "grpc"),
        _OWN,
        needs=("protobuf",),
    ),
    Probe("aioquic", "aioquic", Way.ASYNCIO, aioquic_asked, _itself(aioquic_server, "quic"), _OWN),
    Probe("pymodbus", "pymodbus", Way.ASYNCIO, pymodbus_asked, _PLC, _OWN),
    Probe("pymodbus", "pymodbus", Way.BLOCKING, pymodbus_blocking, _PLC, _OWN),
    Probe("dnspython", "dnspython", Way.TRIO, dnspython_on_trio, _NAMES, _DNS, takes=_BACKEND),
    Probe(
        "dnspython", "dnspython", Way.ASYNCIO, dnspython_on_asyncio, _NAMES, _DNS, takes=_BACKEND
    ),
    Probe("dnspython", "dnspython", Way.BLOCKING, dnspython_blocking, _NAMES, _DNS),
)

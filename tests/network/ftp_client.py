"""A small FTP client on Trio, for tests: it does what it is told, right or wrong."""

import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

import pystack
from pystack.apps.hosting import serve
from pystack.runtime.tcp_listener import TcpListener

BIG = bytes(range(251)) * 4000  # a million bytes


@dataclass
class Answer:
    """A reply."""

    code: int
    lines: list[bytes]

    @property
    def text(self) -> str:
        return b"\n".join(self.lines).decode("utf-8", "surrogateescape")


class Control:
    """A control connection."""

    def __init__(self, host: pystack.Host, stream: trio.abc.HalfCloseableStream) -> None:
        self.host = host
        self.stream = stream
        self._received = bytearray()

    async def line(self) -> bytes:
        """Return a line as it came, without its end. EOFError at the end of data."""
        while (end := self._received.find(b"\r\n")) < 0:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError(bytes(self._received))
            self._received += data
        line = bytes(self._received[:end])
        del self._received[: end + 2]
        assert b"\n" not in line
        return line

    async def answer(self) -> Answer:
        """Return the next reply, of one line or several."""
        lines = [await self.line()]
        assert re.match(rb"[1-5][0-9][0-9][ -]", lines[0]), lines[0]
        if lines[0][3:4] == b"-":
            end = lines[0][:3] + b" "
            while not lines[-1].startswith(end) or len(lines) == 1:
                lines.append(await self.line())
        return Answer(int(lines[0][:3]), lines)

    async def send(self, *commands: str | bytes) -> None:
        data = [each.encode() if isinstance(each, str) else each for each in commands]
        await self.stream.send_all(b"".join(each + b"\r\n" for each in data))

    async def do(self, command: str | bytes) -> Answer:
        await self.send(command)
        return await self.answer()

    async def code(self, command: str | bytes) -> int:
        return (await self.do(command)).code

    async def login(self, user: str = "anonymous", password: str = "me@") -> None:
        assert (await self.answer()).code == 220
        assert await self.code(f"USER {user}") == 331
        assert await self.code(f"PASS {password}") == 230
        assert await self.code("TYPE I") == 200

    # data connections

    async def passive(self) -> trio.abc.HalfCloseableStream:
        said = await self.do("EPSV")
        found = re.search(r"\(\|\|\|([0-9]+)\|\)", said.text)
        assert found, said
        return await self.host.open_tcp_stream("server", int(found[1]))

    async def listen(self) -> TcpListener:
        (listener,) = await self.host.open_tcp_listeners(0)
        port = listener.address[1]
        said = await self.do(f"PORT {self.host.address.replace('.', ',')},{port >> 8},{port & 255}")
        assert said.code == 200, said
        return listener

    async def opened(
        self, command: str | bytes, *, active: bool
    ) -> tuple[trio.abc.HalfCloseableStream, Answer]:
        """Do a command that moves something; return the data connection, and what it says of it."""
        if active:
            listener = await self.listen()
            await self.send(command)
            data = await listener.accept()
            listener.close()
        else:
            data = await self.passive()
            await self.send(command)
        opening = await self.answer()
        assert opening.code == 150, opening
        return data, opening

    async def get(self, command: str | bytes, *, active: bool = False) -> bytes:
        """Do a command that sends something; return what."""
        data, _ = await self.opened(command, active=active)
        received = await drain(data)
        await data.aclose()
        said = await self.answer()
        assert said.code == 226, said
        return received

    async def put(self, command: str | bytes, content: bytes, *, active: bool = False) -> Answer:
        """Do a command that takes something; return what it says at first."""
        data, opening = await self.opened(command, active=active)
        await data.send_all(content)
        await data.aclose()
        said = await self.answer()
        assert said.code == 226, said
        return opening


async def drain(data: trio.abc.ReceiveStream) -> bytes:
    """Receive up to the end."""
    received = bytearray()
    while part := await data.receive_some():
        received += part
    return bytes(received)


async def all_codes(control: Control) -> list[int]:
    """Return those of the replies up to the end."""
    codes = []
    with suppress(EOFError):
        while True:
            codes.append((await control.answer()).code)
    return codes


def open_below(folder: Path) -> list[str]:
    """Return what is open there."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return [each for each in found if each.startswith(str(folder))]


Talk = Callable[[Control], Awaitable[None]]


def run(
    root: Path,
    talk: Talk,
    *,
    login: bool = True,
    link: dict[str, str] | None = None,
    **words: object,
) -> pystack.Host:
    """Have a client talk to a server; return the server's host."""
    hosts = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, **(link or {"delay": "5ms"}))  # type: ignore[arg-type]
            hosts.append(server)
            await serve(server, "ftp", root=root, **words)  # type: ignore[misc]
            control = Control(client, await client.open_tcp_stream("server", 21))
            with trio.fail_after(3600):
                if login:
                    await control.login()
                await talk(control)

    pystack.run(main)
    return hosts[0]

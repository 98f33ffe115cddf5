"""FTP in TLS (RFC 4217), over an emulated network."""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from ftp_client import BIG, Control, drain

import pystack
from pystack.apps.hosting import serve
from pystack.apps.tls import tls_client

Talk = Callable[["SecretControl"], Awaitable[None]]


class SecretControl(Control):
    """Begins TLS when it is told; then its data connections are in TLS too."""

    context: ssl.SSLContext
    protects_data = False

    async def begin_tls(self) -> None:
        assert (await self.do("AUTH TLS")).code == 234
        self.stream = await tls_client(self.stream, self.context, "server")

    async def protect(self) -> None:
        assert (await self.do("PBSZ 0")).text == "200 PBSZ=0"
        assert await self.code("PROT P") == 200
        self.protects_data = True

    async def log_in(self) -> None:
        """Begin TLS, for data too, and be somebody."""
        await self.begin_tls()
        await self.code("USER anonymous")
        await self.code("PASS x")
        await self.code("TYPE I")
        await self.protect()

    async def secret(self, data: trio.abc.HalfCloseableStream) -> trio.abc.HalfCloseableStream:
        return await tls_client(data, self.context, "server")


def run(root: Path, talk: Talk, **words: object) -> pystack.Host:
    hosts = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="5ms")
            hosts.append(server)
            ca = root.parent / "ca.pem"
            await serve(server, "ftp", root=root, writable=True, ca=ca, **words)  # type: ignore[misc]
            control = SecretControl(client, await client.open_tcp_stream("server", 21))
            control.context = ssl.create_default_context(cafile=ca)
            with trio.fail_after(3600):
                assert (await control.answer()).code == 220
                await talk(control)

    pystack.run(main)
    return hosts[0]


async def transfer(control: SecretControl, command: str, content: bytes | None) -> bytes:
    """Do it with the data connection in TLS; return what came."""
    raw = await control.passive()
    await control.send(command)
    assert (await control.answer()).code == 150
    data = await control.secret(raw)
    received = bytearray()
    if content is not None:
        await data.send_all(content)
    else:
        while part := await data.receive_some():
            received += part
    await data.aclose()
    assert (await control.answer()).code == 226
    return bytes(received)


def test_everything_in_tls(root: Path) -> None:
    async def talk(control: SecretControl) -> None:
        await control.begin_tls()
        assert await control.code("USER anonymous") == 331
        assert await control.code("PASS x") == 230
        await control.code("TYPE I")
        await control.protect()
        assert await transfer(control, "RETR big", None) == BIG
        await transfer(control, "STOR up", BIG)
        assert (root / "up").read_bytes() == BIG
        assert b"hello" in await transfer(control, "MLSD", None)
        assert "data in TLS" in (await control.do("STAT")).text
        assert await control.code("PROT C") == 200
        assert await control.get("RETR hello") == b"hello\n"

    run(root, talk)


def test_what_the_commands_of_tls_are_answered(root: Path) -> None:
    said = [
        ("PBSZ x", 501),
        ("PROT P", 503),  # PBSZ has to come first
        ("PBSZ 0", 200),
        ("PROT S", 536),
        ("PROT E", 536),
        ("PROT X", 504),
        ("PROT C", 200),
        ("AUTH TLS", 503),
        ("CCC", 534),
        ("PWD", 530),
    ]

    async def talk(control: SecretControl) -> None:
        assert await control.code("PROT P") == 503
        await control.code("USER anonymous")
        await control.code("PASS x")
        await control.begin_tls()  # which forgets who it was
        assert [(command, await control.code(command)) for command, _ in said] == said

    run(root, talk)


def test_what_was_said_in_clear_is_not_taken_for_secret(root: Path) -> None:
    async def talk(control: SecretControl) -> None:
        await control.send("AUTH TLS", "USER anonymous")
        assert (await control.answer()).code == 234
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await control.answer()

    assert run(root, talk).counters["tls_clear_text_injected"] == 1


@pytest.mark.parametrize("how", ["clear text", "nothing", "cut"])
def test_a_data_connection_without_tls_is_refused(root: Path, how: str) -> None:
    async def talk(control: SecretControl) -> None:
        await control.begin_tls()
        await control.code("USER anonymous")
        await control.code("PASS x")
        await control.protect()
        data = await control.passive()
        await control.send("STOR up")
        await control.answer()
        if how == "clear text":
            await data.send_all(b"in clear")
        elif how == "cut":
            secret = await control.secret(data)
            await secret.send_all(b"half")
            await data.send_eof()  # without a close_notify: who ended it?
        code = (await control.answer()).code
        assert code == (426 if how == "cut" else 522)
        assert (root / "up").read_bytes() == (b"half" if how == "cut" else b"")
        assert await control.code("NOOP") == 200

    run(root, talk)


def test_a_transfer_in_tls_is_aborted_and_the_session_goes_on(root: Path) -> None:
    (root / "huge").write_bytes(BIG * 15)

    async def talk(control: SecretControl) -> None:
        await control.log_in()
        for _ in range(2):
            raw = await control.passive()
            await control.send("RETR huge")
            await control.answer()
            data = await control.secret(raw)
            await data.receive_some()
            assert await control.code("NOOP") == 200
            await control.send("ABOR")
            assert [(await control.answer()).code for _ in range(2)] == [426, 226]
            with pytest.raises(trio.BrokenResourceError):
                await drain(data)
        assert await transfer(control, "RETR hello", None) == b"hello\n"

    run(root, talk)

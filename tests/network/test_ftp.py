"""The service `ftp` in an emulated network: what it answers, and what becomes of the files."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from ftp_client import Control

import pystack
from pystack.apps.hosting import serve

BIG = bytes(range(251)) * 4000  # a million bytes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "hello").write_bytes(b"hello\n")
    (root / "big").write_bytes(BIG)
    (root / ".hidden").write_bytes(b"hidden")
    (root / "out").symlink_to("/etc/passwd")
    (tmp_path / "secret").write_text("secret")
    return root


Talk = Callable[[Control], Awaitable[None]]


def run(root: Path, talk: Talk, *, login: bool = True, **words: object) -> pystack.TrioHost:
    """Have a client talk to a server; return the server's host."""
    hosts = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="5ms")
            hosts.append(server)
            await serve(server, "ftp", root=root, **words)  # type: ignore[misc]
            control = Control(client, await client.open_tcp_stream("server", 21))
            with trio.fail_after(3600):
                if login:
                    await control.login()
                await talk(control)

    pystack.run(main)
    return hosts[0]


def test_files_come_and_go(root: Path) -> None:
    async def talk(control: Control) -> None:
        for active in (False, True):
            assert await control.get("RETR big", active=active) == BIG
            await control.put("STOR sub/new", BIG, active=active)
            assert (root / "sub" / "new").read_bytes() == BIG
            await control.put("STOR sub/new", b"short", active=active)
            assert (root / "sub" / "new").read_bytes() == b"short"
        assert await control.code("DELE sub/new") == 250
        assert not (root / "sub" / "new").exists()
        assert await control.code("QUIT") == 221
        with pytest.raises(EOFError):
            await control.line()

    run(root, talk, writable=True)

"""TLS of programs on hosts in virtual time: the same bytes for the same seed."""

import hashlib
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trustme

import pystack
from pystack.observe.passage import Passage
from pystack.runtime.borrowed import openssl

NEEDS_ITS_OPENSSL = pytest.mark.skipif(bool(openssl.why_not()), reason=openssl.why_not())


class Hashed:
    """A digest of all frames."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()

    def on_event(self, event: object) -> None:
        pass

    def on_passage(self, passage: Passage) -> None:
        self.sha.update(repr(passage.entered_at).encode() + passage.frame.data)


def certify(folder: Path) -> None:
    """Make keys: other ones in each run, since `cryptography` draws from the machine."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.issue_cert("server").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    certify(folder)
    return folder


async def serve(folder: Path, task_status: trio.TaskStatus[object]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")

    async def echo(stream: trio.SSLStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send_all(data)

    await trio.serve_ssl_over_tcp(echo, 443, context, task_status=task_status)


async def ask(folder: Path, version: ssl.TLSVersion | None = None, times: int = 1) -> list[bool]:
    """Return of each connection whether it resumes the session of the one before."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if version is not None:
        context.maximum_version = version
    resumed: list[bool] = []
    session: ssl.SSLSession | None = None
    for _ in range(times):
        stream = await trio.open_ssl_over_tcp_stream("server", 443, ssl_context=context)
        if session is not None:
            stream._ssl_object.session = session
        async with stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
            resumed.append(stream._ssl_object.session_reused)
            session = stream._ssl_object.session
    return resumed


def run(
    folder: Path, seed: int = 3, epoch: str = "2026-01-01T00:00:00Z", **words: object
) -> tuple[str, list[bool]]:
    """Return a digest of all frames, and what `ask` returns."""

    async def main() -> tuple[str, list[bool]]:
        async with pystack.Network(seed=seed, epoch=epoch) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="1ms")
            net.observe(hashed := Hashed())
            await server.start(serve, folder)

            async def ask_so() -> list[bool]:
                return await ask(folder, **words)

            resumed = await client.run(ask_so)
        return hashed.sha.hexdigest(), resumed

    return pystack.run(main)


@NEEDS_ITS_OPENSSL
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_same_seed_gives_the_same_bytes_tickets_included(
    folder: Path, version: ssl.TLSVersion
) -> None:
    first = run(folder, version=version)
    ssl.RAND_bytes(5)
    assert run(folder, version=version) == first
    assert run(folder, version=version, seed=4) != first


@NEEDS_ITS_OPENSSL
def test_another_process_has_the_same_bytes(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(folder)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [run(folder)[0]]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(folder: Path, version: ssl.TLSVersion) -> None:
    assert run(folder, version=version, times=3)[1] == [False, True, True]


def test_on_no_host_openssl_draws_from_the_machine() -> None:
    async def main() -> list[bytes]:
        async with pystack.Network(seed=3) as net:
            net.host("a")
            drawn.append(ssl.RAND_bytes(8))
            in_thread = await trio.to_thread.run_sync(ssl.RAND_bytes, 8)
            return [in_thread, ssl.RAND_bytes(8)]

    drawn: list[bytes] = [ssl.RAND_bytes(8)]
    for _ in range(2):
        drawn += pystack.run(main)
    drawn.append(ssl.RAND_bytes(8))
    assert len(set(drawn)) == 8
    assert ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).options & ssl.OP_NO_TICKET == 0


def test_a_child_process_that_is_forked_on_a_host_goes_on() -> None:
    """It has a copy of all, and the process ends well with all still lent."""
    text = """
import os, ssl
import pystack
async def program():
    child = os.fork()
    if not child:
        ssl.RAND_bytes(8)
        os._exit(len(os.urandom(3)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
async def main():
    async with pystack.Network(seed=3) as net:
        print(await net.host("a").run(program))
        raise SystemExit(7)  # with all still lent
pystack.run(main)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (7, ["3"], "")


def test_certificates_are_judged_by_the_machines_time(folder: Path) -> None:
    """OpenSSL asks the system for the time: ours, of 1980, would be before all of them."""
    assert run(folder, epoch="1980-01-01T00:00:00Z")[1] == [False]


if __name__ == "__main__":
    print(run(Path(sys.argv[1]))[0])

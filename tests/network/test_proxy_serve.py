"""What serves proxies: signals are heard at once, and files are read one time after the other."""

from __future__ import annotations

import logging
import signal
import socket
from pathlib import Path

import pytest
import trio
from proxy_rig import free_port, in_trio, until

from pystack.apps.proxy import serve as serving
from pystack.apps.proxy.file import ProxyFile
from pystack.apps.proxy.model import ProxySpec
from pystack.apps.proxy.serve import ProxyOptions, Ready, serve
from pystack.core.errors import DeviceError


class Silent(trio.abc.HostnameResolver):
    """Is asked, and does not answer."""

    def __init__(self) -> None:
        self.asked = 0

    async def getaddrinfo(  # type: ignore[override]
        self, *others: object
    ) -> list[tuple[object, object, int, str, object]]:
        self.asked += 1
        await trio.sleep_forever()
        raise AssertionError

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise NotImplementedError


def nothing(_ready: Ready) -> None:
    """Do not care that all is ready."""


def test_a_signal_is_heard_while_a_name_is_looked_up_at_the_beginning() -> None:
    async def main() -> None:
        names = Silent()
        trio.socket.set_custom_hostname_resolver(names)
        spec = ProxySpec(name="p", upstream="127.0.0.1:1", listen="slow.test:0")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, ProxyOptions(specs=(spec,)), nothing)
            await until(lambda: names.asked)
            signal.raise_signal(signal.SIGTERM)

    in_trio(main)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_a_signal_is_heard_while_a_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "proxies.toml"
    path.write_text('[proxies.p]\nupstream = "127.0.0.1:1"\n')

    async def main() -> None:
        names = Silent()
        trio.socket.set_custom_hostname_resolver(names)

        def ready(_ready: Ready) -> None:
            path.write_text('[proxies.p]\nupstream = "127.0.0.1:1"\nlisten = "slow.test:0"\n')
            signal.raise_signal(signal.SIGHUP)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, ProxyOptions(file=ProxyFile(path)), ready)
            await until(lambda: names.asked)
            for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
                signal.raise_signal(number)
        assert names.asked == 1

    in_trio(main)


def test_what_changes_while_proxies_begin_is_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(serving, "_WATCH_S", 0.001)
    path = tmp_path / "proxies.toml"
    ports = free_port(), free_port()
    texts = [
        f'[proxies.p]\nupstream = "127.0.0.1:1"\nlisten = "127.0.0.1:{port}"' for port in ports
    ]
    path.write_text(texts[0])
    file = ProxyFile(path)
    path.write_text(f"{texts[1]}\n")  # of another size: it may be the same instant

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, ProxyOptions(file=file), nothing)
            await until(lambda: caplog.messages == [f"{path} was read again"])
            await until(lambda: is_open(ports[1]))
            assert not is_open(ports[0])
            signal.raise_signal(signal.SIGTERM)

    in_trio(main)


def test_why_an_upstream_is_not_reached_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:  # bound, and does not listen
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
        spec = ProxySpec(name="p", upstream=place, listen="127.0.0.1:0")
        begun: list[Ready] = []

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve, ProxyOptions(specs=(spec,)), begun.append)
                await until(lambda: begun)
                host, port = begun[0].proxies[0].listen.split(":")
                for _ in range(3):
                    # By the kernel: the reset could come before Trio knows that it is connected.
                    with socket.create_connection((host, int(port))) as sock:
                        sock.setblocking(False)
                        await trio.lowlevel.wait_readable(sock)
                        with pytest.raises(ConnectionResetError):
                            sock.recv(1)
                signal.raise_signal(signal.SIGTERM)

        in_trio(main)
    assert caplog.messages == [f"p: upstream {place}: connection refused"]


def test_a_place_that_is_taken_is_told_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        options = ProxyOptions(specs=(ProxySpec(name="p", upstream="127.0.0.1:1", listen=place),))
        with pytest.raises(DeviceError) as raised:
            trio.run(serve, options, nothing)
    assert str(raised.value) == f"listen tcp {place}: bind: address already in use"


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0

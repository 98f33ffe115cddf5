"""Which congestion control a connection has: its own, its host's, its lab's, or the default."""

import subprocess
import sys

import pytest
import trio

import pystack
from pystack.core.errors import ConfigError
from pystack.runtime.device.tap_config import TapHostConfig
from pystack.tcp.config import TcpConfig
from pystack.tcp.congestion.registry import BUILT_IN
from pystack.topology.building import build
from pystack.topology.file import parse

LAB = """\
[hosts.client]
congestion = "newreno"
[routers.middle]
congestion = "fixed:20"
[hosts.server]
[[links]]
between = ["client", "middle"]
[[links]]
between = ["middle", "server"]
"""


@pytest.mark.parametrize("name", [*BUILT_IN, "fixed:7"])
def test_a_connection_has_the_control_that_it_asks_for(name: str) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client", congestion="newreno"), net.host("server")
            net.link(client, server, delay="10ms")
            (listener,) = await server.open_tcp_listeners(80)
            own = await client.open_tcp_stream("server", 80, congestion=name)
            hosts = await client.open_tcp_stream("server", 80)
            accepted = await listener.accept()
            assert own.info().congestion == name.partition(":")[0]
            assert hosts.info().congestion == "newreno"
            assert accepted.info().congestion == "cubic"
            await own.send_all(bytes(200_000))
            await own.send_eof()
            with trio.fail_after(60):
                got = 0
                while data := await accepted.receive_some():
                    got += len(data)
            assert got == 200_000

    pystack.run(main)


def test_a_router_has_one_too_and_keeps_it_without_power() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            router = net.router("router", congestion="bbr")
            net.power_off(router)
            net.power_on(router)
            assert router.tcp.config.congestion == "bbr"

    pystack.run(main)


@pytest.mark.parametrize("name", ["reno", "fixed:no", "cubic:3"])
def test_a_name_that_nobody_has_is_refused_when_it_is_said(name: str) -> None:
    async def main() -> None:
        async with pystack.Network() as net:
            client = net.host("client")
            net.link(client, net.host("server"))
            with pytest.raises(ConfigError):
                net.host("other", congestion=name)
            with pytest.raises(ConfigError):
                await client.open_tcp_stream("server", 80, congestion=name)

    pystack.run(main)
    with pytest.raises(ConfigError):
        TcpConfig(congestion=name)
    with pytest.raises(ConfigError):
        TapHostConfig("tap0", congestion=name)


def test_the_error_lists_the_names_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"there are: bbr, cubic, dctcp, fixed, newreno"):
        TapHostConfig("tap0", congestion="vegas")


def test_a_lab_says_it_for_each_host() -> None:
    nodes = build(parse(LAB)).nodes
    names = {name: node.device.tcp.config.congestion for name, node in nodes.items()}  # type: ignore[union-attr]
    assert names == {"client": "newreno", "middle": "fixed:20", "server": "cubic"}


def test_a_lab_that_says_it_wrong_is_told_the_line() -> None:
    with pytest.raises(ConfigError, match=r"^my.toml:2: .*'newrino'; did you mean 'newreno'"):
        parse(LAB.replace("newreno", "newrino"), "my.toml")
    with pytest.raises(ConfigError, match=r"^my.toml:2: .*congestion must be a text"):
        parse(LAB.replace('"newreno"', "3"), "my.toml")


def test_the_command_says_it_in_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pystack", "up", "tap0", "--congestion", "cubick"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "'cubick'" in done.stderr
    assert "did you mean 'cubic'?" in done.stderr

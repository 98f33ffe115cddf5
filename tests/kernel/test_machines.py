"""Links to other machines: two namespaces with a cable between; Linux's vxlan, or we, are there."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import trio
from netns import NetworkNamespace, read_line, without_lateness

import pystack
from pystack.core.addresses import format_mac

pytestmark = pytest.mark.kernel

HERE: Final = {4: "192.0.2.1", 6: "2001:db8::1"}
THERE: Final = {4: "192.0.2.2", 6: "2001:db8::2"}
EXAMPLE: Final = Path(__file__).resolve().parents[2] / "examples" / "two_machines.toml"
VERSIONS: Final = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])

# Sends so much, and prints how much it read
_SWAP: Final = """
import socket, sys
total = 0
with socket.create_connection((sys.argv[1], 80), 30) as sock:
    sock.sendall(bytes(int(sys.argv[2])))
    sock.shutdown(socket.SHUT_WR)
    while data := sock.recv(65536):
        total += len(data)
print(total)
"""

_TO_ALL: Final = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.sendto(b"all", (sys.argv[1], 9))
"""


class Pair(NamedTuple):
    """Two machines."""

    here: NetworkNamespace
    there: NetworkNamespace


@pytest.fixture
def pair(netns: NetworkNamespace) -> Iterator[Pair]:
    """Return two namespaces with a cable between."""
    with NetworkNamespace() as there:
        holder = there.path.split("/")[2]
        netns.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", holder])
        for machine, addresses in ((netns, HERE), (there, THERE)):
            machine.run(["ip", "address", "add", f"{addresses[4]}/24", "dev", "eth0"])
            machine.run(["ip", "address", "add", f"{addresses[6]}/64", "dev", "eth0", "nodad"])
            machine.run(["ip", "link", "set", "eth0", "up"])
        yield Pair(netns, there)


def add_vxlan(machine: NetworkNamespace, version: int, vni: int = 7, *words: str) -> None:
    """Give a machine a vxlan device of Linux, at 10.0.0.2 and fd00::2."""
    argv = ["ip", "link", "add", "vx0", "type", "vxlan", "id", str(vni), "dstport", "4789"]
    machine.run([*argv, "remote", HERE[version], "local", THERE[version], *words])
    machine.run(["ip", "address", "add", "10.0.0.2/24", "dev", "vx0"])
    machine.run(["ip", "address", "add", "fd00::2/64", "dev", "vx0", "nodad"])
    machine.run(["ip", "link", "set", "vx0", "up"])


def run(pair: Pair, main: Callable[[pystack.Network], Awaitable[None]]) -> None:
    """Run a test in an open network on the first machine, with a bound."""

    async def bounded() -> None:
        with trio.fail_after(60):
            async with pystack.Network(seed=7) as net:
                await main(net)

    with pair.here.entered():
        trio.run(bounded)


def a_host(net: pystack.Network) -> pystack.Host:
    return net.host("a", address="10.0.0.1/24", address6="fd00::1/64")


def url(version: int) -> str:
    return "udp://" + (THERE[4] if version == 4 else f"[{THERE[6]}]")


@VERSIONS
def test_the_other_end_may_be_linux(pair: Pair, version: int) -> None:
    add_vxlan(pair.there, version)

    async def main(net: pystack.Network) -> None:
        a = a_host(net)
        link = net.link(a, url(version), vni=7)
        assert link.mtu_bytes == (1450 if version == 4 else 1430)
        for there in ("10.0.0.2", "fd00::2"):
            assert await a.ping(there, timeout_s=9) < 9
        for here in ("10.0.0.1", "fd00::1"):
            await inside(pair.there, "ping", "-c", "1", "-W", "9", here)

        async def swap(stream: trio.SocketStream) -> None:
            heard.append(sum([len(data) async for data in stream]))
            await stream.send_all(bytes(300_000))
            await stream.aclose()

        heard: list[int] = []
        await a.start(trio.serve_tcp, swap, 80)
        for here in ("10.0.0.1", "fd00::1"):
            assert (
                await inside(pair.there, sys.executable, "-c", _SWAP, here, "500000") == "300000\n"
            )
        assert heard == [500_000] * 2
        assert link.counters == {}

    run(pair, main)


@VERSIONS
def test_the_other_end_may_leave_the_checksum_of_udp_out(pair: Pair, version: int) -> None:
    """By IPv6 a socket drops such datagrams, unless it says that it takes them."""
    add_vxlan(pair.there, version, 7, "noudpcsum" if version == 4 else "udp6zerocsumtx")

    async def main(net: pystack.Network) -> None:
        a = a_host(net)
        net.link(a, url(version), vni=7)
        for there in ("10.0.0.2", "fd00::2"):
            assert await a.ping(there, timeout_s=9) < 9

    run(pair, main)


def test_a_bridge_learns_whoever_is_behind_us_and_groups_reach_both(pair: Pair) -> None:
    add_vxlan(pair.there, 6)
    for command in (
        "ip address flush dev vx0",
        "ip link add br0 type bridge",
        "ip link set vx0 master br0",
        "ip address add 10.0.0.2/24 broadcast + dev br0",
        "ip address add fd00::2/64 dev br0 nodad",
        "ip link set br0 up",
    ):
        pair.there.run(command.split())

    async def main(net: pystack.Network) -> None:
        switch = net.switch("s1")
        net.link(switch, url(6), vni=7)
        hosts = [
            net.host(f"h{i}", address=f"10.0.0.{i}/24", address6=f"fd00::{i}/64") for i in (11, 12)
        ]
        for host in hosts:
            net.link(host, switch)
        sockets = [await host.open_udp_socket(9) for host in hosts]
        for host in hosts:
            assert await host.ping("fd00::2", timeout_s=9) < 9
            assert await host.ping("10.0.0.2", timeout_s=9) < 9
        known = await inside(pair.there, "bridge", "fdb", "show", "br", "br0")
        for host in hosts:
            assert f"{format_mac(host.interfaces[1].mac)} dev vx0 master br0" in known
        pinged = await inside(pair.there, "ping", "-c", "2", "-W", "9", "ff02::1%br0")
        for host in hosts:
            assert f"bytes from {host.address6}" in pinged
        await inside(pair.there, sys.executable, "-c", _TO_ALL, "10.0.0.255")
        for socket in sockets:
            assert (await socket.receive_from())[0] == b"all"

    run(pair, main)


def test_linux_drops_what_has_a_tag(pair: Pair) -> None:
    add_vxlan(pair.there, 4)

    async def main(net: pystack.Network) -> None:
        a = a_host(net)
        link = net.link(a, url(4), vni=7, key="a secret of ours")
        with pytest.raises((TimeoutError, OSError)):
            await a.ping("10.0.0.2", timeout_s=0.3)
        await inside(pair.there, "ping", "-c", "1", "-W", "1", "10.0.0.1", expect=1)
        counters = link.counters
        assert counters.pop("vxlan_held") >= 1
        assert counters.pop("vxlan_no_tag") >= 1
        assert counters == {}

    run(pair, main)


@VERSIONS
def test_a_path_that_becomes_narrow_is_learned(pair: Pair, version: int) -> None:
    add_vxlan(pair.there, version)

    async def main(net: pystack.Network) -> None:
        a = a_host(net)
        link = net.link(a, url(version), vni=7)
        streams: list[trio.SocketStream] = []
        both, narrow = trio.Event(), trio.Event()

        async def send(stream: trio.SocketStream) -> None:
            streams.append(stream)
            if len(streams) == 2:
                both.set()
            await narrow.wait()
            await stream.send_all(bytes(100_000))
            await stream.aclose()

        await a.start(trio.serve_tcp, send, 80)
        async with trio.open_nursery() as nursery:
            for here in ("10.0.0.1", "fd00::1"):
                read = partial(inside, pair.there, sys.executable, "-c", _SWAP, here, "0")
                nursery.start_soon(read)
            await both.wait()
            pair.here.run(["ip", "link", "set", "eth0", "mtu", "1400"])
            narrow.set()
        assert link.counters["vxlan_too_large"] >= 2
        with pytest.raises(TimeoutError):
            await a.ping("10.0.0.2", payload_bytes=1400, timeout_s=0.3)

    run(pair, main)


LAB: Final = """
seed = 7
[machines.left]
address = "192.0.2.1"
nodes = ["client", "r1"]
[machines.right]
address = "192.0.2.2"
nodes = ["server", "s1", "station"]
[hosts.client]
programs = [{ run = "of_the_test:fetch", args = ["server"] }]
[routers.r1]
[switches.s1]
[hosts.server]
serve = ["http"]
[hosts.station]
[[links]]
between = ["client", "r1"]
[[links]]
between = ["r1", "s1"]
delay = "20ms"
key_file = "lab.key"
[[links]]
between = ["s1", "server"]
[[links]]
between = ["s1", "station"]
"""
PROGRAM: Final = """
import trio

async def fetch(host, other):
    rtt_s = min([await host.ping(other, timeout_s=9) for _ in range(3)])
    with trio.fail_after(30):
        async with await trio.open_tcp_stream(other, 80) as stream:
            await stream.send_all(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
            answer = b"".join([part async for part in stream])
    print(answer.split(b"\\r\\n")[0].decode(), 0.04 <= rtt_s < 1)
"""


def lab(folder: Path, key: str) -> Path:
    """Return one lab file in a folder of a machine's own, with its key beside."""
    folder.mkdir()
    (folder / "of_the_test.py").write_text(PROGRAM)
    secret = folder / "lab.key"
    secret.touch(0o600)
    secret.write_text(f"{key}\n")
    file = folder / "lab.toml"
    file.write_text(LAB)
    return file


@pytest.mark.parametrize("key", ["a secret of ours", "a guess of theirs"], ids=["key", "wrong key"])
def test_one_lab_runs_on_two_machines(pair: Pair, tmp_path: Path, key: str) -> None:
    argv = [sys.executable, "-m", "pystack", "lab", "run", "--machine"]
    served = lab(tmp_path / "right", "a secret of ours")
    server = pair.there.popen([*argv, "right", str(served)])
    assert read_line(server).startswith("ready: ")
    is_right = key == "a secret of ours"
    client = lab(tmp_path / "left", key)
    done = pair.here.run([*argv, "left", str(client)], expect=0 if is_right else 1)
    lines = done.stdout.decode().splitlines()
    assert "  server 10.0.1.2/24 fd00:0:0:1::2/64 (on right)" in lines
    said = done.stderr.decode()
    if is_right:
        assert lines[-1] == "HTTP/1.1 200 OK True"
        assert without_lateness(said) == ""
    else:
        assert "datagrams are refused (vxlan_bad_tag): the other end has another key" in said
        assert "the program of_the_test:fetch on client failed" in said
    server.terminate()
    assert server.wait(20) == 0


def test_the_example_runs_as_it_says(netns: NetworkNamespace) -> None:
    argv = [sys.executable, "-m", "pystack", "lab", "run", str(EXAMPLE), "--machine"]
    server = netns.popen([*argv, "right"])
    assert read_line(server).startswith("ready: ")
    lines = netns.run([*argv, "left"]).stdout.decode().splitlines()
    assert [line.partition(" after ")[0] for line in lines[-2:]] == [
        "client: answer 2",
        "client: answer 3",
    ]
    server.terminate()
    assert server.wait(20) == 0


async def inside(machine: NetworkNamespace, *argv: str, expect: int = 0) -> str:
    """Run a program on a machine."""
    done = await trio.to_thread.run_sync(partial(machine.run, argv, expect=expect))
    return done.stdout.decode()

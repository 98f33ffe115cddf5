"""Links to other machines over ways that are narrow, down, or of one link's addresses alone."""

import sys
from functools import partial
from typing import Final

import pytest
import trio
from netns import NetworkNamespace
from test_machines import Pair, a_host, add_vxlan, inside, pair, run, url

import pystack

pytestmark = pytest.mark.kernel
__all__ = ["pair"]  # a fixture

_READ: Final = """
import socket, sys
total = 0
with socket.create_connection((sys.argv[1], 80), 30) as sock:
    while data := sock.recv(65536):
        total += len(data)
print(total)
"""


def add_vxlan_between(machine: NetworkNamespace, where: str) -> None:
    """Give a machine a vxlan device of Linux, at 10.0.0.2, on addresses of another kind."""
    for command in (
        f"ip link add vx0 type vxlan id 7 dstport 4789 {where}",
        "ip address add 10.0.0.2/24 dev vx0",
        "ip link set vx0 up",
    ):
        machine.run(command.split())


def test_an_underlay_may_have_addresses_of_its_link_alone(pair: Pair) -> None:
    for machine, address in zip(pair, ("fe80::a", "fe80::b"), strict=True):
        machine.run(["ip", "address", "flush", "dev", "eth0", "scope", "global"])
        machine.run(f"ip address add {address}/64 dev eth0 nodad".split())
    add_vxlan_between(pair.there, "remote fe80::a local fe80::b dev eth0")

    async def main(net: pystack.Network) -> None:
        a = a_host(net)
        words = {"listen": "[fe80::a%eth0]:4789", "source_ports": 4}
        link = net.link(a, "udp://[fe80::b%eth0]", vni=7, **words)  # type: ignore[arg-type]
        assert await a.ping("10.0.0.2", timeout_s=9) < 9
        await inside(pair.there, "ping", "-c", "1", "-W", "9", "10.0.0.1")
        assert link.counters == {}

    run(pair, main)


def test_a_router_that_becomes_narrow_is_heard(pair: Pair) -> None:
    """What it says by ICMP ends a train that the kernel was to cut, and all arrives."""
    with NetworkNamespace() as router:
        holder = router.path.split("/")[2]
        for machine, prefix, own in (
            (pair.here, "198.51.100", "r1"),
            (pair.there, "203.0.113", "r2"),
        ):
            for command in (
                f"ip link add eth1 type veth peer name {own} netns {holder}",
                f"ip address add {prefix}.1/24 dev eth1",
                "ip link set eth1 up",
            ):
                machine.run(command.split())
            router.run(f"ip address add {prefix}.254/24 dev {own}".split())
            router.run(f"ip link set {own} up".split())
            machine.run(f"ip route add default via {prefix}.254".split())
        router.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        add_vxlan_between(pair.there, "remote 198.51.100.1 local 203.0.113.1")

        async def main(net: pystack.Network) -> None:
            a = a_host(net)
            link = net.link(a, "udp://203.0.113.1", vni=7, offload=True, source_ports=3)
            await a.ping("10.0.0.2", timeout_s=9)
            begun, narrow = trio.Event(), trio.Event()

            async def send(stream: trio.SocketStream) -> None:
                await stream.send_all(bytes(100_000))
                begun.set()
                await narrow.wait()
                await stream.send_all(bytes(900_000))
                await stream.aclose()

            await a.start(trio.serve_tcp, send, 80)
            got: list[str] = []

            async def read() -> None:
                got.append(await inside(pair.there, sys.executable, "-c", _READ, "10.0.0.1"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await begun.wait()
                router.run(["ip", "link", "set", "r2", "mtu", "1300"])
                narrow.set()
            assert got == ["1000000\n"]
            assert link.counters["vxlan_too_large"] >= 1

        run(pair, main)


def test_an_interface_that_is_down_loses_frames_and_ends_nothing(pair: Pair) -> None:
    add_vxlan(pair.there, 4)

    async def main(net: pystack.Network) -> None:
        a = a_host(net)
        link = net.link(a, url(4), vni=7)
        await a.ping("10.0.0.2", timeout_s=9)
        down = partial(pair.here.run, ["ip", "link", "set", "eth0", "down"])
        await trio.to_thread.run_sync(down)
        with pytest.raises(TimeoutError):
            await a.ping("10.0.0.2", timeout_s=0.1)
        pair.here.run(["ip", "link", "set", "eth0", "up"])
        assert await a.ping("10.0.0.2", timeout_s=9) < 9
        assert link.counters.keys() == {"vxlan_not_sent"}

    run(pair, main)

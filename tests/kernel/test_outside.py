"""Real programs that reach the real network by a host of ours, which has it by sockets alone.

The real network is a namespace of the test's own, "the machine": this thread is in it, and with it
the network that runs here; programs inside are in another.
"""

import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio
from netns import NetworkNamespace, read_line

import pystack
from pystack.runtime.outside.outside import Outside

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

CLIENTS = Path(__file__).parent / "clients"
SERVER, SERVER6 = "192.0.2.80", "2001:db8::80"
SECOND = "192.0.2.81"
PING_FOR_ALL = "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range"
Main = Callable[[pystack.Namespace, Outside], Awaitable[None]]


@pytest.fixture
def machine(netns: NetworkNamespace) -> Iterator[NetworkNamespace]:
    """Return the machine around, with servers, and this thread in it."""
    for address in (f"{SERVER}/32", f"{SECOND}/32", f"{SERVER6}/128"):
        netns.run(["ip", "address", "add", address, "dev", "lo", *(["nodad"] * (":" in address))])
    netns.run(["sh", "-c", PING_FOR_ALL])
    addresses = [SERVER, SECOND, SERVER6, "127.0.0.1", "::1"]
    servers = netns.popen([sys.executable, str(CLIENTS / "outside_servers.py"), *addresses])
    assert read_line(servers) == "ready"
    with netns.entered():
        yield netns


def inside(main: Main, **words: object) -> None:
    """Run a test with a program's namespace, and a gateway that has the machine's network."""

    async def bounded() -> None:
        with trio.fail_after(60):
            async with pystack.Network(seed=7, subnet="10.77.0.0/24", subnet6="fd77::/64") as net:
                program = net.namespace("program", dns=["10.77.0.1"])
                gateway = net.router("gateway", address="10.77.0.1/24", address6="fd77::1/64")
                net.link(program, gateway)
                words.setdefault("resolvers", [SERVER])
                await main(program, await net.outside(gateway, **words))  # type: ignore[arg-type]

    trio.run(bounded)


@pytest.mark.parametrize("server", [SERVER, f"[{SERVER6}]"])
def test_curl_reaches_a_server_of_the_machine(machine: NetworkNamespace, server: str) -> None:
    async def main(program: pystack.Namespace, outside: Outside) -> None:
        done = await program.run(["curl", "-sS", f"http://{server}/"])
        address = server.strip("[]")
        assert done.stdout == f"you are {address}, I am {address}\n"
        assert outside.counters["outside_tcp_opened"] == 1

    inside(main)

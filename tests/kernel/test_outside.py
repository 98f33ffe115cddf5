"""Real programs that reach the real network by a host of ours, which has it by sockets alone.

The real network is a namespace of the test's own, "the machine": this thread is in it, and with it
the network that runs here; programs inside are in another.
"""

import shutil
import subprocess
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
BOTH = pytest.mark.parametrize("server", [SERVER, SERVER6], ids=["IPv4", "IPv6"])
PING_FOR_ALL = "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range"
# Asks by UDP, and says what came, or which error: `udp.py PORT ADDRESS...`
UDP = """
import socket, sys
for address in sys.argv[2:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        # IP_RECVERR: else a socket hears nothing of networks and hosts that can't be reached
        sock.setsockopt(*((41, 25) if ":" in address else (0, 11)), 1)
        sock.connect((address, int(sys.argv[1])))
        try:
            sock.send(b"x\\n")
            print(sock.recv(65536).decode(), end="")
        except OSError as error:
            print(error.strerror)
"""
# Connects, and says which error: `tcp.py PORT ADDRESS...`
TCP = """
import socket, sys
for address in sys.argv[2:]:
    try:
        socket.create_connection((address, int(sys.argv[1])), 20).close()
        print("connected")
    except OSError as error:
        print(error.strerror)
"""
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


def url(address: str, port: str = "") -> str:
    """Return the URL of a server at an address."""
    return f"http://[{address}]{port}/" if ":" in address else f"http://{address}{port}/"


async def said(program: pystack.Namespace, *words: str) -> str:
    """Run a program, whichever its exit status is; return what it printed, without the newline."""
    done = await program.run(words, check=False)
    return done.stdout.strip()


async def python(program: pystack.Namespace, code: str, *words: object) -> str:
    """Run some Python in it."""
    return await said(program, sys.executable, "-I", "-S", "-c", code, *map(str, words))


@BOTH
def test_connections_and_datagrams_reach_servers_of_the_machine(
    machine: NetworkNamespace, server: str
) -> None:
    async def main(program: pystack.Namespace, outside: Outside) -> None:
        here = f"you are {server}, I am {server}"
        assert await said(program, "curl", "-sS", url(server)) == here
        assert await python(program, UDP, 80, server) == f"you are {server}"
        assert await python(program, UDP, 7, server) == "x"
        assert outside.counters["outside_tcp_opened"] == 1

    inside(main)


def test_names_are_those_of_whom_the_machine_asks(machine: NetworkNamespace) -> None:
    async def main(program: pystack.Namespace, outside: Outside) -> None:
        found = await said(program, "getent", "ahostsv4", "www.example.org")
        assert found.split()[0] == SERVER
        here = f"you are {SERVER}, I am {SERVER}"
        assert await said(program, "curl", "-sS", "http://www.example.org/") == here
        if shutil.which("dig"):
            ask = ["dig", "+short", "@10.77.0.1", "www.example.org", "A"]
            assert await said(program, *ask) == SERVER
            assert await said(program, *ask, "+tcp") == SECOND
            assert outside.counters["outside_dns_streams"] == 1
        assert outside.counters["outside_udp_sessions"] == 0

    inside(main)


@BOTH
def test_ping_by_sockets_that_anybody_may_have(machine: NetworkNamespace, server: str) -> None:
    machine.run(["ip", "route", "add", "unreachable", "198.51.100.0/24"])
    machine.run(["ip", "-6", "route", "add", "unreachable", "2001:db8:1::/48"])
    nobody = "198.51.100.1" if server == SERVER else "2001:db8:1::1"

    async def main(program: pystack.Namespace, outside: Outside) -> None:
        lines = await said(program, "ping", "-n", "-c", "3", "-i", "0.05", "-s", "100", server)
        assert lines.count("108 bytes from") == 3
        assert "0% packet loss" in lines
        assert "unreachable" in (await said(program, "ping", "-n", "-c", "1", nobody)).lower()
        assert outside.counters["outside_ping_in"] == 3
        assert len(outside.echoes) == 2

    inside(main)


def test_without_leave_to_ping_it_is_dropped_and_said_once(
    machine: NetworkNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    machine.run(["sh", "-c", "echo 1 0 > /proc/sys/net/ipv4/ping_group_range"])

    async def main(program: pystack.Namespace, outside: Outside) -> None:
        ping = ["ping", "-n", "-c", "2", "-i", "0.05", "-W", "0.1", SERVER]
        assert "100% packet loss" in await said(program, *ping)
        assert outside.counters["outside_ping_not_allowed"] == 2
        # A machine that is late now may warn of that too.
        assert [each.message for each in caplog.records if "ping" in each.message] == [
            "gateway: this user may not ping from here, so pings to the outside get no answer "
            '(`sysctl -w net.ipv4.ping_group_range="0 2147483647"` allows it)'
        ]

    inside(main)


@BOTH
def test_what_the_machine_is_told_the_program_is_told(
    machine: NetworkNamespace, server: str
) -> None:
    v6 = server == SERVER6
    way = ["ip", "-6", "route", "add"] if v6 else ["ip", "route", "add"]
    for number, kind in enumerate(("unreachable", "prohibit"), 1):
        block = f"2001:db8:{number}::/48" if v6 else f"198.51.{number}.0/24"
        machine.run([*way, kind, block])
    far = [f"2001:db8:{number}::1" if v6 else f"198.51.{number}.1" for number in (1, 2, 3)]

    async def main(program: pystack.Namespace, outside: Outside) -> None:
        for code in (TCP, UDP):
            told = (await python(program, code, 9, server, *far)).splitlines()
            prohibited = "Permission denied" if v6 else "No route to host"
            assert told == [
                "Connection refused",
                "No route to host",
                prohibited,
                "Network is unreachable",
            ]
        assert outside.counters["outside_tcp_refused"] == 1
        assert outside.counters["outside_tcp_unreachable"] == 3

    inside(main)


def test_where_the_machine_has_no_port_left_the_silent_give_theirs(
    machine: NetworkNamespace,
) -> None:
    machine.run(["sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40009"])

    async def main(program: pystack.Namespace, outside: Outside) -> None:
        assert await python(program, UDP, 7, *[SERVER] * 15) == "\n".join("x" * 15)
        assert outside.counters["outside_udp_evicted"] == 5
        assert outside.counters["outside_udp_send_buffer_full"] == 0

    inside(main)


def test_the_machines_loopback_is_reached_by_name_alone(machine: NetworkNamespace) -> None:
    async def without(program: pystack.Namespace, _outside: Outside) -> None:
        forbidden = "127.0.0.1", "::1", "64:ff9b::7f00:1", "169.254.169.254"
        assert (await python(program, TCP, 80, *forbidden)).splitlines() == [
            "Connection refused",  # by the namespace's own
            "Connection refused",
            "Permission denied",
            "No route to host",
        ]

    async def by_name(program: pystack.Namespace, outside: Outside) -> None:
        assert outside.loopbacks == ("10.77.0.254", "fd77::fe")
        for address, real in (("10.77.0.254", "127.0.0.1"), ("fd77::fe", "::1")):
            assert (
                await said(program, "curl", "-sS", url(address)) == f"you are {real}, I am {real}"
            )
            assert await python(program, UDP, 80, address) == f"you are {real}"
            assert await python(program, UDP, 9, address) == "Connection refused"
            for words in ((), ("-t", "1")):  # it is on the link: no hop is taken
                assert "1 received" in await said(program, "ping", "-n", "-c", "1", *words, address)

    inside(without)
    inside(by_name, reach_loopback=True)


def beyond(machine: NetworkNamespace, router: NetworkNamespace, far: NetworkNamespace) -> None:
    """Give the machine a router, and somebody behind it, at 203.0.113.9 and 2001:db8:9::9."""
    router.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    router.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"])
    cables = (
        (machine, router, "198.18.0.1/24", "198.18.0.2/24", "2001:db8:8::1/64", "2001:db8:8::2/64"),
        (router, far, "203.0.113.1/24", "203.0.113.9/24", "2001:db8:9::1/64", "2001:db8:9::9/64"),
    )
    for number, (near, other, *addresses) in enumerate(cables):
        names = f"near{number}", f"far{number}"
        pid = other.path.split("/")[2]
        near.run(["ip", "link", "add", names[0], "type", "veth", "peer", names[1], "netns", pid])
        for index, address in enumerate(addresses):
            place, name = (near, names[0]) if index % 2 == 0 else (other, names[1])
            nodad = ["nodad"] if ":" in address else []
            place.run(["ip", "address", "add", address, "dev", name, *nodad])
            place.run(["ip", "link", "set", name, "up"])
    machine.run(["ip", "route", "add", "default", "via", "198.18.0.2"])
    machine.run(["ip", "-6", "route", "add", "default", "via", "2001:db8:8::2"])
    far.run(["ip", "route", "add", "default", "via", "203.0.113.1"])
    far.run(["ip", "-6", "route", "add", "default", "via", "2001:db8:9::1"])


@pytest.mark.skipif(shutil.which("traceroute") is None, reason="no traceroute (apt: traceroute)")
def test_traceroute_sees_who_is_on_the_way(machine: NetworkNamespace) -> None:
    with NetworkNamespace() as router, NetworkNamespace() as far:
        beyond(machine, router, far)

        async def main(program: pystack.Namespace, _outside: Outside) -> None:
            for target, way in (
                ("203.0.113.9", ["10.77.0.1", "198.18.0.2", "203.0.113.9"]),
                ("2001:db8:9::9", ["fd77::1", "2001:db8:8::2", "2001:db8:9::9"]),
            ):
                for kind in ([], ["-I"]):
                    lines = await said(program, "traceroute", "-n", "-q", "1", *kind, target)
                    assert [line.split()[1] for line in lines.splitlines()[1:]] == way

        inside(main)


def test_a_published_port_leads_to_a_program_inside(machine: NetworkNamespace) -> None:
    async def main(program: pystack.Namespace, outside: Outside) -> None:
        both = ["10.77.0.2", "fd77::2"]
        assert sorted(program.addresses) == both
        servers = await program.open_process(
            [sys.executable, str(CLIENTS / "outside_servers.py"), *both], stdout=subprocess.PIPE
        )
        assert servers.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            line += await servers.stdout.receive_some()
        outside.publish(["8080:80", "8080:80/udp"], program)
        for address, client, server in (
            ("127.0.0.1", "10.77.0.1", "10.77.0.2"),
            ("::1", "fd77::1", "fd77::2"),
        ):
            curl = await of_machine(machine, "curl", "-sS", url(address, ":8080"))
            assert curl == f"you are {client}, I am {server}\n"
            ask = [sys.executable, "-I", "-c", UDP, "8080", address]
            assert await of_machine(machine, *ask) == f"you are {client}\n"

    inside(main)


async def of_machine(machine: NetworkNamespace, *words: str) -> str:
    """Run a program of the machine; return what it printed."""
    command = ["nsenter", f"--net={machine.path}", *words]
    return (await trio.run_process(command, capture_stdout=True)).stdout.decode()

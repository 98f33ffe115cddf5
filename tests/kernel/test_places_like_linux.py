"""Where sockets of IPv6 may be bound, connect and send to: the same calls on Linux and on a host.

What Linux answers is not written down: it is asked, in a namespace with one link, the addresses of
our host and a neighbor.
"""

import errno
import itertools
import json
import socket
from collections.abc import Callable
from inspect import isawaitable

import pytest
import trio
from netns import NetworkNamespace

import pystack

pytestmark = pytest.mark.kernel

IPV6, SOL = socket.IPPROTO_IPV6, socket.SOL_SOCKET
BINDTODEVICE = 25
PLACES = (
    "::",
    "::1",
    "fd00::1",
    "fd00::9",
    "fd00::",
    "2001:db8::1",
    "fe80::9",
    "fe80::9%eth0",
    "fe80::9%lo",
    "fd00::9%eth0",
    "fd00::9%lo",
    "ff01::7",
    "ff02::1",
    "ff02::1%eth0",
    "ff05::7",
    "ff0e::7",
    "::ffff:10.0.0.1",
    "::ffff:10.0.0.9",
    "::ffff:10.0.0.255",
    "::ffff:0.0.0.0",
    "::ffff:192.0.2.1",
    "::2",
    "64:ff9b::1",
)


INDEXES: dict[str, int] = {}  # of interfaces, on the side that is asked
# By 0.0.0.0 a socket of one device means the address of that device in Linux, 127.0.0.1 here.
NOBODY_BY_DEVICE = {"SOCK_STREAM device ::ffff:0.0.0.0", "SOCK_DGRAM device ::ffff:0.0.0.0"}


async def said(call: Callable[[], object]) -> str:
    """Return what a call returns, as text, or the name of its errno."""
    with trio.move_on_after(0.05):
        try:
            result = call()
            return repr(await result if isawaitable(result) else result)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, repr(error))
    return "waits"


def options_of(made: trio.socket.SocketType, how: str) -> None:
    match how:
        case "group" if made.type == socket.SOCK_DGRAM:
            made.setsockopt(IPV6, socket.IPV6_MULTICAST_IF, INDEXES["eth0"])
        case "device":
            made.setsockopt(SOL, BINDTODEVICE, b"eth0")
        case "v6only":
            made.setsockopt(IPV6, socket.IPV6_V6ONLY, 1)


def place(text: str) -> tuple[str, int, int, int]:
    address, _, zone = text.partition("%")
    return address, 9, 0, INDEXES[zone] if zone else 0


def without_own(text: str) -> str:
    """Return an address without what only the one that made it knows."""
    return "fe80::" if text.startswith("'fe80::") and text != "'fe80::9'" else text


async def program() -> dict[str, tuple[str, ...]]:
    found = {}
    for kind, how, text in itertools.product(
        (socket.SOCK_STREAM, socket.SOCK_DGRAM), ("", "group", "device", "v6only"), PLACES
    ):
        answers = []
        with trio.socket.socket(socket.AF_INET6, kind) as bound:
            options_of(bound, how)
            answers.append(await said(lambda bound=bound, text=text: bound.bind(place(text))))
        with trio.socket.socket(socket.AF_INET6, kind) as made:
            options_of(made, how)
            answers.append(await said(lambda made=made, text=text: made.connect(place(text))))
            answers.append(without_own(await said(lambda made=made: made.getsockname()[0])))
        if kind == socket.SOCK_DGRAM:
            with trio.socket.socket(socket.AF_INET6, kind) as sender:
                options_of(sender, how)
                answers.append(
                    await said(lambda sender=sender, text=text: sender.sendto(b"x", place(text)))
                )
        found[f"{kind.name} {how} {text}"] = tuple(answers)
    return found


def link_up(netns: NetworkNamespace) -> None:
    commands = (
        "ip link add eth0 type veth peer name far0",
        "ip link set far0 up",
        "ip link set eth0 up",
        "ip address add 10.0.0.1/24 dev eth0",
        "ip -6 address add fd00::1/64 dev eth0 nodad",
        "ip -6 address flush dev far0",
        "ip -6 address flush dev eth0 scope link",
        "ip -6 address add fe80::1/64 dev eth0 nodad",
    )
    for command in commands:
        netns.run(command.split())
    for link in json.loads(netns.run(["ip", "-j", "link"]).stdout):
        INDEXES[link["ifname"]] = link["ifindex"]


def linux(netns: NetworkNamespace) -> dict[str, tuple[str, ...]]:
    link_up(netns)
    with netns.entered():
        return trio.run(program)


def ours() -> dict[str, tuple[str, ...]]:
    found: list[dict[str, tuple[str, ...]]] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            net.link(host, net.host("b"))
            for interface in host.stack.interfaces:
                INDEXES[interface.name] = interface.index
            found.append(await host.run(program))

    pystack.run(main)
    return found[0]


def test_addresses_get_linuxs_answers(netns: NetworkNamespace) -> None:
    theirs, mine = linux(netns), ours()
    assert len(theirs) == 2 * 4 * len(PLACES)
    other = {name: (each, mine[name]) for name, each in theirs.items() if mine[name] != each}
    assert {name: both for name, both in other.items() if name not in NOBODY_BY_DEVICE} == {}
    assert other.keys() == NOBODY_BY_DEVICE  # else one of them is mended


async def among_themselves() -> list[str]:
    """Return who hears whom of sockets of one host, some of them of one device."""
    found = []
    for family, own, loopback in (
        (socket.AF_INET, "10.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "fd00::1", "::1"),
    ):
        for bound, kind in itertools.product((0, 1, 2, 3), (socket.SOCK_DGRAM, socket.SOCK_STREAM)):
            with (
                trio.socket.socket(family, kind) as server,
                trio.socket.socket(family, kind) as client,
            ):
                for number, made in enumerate((server, client)):
                    if bound >> number & 1:
                        made.setsockopt(SOL, BINDTODEVICE, b"eth0")
                await server.bind(("", 0))
                port = server.getsockname()[1]
                if kind == socket.SOCK_STREAM:
                    server.listen(1)
                    found.append(await said(lambda to=(own, port): client.connect(to)))
                    continue
                # Linux sends what is for 127.0.0.1 out by such a device; here that is EINVAL.
                for to in (own,) if "." in own and bound & 2 else (own, loopback):
                    found.append(await said(lambda to=(to, port): client.sendto(b"x", to)))
                    heard = await said(lambda: server.recv(9))
                    found.append(heard)
    return found


def test_sockets_of_one_device_hear_their_own_host_as_in_linux(netns: NetworkNamespace) -> None:
    link_up(netns)
    with netns.entered():
        theirs = trio.run(among_themselves)
    mine: list[list[str]] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            net.link(host, net.host("b"))
            mine.append(await host.run(among_themselves))

    pystack.run(main)
    assert "b'x'" in theirs
    assert mine == [theirs]

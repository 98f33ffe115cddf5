"""Sockets of both versions of IP beside each other, on this machine's Linux and on a host of ours.

What Linux answers is not written down: it is asked.
"""

import itertools
import socket
import struct

import pytest
import trio
from like_linux import Ask, Program, Socket, differing, kept, real_linux

SOL, IP, IPV6, UDP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.SOCK_DGRAM
V6, V4 = socket.AF_INET6, socket.AF_INET
LO = 1  # the number of the loopback's interface
PROGRAMS: list[Program] = []


def program(written: Program) -> Program:
    PROGRAMS.append(written)
    return written


def made(family: int, kind: int = socket.SOCK_STREAM, *, v6_only: bool = False) -> Socket:
    opened = kept(trio.socket.socket(family, kind))
    if family == V6:
        opened.setsockopt(IPV6, socket.IPV6_V6ONLY, v6_only)
    return opened


@program
async def who_may_have_a_port(ask: Ask) -> None:
    places = [
        (V4, "0.0.0.0", False),
        (V4, "127.0.0.1", False),
        (V6, "::", False),
        (V6, "::", True),
        (V6, "::1", False),
        (V6, "::ffff:127.0.0.1", False),
        (V6, "::ffff:0.0.0.0", False),
    ]
    options = (0, socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    for kind, option in itertools.product((socket.SOCK_STREAM, UDP), options):
        for first, second in itertools.product(places, places):
            one, two = (made(each[0], kind, v6_only=each[2]) for each in (first, second))
            if option:
                for each in (one, two):
                    each.setsockopt(SOL, option, 1)
            await one.bind((first[1], 0))
            port = one.getsockname()[1]
            await ask(lambda: two.bind((second[1], port)))  # noqa: B023 - called at once
            if kind != UDP:
                await ask(lambda: one.listen(1))  # noqa: B023
                await ask(lambda: two.listen(1))  # noqa: B023
            one.close()
            two.close()


@program
async def who_is_heard_by_whom(ask: Ask) -> None:
    for kind, v6_only in itertools.product((socket.SOCK_STREAM, UDP), (False, True)):
        server = made(V6, kind, v6_only=v6_only)
        await server.bind(("::", 0))
        port = server.getsockname()[1]
        await ask(server.getsockname)
        if kind != UDP:
            server.listen(5)
        for family, address in (
            (V4, "127.0.0.1"),
            (V6, "::1"),
            (V6, "::ffff:127.0.0.1"),
            (V6, "::"),
        ):
            client = made(family, kind)
            await ask(lambda: client.connect((address, port)))  # noqa: B023
            await ask(lambda: client.getpeername()[0])  # noqa: B023
            await ask(lambda: client.getsockname()[0])  # noqa: B023
            await ask(lambda: client.send(b"x"))  # noqa: B023
            if kind == UDP:
                await ask(lambda: server.recvfrom(9))  # noqa: B023
                await ask(lambda: client.send(b"x"))  # noqa: B023


@program
async def partners_of_one_version_after_the_other(ask: Ask) -> None:
    places = ("::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0")
    for kind, only, bound in itertools.product(
        (socket.SOCK_STREAM, UDP), (False, True), (False, True)
    ):
        for first, second in itertools.product(places, places):
            one = made(V6, kind, v6_only=only)
            call = one.bind if bound else one.connect
            await ask(lambda: call((first, 0 if bound else 9)))  # noqa: B023
            await ask(lambda: one.getsockname()[1] != 0)  # noqa: B023
            await ask(lambda: one.connect((second, 9)))  # noqa: B023
            await ask(lambda: one.getsockname()[1] != 0)  # noqa: B023
            await ask(one.getpeername)
            if kind == UDP and bound:
                await ask(lambda: one.getsockname()[0])  # noqa: B023
                await ask(lambda: one.sendto(b"x", (first, 9)))  # noqa: B023
            one.close()
        heard = made(V6, kind, v6_only=only)
        if kind != UDP:
            await heard.bind(("::1", 0))
            heard.listen(1)
            await ask(lambda: heard.connect(("::ffff:127.0.0.1", 9)))  # noqa: B023
        else:
            await ask(lambda: heard.sendto(b"x", ("::ffff:127.0.0.1", 9)))  # noqa: B023
            await ask(lambda: heard.getsockname()[1] != 0)  # noqa: B023


@program
async def what_is_no_address(ask: Ask) -> None:
    # Ports that a plain user may bind
    for kind in (socket.SOCK_STREAM, UDP):
        for address in (
            ("fe80::1", 9009),
            ("fe80::1", 9009, 0, 77),
            ("ff02::1", 9009),
            ("::ffff:127.0.0.1", 9009),
            ("::1", 9009, 1 << 20, 0),
            ("::1", 9009, 0, 0, 0),
            ("127.0.0.1", 9009),
            ("2001:db8::1", 0),
        ):
            for only in (False, True):
                bound = made(V6, kind, v6_only=only)
                await ask(lambda: bound.bind(address))  # noqa: B023
                away = made(V6, kind, v6_only=only)
                if address[0].startswith(("::", "127")):
                    await ask(lambda: away.connect(address))  # noqa: B023
        late = made(V6, kind)
        await late.bind(("::1", 0))
        await ask(lambda: late.setsockopt(IPV6, socket.IPV6_V6ONLY, 1))  # noqa: B023
        await ask(lambda: late.connect(("::ffff:127.0.0.1", 9009)))  # noqa: B023
        mapped = made(V6, kind)
        await mapped.bind(("::ffff:127.0.0.1", 0))
        await ask(lambda: mapped.getsockname()[0])  # noqa: B023


@program
async def what_comes_with_a_datagram(ask: Ask) -> None:
    one, two = made(V6, UDP), made(V6, UDP)
    await one.bind(("::", 0))
    port = one.getsockname()[1]
    for name in (49, 51, 66, 74):  # RECVPKTINFO, RECVHOPLIMIT, RECVTCLASS, RECVORIGDSTADDR
        one.setsockopt(IPV6, name, 1)
    for name in (8, 12, 13):  # those of ip(7)
        one.setsockopt(IP, name, 1)
    two.setsockopt(IPV6, 67, 0x28)  # TCLASS
    two.setsockopt(IPV6, 16, 9)  # UNICAST_HOPS
    two.setsockopt(IP, socket.IP_TOS, 0x10)
    two.setsockopt(IP, socket.IP_TTL, 7)

    async def received() -> str:
        data, messages, flags, sender = await one.recvmsg(9, 400)
        places = port.to_bytes(2, "big")
        known = [(*m[:2], m[2].replace(places, b"PP")) for m in messages]
        return repr((data, known, flags, sender[0]))

    def index(number: int) -> bytes:
        return struct.pack("=I", number)

    loopback, nobody = socket.inet_pton(V6, "::1"), bytes(16)
    for address in ("::1", "::ffff:127.0.0.1"):
        for messages in (
            [],
            [(IPV6, 52, struct.pack("i", 5))],  # HOPLIMIT
            [(IPV6, 67, struct.pack("i", 0x20))],
            [(IPV6, 52, struct.pack("i", 256))],
            [(IPV6, 67, struct.pack("i", -2))],
            [(IPV6, 50, loopback + index(0))],  # PKTINFO
            [(IPV6, 50, nobody + index(LO))],
            [(IPV6, 50, nobody + index(99))],
            [(IPV6, 50, b"short")],
            [(IPV6, 62, struct.pack("i", 1))],  # DONTFRAG
            [(IPV6, 999, b"abcd")],
            [(IP, socket.IP_TTL, struct.pack("i", 3))],
        ):
            await ask(lambda: two.sendmsg([b"y"], messages, 0, (address, port)))  # noqa: B023
            await ask(received)


@program
async def groups(ask: Ask) -> None:
    group = socket.inet_pton(V6, "ff02::1:2:3")
    one, two = made(V6, UDP), made(V6, UDP)
    lo = struct.pack("=I", LO)
    for value in (
        b"",
        group,
        group + lo,
        group + lo,
        bytes(16) + lo,
        group + struct.pack("=I", 99),
    ):
        await ask(lambda: one.setsockopt(IPV6, socket.IPV6_JOIN_GROUP, value))  # noqa: B023
    await one.bind(("::", 0))
    two.setsockopt(IPV6, socket.IPV6_MULTICAST_IF, LO)
    await ask(lambda: two.getsockopt(IPV6, socket.IPV6_MULTICAST_IF))
    for value in (group + lo, group + lo):
        await ask(lambda: one.setsockopt(IPV6, socket.IPV6_LEAVE_GROUP, value))  # noqa: B023


@program
async def zones_that_mean_nothing_and_none_where_one_is_needed(ask: Ask) -> None:
    for host in ("fe80::1%1", "fe80::1%99", "::1%1", "::1%99", "ff02::1"):
        for kind in (UDP, socket.SOCK_STREAM):
            await ask(lambda: made(V6, kind).bind((host, 0)))  # noqa: B023
    for host in ("fe80::1%1", "fe80::1%99", "::1%1"):
        await ask(lambda: made(V6).connect((host, 9)))  # noqa: B023
    await ask(lambda: made(V6, UDP).connect(("ff02::1", 9)))
    for scope in (99, 2**31, 2**32 - 1, -1):
        for host in ("fe80::1", "ff02::1", "::1"):
            await ask(lambda: made(V6, UDP).bind((host, 0, 0, scope)))  # noqa: B023
    await ask(lambda: made(V6, UDP).bind(("fe80::1", 0, 0, 2**32)))


@program
async def who_is_bound_to_an_address_keeps_to_its_version(ask: Ask) -> None:
    for kind, host in itertools.product(
        (UDP, socket.SOCK_STREAM), ("::1", "::", "::ffff:127.0.0.1", "ff02::1%1")
    ):
        one = made(V6, kind)
        await ask(lambda: one.bind((host, 0)))  # noqa: B023
        await ask(lambda: one.getsockopt(IPV6, socket.IPV6_V6ONLY))  # noqa: B023
        await ask(lambda: one.connect(("::ffff:127.0.0.1", 9)))  # noqa: B023
        two = made(V6, kind)
        await two.bind(("::ffff:127.0.0.1", 0))
        await ask(lambda: two.connect(("::", 9)))  # noqa: B023
        await ask(two.getsockname)
    server, client = made(V6), made(V6)
    await server.bind(("::1", 0))
    server.listen(1)
    await client.connect(server.getsockname())
    accepted = kept((await server.accept())[0])
    for each in (server, client, accepted):
        await ask(lambda: each.getsockopt(IPV6, socket.IPV6_V6ONLY))  # noqa: B023


@program
async def ports_and_partners_that_are_none(ask: Ask) -> None:
    for family, host in ((V4, "127.0.0.1"), (V6, "::1")):
        for kind in (UDP, socket.SOCK_STREAM):
            for port in (1.5, [80]):
                await ask(lambda: made(family, kind).bind((host, port)))  # noqa: B023
                await ask(lambda: made(family, kind).connect((host, port)))  # noqa: B023
        one = made(family, UDP)
        await ask(lambda: one.bind((None, None)))  # noqa: B023
        await ask(lambda: one.sendto(b"x", None))  # noqa: B023
        await ask(lambda: one.shutdown(2))  # noqa: B023
        await ask(lambda: one.send(b"x"))  # noqa: B023
        nobody = made(family, UDP)
        await ask(lambda: nobody.connect((host, 0)))  # noqa: B023
        await ask(nobody.getpeername)
        await ask(lambda: nobody.shutdown(2))  # noqa: B023


@program
async def names_of_what_is_no_address(ask: Ask) -> None:
    for where in (
        (),
        ("::1",),
        "x",
        None,
        ["::1", 80],
        ("::1", None),
        ("::1", "80"),
        ("::1", -1),
        ("::1", 80, 2**20),
        ("::1", 80, 0, "x"),
        (5, 80),
        ("fe80::1", 80, 0, 1),
        ("fe80::1%99", 80, 0, 1),
        ("fe80::1", 80, 0, 99),
        ("::1", 80, 0, 99, 5),
    ):
        flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        await ask(lambda: trio.socket.getnameinfo(where, flags))  # type: ignore[arg-type]  # noqa: B023
    for port in (1.5, [80]):
        await ask(lambda: trio.socket.getaddrinfo("::1", port))  # type: ignore[arg-type]  # noqa: B023


@real_linux
@pytest.mark.parametrize("written", PROGRAMS, ids=lambda written: written.__name__)
def test_a_program_gets_linuxs_answers(written: Program) -> None:
    assert differing(written, set()) == {}

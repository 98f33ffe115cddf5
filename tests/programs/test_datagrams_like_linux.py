"""The calls of a datagram socket on this machine's Linux and on a host of ours.

What Linux answers is not written down: it is asked. Where a difference is meant, it says so.
"""

import os
import socket
import struct

import pytest
import trio
from like_linux import Ask, Program, Socket, at, differing, hear_errors, partners, real_linux, udp

SOL, IP, TCP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_TCP
UDP = socket.SOCK_DGRAM
MSG_ERRQUEUE, MSG_MORE = 0x2000, 0x8000

PROGRAMS: list[Program] = []


def program(written: Program) -> Program:
    PROGRAMS.append(written)
    return written


@program
async def datagrams(ask: Ask) -> None:
    one, two = udp(), udp()
    await ask(one.getsockname)
    await ask(one.getpeername)
    await ask(lambda: one.send(b"x"))
    await ask(lambda: one.listen(1))
    await ask(one.accept)
    await ask(lambda: one.shutdown(socket.SHUT_RD))
    one = udp()
    await ask(lambda: one.bind(at("127.0.0.7", 0)))
    await ask(lambda: one.bind(at("127.0.0.7", 0)))
    where = one.getsockname()
    await ask(lambda: two.sendto(b"first", where))
    await ask(lambda: two.sendto(b"", where))
    await ask(lambda: two.sendto(b"third", socket.MSG_NOSIGNAL, where))
    for _ in range(3):
        await two.sendto(b"0123456789", where)
    await trio.sleep(0.01)
    for call in (
        lambda: one.recv(0),
        lambda: one.recv(9, socket.MSG_PEEK),
        lambda: one.recv(9),
        lambda: one.recv(9),
        lambda: one.recv(2),
        lambda: one.recv_into(bytearray(3), 0, socket.MSG_TRUNC),
        lambda: one.recvmsg_into([bytearray(1), bytearray(2)]),
        lambda: one.recvmsg(4, 0, socket.MSG_PEEK),
        lambda: one.recv(100),
        lambda: one.recv(9),
        lambda: two.sendto(b"x", at("127.0.0.1", 0)),
        lambda: two.sendto(bytes(65507), where),
        lambda: two.sendto(bytes(65508), where),
        lambda: two.sendto(b"x", socket.MSG_OOB, where),
        lambda: two.connect(where),
        lambda: two.connect(at("127.0.0.1", 9)),
        lambda: two.getpeername(),
        lambda: two.shutdown(socket.SHUT_WR),
        lambda: two.send(b"x"),
        lambda: two.shutdown(9),
    ):
        await ask(call)


@program
async def errors_of_datagrams(ask: Ask) -> None:
    closed = udp()
    await closed.bind(at("127.0.0.1", 0))
    where = closed.getsockname()
    closed.close()
    unconnected, partner, asking = udp(), udp(), udp()
    await ask(lambda: unconnected.sendto(b"anybody?", where))
    await ask(lambda: unconnected.recv(9))
    await partner.connect(where)
    await ask(lambda: partner.send(b"anybody?"))
    await ask(lambda: partner.recv(9))
    await ask(lambda: partner.send(b"again"))
    await ask(lambda: partner.send(b"told"))
    await ask(lambda: partner.send(b"and sent"))
    await ask(lambda: partner.getsockopt(SOL, socket.SO_ERROR))
    await ask(lambda: partner.getsockopt(SOL, socket.SO_ERROR))
    hear_errors(asking)
    await ask(lambda: asking.sendto(b"anybody?", where))
    await ask(lambda: asking.recv(9))
    await ask(lambda: _told(asking, where[1]))
    await ask(lambda: asking.recvmsg(9, 100, MSG_ERRQUEUE))
    await ask(lambda: asking.sendto(b"anybody?", where))
    await ask(lambda: _told(asking, where[1]))
    await ask(lambda: asking.getsockopt(SOL, socket.SO_ERROR))
    # Too large for a path of which it is known
    asking.setsockopt(IP, 10, 2)
    await ask(lambda: asking.getsockopt(IP, 14))


async def _told(asking: Socket, port: int) -> str:
    data, messages, flags, sender = await asking.recvmsg(100, 100, MSG_ERRQUEUE)
    return repr((data, messages, flags, sender)).replace(str(port), "port")


@program
async def what_comes_with_a_datagram(ask: Ask) -> None:
    one, two = await partners()
    for name in (8, 12, 13, 20):  # PKTINFO, RECVTTL, RECVTOS, RECVORIGDSTADDR
        one.setsockopt(IP, name, 1)
    two.setsockopt(IP, socket.IP_TOS, 0x28)
    two.setsockopt(IP, socket.IP_TTL, 9)
    port = one.getsockname()[1].to_bytes(2, "big")

    async def received(size: int) -> str:
        data, messages, flags, _ = await one.recvmsg(9, size)
        return repr((data, [(*m[:2], m[2].replace(port, b"PP")) for m in messages], flags))

    await two.send(b"x")
    await ask(lambda: received(200))
    for message in (
        (IP, socket.IP_TTL, struct.pack("i", 5)),
        (IP, socket.IP_TOS, struct.pack("i", 0x10)),
        (IP, socket.IP_TOS, b"\x20"),
        (IP, 8, struct.pack("i", 0) + socket.inet_aton("127.0.0.1") + bytes(4)),
    ):
        await ask(lambda: two.sendmsg([b"y"], [message]))  # noqa: B023
        await ask(lambda: received(200))
    await two.send(b"x")
    await ask(lambda: received(0))
    await two.send(b"x")
    await ask(lambda: received(socket.CMSG_SPACE(12)))
    for message in (
        (IP, socket.IP_TTL, struct.pack("i", 0)),
        (IP, socket.IP_TTL, b"\1"),
        (IP, 8, b"abc"),
        (IP, 99, b"abcd"),
        (17, 104, b"ab"),
    ):
        await ask(lambda: two.sendmsg([b"y"], [message]))  # noqa: B023


@program
async def gathering_a_datagram(ask: Ask) -> None:
    one, two = await partners()
    await ask(lambda: one.send(b"ab", MSG_MORE))
    await ask(lambda: two.recv(9))
    await ask(lambda: one.send(b"cd"))
    await ask(lambda: two.recv(9))
    one.setsockopt(17, 1, 1)
    await ask(lambda: one.send(b"12"))
    await ask(lambda: one.send(b"34"))
    await ask(lambda: two.recv(9))
    one.setsockopt(17, 1, 0)
    await ask(lambda: two.recv(9))
    await ask(lambda: one.send(bytes(40000), MSG_MORE))
    await ask(lambda: one.send(bytes(40000), MSG_MORE))


@program
async def groups(ask: Ask) -> None:
    group, loopback = socket.inet_aton("239.1.2.3"), socket.inet_aton("127.0.0.1")
    one, two = udp(), udp()
    for value in (b"", group, group + loopback, group + loopback):
        await ask(lambda: one.setsockopt(IP, socket.IP_ADD_MEMBERSHIP, value))  # noqa: B023
    for value in (loopback * 2, group + socket.inet_aton("192.0.2.1")):
        await ask(lambda: one.setsockopt(IP, socket.IP_ADD_MEMBERSHIP, value))  # noqa: B023
    await one.bind(("", 0))
    where = "239.1.2.3", one.getsockname()[1]
    await ask(lambda: two.setsockopt(IP, socket.IP_MULTICAST_IF, socket.inet_aton("192.0.2.1")))
    await ask(lambda: two.setsockopt(IP, socket.IP_MULTICAST_IF, loopback))
    await ask(lambda: two.getsockopt(IP, socket.IP_MULTICAST_IF, 4))
    await ask(lambda: two.sendto(b"all", where))
    await ask(lambda: one.recv(9))
    two.setsockopt(IP, socket.IP_MULTICAST_LOOP, 0)
    await ask(lambda: two.getsockopt(IP, socket.IP_MULTICAST_LOOP))
    await ask(lambda: one.setsockopt(IP, socket.IP_DROP_MEMBERSHIP, group + loopback))
    await ask(lambda: one.setsockopt(IP, socket.IP_DROP_MEMBERSHIP, group + loopback))
    two.setsockopt(IP, socket.IP_MULTICAST_LOOP, 1)
    await ask(lambda: two.sendto(b"all", where))
    await ask(lambda: one.recv(9))


@program
async def the_device(ask: Ask) -> None:
    made = udp()
    await ask(lambda: made.setsockopt(SOL, 25, b"nosuch0"))
    await ask(lambda: made.setsockopt(SOL, 25, b"lo\0"))
    await ask(lambda: made.getsockopt(SOL, 25, 16))
    await ask(lambda: made.bind(at("127.0.0.1", 0)))
    other = udp()
    await other.sendto(b"heard", made.getsockname())
    await ask(lambda: made.recv(9))
    await ask(lambda: made.setsockopt(SOL, 25, b""))
    await ask(lambda: made.getsockopt(SOL, 25, 16))


@program
async def broadcasting(ask: Ask) -> None:
    made = udp()
    await ask(lambda: made.sendto(b"x", at("127.255.255.255", 9)))
    await ask(lambda: made.connect(at("127.255.255.255", 9)))
    made.setsockopt(SOL, socket.SO_BROADCAST, 1)
    await ask(lambda: made.connect(at("127.255.255.255", 9)))


_QUOTES = "our ICMP errors quote 8 bytes of what they are about (RFC 792), Linux's up to 576"
# By program and number of the call: why the answers differ.
MEANT: dict[tuple[str, int], str] = {
    ("errors_of_datagrams", 11): _QUOTES,
    ("errors_of_datagrams", 14): _QUOTES,
}


@real_linux
@pytest.mark.parametrize("written", PROGRAMS, ids=lambda written: written.__name__)
def test_a_program_gets_linuxs_answers(written: Program, speech: str) -> None:
    if written is the_device and os.geteuid() != 0:
        pytest.skip("Linux lets only root change or undo SO_BINDTODEVICE")
    meant = {number for known, number in MEANT if known == written.__name__}
    if speech == "IPv6":  # ICMPv6 quotes all that there is room for
        meant = set()
    assert differing(written, meant) == {}

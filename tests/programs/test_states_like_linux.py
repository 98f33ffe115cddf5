"""Calls in states that programs seldom are in, on this machine's Linux and on a host of ours.

What Linux answers is not written down: it is asked. Nothing that matters differs.
"""

import errno
import itertools
import socket
import struct

import pytest
import trio
from like_linux import (
    Ask,
    Program,
    Socket,
    at,
    connected,
    differing,
    hear_errors,
    listening,
    partners,
    real_linux,
    reset,
    tcp,
    udp,
)

SOL, IP = socket.SOL_SOCKET, socket.IPPROTO_IP
MSG_ERRQUEUE = 0x2000
SHUT = socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR
SHARING = 0, socket.SO_REUSEADDR, socket.SO_REUSEPORT
LOOPBACK = socket.inet_aton("127.0.0.1")

PROGRAMS: list[Program] = []


def program(written: Program) -> Program:
    PROGRAMS.append(written)
    return written


@program
async def shut_down_before_there_is_a_connection(ask: Ask) -> None:
    for how in SHUT:
        server, client = await listening(), tcp()
        for call in (
            lambda: client.shutdown(how),  # noqa: B023 - called at once
            lambda: client.recv(1),  # noqa: B023
            lambda: client.send(b"x"),  # noqa: B023
            lambda: client.connect(server.getsockname()),  # noqa: B023
            lambda: client.send(b"x"),  # noqa: B023
            lambda: client.recv(1),  # noqa: B023
            lambda: client.shutdown(socket.SHUT_WR),  # noqa: B023
            client.getpeername,
        ):
            await ask(call)
        other = tcp()
        for call in (
            lambda: other.shutdown(how),  # noqa: B023
            lambda: other.listen(1),  # noqa: B023
            other.accept,
            lambda: other.shutdown(how),  # noqa: B023
            other.accept,
            lambda: other.recv(1),  # noqa: B023
        ):
            await ask(call)
        # What a failed connection leaves is undone by the next but one.
        client = tcp()
        await ask(lambda: client.shutdown(how))  # noqa: B023
        await ask(lambda: client.connect(at("127.0.0.1", 9)))  # noqa: B023
        for _ in range(2):
            await ask(lambda: client.connect(server.getsockname()))  # noqa: B023
        await ask(lambda: client.send(b"x"))  # noqa: B023
        await ask(lambda: client.recv(1))  # noqa: B023


@program
async def shut_down_while_connecting(ask: Ask) -> None:
    for how in SHUT:
        full, first, client = tcp(), tcp(), tcp()
        await full.bind(at("127.0.0.1", 0))
        full.listen(0)
        await first.connect(full.getsockname())
        told: list[str] = []

        async def connect(client: Socket, full: Socket, told: list[str]) -> None:
            try:
                await client.connect(full.getsockname())
            except OSError as error:
                told.append(errno.errorcode[error.errno or 0])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect, client, full, told)
            await trio.sleep(0.01)
            for call in (client.getsockname, client.getpeername, client.is_readable):
                await ask(call)
            await ask(lambda: client.send(b"x"))  # noqa: B023
            await ask(lambda: client.listen(1))  # noqa: B023
            await ask(lambda: client.shutdown(how))  # noqa: B023
            await trio.sleep(0.01)
            await ask(lambda: told)  # noqa: B023
            await ask(lambda: client.getsockopt(SOL, socket.SO_ERROR))  # noqa: B023
            await ask(lambda: client.recv(1))  # noqa: B023
            await ask(client.getsockname)
            server = await listening()
            for _ in range(2):
                await ask(lambda: client.connect(server.getsockname()))  # noqa: B023
            await ask(lambda: client.send(b"x"))  # noqa: B023
            nursery.cancel_scope.cancel()


@program
async def a_listener_that_ended(ask: Ask) -> None:
    for address in (None, at("127.0.0.3", 0), at("0.0.0.0", 0)):
        server = tcp()
        if address is not None:
            await server.bind(address)
        server.listen(1)
        name = server.getsockname()
        await ask(lambda: server.shutdown(socket.SHUT_RD))  # noqa: B023
        await ask(lambda: server.getsockname() == name)  # noqa: B023
        await ask(lambda: server.recv(1))  # noqa: B023
        await ask(lambda: server.bind(at("127.0.0.5", 0)))  # noqa: B023
        await ask(server.getsockname)
        await ask(lambda: server.bind(at("127.0.0.5", 0)))  # noqa: B023
        await ask(lambda: server.listen(1))  # noqa: B023
    later = tcp()
    later.setsockopt(IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    for address in (at("127.0.0.3", 0), at("127.0.0.4", 0)):
        await ask(lambda: later.bind(address))  # noqa: B023
        await ask(later.getsockname)


@program
async def a_port_bound_everywhere_and_connected_from_one_address(ask: Ask) -> None:
    server = await listening()
    for local, other in itertools.product(
        ("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "127.0.0.1", "0.0.0.0")
    ):
        for one, two in itertools.product(SHARING, SHARING):
            first, second = tcp(), tcp()
            for made, option in ((first, one), (second, two)):
                if option:
                    made.setsockopt(SOL, option, 1)
            await first.bind(at(local, 0))
            port = first.getsockname()[1]
            await first.connect(server.getsockname())
            (await server.accept())[0].close()
            await ask(lambda: second.bind((other, port)))  # noqa: B023
            await ask(lambda: second.listen(1))  # noqa: B023
            reset(first)
            second.close()


@program
async def both_ends_shut_something(ask: Ask) -> None:
    for one, two in itertools.product(SHUT, SHUT):
        _, client, accepted = await connected()
        await client.send(b"one")
        await accepted.send(b"two")
        await trio.sleep(0.003)
        client.shutdown(one)
        await trio.sleep(0.003)
        await ask(lambda: accepted.shutdown(two))  # noqa: B023
        await trio.sleep(0.003)
        for end in (client, accepted):
            for call in (
                end.is_readable,
                lambda: end.recv(2),  # noqa: B023
                lambda: end.recv(9),  # noqa: B023
                lambda: end.recv(9),  # noqa: B023
                lambda: end.send(b"three"),  # noqa: B023
                lambda: end.recv(9),  # noqa: B023
                end.getpeername,
                lambda: end.getsockopt(SOL, socket.SO_ERROR),  # noqa: B023
                lambda: end.shutdown(one),  # noqa: B023
                lambda: end.send(b""),  # noqa: B023
            ):
                await ask(call)


@program
async def nothing_sent_after_a_reset(ask: Ask) -> None:
    _, client, accepted = await connected()
    await ask(lambda: client.send(b""))
    reset(accepted)
    await trio.sleep(0.003)
    await ask(lambda: client.getsockopt(SOL, socket.SO_ERROR))
    await ask(lambda: client.send(b""))
    for linger in ((2, 5), (0, 3), (-1, 0)):
        client = tcp()
        client.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", *linger))
        await ask(lambda: client.getsockopt(SOL, socket.SO_LINGER, 8))  # noqa: B023


@program
async def nothing_received(ask: Ask) -> None:
    _, client, accepted = await connected()
    await ask(lambda: client.recvmsg(0))
    await accepted.send(b"text")
    await trio.sleep(0.003)
    await ask(lambda: client.recvmsg(0))
    await ask(lambda: client.recv(9))
    reset(accepted)
    await trio.sleep(0.003)
    await ask(lambda: client.recvmsg(0))
    await ask(lambda: client.recvmsg(0))
    shut = tcp()
    await ask(lambda: shut.shutdown(socket.SHUT_RD))
    await ask(lambda: shut.recv(1, socket.MSG_OOB))
    port = udp()
    await ask(lambda: port.send(b"x", socket.MSG_OOB))
    await ask(lambda: port.getsockname()[1] != 0)


@program
async def the_urgent_byte_and_the_end(ask: Ask) -> None:
    for size in (1, 2, 5, 5000):
        _, client, accepted = await connected()
        await client.send(bytes(size), socket.MSG_OOB)
        client.shutdown(socket.SHUT_WR)
        await trio.sleep(0.003)
        await ask(accepted.is_readable)
        await ask(lambda: accepted.recv(9000))  # noqa: B023
        await ask(lambda: accepted.recv(9000))  # noqa: B023
        await ask(lambda: accepted.recv(1, socket.MSG_OOB))  # noqa: B023
        await ask(lambda: accepted.recv(9000))  # noqa: B023


@program
async def datagrams_from_the_usual_address(ask: Ask) -> None:
    for to in ("127.0.0.77", "127.0.0.1", ""):
        receiver, unconnected, partner = udp(), udp(), udp()
        await receiver.bind(at(to, 0))
        where = at(to or "127.0.0.9", receiver.getsockname()[1])
        await unconnected.sendto(b"x", where)
        await ask(lambda: receiver.recvfrom(9))  # noqa: B023
        await partner.connect(where)
        await ask(partner.getsockname)
        await partner.send(b"x")
        await ask(lambda: receiver.recvfrom(9))  # noqa: B023
        await partner.connect(at("127.0.0.3", 9))
        await ask(partner.getsockname)


@program
async def broadcasts_to_several(ask: Ask) -> None:
    hearers = [udp() for _ in range(3)]
    for hearer in hearers:
        hearer.setsockopt(SOL, socket.SO_REUSEADDR, 1)
        await hearer.bind(("", hearers[0].getsockname()[1]))
    port = hearers[0].getsockname()[1]
    sender, one, many = udp(), udp(), udp()
    sender.setsockopt(SOL, socket.SO_BROADCAST, 1)
    for address in ("127.255.255.255", "127.0.0.1"):
        await ask(lambda: sender.sendto(b"b", at(address, port)))  # noqa: B023
        for hearer in hearers:
            await ask(lambda: hearer.recvfrom(9))  # noqa: B023
    # From a socket bound to the broadcast address itself
    await one.bind(at("127.0.0.1", 0))
    await many.bind(at("127.255.255.255", 0))
    await ask(lambda: many.sendto(b"z", one.getsockname()))
    await ask(lambda: one.recvfrom(9))


@program
async def groups_of_the_loopback(ask: Ask) -> None:
    group = "224.9.9.9"
    for ttl, loop in itertools.product((0, 1, 255), (0, 1)):
        receiver, sender = udp(), udp()
        await receiver.bind(("", 0))
        receiver.setsockopt(IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + LOOPBACK)
        receiver.setsockopt(IP, 12, 1)  # IP_RECVTTL
        sender.setsockopt(IP, socket.IP_MULTICAST_IF, LOOPBACK)
        sender.setsockopt(IP, socket.IP_MULTICAST_TTL, ttl)
        sender.setsockopt(IP, socket.IP_MULTICAST_LOOP, loop)
        await sender.sendto(b"x", (group, receiver.getsockname()[1]))
        await ask(lambda: _with_messages(receiver))  # noqa: B023


async def _with_messages(made: Socket, flags: int = 0) -> str:
    data, messages, said, _ = await made.recvmsg(100, 200, flags)
    return repr((data, messages, said))


@program
async def room_for_datagrams(ask: Ask) -> None:
    for room, size in itertools.product(
        (1, 5000, 20_000), (0, 197, 198, 645, 646, 1669, 1670, 4000, 9000, 20_000)
    ):
        one, two = await partners()
        two.setsockopt(SOL, socket.SO_RCVBUF, room)
        for _ in range(60):
            await one.send(bytes(size))
        await trio.sleep(0.003)
        count = 0
        while two.is_readable():
            await two.recv(1)
            count += 1
        await ask(lambda: count)  # noqa: B023


@program
async def too_large_for_any_datagram(ask: Ask) -> None:
    for connect in (False, True):
        made = udp()
        hear_errors(made)
        if connect:
            await made.connect(at("127.0.0.1", 9))
        for size in (65_508, 65_535, 65_536):
            await ask(lambda: made.sendto(bytes(size), at("127.0.0.1", 8)))  # noqa: B023
            await ask(lambda: _with_messages(made, MSG_ERRQUEUE))  # noqa: B023


@real_linux
@pytest.mark.parametrize("written", PROGRAMS, ids=lambda written: written.__name__)
def test_a_program_gets_linuxs_answers(written: Program, speech: str) -> None:
    # The MTU that IPv6 is told with EMSGSIZE is that of `lo`: 65,536 on Linux, 65,535 here
    of_lo = speech == "IPv6" and written is too_large_for_any_datagram
    assert differing(written, {3, 5, 9, 11} if of_lo else set()) == {}

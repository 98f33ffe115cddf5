"""The calls of a stream on this machine's Linux and on a host of ours: the same answers.

What Linux answers is not written down: it is asked. Where a difference is meant, it says so.
"""

import socket

import pytest
import trio
from like_linux import (
    Ask,
    Program,
    accept,
    at,
    connected,
    differing,
    family,
    kept,
    listening,
    partners,
    real_linux,
    reset,
    tcp,
)

SOL, IP, TCP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_TCP
UDP = socket.SOCK_DGRAM

PROGRAMS: list[Program] = []


def program(written: Program) -> Program:
    PROGRAMS.append(written)
    return written


@program
async def a_new_stream(ask: Ask) -> None:
    made = tcp()
    for call in (
        made.getsockname,
        made.getpeername,
        lambda: made.recv(1),
        lambda: made.recv(0),
        lambda: made.recv(1, socket.MSG_OOB),
        lambda: made.recv_into(bytearray(3), 4),
        lambda: made.send(b"x"),
        made.accept,
        made.wait_writable,
        lambda: made.shutdown(socket.SHUT_RDWR),
        lambda: made.shutdown(7),
        lambda: made.getsockopt(SOL, socket.SO_ERROR),
        lambda: made.connect(at("127.0.0.1", 0)),
        lambda: made.recv(1),
        lambda: made.send(b"x"),
        lambda: made.listen(1),
        lambda: made.connect(at("127.0.0.1", 0)),
        lambda: made.connect(at("127.0.0.1", 0)),
        made.close,
        made.getsockname,
    ):
        await ask(call)


@program
async def binding_and_listening_twice(ask: Ask) -> None:
    one, two, three = tcp(), tcp(), tcp()
    await ask(lambda: one.bind(at("127.0.0.9", 0)))
    await ask(lambda: one.bind(at("127.0.0.9", 0)))
    await ask(lambda: one.bind(at("192.0.2.1", 0)))
    await ask(lambda: two.bind(at("192.0.2.1", 0)))
    where = one.getsockname()
    await ask(lambda: two.bind(where))
    await ask(lambda: two.bind(at("0.0.0.0", where[1])))
    await ask(lambda: two.bind(at("127.0.0.8", where[1])))
    await ask(lambda: one.listen(1))
    await ask(lambda: one.listen(2))
    await ask(lambda: one.connect(where))
    await ask(lambda: one.shutdown(socket.SHUT_WR))
    await ask(lambda: one.getsockopt(SOL, socket.SO_ACCEPTCONN))
    await ask(lambda: one.shutdown(socket.SHUT_RD))
    await ask(lambda: one.getsockopt(SOL, socket.SO_ACCEPTCONN))
    await ask(one.accept)
    await ask(lambda: three.connect(where))
    await ask(lambda: one.listen(1))
    await ask(lambda: two.connect(where))
    await ask(lambda: two.connect(where))
    await ask(two.getpeername)
    await ask(lambda: two.listen(1))
    await ask(lambda: two.bind(at("127.0.0.1", 0)))


@program
async def addresses_that_are_shared(ask: Ask) -> None:
    for kind in (socket.SOCK_STREAM, UDP):
        for first in (0, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            for second in (0, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                one, two = (trio.socket.socket(family(), kind) for _ in range(2))
                for each, option in ((one, first), (two, second)):
                    if option:
                        each.setsockopt(SOL, option, 1)
                await one.bind(at("127.0.0.1", 0))
                port = one.getsockname()[1]
                await ask(lambda: two.bind(at("127.0.0.1", port)))  # noqa: B023 - called at once
                if kind != UDP:
                    await ask(lambda: one.listen(1))  # noqa: B023
                    await ask(lambda: two.listen(1))  # noqa: B023
                one.close()
                two.close()


@program
async def a_port_in_time_wait(ask: Ask) -> None:
    for first in (0, 1):
        server, client = await listening((SOL, socket.SO_REUSEADDR, first)), tcp()
        where = server.getsockname()
        await client.connect(where)
        accepted = await accept(server)
        server.close()
        for state in ("established", "time-wait"):
            for second in (0, 1):
                again = tcp()
                again.setsockopt(SOL, socket.SO_REUSEADDR, second)
                await ask(lambda: again.bind(where))  # noqa: B023
                again.close()
            if state == "established":
                accepted.close()
                await client.recv(1)
                client.close()
                await trio.sleep(0.01)


@program
async def resets(ask: Ask) -> None:
    _, client, accepted = await connected()
    reset(accepted)
    await trio.sleep(0.01)
    await ask(lambda: client.recv(1))
    await ask(lambda: client.recv(1))
    await ask(lambda: client.send(b"x"))
    await ask(client.getpeername)
    await ask(lambda: client.shutdown(socket.SHUT_WR))
    await ask(lambda: client.connect(at("127.0.0.1", 9)))
    _, client, accepted = await connected()
    reset(accepted)
    await trio.sleep(0.01)
    await ask(lambda: client.send(b"x"))
    await ask(lambda: client.send(b"x"))
    await ask(lambda: client.recv(1))
    _, client, accepted = await connected()
    accepted.close()
    await ask(lambda: client.recv(1))
    await client.send(b"into the void")
    await trio.sleep(0.01)
    await ask(lambda: client.getsockopt(SOL, socket.SO_ERROR))
    await ask(lambda: client.send(b"x"))
    await ask(lambda: client.recv(1))
    _, client, accepted = await connected()
    await client.send(b"nobody reads it")
    await trio.sleep(0.01)
    accepted.close()
    await trio.sleep(0.01)
    await ask(lambda: client.recv(1))
    server, client, accepted = await connected()
    await client.send(b"unread")
    await trio.sleep(0.01)
    reset(client)
    await trio.sleep(0.01)
    await ask(lambda: accepted.recv(3))
    await ask(lambda: accepted.recv(30))
    await ask(lambda: accepted.recv(30))
    waiting = tcp()
    await waiting.connect(server.getsockname())
    reset(waiting)
    await trio.sleep(0.01)
    late = await accept(server)
    await ask(lambda: late.getsockopt(SOL, socket.SO_ERROR))
    await ask(lambda: late.recv(1))


@program
async def shutting_down_in_every_state(ask: Ask) -> None:
    for how in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
        _, client, accepted = await connected()
        await accepted.send(b"before")
        await trio.sleep(0.01)
        await ask(lambda: client.shutdown(how))  # noqa: B023
        await ask(lambda: client.shutdown(how))  # noqa: B023
        await ask(lambda: client.recv(3))  # noqa: B023
        await ask(lambda: client.send(b"x"))  # noqa: B023
        await ask(lambda: client.recv(9))  # noqa: B023
        await ask(client.is_readable)
        if how != socket.SHUT_RD:
            await ask(lambda: client.recv(9) if how == socket.SHUT_RDWR else None)  # noqa: B023
            await ask(lambda: accepted.recv(9))  # noqa: B023
        await ask(client.getpeername)
        accepted.shutdown(socket.SHUT_WR)
        await trio.sleep(0.01)
        await ask(lambda: client.recv(9))  # noqa: B023
        await ask(lambda: accepted.shutdown(socket.SHUT_WR))  # noqa: B023
        await ask(client.getpeername)


@program
async def receiving_in_all_ways(ask: Ask) -> None:
    _, client, accepted = await connected()
    buffers = [bytearray(2), bytearray(0), bytearray(4)]
    await client.sendmsg([b"01", b"", bytearray(b"23456789")])
    await client.send(b"abcdefghijklmnopqrstuvwxyz")
    await trio.sleep(0.01)
    for call in (
        lambda: accepted.recv(4, socket.MSG_PEEK),
        lambda: accepted.recv(2),
        lambda: accepted.recvmsg(3, 100, socket.MSG_PEEK),
        lambda: accepted.recvmsg_into(buffers),
        lambda: buffers,
        lambda: accepted.recv_into(bytearray(2), 0, socket.MSG_TRUNC),
        lambda: accepted.recvfrom(2),
        lambda: accepted.recvfrom_into(bytearray(3), 2),
        lambda: accepted.recv(3, socket.MSG_WAITALL),
        lambda: accepted.recv(3, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL),
        lambda: accepted.recv(-1),
        lambda: accepted.recv(100),
        lambda: accepted.recv(100, socket.MSG_PEEK),
        lambda: accepted.sendto(b"x", at("127.0.0.1", 1)),
        lambda: accepted.sendto(b"x", 0, at("127.0.0.1", 1)),
        lambda: client.recv(9),
        lambda: client.send(b""),
    ):
        await ask(call)
    # What was only looked at is unread: closing is a reset.
    await client.send(b"looked at")
    await trio.sleep(0.01)
    await ask(lambda: accepted.recv(100, socket.MSG_PEEK))
    accepted.close()
    await trio.sleep(0.01)
    await ask(lambda: client.recv(9))


@program
async def the_urgent_byte(ask: Ask) -> None:
    for inline in (0, 1):
        _, client, accepted = await connected()
        accepted.setsockopt(SOL, socket.SO_OOBINLINE, inline)
        await ask(lambda: accepted.recv(1, socket.MSG_OOB))  # noqa: B023
        await ask(lambda: client.send(b"before!", socket.MSG_OOB))  # noqa: B023
        await ask(lambda: client.send(b"after"))  # noqa: B023
        await trio.sleep(0.01)
        for call in (
            lambda: accepted.recv(1, socket.MSG_OOB | socket.MSG_PEEK),  # noqa: B023
            lambda: accepted.recv(100, socket.MSG_PEEK),  # noqa: B023
            lambda: accepted.recvmsg(9, 0, socket.MSG_OOB),  # noqa: B023
            lambda: accepted.recv(1, socket.MSG_OOB),  # noqa: B023
            lambda: accepted.recv(100),  # noqa: B023
            lambda: accepted.recv(100),  # noqa: B023
        ):
            await ask(call)
        await client.send(b"!", socket.MSG_OOB)
        await trio.sleep(0.01)
        await ask(accepted.is_readable)
        await ask(lambda: accepted.recv(100))  # noqa: B023
        await ask(lambda: accepted.recv(1, socket.MSG_OOB))  # noqa: B023


@program
async def two_descriptors(ask: Ask) -> None:
    server, client, accepted = await connected()
    other = kept(client.dup())
    await ask(lambda: other.getpeername() == client.getpeername())
    client.setsockopt(TCP, socket.TCP_NODELAY, 1)
    await ask(lambda: other.getsockopt(TCP, socket.TCP_NODELAY))
    client.close()
    await ask(lambda: client.send(b"x"))
    await ask(lambda: other.send(b"still"))
    await ask(lambda: accepted.recv(9))
    second = kept(server.dup())
    server.close()
    late = tcp()
    await ask(lambda: late.connect(second.getsockname()))
    await ask(lambda: accepted.recv(9))
    other.close()
    await ask(lambda: accepted.recv(9))
    one, two = await partners()
    three = kept(one.dup())
    one.close()
    await ask(lambda: three.send(b"x"))
    await ask(lambda: two.recv(9))


@program
async def low_water_mark(ask: Ask) -> None:
    _, client, accepted = await connected()
    accepted.setsockopt(SOL, socket.SO_RCVLOWAT, 4)
    await client.send(b"ab")
    await trio.sleep(0.01)
    await ask(accepted.is_readable)
    await ask(lambda: accepted.recv(9))
    async with trio.open_nursery() as nursery:

        async def later() -> None:
            for text in (b"c", b"d", b"ef"):
                await trio.sleep(0.005)
                await client.send(text)

        nursery.start_soon(later)
        await ask(lambda: accepted.recv(9))


MSG_ERRQUEUE, MSG_ZEROCOPY = 0x2000, 0x4000000
SO_ZEROCOPY, SO_TIMESTAMPING = 60, 37
# SOFTWARE, and of what is sent: when it was handed down, left, was acknowledged; without the packet
STAMPS, KEYS = 1 << 4 | 1 << 8 | 1 << 1 | 1 << 9 | 1 << 11, 1 << 7


@program
async def zero_copy(ask: Ask) -> None:
    _, one, two = await connected()
    await ask(lambda: one.recvmsg(0, 100, MSG_ERRQUEUE))
    await ask(lambda: one.send(b"nobody is told", MSG_ZEROCOPY))
    await ask(lambda: one.recvmsg(0, 100, MSG_ERRQUEUE))
    for value in (2, -1, 1):
        await ask(lambda value=value: one.setsockopt(SOL, SO_ZEROCOPY, value))
    await ask(lambda: one.getsockopt(SOL, SO_ZEROCOPY))
    await ask(lambda: one.send(b"first", MSG_ZEROCOPY))
    await ask(lambda: one.send(b"without"))
    await ask(lambda: one.send(b"second", MSG_ZEROCOPY))
    await ask(lambda: two.recv(99))
    await trio.sleep(0.1)
    await ask(lambda: one.recvmsg(0, 100, MSG_ERRQUEUE))
    await ask(lambda: one.recvmsg(0, 100, MSG_ERRQUEUE))
    await ask(lambda: one.send(b"third", MSG_ZEROCOPY))
    await trio.sleep(0.1)
    await ask(lambda: one.recvmsg(9, 100, MSG_ERRQUEUE))
    fresh = tcp()
    await ask(lambda: fresh.recvmsg(0, 100, MSG_ERRQUEUE))


@program
async def stamps_of_what_is_sent(ask: Ask) -> None:
    fresh = tcp()
    await ask(lambda: fresh.setsockopt(SOL, SO_TIMESTAMPING, STAMPS | KEYS))
    _, one, two = await connected()
    await ask(lambda: one.setsockopt(SOL, SO_TIMESTAMPING, STAMPS | KEYS))
    await ask(lambda: one.getsockopt(SOL, SO_TIMESTAMPING))

    async def told() -> list[object]:
        data, messages, flags, _ = await one.recvmsg(0, 200, MSG_ERRQUEUE)
        return [data, flags, *(m if m[0] != SOL else (*m[:2], len(m[2])) for m in messages)]

    await ask(lambda: one.send(b"12345"))
    await ask(lambda: two.recv(99))
    await trio.sleep(0.1)
    for _ in range(4):
        await ask(told)
    await ask(lambda: one.send(b"678"))
    await trio.sleep(0.1)
    for _ in range(4):
        await ask(told)


# By program and number of the call: why the answers differ.
MEANT: dict[tuple[str, int], str] = {}


@real_linux
@pytest.mark.parametrize("written", PROGRAMS, ids=lambda written: written.__name__)
@pytest.mark.usefixtures("speech")
def test_a_program_gets_linuxs_answers(written: Program) -> None:
    meant = {number for known, number in MEANT if known == written.__name__}
    assert differing(written, meant) == {}

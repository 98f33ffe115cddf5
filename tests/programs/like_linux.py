"""The same program on this machine's loopback and on that of a host of ours, for comparison."""

import errno
import os
import re
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from inspect import isawaitable
from typing import TypeVar

import pytest
import trio
from worlds import in_virtual_time

import pystack

Socket = trio.socket.SocketType
Answers = list[str]
Ask = Callable[[Callable[[], object]], Awaitable[None]]
Program = Callable[[Ask], Awaitable[None]]
T = TypeVar("T")
# How long a call may take until it is said to wait. On Linux it is real time: where the machine was
# too busy for the first, a comparison is made once more with the second.
PATIENCES_S = (0.03, 0.5)
_patience_s = PATIENCES_S[0]


def _release() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split(".")[:2])


def on_linux_since(*release: int) -> pytest.MarkDecorator:
    """Return the mark of a test that asks the Linux it runs on."""
    return pytest.mark.skipif(
        sys.platform != "linux" or _release() < release,
        reason=f"asks the Linux that the tests run on, of {'.'.join(map(str, release))} or later",
    )


real_linux = on_linux_since(6, 17)


def on_both(program: Callable[[], Awaitable[T]]) -> tuple[T, T]:
    """Run a program on this machine, and on a host of ours; return what both return."""
    global _patience_s
    for _patience_s in PATIENCES_S:
        real, ours = trio.run(program), on_ours(program)
        if real == ours:
            break
    return real, ours


def on_ours(program: Callable[[], Awaitable[T]]) -> T:
    """Run a program on a host of ours, in virtual time; return what it returns."""
    found: list[T] = []

    async def main() -> None:
        async with pystack.Network(seed=1, ip="both") as net:
            net.link(net.host("a"), net.host("b"))
            found.append(await net.hosts["a"].run(program))

    in_virtual_time(main)
    return found[0]


async def said(call: Callable[[], object]) -> str:
    """Return what a call returns, as text; the name of its errno; or that it waits."""
    with trio.move_on_after(_patience_s):
        try:
            result = call()
            return repr(await result if isawaitable(result) else result)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, repr(error))
        except (
            trio.ClosedResourceError,
            trio.BusyResourceError,
            ArithmeticError,
            ValueError,
            TypeError,
        ) as error:
            return type(error).__name__
    return "waits"


MADE: list[Socket] = []  # to be closed
# What programs of the comparison speak: IPv4, the same through sockets of IPv6, or IPv6
SPEECHES = ("IPv4", "mapped", "IPv6")
_speech = SPEECHES[0]
_SIXES = {"0.0.0.0": "::", "127.0.0.1": "::1", "192.0.2.1": "2001:db8::1", "": ""}


@pytest.fixture(params=SPEECHES)
def speech(request: pytest.FixtureRequest) -> Iterator[str]:
    """Let `tcp`, `udp` and `at` be of one family after the other."""
    global _speech
    _speech = request.param
    yield _speech
    _speech = SPEECHES[0]


def family() -> socket.AddressFamily:
    return socket.AF_INET if _speech == "IPv4" else socket.AF_INET6


def at(address: str, port: int) -> tuple[str, int]:
    """Return the counterpart of an IPv4 address; IPv6 has but one of the loopback."""
    if _speech == "mapped" and address:
        address = f"::ffff:{address}"
    return _SIXES.get(address, "::1") if _speech == "IPv6" else address, port


def tcp() -> Socket:
    MADE.append(trio.socket.socket(family()))
    return MADE[-1]


def udp() -> Socket:
    MADE.append(trio.socket.socket(family(), socket.SOCK_DGRAM))
    return MADE[-1]


async def accept(server: Socket) -> Socket:
    accepted, _ = await server.accept()
    MADE.append(accepted)
    return accepted


def kept(made: Socket) -> Socket:
    MADE.append(made)
    return made


async def listening(*options: tuple[int, int, int]) -> Socket:
    made = tcp()
    for option in options:
        made.setsockopt(*option)
    await made.bind(at("127.0.0.1", 0))
    made.listen(5)
    return made


async def connected() -> tuple[Socket, Socket, Socket]:
    server, client = await listening(), tcp()
    await client.connect(server.getsockname())
    accepted = await accept(server)
    return server, client, accepted


async def partners() -> tuple[Socket, Socket]:
    one, two = udp(), udp()
    await one.bind(at("127.0.0.1", 0))
    await two.bind(at("127.0.0.1", 0))
    await one.connect(two.getsockname())
    await two.connect(one.getsockname())
    return one, two


def reset(tried: Socket) -> None:
    tried.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tried.close()


def answers(written: Program) -> Callable[[], Awaitable[Answers]]:
    async def run() -> Answers:
        found: Answers = []

        async def ask(call: Callable[[], object]) -> None:
            found.append(without_ports(await said(call)))
            await trio.sleep(0.002)

        try:
            await written(ask)
        finally:
            for made in MADE:
                made.close()
            MADE.clear()
        return found

    return run


def hear_errors(made: Socket) -> None:
    """Set IP_RECVERR, and IPV6_RECVERR where the socket has it."""
    made.setsockopt(socket.IPPROTO_IP, 11, 1)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, 25, 1)


def without_ports(text: str) -> str:
    return re.sub(r"\('([\da-f.:]+)', \d{4,5}(, 0, \d+)?\)", r"('\1', port\2)", text)


def differing(written: Program, meant: set[int]) -> dict[int, tuple[str, str]]:
    """Return the calls of a program that got other answers: Linux's, and ours.

    `meant`: those that are known to differ; one that does not any more is told as well.
    """
    real, ours = on_both(answers(written))
    found = {
        number: answers
        for number, answers in enumerate(zip(real, ours, strict=True))
        if answers[0] != answers[1]
    }
    same = {number: ("no difference any more", "") for number in meant if number not in found}
    return {number: said for number, said in found.items() if number not in meant} | same

"""The options of tcp(7), the same calls on this machine's Linux and on a host of ours.

What Linux answers is not written down here: it is asked. Where we mean to differ, it says so.
"""

import errno
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from like_linux import at, family, on_both, on_linux_since
from worlds import in_virtual_time

import pystack
from pystack.runtime.socket.option_table import OPTIONS, How, Option
from pystack.runtime.socket.option_table import TCP as LEVEL

FAST_OPEN = Path("/proc/sys/net/ipv4/tcp_fastopen")
TCP = socket.IPPROTO_TCP
VALUES = (-1, 0, 1, 2, 5, 87, 88, 128, 700, 32767, 32768, 1 << 20, (1 << 31) - 1)
ODD = (b"\1", b"", struct.pack("ii", 1, 0))
TABLE = tuple(row for row in OPTIONS if row.level == LEVEL)
WORKING = tuple(row for row in TABLE if row.how is not How.REFUSED)
REFUSED = tuple(row.number for row in TABLE if row.how is How.REFUSED)
UNKNOWN = (0, 15, 47, 1000)

Socket = trio.socket.SocketType
Answers = dict[str, str]


real_linux = on_linux_since(6, 1)


def said(call: Callable[[], object]) -> str:
    try:
        return repr(call())
    except OSError as error:
        return errno.errorcode[error.errno or 0]


async def connected() -> tuple[Socket, Socket, Socket]:
    listening, client = trio.socket.socket(family()), trio.socket.socket(family())
    await listening.bind(at("127.0.0.1", 0))
    listening.listen(5)
    await client.connect(listening.getsockname())
    accepted, _ = await listening.accept()
    return listening, client, accepted


def attempt(tried: Socket, name: int, value: int | bytes) -> str:
    result = said(lambda: tried.setsockopt(TCP, name, value))
    return result if result != "None" else said(lambda: tried.getsockopt(TCP, name))


async def ask(tried: int, name: int) -> Answers:
    """Ask all of one option of a socket that is new, listens, connected or accepted (0 to 3)."""
    answers = {}
    for value in (None, *VALUES, *ODD):
        sockets = (trio.socket.socket(family()), *await connected())
        asked = sockets[tried]
        if value is None:
            answers["as it is"] = said(lambda asked=asked: asked.getsockopt(TCP, name))  # type: ignore[misc]
            for size in (2, 4, 64):
                length = said(lambda asked=asked, size=size: len(asked.getsockopt(TCP, name, size)))  # type: ignore[misc]
                answers[f"in {size} bytes"] = length
        else:
            answers[str(value)] = attempt(asked, name, value)
        for each in sockets:
            each.close()
    return answers


# What is meant to differ: the number of the option, which sockets, and why
MAXIMUM = {  # a segment is at most half of Linux's first window, for which ours need not care
    (2, state): ("as it is", *map(str, VALUES[6:10]), "0") for state in (2, 3)
}
DIFFERENT: dict[tuple[int, int], tuple[str, ...]] = {
    **MAXIMUM,
    **{(7, state): ("as it is",) for state in range(4)},  # tcp_syn_retries: 7, as RFC 9293 asks for
    **{(13, state): ("as it is",) for state in range(4)},  # the machine's own congestion control
    **{(44, state): ("as it is", "32767") for state in range(4)},  # 60 s; no ticks of 4 ms
    **{(10, state): ("as it is",) for state in (2, 3)},  # our receive buffers are larger
}


@real_linux
@pytest.mark.parametrize("tried", range(4), ids=("new", "listening", "connected", "accepted"))
@pytest.mark.parametrize("option", WORKING, ids=lambda option: option.name)
@pytest.mark.usefixtures("speech")
def test_an_option_is_set_refused_and_read_as_by_linux(tried: int, option: Option) -> None:
    async def program() -> Answers:
        return await ask(tried, option.number)

    if option.name == "TCP_FASTOPEN_CONNECT" and not int(FAST_OPEN.read_text(), 0) & 1:
        pytest.skip(f"{FAST_OPEN} forbids it on this machine")
    real, ours = on_both(program)
    skipped = DIFFERENT.get((option.number, tried), ())
    assert {key: ours[key] for key in real if key not in skipped} == {
        key: real[key] for key in real if key not in skipped
    }


@pytest.mark.parametrize("number", [*REFUSED, *UNKNOWN])
def test_what_does_not_work_is_refused_and_never_swallowed(number: int) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.link(net.host("a"), net.host("b"))
            for tried in range(4):
                answers = await net.hosts["a"].run(ask, tried, number)
                assert set(answers.values()) == {"ENOPROTOOPT"}

    in_virtual_time(main)


@real_linux
def test_the_largest_segment_of_either_end_bounds_both() -> None:
    async def program() -> Answers:
        found = {}
        for of_client, of_listener in ((0, 700), (700, 0), (600, 700), (900, 300)):
            listening, client = trio.socket.socket(family()), trio.socket.socket(family())
            await listening.bind(at("127.0.0.1", 0))
            listening.setsockopt(TCP, socket.TCP_MAXSEG, of_listener)
            client.setsockopt(TCP, socket.TCP_MAXSEG, of_client)
            listening.listen()
            await client.connect(listening.getsockname())
            accepted, _ = await listening.accept()
            sizes = [one.getsockopt(TCP, socket.TCP_MAXSEG) for one in (client, accepted)]
            found[f"{of_client} {of_listener}"] = f"{sizes}"
            for each in (listening, client, accepted):
                each.close()
        return found

    real, ours = on_both(program)
    assert ours == real


def is_ready(one: Socket) -> bool:
    poll = select.poll()
    poll.register(one.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@real_linux
def test_a_listener_that_defers_is_ready_when_text_has_come() -> None:
    async def program() -> Answers:
        listening, client = trio.socket.socket(family()), trio.socket.socket(family())
        await listening.bind(at("127.0.0.1", 0))
        listening.setsockopt(TCP, socket.TCP_DEFER_ACCEPT, 20)
        listening.listen()
        await client.connect(listening.getsockname())
        found = {"without text": str(is_ready(listening))}
        await client.send(b"hello")
        accepted, _ = await listening.accept()
        found["with text"] = repr(await accepted.recv(100))
        for each in (listening, client, accepted):
            each.close()
        return found

    real, ours = on_both(program)
    assert ours == real == {"without text": "False", "with text": "b'hello'"}


@real_linux
@pytest.mark.parametrize("release", ["NODELAY", "uncork", "uncork with NODELAY", "NODELAY off"])
def test_what_a_cork_holds_goes_when_linux_lets_it_go(release: str) -> None:
    async def program() -> Answers:
        listening, client, accepted = await connected()
        if release == "uncork with NODELAY":
            client.setsockopt(TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(TCP, socket.TCP_CORK, 1)
        await client.send(b"held")
        found = {}
        for step in ("held", "released", "held again"):
            if step == "released":
                client.setsockopt(
                    TCP,
                    socket.TCP_CORK if release.startswith("uncork") else socket.TCP_NODELAY,
                    int(release == "NODELAY"),
                )
            elif step == "held again":
                await client.send(b"more")
            await trio.sleep(0.01)
            found[step] = str(is_ready(accepted) and await accepted.recv(100))
        for each in (listening, client, accepted):
            each.close()
        return found

    real, ours = on_both(program)
    assert ours == real

"""Calls on sockets at random, on this machine's Linux and on a host of ours: the same answers."""

import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio
from like_linux import (
    SPEECHES,
    Answers,
    Socket,
    at,
    on_both,
    real_linux,
    said,
    tcp,
    udp,
    without_ports,
)

SOL = socket.SOL_SOCKET
UDP = socket.SOCK_DGRAM
SEEDS = range(40)
STEPS = 14


def ports_of(seed: int, speech: str) -> tuple[int, int]:
    """Return the ports of one run: those of another may still be in TIME_WAIT on Linux."""
    first = 20_000 + 2 * (seed % 2000 * len(SPEECHES) + SPEECHES.index(speech))
    return first, first + 1


class Chance:
    """Sockets and calls on them by a seed: the same on both sides as long as the answers are."""

    def __init__(self, seed: int, speech: str) -> None:
        self.rng = Random(seed)
        self.ports = ports_of(seed, speech)
        self.sockets = [tcp(), tcp(), tcp(), udp(), udp()]

    async def step(self) -> str:
        number = self.rng.randrange(len(self.sockets))
        tried = self.sockets[number]
        calls = _calls(tried, self.rng, self.ports)
        name = self.rng.choice(list(calls))
        answer = await said(lambda: self._call(calls[name]))
        if answer == "waits" and name.startswith("connect"):
            tried.close()
        await trio.sleep(0.003)
        return without_ports(f"{number} {name}: {answer}")

    async def _call(self, call: Callable[[], object]) -> object:
        result = call()
        if isinstance(result, Awaitable):
            result = await result
        if isinstance(result, tuple) and isinstance(result[0], Socket):
            self.sockets.append(result[0])
            return "a connection"
        if isinstance(result, Socket):
            self.sockets.append(result)
            return "a descriptor"
        return result

    def close(self) -> None:
        for made in self.sockets:
            with contextlib.suppress(OSError):
                made.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))
            made.close()


def _calls(tried: Socket, rng: Random, ports: tuple[int, int]) -> dict[str, Callable[[], object]]:
    addresses = "127.0.0.1", "127.0.0.2", "0.0.0.0", "192.0.2.1"
    where = at(rng.choice(addresses), rng.choice(ports))
    to = at("127.0.0.1", rng.choice(ports))
    how = rng.choice((socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR))
    option = rng.choice((socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_KEEPALIVE))
    flags = rng.choice((0, 0, socket.MSG_PEEK))
    calls: dict[str, Callable[[], object]] = {
        f"bind {where}": lambda: tried.bind(where),
        f"connect {to}": lambda: tried.connect(to),
        f"recv {flags}": lambda: tried.recv(3, flags),
        "send": lambda: tried.send(b"text"),
        "getsockname": tried.getsockname,
        "getpeername": tried.getpeername,
        "error": lambda: tried.getsockopt(SOL, socket.SO_ERROR),
        f"set {option}": lambda: tried.setsockopt(SOL, option, 1),
        f"shutdown {how}": lambda: tried.shutdown(how),
    }
    if tried.fileno() >= 0:
        calls["writable"] = tried.wait_writable
    if tried.type == UDP:
        calls[f"sendto {to}"] = lambda: tried.sendto(b"datagram", to)
        del calls[f"shutdown {how}"]  # Trio spins there: a read of nothing is EAGAIN, and ready
    else:
        calls["listen"] = lambda: tried.listen(3)
        calls["accept"] = tried.accept
        calls["accepts"] = lambda: tried.getsockopt(SOL, 30)
    if rng.random() < 0.15:
        calls = {"close": tried.close}
    elif rng.random() < 0.1:
        calls = {"dup": tried.dup}
    return calls


@real_linux
@pytest.mark.parametrize("seed", SEEDS)
def test_calls_at_random_get_linuxs_answers(seed: int, speech: str) -> None:
    async def run() -> Answers:
        chance = Chance(seed, speech)
        try:
            return [await chance.step() for _ in range(STEPS)]
        finally:
            chance.close()

    real, ours = on_both(run)
    assert ours == real

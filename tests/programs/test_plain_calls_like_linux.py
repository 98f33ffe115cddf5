"""Calls of `socket.socket` at random, with and without timeouts: Linux's answers on a host too.

After each call, what poll(2) finds of all sockets is compared as well.
"""

import contextlib
import errno
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from random import Random

import pytest
from like_linux import SPEECHES, at, family, real_linux, without_ports
from worlds import in_virtual_time

import pystack

Answers = list[str]
SOL = socket.SOL_SOCKET
NUMERIC = socket.AI_NUMERICHOST
SEEDS = range(20)
STEPS = 16
WAITS_S = 0.02
POLLED = 0x2000 | 0x3FF  # all of tcp_poll and datagram_poll


class Chance:
    """Sockets and calls on them by a seed: the same on both sides as long as the answers are."""

    def __init__(self, seed: int, speech: str) -> None:
        self.rng = Random(seed)
        # Apart from those of the other test at random, which may still be in TIME_WAIT on Linux
        first = 25_000 + 2 * (seed % 800 * len(SPEECHES) + SPEECHES.index(speech))
        self.ports = first, first + 1
        kinds = [socket.SOCK_STREAM] * 3 + [socket.SOCK_DGRAM] * 2
        self.sockets = [socket.socket(family(), kind) for kind in kinds]

    def step(self) -> str:
        number = self.rng.randrange(len(self.sockets))
        tried = self.sockets[number]
        calls = self._calls(tried)
        name = self.rng.choice(list(calls))
        timeout_s = self.rng.choice((0.0, 0.0, WAITS_S))
        if tried.fileno() >= 0:
            tried.settimeout(timeout_s)
        answer = self._said(calls[name])
        time.sleep(0.003)
        polled = "".join(f" {mask:x}" for mask in self._polled())
        return without_ports(f"{number} {name} ({timeout_s}): {answer};{polled}")

    def _polled(self) -> Iterable[int]:
        for each in self.sockets:
            asked = select.poll()
            if each.fileno() < 0:
                continue
            asked.register(each, POLLED)
            found = asked.poll(0)
            yield found[0][1] if found else 0

    def _said(self, call: Callable[[], object]) -> str:
        try:
            result = call()
        except OSError as error:
            number = errno.errorcode.get(error.errno or 0, str(error))
            return f"{type(error).__name__} {number}"
        except (ValueError, OverflowError) as error:
            return type(error).__name__
        if isinstance(result, tuple) and isinstance(result[0], socket.socket):
            self.sockets.append(result[0])
            return f"a connection {result[0].gettimeout()}"
        if isinstance(result, socket.socket):
            self.sockets.append(result)
            return "a descriptor"
        return repr(result)

    def _calls(self, tried: socket.socket) -> dict[str, Callable[[], object]]:
        rng = self.rng
        addresses = "127.0.0.1", "127.0.0.2", "0.0.0.0", "192.0.2.1"
        where = at(rng.choice(addresses), rng.choice(self.ports))
        to = at("127.0.0.1", rng.choice(self.ports))
        how = rng.choice((socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR))
        flags = rng.choice((0, 0, socket.MSG_PEEK, socket.MSG_DONTWAIT, socket.MSG_WAITALL))
        calls: dict[str, Callable[[], object]] = {
            f"bind {where}": lambda: tried.bind(where),
            f"connect {to}": lambda: tried.connect(to),
            f"connect_ex {to}": lambda: tried.connect_ex(to),
            f"recv {flags}": lambda: tried.recv(3, flags),
            f"recvmsg {flags}": lambda: tried.recvmsg(3, 0, flags & socket.MSG_PEEK),
            "recv_into": lambda: tried.recv_into(bytearray(2)),
            "send": lambda: tried.send(b"text"),
            "sendall": lambda: tried.sendall(b"more text"),
            "getsockname": tried.getsockname,
            "getpeername": tried.getpeername,
            "error": lambda: tried.getsockopt(SOL, socket.SO_ERROR),
            "reuse": lambda: tried.setsockopt(SOL, socket.SO_REUSEADDR, 1),
            f"shutdown {how}": lambda: tried.shutdown(how),
        }
        if tried.type == socket.SOCK_DGRAM:
            calls[f"sendto {to}"] = lambda: tried.sendto(b"datagram", to)
            calls["recvfrom"] = lambda: tried.recvfrom(3)
        else:
            calls["listen"] = lambda: tried.listen(3)
            calls["accept"] = tried.accept
        if rng.random() < 0.15:
            calls = {"close": tried.close}
        elif rng.random() < 0.1:
            calls = {"dup": tried.dup}
        return calls

    def close(self) -> None:
        for made in self.sockets:
            with contextlib.suppress(OSError):
                made.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))
            made.close()


def _run(seed: int, speech: str) -> Answers:
    chance = Chance(seed, speech)
    try:
        return [chance.step() for _ in range(STEPS)]
    finally:
        chance.close()


def _run_on_a_host(seed: int, speech: str) -> Answers:
    found: list[Answers] = []

    async def main() -> None:
        async with pystack.Network(seed=1, ip="both") as net:
            net.link(net.host("a"), net.host("b"))
            found.append(await net.hosts["a"].run_sync(_run, seed, speech))

    in_virtual_time(main)
    return found[0]


@real_linux
@pytest.mark.parametrize("seed", SEEDS)
def test_calls_at_random_get_linuxs_answers(seed: int, speech: str) -> None:
    assert _run_on_a_host(seed, speech) == _run(seed, speech)


def _words(call: Callable[[], object]) -> str:
    try:
        return without_ports(repr(call()))
    except OSError as error:
        return f"{type(error).__name__} {errno.errorcode.get(error.errno or 0, str(error))}"


def _that_block() -> Answers:
    """Make calls that wait for ever where they must, but need not."""
    said: Answers = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        said.append(_words(lambda: client.connect(server.getsockname())))
        said.append(_words(lambda: client.connect(server.getsockname())))
        accepted, _ = server.accept()
        with accepted:
            said.append(_words(lambda: accepted.sendall(b"x" * 100)))
            said.append(_words(lambda: client.recv(60, socket.MSG_WAITALL)))
            said.append(_words(lambda: client.recv(10, socket.MSG_PEEK)))
            said.append(_words(lambda: accepted.shutdown(socket.SHUT_WR)))
            said.append(_words(lambda: client.recv(60, socket.MSG_WAITALL)))
            said.append(_words(lambda: client.recv(60, socket.MSG_WAITALL)))
            said.append(_words(lambda: client.recv(60, socket.MSG_DONTWAIT)))
            said.append(_words(lambda: accepted.recv(60, socket.MSG_DONTWAIT)))
            said.append(_words(lambda: client.send(b"y" * 100_000)))
            said.append(_words(lambda: len(accepted.recv(100_000, socket.MSG_WAITALL))))
            said.append(_words(lambda: client.sendmsg([b"ab", b"c"])))
            said.append(_words(lambda: accepted.recvmsg(10)))
            said.append(_words(lambda: accepted.recvfrom(10, socket.MSG_DONTWAIT)))
            closed = server.getsockname()
    with socket.socket() as client:
        for _ in range(3):
            said.append(_words(lambda: client.connect_ex(closed)))
        said.append(_words(lambda: client.send(b"x")))
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        said.append(_words(lambda: one.connect(closed)))
        said.append(_words(lambda: one.send(b"nobody there")))
        time.sleep(0.01)
        said.append(_words(lambda: one.recv(10)))
        said.append(_words(lambda: one.shutdown(socket.SHUT_RD)))
        said.append(_words(lambda: one.recv(10)))
        said.append(_words(lambda: one.recvfrom(10)))
        said.append(_words(lambda: one.accept()))
    with socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as one:
        said.append(_words(lambda: (one.type, one.gettimeout(), one.getblocking())))
        said.append(_words(lambda: one.accept()))
    return said


@real_linux
def test_calls_that_block_get_linuxs_answers() -> None:
    found: list[Answers] = []

    async def main() -> None:
        async with pystack.Network(seed=1, ip="both") as net:
            found.append(await net.host("a").run_sync(_that_block))

    in_virtual_time(main)
    assert found == [_that_block()]


def _kernel_timeouts() -> Answers:
    """Set SO_RCVTIMEO and SO_SNDTIMEO: calls that wait for ever have a limit of their own."""
    said: Answers = []
    short = struct.pack("ll", 0, 20_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(SOL, socket.SO_RCVTIMEO, short)
        said.append(_words(server.accept))
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with client, accepted:
            client.setsockopt(SOL, socket.SO_RCVTIMEO, short)
            client.setsockopt(SOL, socket.SO_SNDTIMEO, short)
            said.append(_words(lambda: client.recv(1)))
            said.append(_words(lambda: client.recv_into(bytearray(3))))
            said.append(_words(lambda: client.recv(3, socket.MSG_WAITALL)))
            accepted.sendall(b"ab")
            said.append(_words(lambda: client.recv(3, socket.MSG_WAITALL)))
            client.settimeout(0.03)
            said.append(_words(lambda: client.recv(1)))
            client.setblocking(True)
            said.append(_words(lambda: client.sendall(bytes(30_000_000))))
            said.append(_words(lambda: accepted.getsockopt(SOL, socket.SO_RCVTIMEO, 16) == short))
    one, other = socket.socketpair()
    with one, other, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        for tried in one, datagrams:
            tried.setsockopt(SOL, socket.SO_RCVTIMEO, short)
            said.append(_words(lambda: tried.recvfrom(1)))  # noqa: B023
    return said


def _shut_before_meeting_itself() -> Answers:
    """Connect a socket to itself: both ends open at once, and what was shut down ends at once."""
    said: Answers = []
    for how in socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
            said.append(_words(lambda: one.shutdown(how)))  # noqa: B023
            said.append(_words(lambda: one.connect_ex(one.getsockname())))
            time.sleep(0.01)
            said.append(_words(lambda: one.send(b"x")))
            time.sleep(0.01)
            said.append(_words(lambda: one.shutdown(socket.SHUT_RDWR)))
            said.append(_words(lambda: one.recv(1)))
    return said


def _pairs_left_unread() -> Answers:
    """Close one of a pair with data in it: the other is told, once."""
    said: Answers = []
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        one, other = socket.socketpair(type=kind)
        with one, other:
            one.setblocking(False)
            one.send(b"unread")
            other.close()
            asked = select.poll()
            asked.register(one, POLLED)
            said.append(repr([mask for _, mask in asked.poll(0)]))
            said.append(_words(lambda: one.recv(1)))  # noqa: B023
            said.append(_words(lambda: one.recv(1)))  # noqa: B023
            said.append(_words(lambda: one.send(b"x")))  # noqa: B023
    return said


def _errors_after_some_of_it() -> Answers:
    """Reset a connection under a call that has done some of its work: the next call is told."""
    said: Answers = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name in "send", "recv":
            client = socket.create_connection(server.getsockname())
            accepted, _ = server.accept()

            def work(name: str = name, client: socket.socket = client) -> None:
                if name == "send":
                    said.append(_words(lambda: client.send(bytes(30_000_000)) < 30_000_000))
                else:
                    said.append(_words(lambda: client.recv(9, socket.MSG_WAITALL)))

            def has_done_some(name: str = name, client: socket.socket = client) -> bool:
                # No room is left, or what had come is taken
                readable, writable, _ = select.select([client], [client], [], 0)
                return not (writable if name == "send" else readable)

            accepted.send(b"some")
            select.select([client], [], [])
            thread = threading.Thread(target=work)
            thread.start()
            while not has_done_some():
                time.sleep(0.01)
            accepted.setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            thread.join()
            said.append(_words(lambda: client.send(b"x")))  # noqa: B023
            said.append(_words(lambda: client.send(b"x")))  # noqa: B023
            client.close()
    return said


def _short_of_room_for_messages() -> Answers:
    """Receive control messages where there is not room for all; no mapped addresses by text."""
    said: Answers = []
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=one.type) as other:
        one.bind(("127.0.0.1", 0))
        one.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        one.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        for room in 0, 15, 16, 20, 28, 32, 47, 48, 49, 60:
            other.sendto(b"x", one.getsockname())
            said.append(_words(lambda: one.recvmsg(9, room)))  # noqa: B023
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        said.append(_words(lambda: six.sendto(b"x", ("127.0.0.1", 9))))
        said.append(_words(lambda: six.sendto(b"x", ("::ffff:127.0.0.1", 9))))
        said.append(_words(lambda: six.bind(("127.0.0.1", 0))))
    return said


@real_linux
@pytest.mark.parametrize(
    "program",
    [
        _errors_after_some_of_it,
        _short_of_room_for_messages,
        _kernel_timeouts,
        _shut_before_meeting_itself,
        _pairs_left_unread,
    ],
)
def test_programs_get_linuxs_answers(program: Callable[[], Answers]) -> None:
    found: list[Answers] = []

    async def main() -> None:
        async with pystack.Network(seed=1, ip="both") as net:
            found.append(await net.host("a").run_sync(program))

    in_virtual_time(main)
    assert found == [program()]


def _shown(arguments: tuple[object, ...]) -> tuple[object, ...]:
    return tuple("a socket" if isinstance(each, socket.socket) else each for each in arguments)


def _odd_arguments() -> Answers:
    """Give sockets and look-ups what they do not take, or nobody thinks of."""
    said: Answers = []

    def ask(call: Callable[..., object], *arguments: object) -> None:
        try:
            said.append(f"{_shown(arguments)} {call(*arguments)}")
        except (TypeError, ValueError, OverflowError, socket.gaierror) as error:
            number = getattr(error, "errno", None)
            said.append(f"{_shown(arguments)} {type(error).__name__} {number}")

    with socket.socket() as one, socket.socket(type=socket.SOCK_DGRAM) as two:
        for address in ("x", None, 1, ("127.0.0.1",), ("127.0.0.1", "80"), ("127.0.0.1", 1.5)):
            for call in one.bind, one.connect, one.connect_ex, partial(two.sendto, b""):
                ask(call, address)
        for value in ("1", 1.5, None):
            ask(one.shutdown, value)
            ask(one.setblocking, value)
        for value in ("1", "", b"1", float("nan"), -1):
            ask(one.settimeout, value)
        huge = 1 << 31, 1 << 64, -1 << 70
        for value in ("1", 1.5, None, b"", *huge):
            for call in one.listen, one.shutdown, partial(two.recv, 3), partial(two.send, b""):
                ask(call, value)
            ask(select.poll().register, two, value)
            ask(one.getsockopt, value, socket.SO_TYPE)
            ask(one.setsockopt, SOL, value, 1)
        for value in (*huge[1:], -1, 1.5):
            for call in two.recv, two.recvfrom, two.recvmsg, partial(two.recv_into, bytearray(2)):
                ask(call, value)
        ask(one.getsockopt, SOL, socket.SO_TYPE, 0)
    full, other = socket.socketpair()
    with full, other:
        other.send(b"kept")
        ask(full.recv_into, b"read-only")
        ask(full.recvmsg_into, [bytearray(1), b"read-only"])
        ask(full.recv, 9)
    stream = 0, socket.SOCK_STREAM
    for name in ("127.1", "0x7f.1", "2130706433", "0177.0.0.1", "127.0.0.1 ", "1.2.3.4.5", "0x"):
        ask(socket.getaddrinfo, name, 80, socket.AF_INET, socket.SOCK_STREAM, 0, NUMERIC)
    for port in (-1, 65_536, 70_000, "70000", "nosuchservice"):
        ask(socket.getaddrinfo, "127.0.0.1", port, *stream)
    for name in ("", "two..dots", f"{'x' * 64}.org"):
        ask(socket.getaddrinfo, name, 80, *stream)
    return said


@real_linux
def test_odd_arguments_are_refused_as_by_cpython() -> None:
    found: list[Answers] = []

    async def main() -> None:
        async with pystack.Network(seed=1, ip="both") as net:
            found.append(await net.host("a").run_sync(_odd_arguments))

    in_virtual_time(main)
    assert found == [_odd_arguments()]

"""What a splice moves: kernel -> `left` -> link -> `right` -> kernel, in one process.

    python scripts/bench_splice.py [SECONDS] [bulk|back|keep1|keep50|new|idle|direct|WORD=VALUE ...]

Rows: a bulk transfer each way, requests a second over 1 and over 50 connections that stay, and with
a new connection for each; what the process uses with 1,000 listening sockets and nothing to do.
`direct` is the same load without anything in between; `delay=5ms` is of the link. The load has a
process of its own, with one for the client and one for the server. PROFILE=tottime (or cumtime)
prints where the time of the emulator goes.
"""

import cProfile
import os
import pstats
import resource
import select
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import trio
from splice_rig import rig

from pystack.core.counters import Counters
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.runtime.splice.acceptor import Acceptor
from pystack.runtime.splice.poller import Poller

BLOCK = bytes(1 << 20)
REQUEST = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".ljust(100, b"x")
RESPONSE = bytes(1000)
Address = tuple[str, int]


def serve(port: Connection, row: str) -> None:
    """Answer each request with 1,000 bytes; or take, or send, as much as can be."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port.send(listening.getsockname())
    poll = select.epoll()
    poll.register(listening.fileno(), select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listening.fileno():
                sock, _address = listening.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
                connections[sock.fileno()] = sock
                if row == "back":
                    try:
                        while True:
                            sock.sendall(BLOCK)
                    except OSError:
                        del connections[sock.fileno()]
                        sock.close()
                        continue
                poll.register(sock.fileno(), select.EPOLLIN)
                continue
            sock = connections[fd]
            try:
                data = sock.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                poll.unregister(fd)
                del connections[fd]
                sock.close()
            elif row != "bulk":
                sock.send(RESPONSE)


def load(port: Connection, row: str, address: Address, seconds: float) -> None:
    """Ask for `seconds`; send how much was done in each."""
    count, began = 0, time.perf_counter()
    until = began + seconds
    if row in ("bulk", "back"):
        with socket.create_connection(address) as sock:
            sock.settimeout(5)
            while time.perf_counter() < until:
                if row == "bulk":
                    count += sock.send(BLOCK)
                else:
                    count += len(sock.recv(1 << 20))
    elif row == "new":
        while time.perf_counter() < until:
            with socket.create_connection(address) as sock:
                sock.send(REQUEST)
                take(sock)
                count += 1
    else:
        count = ask(address, 50 if row == "keep50" else 1, until)
    port.send((count, time.perf_counter() - began))


def take(sock: socket.socket) -> None:
    """Receive one response."""
    size = 0
    while size < len(RESPONSE):
        data = sock.recv(65536)
        assert data, "it ended early"
        size += len(data)


def ask(address: Address, connections: int, until: float) -> int:
    """Send request after request on each connection; return how many were answered."""
    poll = select.epoll()
    socks, missing = {}, {}
    for _ in range(connections):
        sock = socket.create_connection(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        socks[sock.fileno()], missing[sock.fileno()] = sock, len(RESPONSE)
        poll.register(sock.fileno(), select.EPOLLIN)
        sock.send(REQUEST)
    count = 0
    while time.perf_counter() < until:
        for fd, _ in poll.poll(1):
            missing[fd] -= len(socks[fd].recv(65536))
            if not missing[fd]:
                count += 1
                missing[fd] = len(RESPONSE)
                socks[fd].send(REQUEST)
    return count


async def measured(row: str, seconds: float, words: dict[str, str], *, direct: bool) -> str:
    """Run one row; return what is said of it."""
    context = get_context("fork")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, row), daemon=True)
    server.start()
    upstream: Address = ours.recv()

    async def run(address: Address) -> tuple[int, float]:
        client = context.Process(target=load, args=(theirs, row, address, seconds), daemon=True)
        client.start()
        await trio.lowlevel.wait_readable(ours.fileno())
        done: tuple[int, float] = ours.recv()
        client.join()
        return done

    try:
        if direct:
            count, took_s = await run(upstream)
            used_s = took_s
        else:
            async with rig(upstream, **words) as place:
                before = resource.getrusage(resource.RUSAGE_SELF)
                count, took_s = await run(place.address)
                after = resource.getrusage(resource.RUSAGE_SELF)
                used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    finally:
        server.kill()
        server.join()
    busy = f"{used_s / took_s:5.0%} of a processor"
    if row in ("bulk", "back"):
        gbit = count * 8 / 1e9
        return (
            f"{gbit / took_s:8.2f} Gbit/s   {busy}   {gbit / used_s:8.2f} Gbit for a second of it"
        )
    return f"{count / took_s:8,.0f} /s       {busy}   {count / used_s:8,.0f} for a second of it"


async def idle(seconds: float) -> str:
    """Say what 1,000 listening sockets take while nothing comes."""
    driver = RealtimeDriver()
    poller = Poller(driver)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for _ in range(1000):
        Acceptor(poller, socket.create_server(("127.0.0.1", 0)), _nobody, Counters())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await nursery.start(poller.run)
        before = time.process_time()
        await trio.sleep(seconds)
        used_s = time.process_time() - before
        nursery.cancel_scope.cancel()
    return f"{used_s / seconds:8.2%} of a processor"


def _nobody(sock: socket.socket, address: object, now: float) -> None:
    raise AssertionError("somebody has come")


def profiled(call: Callable[[], str]) -> str:
    """Run, and print where the time went."""
    profile = cProfile.Profile()
    try:
        return profile.runcall(call)
    finally:
        pstats.Stats(profile).sort_stats(os.environ["PROFILE"]).print_stats(45)


def main() -> None:
    """Measure the rows that are asked for."""
    words = sys.argv[1:]
    seconds = float(words.pop(0)) if words and words[0][0].isdigit() else 2.0
    direct = "direct" in words
    of_link = dict(word.split("=") for word in words if "=" in word)
    rows = [word for word in words if word != "direct" and "=" not in word]
    for row in rows or ["bulk", "back", "keep1", "keep50", "new", "idle"]:

        def call(row: str = row) -> str:
            if row == "idle":
                return trio.run(idle, seconds)

            async def run() -> str:
                return await measured(row, seconds, of_link, direct=direct)

            return trio.run(run)

        print(f"{row:7} {profiled(call) if os.environ.get('PROFILE') else call()}", flush=True)


if __name__ == "__main__":
    main()

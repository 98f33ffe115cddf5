"""One seed, one run: to the byte, on each Python, in each process, for each hash seed.

The digests are literals, so that no two machines or Pythons can each agree with themselves alone.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import trio

import pystack
from pystack.observe.passage import Passage
from pystack.topology.addressing import IpVersions

# Whoever changes what hosts send, or when, puts in here what the failing test shows: after the
# file, run as a script, has said the same on each Python that pyproject.toml names.
CAPTURE = "f5308c4536275e7602f2b76d5fa585af817873b97b016799447ebff82cb88d42"
LOG = "daeaefee8e17bbb5bf44cd3be2b348825253ed40126f47f01377f4b97c51642c"

SEED = 42
CLIENTS = tuple(f"client{number}" for number in range(6))
UNCERTAIN = {
    "delay": "12ms 5ms 25%",
    "distribution": "normal",
    "reorder_by_jitter": True,
    "loss": "gemodel 2% 30%",
    "duplicate": "1% 10%",
    "corrupt": "0.5%",
    "rate": "20mbit",
    "limit": 60,
}
Log = list[str]


def say(log: Log, what: str) -> None:
    log.append(f"{trio.current_time()!r} {what}")


def pattern(number: int, size: int) -> bytes:
    return bytes((number + at * at) % 251 for at in range(size))


async def answer(stream: pystack.TcpStream, log: Log) -> None:
    """Send back all that comes, while it comes, and twice as much of our own after it."""
    async with stream:
        size = 0
        async for data in stream:
            size += len(data)
            await stream.send_all(data)
        say(log, f"{size} bytes from {stream.remote_address}")
        await stream.send_all(pattern(size, 2 * size))


async def serve(listener: pystack.TcpListener, log: Log) -> None:
    async with trio.open_nursery() as nursery:
        while True:
            nursery.start_soon(answer, await listener.accept(), log)


async def ask(host: pystack.Host, number: int, log: Log) -> None:
    stream = await host.open_tcp_stream("server", 80)
    digest = hashlib.sha256()
    sent = pattern(number, 1000 * (number + 1))

    async def send() -> None:
        await stream.send_all(sent)
        await stream.send_eof()

    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        async for data in stream:
            digest.update(data)
    assert digest.digest() == hashlib.sha256(sent + pattern(len(sent), 2 * len(sent))).digest()
    say(log, f"{host.name} has answer {number}: {digest.hexdigest()[:8]}")


async def echo_datagrams(socket: pystack.UdpSocket) -> None:
    while True:
        data, sender = await socket.receive_from()
        await socket.send_to(data.swapcase(), sender)


async def send_datagrams(host: pystack.Host, log: Log) -> None:
    socket = await host.open_udp_socket()
    for number in range(20):
        await socket.send_to(f"{host.name} {number}".encode(), ("server", 7))
        with trio.move_on_after(0.05) as patience:
            data, _ = await socket.receive_from()
            say(log, f"datagram {data!r}")
        if patience.cancelled_caught:
            say(log, f"{host.name} has no answer to {number}")


async def tick(host: pystack.Host, log: Log) -> None:
    """Be awake at the same instants as all others; when it is over, send a last word."""
    socket = await host.open_udp_socket()
    try:
        while True:
            await trio.sleep(0.25)
            say(log, f"{host.name} ticks")
    finally:
        say(log, f"{host.name} is cancelled")
        socket.send_to_nowait(f"{host.name} ends".encode(), ("server", 9))


async def talk(hosts: dict[str, pystack.Host], log: Log) -> None:
    async with trio.open_nursery() as services:
        server = hosts["server"]
        (listener,) = await server.open_tcp_listeners(80)
        services.start_soon(serve, listener, log)
        services.start_soon(echo_datagrams, await server.open_udp_socket(7))
        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(ask, hosts[CLIENTS[number % len(CLIENTS)]], number, log)
            for name in CLIENTS:
                nursery.start_soon(send_datagrams, hosts[name], log)
                nursery.start_soon(hosts[name].ping, CLIENTS[0])
            with trio.move_on_after(2):
                async with trio.open_nursery() as ticking:
                    for name in CLIENTS:
                        ticking.start_soon(tick, hosts[name], log)
        services.cancel_scope.cancel()


class Onlooker:
    """Watches all there is."""

    def __init__(self) -> None:
        self.passages = 0

    def on_event(self, event: object) -> None:
        pass

    def on_passage(self, passage: Passage) -> None:
        self.passages += 1


async def main(path: Path, log: Log, ip: IpVersions, onlooker: Onlooker | None = None) -> None:
    # The calendar of captures begins in 1970: that of the literals above.
    async with pystack.Network(seed=SEED, ip=ip, epoch=0) as net:
        switch = net.switch("switch")
        hosts = {name: net.host(name) for name in (*CLIENTS, "server")}
        for name in CLIENTS:
            net.link(hosts[name], switch, delay="500us", rate="50mbit")
        last = net.link(switch, hosts["server"], a_to_b=UNCERTAIN, b_to_a=UNCERTAIN)
        net.at(0.4, last.down)
        net.at(0.6, last.up)
        net.capture(path)
        if onlooker is not None:
            net.observe(onlooker)
        await talk(hosts, log)
        for name, host in hosts.items():
            log.append(f"{name} {sorted(host.counters.items())}")
        log.append(f"{sorted(last.counters.items())}")


def digests(path: Path, ip: IpVersions, onlooker: Onlooker | None = None) -> list[str]:
    """Return the sha256 of the capture of a run, and that of its log."""
    log: Log = []
    pystack.run(main, path, log, ip, onlooker, seed=SEED)
    return [
        hashlib.sha256(data).hexdigest() for data in (path.read_bytes(), "\n".join(log).encode())
    ]


def test_the_run_is_the_one_that_it_always_was(tmp_path: Path) -> None:
    assert digests(tmp_path / "own.pcap", "4") == [CAPTURE, LOG]


def test_it_is_the_same_while_somebody_watches_each_frame(tmp_path: Path) -> None:
    onlooker = Onlooker()
    assert digests(tmp_path / "own.pcap", "4", onlooker) == [CAPTURE, LOG]
    assert onlooker.passages > 1000


@pytest.mark.parametrize("ip", ["4", "6", "both"])
def test_it_is_the_same_in_another_process_with_another_hash_seed(
    tmp_path: Path, ip: IpVersions
) -> None:
    hash_seed = "4242" if os.environ.get("PYTHONHASHSEED") != "4242" else "1"
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "other.pcap"), ip],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    known = [CAPTURE, LOG] if ip == "4" else digests(tmp_path / "own.pcap", ip)
    assert done.stdout.split() == known


if __name__ == "__main__":
    print(*digests(Path(sys.argv[1]), cast(IpVersions, sys.argv[2])), sep="\n")

"""The clients of what is compared with others: run inside of the boxes, or in front of the proxies.

    python -m benchmark.beside_load MODE ADDRESS PORT CONNECTIONS SECONDS

Prints `begin` when the time that counts begins, so that somebody outside can look at processors
from then on (inside of a box there may be no other process to be seen), and at its end one JSON
object. The modes of `benchmark.load`, and `together`: so many connections at the same
time, each with one request; `dns`: one question after the other, to the name server of
resolv.conf; `paced`: 64 bytes now and then, how long they are on their way.
"""

import functools
import itertools
import json
import random
import select
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Final

from benchmark import load, ports

_STAMP: Final = struct.Struct("!d56x")
GAP_S: Final = 0.004, 0.012  # between two stamps: at odd moments


class ToldWindow(load.Window):
    """The time that counts, told to whoever reads."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds, 0)

    def rate(self, count: int) -> dict[str, float]:
        """Return events per second."""
        return {"per_s": count / (self.end_at - self.begin_at)}

    def _begin(self) -> None:
        print("begin", flush=True)


def together(peer: load.Peer, connections: int, window: load.Window) -> dict[str, float]:
    """Open so many at once, a request on each, until all have their answer; again and again."""
    done = 0
    took_s: list[float] = []
    while (began := time.perf_counter()) < window.end_at:
        poll = select.epoll()
        streams: dict[int, socket.socket] = {}
        for _ in range(connections):
            stream = socket.socket()
            stream.setblocking(False)
            stream.connect_ex(peer)
            streams[stream.fileno()] = stream
            poll.register(stream, select.EPOLLOUT)
        while streams:
            events = poll.poll(load.TIMEOUT_S)
            if not events:
                raise TimeoutError(f"{len(streams)} of {connections} connections do not get on")
            for fd, mask in events:
                if mask & select.EPOLLOUT:
                    streams[fd].send(load.MESSAGE)
                    poll.modify(fd, select.EPOLLIN)
                    continue
                if len(streams[fd].recv(4096)) != len(load.MESSAGE):
                    raise ConnectionError("an answer came in pieces, or not at all")
                streams.pop(fd).close()
        now = time.perf_counter()
        if began >= window.begin_at or not done:  # one turn at least, however slow
            done += connections
            took_s.append(now - began)
    return {**window.rate(done), **load.spread(took_s), "per_s": done / sum(took_s)}


def dns(_peer: load.Peer, _connections: int, window: load.Window) -> dict[str, float]:
    """Ask one question after the other, each for a name of its own."""
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    server = next(line.split()[1] for line in lines if line.startswith("nameserver"))
    took_s: list[float] = []
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        out.connect((server, ports.DNS))
        out.settimeout(load.TIMEOUT_S)
        for number in itertools.count():
            name = b"".join(bytes([len(part)]) + part for part in (b"n%d" % number, b"test"))
            question = struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0)
            began = time.perf_counter()
            if began >= window.end_at:
                break
            out.send(question + name + b"\0\0\x01\0\x01")
            if out.recv(4096)[6:8] != b"\0\x01":
                raise ConnectionError("that was no answer")
            if began >= window.begin_at:
                took_s.append(time.perf_counter() - began)
    return {**window.rate(len(took_s)), **load.spread(took_s)}


def paced(
    peer: load.Peer, _connections: int, window: load.Window, *, datagrams: bool = False
) -> dict[str, float]:
    """Send the time now and then; return how long an echo takes."""
    took_s: list[float] = []
    stop = threading.Event()
    kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as stream:
        stream.connect(peer)
        if not datagrams:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send() -> None:
            rng = random.Random(1)
            while not stop.wait(rng.uniform(*GAP_S)):
                stream.send(_STAMP.pack(time.perf_counter()))

        sender = threading.Thread(target=send)
        sender.start()
        stream.settimeout(load.TIMEOUT_S)
        rest = b""
        try:
            while (now := time.perf_counter()) < window.end_at:
                rest += stream.recv(4096)
                now = time.perf_counter()
                while len(rest) >= _STAMP.size:
                    (sent_at,) = _STAMP.unpack_from(rest)
                    rest = rest[_STAMP.size :]
                    if sent_at >= window.begin_at:
                        took_s.append(now - sent_at)
        finally:
            stop.set()
            sender.join()
    return {**window.rate(len(took_s)), **load.spread(took_s), "max_us": max(took_s) * 1e6}


MODES: Final[dict[str, load.Load]] = {
    **load.MODES,
    "together": together,
    "dns": dns,
    "paced": paced,
    "paced-udp": functools.partial(paced, datagrams=True),
}


def main() -> None:
    """Run one load."""
    mode, address, port, connections, seconds = sys.argv[1:]
    window = ToldWindow(float(seconds))
    found = MODES[mode]((address, int(port)), int(connections), window)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

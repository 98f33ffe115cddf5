"""The clients: blocking and epoll loops over the kernel's own sockets, in a process of their own.

    python -m benchmark.load MODE ADDRESS PORT CONNECTIONS SECONDS

Prints one JSON object. The modes `up` and `down` move bulk data (what comes is dropped inside the
kernel, by MSG_TRUNC), `rr` sends 64 bytes and waits for as many, on connections that it keeps,
`crr` does so on a new connection each time, `udp` keeps 32 datagrams under way, and `hold` opens
connections, says so, and keeps them until its standard input ends.
"""

import json
import resource
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

MESSAGE: Final = bytes(range(64))
CHUNK: Final = bytes(1 << 20)
WARM_UP_S: Final = 0.3
OUTSTANDING: Final = 32
TIMEOUT_S: Final = 10.0

Peer = tuple[str, int]


class Window:
    """The time that counts: what happens before it warms up, and what comes after is left out."""

    def __init__(self, seconds: float) -> None:
        self.begin_at = time.perf_counter() + WARM_UP_S
        self.end_at = self.begin_at + seconds
        self.seconds = seconds

    def rate(self, count: int) -> float:
        """Return events per second."""
        return count / self.seconds


def bulk(peer: Peer, connections: int, seconds: float, *, up: bool) -> dict[str, float]:
    """Send, or receive, as fast as it goes; return bits per second."""
    window = Window(seconds)
    counts = [0] * connections

    def move(number: int) -> None:
        scratch = bytearray(1 << 20)
        with socket.create_connection(peer, TIMEOUT_S) as stream:
            stream.settimeout(None)
            # In the kernel, where it costs nothing
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                stream.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(TIMEOUT_S), 0))
            while (now := time.perf_counter()) < window.end_at:
                if up:
                    size = stream.send(CHUNK)
                else:
                    size = stream.recv_into(scratch, len(scratch), socket.MSG_TRUNC)
                if not size:
                    raise ConnectionError("the server has hung up")
                if now >= window.begin_at:
                    counts[number] += size
            # Unread data would be a reset anyway; this way neither end is left with a queue.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    threads = [threading.Thread(target=move, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not all(counts):
        raise TimeoutError("a connection does not get on")
    return {"bps": window.rate(sum(counts)) * 8}


def request_response(peer: Peer, connections: int, seconds: float) -> dict[str, float]:
    """Ask on kept connections; return the answers per second, and how long they took."""
    streams = [socket.create_connection(peer, TIMEOUT_S) for _ in range(connections)]
    poll = select.epoll()
    by_fd = {}
    for stream in streams:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.settimeout(TIMEOUT_S)
        if connections > 1:
            poll.register(stream, select.EPOLLIN)
        by_fd[stream.fileno()] = stream
    window = Window(seconds)
    asked_at = dict.fromkeys(by_fd, 0.0)
    for fd, stream in by_fd.items():
        asked_at[fd] = time.perf_counter()
        stream.send(MESSAGE)
    took_s: list[float] = []
    only = [(fd, select.EPOLLIN) for fd in by_fd]  # a single one is simply waited for
    while (now := time.perf_counter()) < window.end_at:
        for fd, _ in only if connections == 1 else poll.poll(TIMEOUT_S):
            if len(by_fd[fd].recv(4096)) != len(MESSAGE):
                raise ConnectionError("an answer came in pieces, or not at all")
            now = time.perf_counter()
            if now >= window.begin_at:
                took_s.append(now - asked_at[fd])
            asked_at[fd] = now
            by_fd[fd].send(MESSAGE)
    return {"per_s": window.rate(len(took_s)), **spread(took_s)}


def connect_request_close(peer: Peer, connections: int, seconds: float) -> dict[str, float]:
    """Connect, ask, get the answer, close; return how many of these per second."""
    window = Window(seconds)
    poll = select.epoll()
    open_now: dict[int, tuple[socket.socket, float]] = {}
    took_s: list[float] = []

    def connect() -> None:
        stream = socket.socket()
        stream.setblocking(False)
        began = time.perf_counter()
        stream.connect_ex(peer)
        open_now[stream.fileno()] = stream, began
        poll.register(stream, select.EPOLLOUT)

    for _ in range(connections):
        connect()
    while time.perf_counter() < window.end_at:
        events = poll.poll(TIMEOUT_S)
        if not events:
            raise TimeoutError("no connection gets on")
        for fd, mask in events:
            stream, began = open_now[fd]
            if mask & select.EPOLLOUT:
                stream.send(MESSAGE)
                poll.modify(fd, select.EPOLLIN)
                continue
            if len(stream.recv(4096)) != len(MESSAGE):
                raise ConnectionError("an answer came in pieces, or not at all")
            del open_now[fd]
            stream.close()
            now = time.perf_counter()
            if now >= window.begin_at:
                took_s.append(now - began)
            connect()
    return {"per_s": window.rate(len(took_s)), **spread(took_s)}


def udp_echo(peer: Peer, _connections: int, seconds: float) -> dict[str, float]:
    """Keep datagrams under way; return how many come back per second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(peer)
        out.settimeout(TIMEOUT_S)
        out.send(MESSAGE)  # the first may cost a question of ARP's
        out.recv(4096)
        out.settimeout(0.2)
        window = Window(seconds)
        back = lost = 0
        for _ in range(OUTSTANDING):
            out.send(MESSAGE)
        while (now := time.perf_counter()) < window.end_at:
            try:
                out.recv(4096)
            except TimeoutError:  # all are lost, for one that is late would have come by now
                lost += OUTSTANDING
                for _ in range(OUTSTANDING - 1):
                    out.send(MESSAGE)
            else:
                if now >= window.begin_at:
                    back += 1
            out.send(MESSAGE)
    return {"per_s": window.rate(back), "lost": lost}


def hold(peer: Peer, connections: int, _seconds: float) -> dict[str, float]:
    """Open connections, and keep them until the standard input ends."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (connections + 100,) * 2)
    began = time.perf_counter()
    streams = [socket.create_connection(peer, TIMEOUT_S) for _ in range(connections)]
    print(json.dumps({"opened_in_s": time.perf_counter() - began}), flush=True)
    sys.stdin.read()
    for stream in streams:
        stream.close()
    return {}


def spread(took_s: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile, in microseconds."""
    if not took_s:
        raise TimeoutError("not one answer")
    ordered = sorted(took_s)
    return {
        "median_us": ordered[len(ordered) // 2] * 1e6,
        "p99_us": ordered[int(len(ordered) * 0.99)] * 1e6,
    }


MODES: Final[dict[str, Callable[[Peer, int, float], dict[str, float]]]] = {
    "up": lambda peer, connections, seconds: bulk(peer, connections, seconds, up=True),
    "down": lambda peer, connections, seconds: bulk(peer, connections, seconds, up=False),
    "rr": request_response,
    "crr": connect_request_close,
    "udp": udp_echo,
    "hold": hold,
}


def main() -> None:
    """Run one load."""
    mode, address, port, connections, seconds = sys.argv[1:]
    found = MODES[mode]((address, int(port)), int(connections), float(seconds))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

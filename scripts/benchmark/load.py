"""The clients: blocking and epoll loops over the kernel's own sockets, in a process of their own.

    python -m benchmark.load MODE ADDRESS PORT CONNECTIONS SECONDS PID

Prints one JSON object, which also says for how long the server, PID, has had a processor. `up`
and `down` move bulk data (what comes is dropped inside the kernel, by MSG_TRUNC), `rr` sends 64
bytes and waits for as many, on connections that it keeps, `crr` does so on a new connection each
time, `udp` keeps 32 datagrams under way, and `hold` opens connections, says so, and keeps them
until its standard input ends.
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
from functools import partial
from pathlib import Path
from typing import Final

from benchmark import ports

MESSAGE: Final = bytes(range(64))
CHUNK: Final = bytes(1 << 20)
WARM_UP_S: Final = 0.3
OUTSTANDING: Final = 32
TIMEOUT_S: Final = 10.0

Peer = tuple[str, int]


class Window:
    """The time that counts: what happens before it warms up, and what comes after is left out."""

    def __init__(self, seconds: float, pid: int) -> None:
        self.begin_at = time.perf_counter() + WARM_UP_S
        self.end_at = self.begin_at + seconds
        self._seconds = seconds
        self._schedule = Path(f"/proc/{pid}/schedstat")
        self._busy_ns = 0
        timer = threading.Timer(WARM_UP_S, self._begin)
        timer.daemon = True
        timer.start()

    def rate(self, count: int) -> dict[str, float]:
        """Return events per second, and per second of the server's processor."""
        busy_s = (self._processor_ns() - self._busy_ns) / 1e9
        return {
            "per_s": count / self._seconds,
            "per_busy_s": count / busy_s if busy_s else 0.0,
            "busy": busy_s / self._seconds,
        }

    def _begin(self) -> None:
        self._busy_ns = self._processor_ns()

    def _processor_ns(self) -> int:
        # Of the main thread; the kernel's own servers use several, and are not looked at.
        return int(self._schedule.read_text().split()[0])


def bulk(peer: Peer, connections: int, window: Window, *, up: bool) -> dict[str, float]:
    """Send, or receive, as fast as it goes; return bits per second."""
    counts = [0] * connections

    def move(number: int) -> None:
        scratch = bytearray(1 << 20)
        with connected(peer) as stream:
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
    return window.rate(sum(counts) * 8)


def request_response(peer: Peer, connections: int, window: Window) -> dict[str, float]:
    """Ask on kept connections; return the answers per second, and how long they took."""
    streams = [connected(peer) for _ in range(connections)]
    poll = select.epoll()
    by_fd = {}
    for stream in streams:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.settimeout(TIMEOUT_S)
        if connections > 1:
            poll.register(stream, select.EPOLLIN)
        by_fd[stream.fileno()] = stream
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
    return {**window.rate(len(took_s)), **spread(took_s)}


def connect_request_close(peer: Peer, connections: int, window: Window) -> dict[str, float]:
    """Connect, ask, get the answer, close; return how many of these per second."""
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
    return {**window.rate(len(took_s)), **spread(took_s)}


def udp_echo(peer: Peer, _connections: int, window: Window) -> dict[str, float]:
    """Keep datagrams under way; return how many come back per second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(peer)
        out.settimeout(TIMEOUT_S)
        out.send(MESSAGE)  # the first may cost a question of ARP's
        out.recv(4096)
        out.settimeout(0.2)
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
    return {**window.rate(back), "lost": lost}


def hold(peer: Peer, connections: int, _window: Window) -> dict[str, float]:
    """Open connections, and keep them until the standard input ends."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (connections + 100,) * 2)
    began = time.perf_counter()
    streams = [socket.create_connection(peer, TIMEOUT_S) for _ in range(connections)]
    print(json.dumps({"opened_in_s": time.perf_counter() - began}), flush=True)
    sys.stdin.read()
    for stream in streams:
        stream.close()
    return {}


def connected(peer: Peer) -> socket.socket:
    """Open a connection."""
    stream = socket.create_connection(peer, TIMEOUT_S)
    ports.use_cubic(stream)
    return stream


def spread(took_s: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile, in microseconds."""
    if not took_s:
        raise TimeoutError("not one answer")
    ordered = sorted(took_s)
    return {
        "median_us": ordered[len(ordered) // 2] * 1e6,
        "p99_us": ordered[int(len(ordered) * 0.99)] * 1e6,
    }


Load = Callable[[Peer, int, Window], dict[str, float]]

MODES: Final[dict[str, Load]] = {
    "up": partial(bulk, up=True),
    "down": partial(bulk, up=False),
    "rr": request_response,
    "crr": connect_request_close,
    "udp": udp_echo,
    "hold": hold,
}


def main(modes: dict[str, Load] = MODES) -> None:
    """Run one load of `modes`."""
    mode, address, port, connections, seconds, pid = sys.argv[1:]
    window = Window(float(seconds), int(pid))
    found = modes[mode]((address, int(port)), int(connections), window)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

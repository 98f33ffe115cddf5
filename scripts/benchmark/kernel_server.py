"""The same servers on the kernel's sockets: the peer that shows what the clients can do.

    python -m benchmark.kernel_server

Says `ready` and serves until its standard input ends. Bulk has a thread for each connection, whose
time goes by inside the kernel; requests have one thread and epoll. What else is there to compare
services with runs beside it (`benchmark.kernel_services`).
"""

import select
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmark import kernel_services, ports

BACKLOG = 1024


def sink(stream: socket.socket) -> None:
    """Throw away what comes."""
    scratch = bytearray(1 << 20)
    while stream.recv_into(scratch):
        pass


def source(stream: socket.socket) -> None:
    """Send for as long as somebody takes it."""
    chunk = bytes(1 << 20)
    while True:
        stream.send(chunk)


def listening(port: int) -> socket.socket:
    """Open a port on all addresses."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ports.use_cubic(listener)
    listener.bind(("", port))
    listener.listen(BACKLOG)
    return listener


def threaded(port: int, handle: Callable[[socket.socket], None]) -> None:
    """Serve with a thread for each connection."""

    def run(stream: socket.socket) -> None:
        with stream, suppress(OSError):
            handle(stream)

    def accept() -> None:
        listener = listening(port)
        ready.release()
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=run, args=(stream,), daemon=True).start()

    ready = threading.Semaphore(0)
    threading.Thread(target=accept, daemon=True).start()
    ready.acquire()


def echo() -> None:
    """Send back what comes, on any number of connections."""
    listener = listening(ports.ECHO)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    streams: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                stream, _ = listener.accept()
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                streams[stream.fileno()] = stream
                poll.register(stream, select.EPOLLIN)
                continue
            data = b""
            with suppress(OSError):
                data = streams[fd].recv(4096)
                if data:
                    streams[fd].send(data)
            if not data:
                streams.pop(fd).close()


def echo_datagrams() -> None:
    """Send back what comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("", ports.ECHO))
        while True:
            here.sendto(*here.recvfrom(4096))


def main() -> None:
    """Serve until the standard input ends."""
    threaded(ports.SINK, sink)
    threaded(ports.SOURCE, source)
    for serve in (echo, echo_datagrams):
        threading.Thread(target=serve, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as place:
        root = Path(place)
        ports.lay_out(root)
        root.chmod(0o555)  # else vsftpd lets nobody in
        others = kernel_services.start(Path(folder), root)
        print("ready", flush=True)
        sys.stdin.read()
        kernel_services.end(others)
        root.chmod(0o755)


if __name__ == "__main__":
    main()

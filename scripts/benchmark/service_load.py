"""The clients of services: loops over the kernel's sockets, as plain as each protocol lets them be.

    python -m benchmark.service_load MODE ADDRESS PORT CONNECTIONS SECONDS PID

Prints what `benchmark.load` prints. `http-file` and `https-file` fetch one file over and over on a
connection that they keep, `https` what is made as it goes, `http2` the file on a connection each
time, `ftp` on a data connection each time; `tls` only reads; `websocket` sends 64 bytes and waits
for as many, on connections that it keeps; `smtp` delivers messages of 1 KB, `dns` keeps 32
questions under way. What comes is thrown away, clear text inside the kernel (MSG_TRUNC).
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from benchmark import ports
from benchmark.load import (
    MESSAGE,
    OUTSTANDING,
    TIMEOUT_S,
    Load,
    Peer,
    Window,
    connected,
    main,
    spread,
)

BUFFER_BYTES: Final = 1 << 18
# HTTP/2
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _SETTINGS, _WINDOW_UPDATE = 1, 4, 8
_WINDOW_BYTES: Final = 2**31 - 1
_MAIL: Final = b"Subject: a message\r\n\r\n" + (b"x" * 70 + b"\r\n") * 14 + b".\r\n"

Read = Callable[[], int]


def trusting() -> ssl.SSLContext:
    """Return the context of a client that believes anybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def clear(stream: socket.socket) -> Read:
    """Return what reads, and drops what it reads, where that costs nothing."""
    scratch = bytearray(1 << 20)
    return lambda: stream.recv_into(scratch, len(scratch), socket.MSG_TRUNC)


def encrypted(stream: ssl.SSLSocket) -> Read:
    """Return what reads and decrypts."""
    scratch = bytearray(BUFFER_BYTES)
    return lambda: stream.recv_into(scratch)


def counted(read: Read, window: Window, wanted: int | None = None) -> int:
    """Read so many bytes, None: to the end; return how many of them came inside the window."""
    count = 0
    left = wanted
    while left is None or left > 0:
        size = read()
        now = time.perf_counter()
        if not size:
            if left is None:
                return count
            raise ConnectionError("the server has hung up")
        if left is not None:
            left -= size
        if now >= window.end_at:
            return count
        if now >= window.begin_at:
            count += size
    return count


@contextmanager
def over_tls(peer: Peer, alpn: list[str]) -> Iterator[ssl.SSLSocket]:
    """Open a connection with TLS."""
    context = trusting()
    context.set_alpn_protocols(alpn)
    with context.wrap_socket(connected(peer), server_hostname="bench.test") as stream:
        yield stream


def http(
    peer: Peer, _connections: int, window: Window, *, tls: bool, path: str = ports.BIG_FILE
) -> dict[str, float]:
    """Fetch it again and again; return bits per second."""
    opening = over_tls(peer, ["http/1.1"]) if tls else connected(peer)
    request = f"GET /{path} HTTP/1.1\r\nHost: {peer[0]}\r\n\r\n".encode()
    count = 0
    with opening as stream:
        read = encrypted(stream) if isinstance(stream, ssl.SSLSocket) else clear(stream)
        while time.perf_counter() < window.end_at:
            stream.sendall(request)
            head = b""
            while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows is to be dropped
                byte = stream.recv(1)
                if not byte:
                    raise ConnectionError("the server has hung up")
                head += byte
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if not head.startswith(b"HTTP/1.1 200 ") or length is None:
                raise ConnectionError(head.decode("latin-1"))
            count += counted(read, window, int(length[1]))
    return window.rate(count * 8)


def tls_source(peer: Peer, _connections: int, window: Window) -> dict[str, float]:
    """Read what is sent without being asked; return bits per second."""
    with over_tls(peer, []) as stream:
        return window.rate(counted(encrypted(stream), window) * 8)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def http2(peer: Peer, _connections: int, window: Window) -> dict[str, float]:
    """Fetch the file again and again; return bits per second, heads of frames included."""
    path, authority = f"/{ports.BIG_FILE}".encode(), peer[0].encode()
    # HPACK: GET and https are in its table by themselves, the names of the others are.
    block = b"\x82\x87\x04" + bytes([len(path)]) + path + b"\x01" + bytes([len(authority)])
    settings = b"\0\4" + _WINDOW_BYTES.to_bytes(4, "big")  # the initial window of streams
    count = 0
    while time.perf_counter() < window.end_at:
        with over_tls(peer, ["h2"]) as stream:
            if stream.selected_alpn_protocol() != "h2":
                raise ConnectionError("the server does not speak HTTP/2")
            larger = (_WINDOW_BYTES - 65535).to_bytes(4, "big")
            stream.sendall(
                _PREFACE
                + frame(_SETTINGS, 0, 0, settings)
                + frame(_SETTINGS, 1, 0, b"")  # theirs are taken, whatever they will be
                + frame(_WINDOW_UPDATE, 0, 0, larger)
                + frame(_HEADERS, 5, 1, block + authority)
            )
            # The file is far less than the window, which so never has to be moved.
            count += counted(encrypted(stream), window, ports.BIG_FILE_BYTES)
    return window.rate(count * 8)


def reply(lines: socket.SocketIO | object, code: str) -> str:
    """Read a reply of SMTP or FTP, of however many lines."""
    while True:
        line = lines.readline().decode("latin-1")  # type: ignore[attr-defined]
        if not line.startswith(code):
            raise ConnectionError(f"{line!r} instead of {code}")
        if line[3:4] == " ":
            return line


def ftp(peer: Peer, _connections: int, window: Window) -> dict[str, float]:
    """Fetch the file again and again; return bits per second."""
    count = 0
    with connected(peer) as control:
        lines = control.makefile("rb")

        def say(command: str, code: str) -> str:
            control.sendall(f"{command}\r\n".encode())
            return reply(lines, code)

        reply(lines, "220")
        say("USER anonymous", "331")
        say("PASS bench@bench.test", "230")
        say("TYPE I", "200")
        while time.perf_counter() < window.end_at:
            port = re.search(r"\|\|\|(\d+)\|", say("EPSV", "229"))
            assert port is not None
            with connected((peer[0], int(port[1]))) as data:
                say(f"RETR {ports.BIG_FILE}", "1")  # 125 or 150
                count += counted(clear(data), window)
            if time.perf_counter() < window.end_at:
                reply(lines, "226")
    return window.rate(count * 8)


def websocket(peer: Peer, connections: int, window: Window) -> dict[str, float]:
    """Ask on kept connections, one after the other; return the answers per second."""
    streams = []
    for _ in range(connections):
        stream = connected(peer)
        stream.settimeout(TIMEOUT_S)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(
            f"GET /ws/echo HTTP/1.1\r\nHost: {peer[0]}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = stream.recv(4096)
        if not head.startswith(b"HTTP/1.1 101 ") or not head.endswith(b"\r\n\r\n"):
            raise ConnectionError(head.decode("latin-1"))
        streams.append(stream)
    masked = bytes(byte ^ mask for byte, mask in zip(MESSAGE, b"\1\2\3\4" * 16, strict=True))
    question = bytes([0x82, 0x80 | len(MESSAGE)]) + b"\1\2\3\4" + masked
    answer = bytes([0x82, len(MESSAGE)]) + MESSAGE
    took_s: list[float] = []
    while (began := time.perf_counter()) < window.end_at:
        for stream in streams:
            stream.sendall(question)
        for stream in streams:
            if stream.recv(4096) != answer:
                raise ConnectionError("an answer came in pieces, or not at all")
            now = time.perf_counter()
            if now >= window.begin_at:
                took_s.append(now - began)
    return {**window.rate(len(took_s)), **spread(took_s)}


def smtp(peer: Peer, connections: int, window: Window) -> dict[str, float]:
    """Deliver messages; return how many have been taken per second."""
    counts = [0] * connections
    failures: list[Exception] = []

    def deliver(number: int) -> None:
        with connected(peer) as stream:
            lines = stream.makefile("rb")
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reply(lines, "220")
            for command, code in (("EHLO client.bench.test", "250"), ("NOOP", "250")):
                stream.sendall(f"{command}\r\n".encode())
                reply(lines, code)
            steps = (
                (b"MAIL FROM:<sender@bench.test>\r\n", "250"),
                (b"RCPT TO:<taker@bench.test>\r\n", "250"),
                (b"DATA\r\n", "354"),
                (_MAIL, "250"),
            )
            while time.perf_counter() < window.end_at:
                for data, code in steps:
                    stream.sendall(data)
                    reply(lines, code)
                if window.begin_at <= time.perf_counter() < window.end_at:
                    counts[number] += 1

    def run(number: int) -> None:
        try:
            deliver(number)
        except (OSError, ConnectionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return window.rate(sum(counts))


def dns(peer: Peer, _connections: int, window: Window) -> dict[str, float]:
    """Keep questions under way; return how many are answered per second."""
    name = b"".join(bytes([len(part)]) + part for part in ports.NAME.encode().split(b"."))
    question = b"\1\0\0\1\0\0\0\0\0\0" + name + b"\0\0\1\0\1"
    number = answered = lost = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(peer)

        def ask() -> None:
            nonlocal number
            number = (number + 1) & 0xFFFF
            out.send(number.to_bytes(2, "big") + question)

        out.settimeout(TIMEOUT_S)
        ask()  # the first may cost a question of ARP's
        first = out.recv(4096)
        if first[3] & 0x0F or first[6:8] == b"\0\0":
            raise ConnectionError("there is no answer in the answer")
        out.settimeout(0.2)
        for _ in range(OUTSTANDING):
            ask()
        while (now := time.perf_counter()) < window.end_at:
            try:
                out.recv(4096)
            except TimeoutError:
                lost += OUTSTANDING
                for _ in range(OUTSTANDING - 1):
                    ask()
            else:
                if now >= window.begin_at:
                    answered += 1
            ask()
    return {**window.rate(answered), "lost": lost}


MODES: Final[dict[str, Load]] = {
    "http-file": partial(http, tls=False),
    "https": partial(http, tls=True, path=ports.MADE),
    "https-file": partial(http, tls=True),
    "http2": http2,
    "tls": tls_source,
    "ftp": ftp,
    "websocket": websocket,
    "smtp": smtp,
    "dns": dns,
}


if __name__ == "__main__":
    main(MODES)

"""Servers of the machine around a program that goes outside; prints "ready" when all listen.

Arguments: the addresses at which they are. On each, by TCP and by UDP: 7 echoes, 80 says whom it
sees, 53 answers every question for an A record with 192.0.2.80 (by TCP with 192.0.2.81), and every
other question with nothing.
"""

import socket
import sys
import threading
from collections.abc import Callable

Peer = tuple[str, int]


def main(addresses: list[str]) -> None:
    """Serve for ever."""
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port, serve in ((7, echo), (80, whom), (53, names)):
            listener = socket.create_server((address, port), family=family, backlog=1024)
            start(accept, listener, serve)
        for port, reply in ((7, same), (80, you), (53, name)):
            udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.bind((address, port))
            start(answer, udp, reply)
    print("ready", flush=True)
    threading.Event().wait()


def start(function: Callable[..., None], *arguments: object) -> None:
    """Run a function beside the others."""
    threading.Thread(target=function, args=arguments, daemon=True).start()


def accept(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    """Give each connection a thread."""
    while True:
        sock, _ = listener.accept()
        start(closing, sock, serve)


def closing(sock: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    """Serve a connection to its end."""
    with sock:
        try:
            serve(sock)
        except OSError:
            return


def answer(udp: socket.socket, reply: Callable[[bytes, Peer], bytes]) -> None:
    """Answer datagrams."""
    while True:
        data, peer = udp.recvfrom(65536)
        udp.sendto(reply(data, peer), peer)


def echo(sock: socket.socket) -> None:
    """Send everything back."""
    while data := sock.recv(1 << 18):
        sock.sendall(data)


def whom(sock: socket.socket) -> None:
    """Answer one request of HTTP."""
    sock.recv(65536)
    body = f"you are {sock.getpeername()[0]}, I am {sock.getsockname()[0]}\n".encode()
    sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def names(sock: socket.socket) -> None:
    """Answer questions of DNS."""
    while data := sock.recv(65536):
        reply = reply_to(data[2:], 81)
        sock.sendall(len(reply).to_bytes(2, "big") + reply)


def same(data: bytes, _peer: Peer) -> bytes:
    """Return what came."""
    return data


def you(_data: bytes, peer: Peer) -> bytes:
    """Return whom it came from."""
    return f"you are {peer[0]}\n".encode()


def name(data: bytes, _peer: Peer) -> bytes:
    """Answer a question of DNS."""
    return reply_to(data, 80)


def reply_to(question: bytes, last: int) -> bytes:
    """Return the answer: the ID and the question as they came, and one record of an A, or none."""
    end = 12
    while question[end]:
        end += question[end] + 1
    is_a = question[end + 1 : end + 3] == b"\0\1"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([192, 0, 2, last])
    counts = b"\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
    return question[:2] + b"\x81\x80" + counts + question[12 : end + 5] + (record if is_a else b"")


main(sys.argv[1:])

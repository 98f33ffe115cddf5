"""Talks to the simple services over UDP; prints the name of each that is right."""

import re
import socket
import time

PRINTABLE = bytes(range(0x20, 0x7F)) * 2


def connected(port: int) -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.settimeout(60)
    sender.connect(("10.77.0.2", port))
    return sender


def exchange(port: int, payload: bytes) -> bytes:
    with connected(port) as sender:
        sender.send(payload)
        return sender.recv(65536)


assert exchange(7, b"hello") == b"hello"
assert exchange(7, b"") == b""
print("echo")

with connected(9) as sender:
    sender.send(b"into the void")
    # By the time that another datagram is answered, this one would have been refused if it is.
    assert exchange(7, b"after it") == b"after it"
    sender.send(b"raises ECONNREFUSED if the first was refused")
    sender.setblocking(False)
    try:
        raise SystemExit(f"discard answered {sender.recv(100)!r}")
    except BlockingIOError:
        print("discard")

stream = b"".join(PRINTABLE[start : start + 72] + b"\r\n" for start in range(95))
for _ in range(20):
    text = exchange(19, bytes(300))
    assert len(text) <= 300
    assert stream.startswith(text)
print("chargen")

assert re.fullmatch(rb"\w+, \w+ \d+, \d{4} \d\d:\d\d:\d\d-UTC\r\n", exchange(13, b"x"))
print("daytime")

number = exchange(37, b"")
assert len(number) == 4
assert abs(int.from_bytes(number, "big") - 2_208_988_800 - time.time()) < 60, number
print("time")

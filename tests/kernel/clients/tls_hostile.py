"""Handshakes of ill will; usage: tls_hostile.py ADDRESS CA

Half of them, garbage, a byte at a time, a cut in the middle; then a thousand that are well meant.
"""

import socket
import ssl
import struct
import sys
from contextlib import suppress
from random import Random

address, ca = sys.argv[1:]
rng = Random(1)
context = ssl.create_default_context(cafile=ca)


def hello(size: int | None = None) -> bytes:
    """Return a ClientHello, padded with protocols to about `size` bytes."""
    asking = ssl.create_default_context(cafile=ca)
    if size is not None:
        asking.set_alpn_protocols(["x" * 250] * (size // 251))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = asking.wrap_bio(incoming, outgoing, server_hostname=address)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def connect() -> socket.socket:
    stream = socket.create_connection((address, 443), timeout=30)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


held = []
for _ in range(100):  # half handshakes, left open
    stream = connect()
    stream.sendall(hello()[:200])
    held.append(stream)

for said in (
    b"\x16\x03\x01" + rng.randbytes(1000),
    b"\x16\x03\x01\xff\xff" + bytes(65535),
    bytes(1000),
    b"\x80\x2e\x01\x03\x01" + bytes(43),
    b"\x15\x03\x01\x00\x02\x02\x28",
    hello()[:-1] + b"\0",
    hello(20_000)[:5] + rng.randbytes(20_000),
):
    with connect() as stream, suppress(ConnectionError):
        stream.sendall(said)
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(65536):
            pass

for size in (None, 600, 4_000, 16_000):  # by the byte, and answered nevertheless
    with connect() as stream:
        for byte in hello(size)[:2000]:
            stream.sendall(bytes([byte]))
        stream.sendall(hello(size)[2000:])

for _ in range(20):  # a reset in the middle
    stream = connect()
    stream.sendall(hello())
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()

with context.wrap_socket(connect(), server_hostname=address) as tls:  # cut, in a request
    tls.sendall(b"GET / HTTP/1.1\r\nHo")
    socket.socket(fileno=tls.detach()).close()

for number in range(1000):
    with context.wrap_socket(connect(), server_hostname=address) as tls:
        if number % 100 == 0:
            tls.sendall(b"GET /bytes/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert tls.recv(100).startswith(b"HTTP/1.1 200 ")
print("ok")

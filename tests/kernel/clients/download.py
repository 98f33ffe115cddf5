"""Asks for /bytes/N; prints "started" with the first bytes; goes on at each line of its input.

The line "reset" closes the connection with a reset; any other lets it read to the end and print the
SHA-256 of the body.
"""

import hashlib
import os
import socket
import struct
import sys

ADDRESS = os.environ.get("STACK_ADDRESS", "10.77.0.2")

count = int(sys.argv[1])
with socket.create_connection((ADDRESS, 80), timeout=60) as connection:
    connection.sendall(f"GET /bytes/{count} HTTP/1.0\r\n\r\n".encode())
    stream = connection.makefile("rb")
    while stream.readline() != b"\r\n":
        pass
    start = stream.read(1000)
    print("started", flush=True)
    if sys.stdin.readline() == "reset\n":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()
    else:
        print(hashlib.sha256(start + stream.read()).hexdigest(), flush=True)

"""Asks for /bytes/N, ends its own side at once, and prints the SHA-256 of the body it gets."""

import hashlib
import os
import socket
import sys

ADDRESS = os.environ.get("STACK_ADDRESS", "10.77.0.2")

count = int(sys.argv[1])
with socket.create_connection((ADDRESS, 80), timeout=60) as connection:
    request = f"GET /bytes/{count} HTTP/1.1\r\nHost: 10.77.0.2\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode())
    connection.shutdown(socket.SHUT_WR)
    answer = connection.makefile("rb").read()
head, _, body = answer.partition(b"\r\n\r\n")
print(head.split(b"\r\n")[0].decode())
print(len(body))
print(hashlib.sha256(body).hexdigest())

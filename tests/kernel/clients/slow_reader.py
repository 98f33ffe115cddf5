"""Asks for /bytes/N and reads nothing until its window is shut and has been probed; then all.

Prints "shut" and "probed" when it has seen that on the wire, then the SHA-256 of the body.
"""

import hashlib
import select
import socket
import struct
import sys

ETH_P_ALL = 3
FROM_US = b"\x0a\x4d\x00\x01"


def tcp_header(frame: bytes, port: int) -> tuple[bool, int] | None:
    """Return (whether we sent it, the window in it) of a segment of our connection."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return None
    ports = struct.unpack_from("!HH", frame, 34)
    return (frame[26:30] == FROM_US, frame[48] << 8 | frame[49]) if port in ports else None


def wait_for_probe(wire: socket.socket, port: int) -> None:
    """Return when the window was shut, and a segment of the server's came after that."""
    shut = False
    while select.select([wire], [], [], 60)[0]:
        found = tcp_header(wire.recv(70000), port)
        if found is None:
            continue
        sent, window = found
        if sent and window == 0 and not shut:
            shut = True
            print("shut", flush=True)
        elif not sent and shut:
            print("probed", flush=True)
            return
    raise SystemExit("nothing on the wire for 60 s")


count = int(sys.argv[1])
with (
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire,
    socket.socket() as connection,
):
    wire.bind(("tap0", ETH_P_ALL))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    connection.settimeout(60)
    connection.connect(("10.77.0.2", 80))
    request = f"GET /bytes/{count} HTTP/1.0\r\n\r\n"
    connection.sendall(request.encode())
    wait_for_probe(wire, connection.getsockname()[1])
    answer = connection.makefile("rb").read()
print(hashlib.sha256(answer.partition(b"\r\n\r\n")[2]).hexdigest())

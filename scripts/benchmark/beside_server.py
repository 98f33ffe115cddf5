"""What stands behind the boxes and proxies that are compared: servers on the kernel's sockets.

    python -m benchmark.beside_server [ADDRESS]

Bulk, echoes and a name server that gives one answer to all questions. Says `ready` and serves
until its standard input ends.
"""

import socket
import struct
import sys
import threading
from contextlib import suppress
from typing import Final

from benchmark import kernel_server, ports

_TYPE_A, _CLASS_IN, _TTL_S = 1, 1, 60
ANSWER: Final = "192.0.2.80"


def names() -> None:
    """Answer each question to the DNS with the same address."""
    # The name is the question's own, at offset 12
    record = struct.pack(
        "!HHHIH4s", 0xC00C, _TYPE_A, _CLASS_IN, _TTL_S, 4, socket.inet_aton(ANSWER)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("", ports.DNS))
        while True:
            question, peer = here.recvfrom(4096)
            # A plain client's question ends with its type and class, after the name's zero
            end = question.index(0, 12) + 5
            header = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
            with suppress(OSError):
                here.sendto(header + question[12:end] + record, peer)


def main() -> None:
    """Serve until the standard input ends."""
    kernel_server.threaded(ports.SINK, kernel_server.sink)
    kernel_server.threaded(ports.SOURCE, kernel_server.source)
    for serve in (kernel_server.echo, kernel_server.echo_datagrams, names):
        threading.Thread(target=serve, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

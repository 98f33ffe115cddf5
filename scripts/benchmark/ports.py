"""Where the servers of all kinds are and listen, and what they do there."""

import contextlib
import socket
from pathlib import Path
from typing import Final

ECHO: Final = 7  # TCP: what comes is sent back. UDP: the same, by hand
SINK: Final = 9  # what comes is thrown away
SOURCE: Final = 19  # zeros, for as long as somebody takes them
HTTP: Final = 80  # the HTTP service
FTP: Final = 21  # these: services of that name
SMTP: Final = 25
DNS: Final = 53
HTTPS: Final = 443
FIXED: Final = 81  # the same bytes for whatever is asked, without any parsing
HELD: Final = 1000  # accepted and kept, by no task
WAITED: Final = 1001  # accepted, with a task of Trio's that waits for what comes
SERVICE: Final = 1007  # UDP: the echo service

MAC: Final = "02:00:00:00:00:02"  # of whoever is behind a TAP
CHUNK_BYTES: Final = 1 << 20  # of what a server sends in bulk, as of what a client does
BIG_FILE: Final = "big"  # is what is served in bulk
BIG_FILE_BYTES: Final = 64 << 20  # all of them zeros
MADE: Final = "bytes/10000000000"  # what HTTP makes as it goes
NAME: Final = "www.bench.test"  # which the DNS knows
FIXED_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello there\n"


def interface(number: int | str) -> str:
    """Return the name of a TAP device."""
    return f"tap{number}"


def near(number: int | str) -> str:
    """Return the address of the kernel's end of it."""
    return f"10.77.{number}.1/24"


def far(number: int | str) -> str:
    """Return the address of whoever is behind it."""
    return f"10.77.{number}.2/24"


def use_cubic(stream: socket.socket) -> None:
    """Have the same congestion control on all machines: BBR, where it is usual, paces."""
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")


def lay_out(root: Path) -> None:
    """Put what is served below a directory; it takes no room on the disk, and is in the cache."""
    with (root / BIG_FILE).open("wb+") as file:
        file.truncate(BIG_FILE_BYTES)
        while file.read(CHUNK_BYTES):
            pass

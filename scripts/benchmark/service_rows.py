"""The rows of services: each beside another server where one is installed, or beside Python's ssl.

With TLS the column of the bare loop is Python's own `ssl` over the kernel's loopback.
"""

import shutil
from collections.abc import Sequence

from benchmark import ports, subjects
from benchmark.row import Figure, Row
from benchmark.subjects import BARE, KERNEL, PYSTACK, TLS, Subjects


def row(
    mode: str,
    title: str,
    port: int,
    *,
    unit: str = "/s",
    scale: float = 1.0,
    connections: int = 1,
    columns: Sequence[str] = PYSTACK[:1],
) -> Row:
    """Return a row that a client of `benchmark.service_load` measures."""

    def measure(all_subjects: Subjects, column: str, seconds: float) -> dict[str, float]:
        how, bare = (TLS, TLS) if column in BARE else (mode, "")
        subject = all_subjects.get(column, bare)
        return subjects.load(how, subject, port, connections, seconds, "service_load")

    return Row(mode, columns, measure, (Figure(mode, title, unit, "per_s", scale),))


def bulk(mode: str, title: str, port: int, *others: str) -> Row:
    """Return a row of bulk transfer, beside those columns."""
    return row(mode, title, port, unit="Mbit/s", scale=1e6, columns=(*PYSTACK[:1], *others))


def beside(program: str) -> tuple[str, ...]:
    """Return the column of a server on the kernel's sockets, if it is installed."""
    return KERNEL[:1] if has(program) else ()


def has(program: str) -> bool:
    """Tell whether a server is installed."""
    return shutil.which(program) is not None


def rows() -> list[Row]:
    """Return them in the order of the table."""
    return [
        row("websocket", "WebSocket echo 64 B", ports.HTTP),
        bulk("http-file", "a file by HTTP (kernel: nginx)", ports.HTTP, *beside("nginx")),
        bulk("ftp", "a file by FTP (kernel: vsftpd)", ports.FTP, *beside("vsftpd")),
        bulk("https", "HTTPS down, 1 flow (bare: Python's ssl)", ports.HTTPS, BARE[0]),
        bulk("https-file", "a file by HTTPS (kernel: nginx)", ports.HTTPS, *beside("nginx")),
        bulk("http2", "a file by HTTP/2 (kernel: nginx)", ports.HTTPS, *beside("nginx")),
        row("smtp", "messages by SMTP, 8 clients", ports.SMTP, connections=8),
        row("dns", "questions to the DNS, by UDP", ports.DNS),
    ]

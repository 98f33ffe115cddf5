"""What is known of one transfer: its instants and sizes, as curl's `-w` has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# The instants of a request, in their order. Over redirections each is the sum of all requests'.
MARKS: Final = ("namelookup", "connect", "appconnect", "pretransfer", "starttransfer")


@dataclass(slots=True)
class Transfer:
    """One URL's, redirections included."""

    url: str
    began_at: float
    number: int = 0  # of the URL, counted from 0
    method: str = ""
    scheme: str = ""
    url_effective: str = ""
    times_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(MARKS, 0.0))
    redirect_s: float = 0.0
    ended_at: float = 0.0
    request_at: float = 0.0  # when the last request of it began
    http_code: int = 0  # or the last reply of FTP and SMTP; 0: none came
    http_version: str = "0"
    content_type: str = ""
    redirect_url: str = ""  # where it would have gone on
    headers: dict[str, list[str]] = field(default_factory=dict)  # of the last response
    size_download: int = 0
    size_upload: int = 0
    size_header: int = 0
    size_request: int = 0
    num_connects: int = 0
    num_redirects: int = 0
    local_ip: str = ""
    local_port: int = 0
    remote_ip: str = ""
    remote_port: int = 0
    filename: str = ""  # where it was written; empty: to standard output
    exit_status: int = 0
    error: str = ""

    def begin_request(self, now: float) -> None:
        """Begin a request: its instants are counted from here."""
        self.request_at = now

    def mark(self, what: str, now: float) -> None:
        """Note that a step of the request is done."""
        self.times_s[what] += now - self.request_at

    def connected(self, local: tuple[str, int], remote: tuple[str, int]) -> None:
        """Note the connection that is used."""
        self.local_ip, self.local_port = local
        self.remote_ip, self.remote_port = remote

    @property
    def total_s(self) -> float:
        """Return what it all took."""
        return self.ended_at - self.began_at

    def speed(self, size_bytes: int) -> int:
        """Return the mean rate in bytes a second, whole as curl shows it."""
        return int(size_bytes / self.total_s) if self.total_s > 0 else size_bytes

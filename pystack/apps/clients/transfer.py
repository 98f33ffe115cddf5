"""What is known of one transfer: its instants and sizes, as curl's `--write-out` prints them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
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


Value = str | int | float | None
_Read = Callable[[Transfer], Value]


def _time(mark: str) -> _Read:
    return lambda transfer: transfer.times_s[mark]


VARIABLES: Final[Mapping[str, _Read]] = {
    "content_type": lambda transfer: transfer.content_type or None,
    "errormsg": lambda transfer: transfer.error or None,
    "exitcode": lambda transfer: transfer.exit_status,
    "filename_effective": lambda transfer: transfer.filename or None,
    "http_code": lambda transfer: transfer.http_code,
    "http_version": lambda transfer: transfer.http_version,
    "local_ip": lambda transfer: transfer.local_ip,
    "local_port": lambda transfer: transfer.local_port,
    "method": lambda transfer: transfer.method,
    "num_connects": lambda transfer: transfer.num_connects,
    "num_headers": lambda transfer: sum(map(len, transfer.headers.values())),
    "num_redirects": lambda transfer: transfer.num_redirects,
    "redirect_url": lambda transfer: transfer.redirect_url or None,
    "remote_ip": lambda transfer: transfer.remote_ip,
    "remote_port": lambda transfer: transfer.remote_port,
    "response_code": lambda transfer: transfer.http_code,
    "scheme": lambda transfer: transfer.scheme.upper() or None,
    "size_download": lambda transfer: transfer.size_download,
    "size_header": lambda transfer: transfer.size_header,
    "size_request": lambda transfer: transfer.size_request,
    "size_upload": lambda transfer: transfer.size_upload,
    "speed_download": lambda transfer: transfer.speed(transfer.size_download),
    "speed_upload": lambda transfer: transfer.speed(transfer.size_upload),
    **{f"time_{mark}": _time(mark) for mark in MARKS},
    "time_redirect": lambda transfer: transfer.redirect_s,
    "time_total": lambda transfer: transfer.total_s,
    "url": lambda transfer: transfer.url,
    "url_effective": lambda transfer: transfer.url_effective,
    "urlnum": lambda transfer: transfer.number,
}
_CODES: Final = ("http_code", "response_code")
_PART: Final = re.compile(
    r"%%|%\{(?P<name>[^}]*)\}|%header\{(?P<header>[^}]*)\}|\\(?P<escape>[nrt])"
)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


def as_dict(transfer: Transfer) -> dict[str, Value]:
    """Return all variables and their values, times in seconds: `%{json}`."""
    return {name: _rounded(read(transfer)) for name, read in VARIABLES.items()}


def written_out(
    text: str, transfer: Transfer, say: Callable[[str], object]
) -> list[tuple[str, str]]:
    """Return what is to be printed, in parts: "stdout" or "stderr", and a text for it.

    `say` is told of a variable that there is not; it is left out, as curl does it.
    """
    parts: list[tuple[str, str]] = []
    where, at, pending = "stdout", 0, ""
    for found in _PART.finditer(text):
        pending += text[at : found.start()]
        at = found.end()
        name = found["name"]
        if name in ("stdout", "stderr"):
            parts.append((where, pending))
            where, pending = name, ""
        elif name is not None:
            pending += _shown(name, transfer, say)
        elif found["header"] is not None:
            pending += ", ".join(transfer.headers.get(found["header"].lower(), ()))
        else:
            pending += _ESCAPES[found["escape"]] if found["escape"] else "%"
    parts.append((where, pending + text[at:]))
    return [(stream, part) for stream, part in parts if part]


def _shown(name: str, transfer: Transfer, say: Callable[[str], object]) -> str:
    if name == "json":
        return json.dumps(as_dict(transfer))
    if name == "header_json":
        return json.dumps(transfer.headers)
    if name not in VARIABLES:
        say(f"unknown --write-out variable: {name!r}")
        return ""
    value = VARIABLES[name](transfer)
    if name in _CODES:
        return f"{value:03d}"
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else str(value)


def _rounded(value: Value) -> Value:
    return round(value, 6) if isinstance(value, float) else value

"""curl's `--write-out`: variables in a text, by curl's names and in its form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from pystack.apps.clients.transfer import MARKS, Transfer

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

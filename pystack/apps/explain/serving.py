"""What the laboratory's server serves: what the URL needs, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from pystack.apps.explain.site import page, site
from pystack.apps.options import ServiceOptions, TlsOptions
from pystack.apps.service import Placement
from pystack.apps.serving import start
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng

if TYPE_CHECKING:
    from pystack.apps.base import Service
    from pystack.apps.explain.target import Target
    from pystack.runtime.host import Host

TLS_SCHEMES: Final = frozenset({"https", "wss"})


async def serve(host: Host, target: Target, size_bytes: int, folder: Path | None) -> None:
    """Serve it on a host of the laboratory.

    `folder`: an empty directory for what needs files; None: nothing does. Raises ConfigError.
    """
    if target.scheme == "dns":
        if target.port != 53:
            from pystack.apps.hosting import serve as serve_by_name

            await serve_by_name(host, f"dns:{target.port}")
        return
    tls = TlsOptions()
    if target.scheme in TLS_SCHEMES:
        assert folder is not None
        tls = TlsOptions(ca=ca_file(folder), keylog=keys_file(folder))
    options = ServiceOptions(
        root=folder if target.scheme == "ftp" else None,
        rng=component_rng(host.seed, f"services/{host.name}"),
        host_name=host.name,
        addresses=host.addresses,
        tls=tls,
    )
    service = _service(host, target, size_bytes, options)
    if target.scheme == "ftp":
        assert folder is not None
        _put_file(folder, target, size_bytes)
    is_udp = target.over == "udp"
    tcp_port, udp_port = (None, target.port) if is_udp else (target.port, None)
    await start(host, [Placement(service, tcp_port, udp_port)])


def ca_file(folder: Path) -> Path:
    """Return where the authority is written that the client trusts."""
    return folder / "ca.pem"


def keys_file(folder: Path) -> Path:
    """Return where the secrets of TLS are written, in NSS' format."""
    return folder / "keys.log"


def _service(host: Host, target: Target, size_bytes: int, options: ServiceOptions) -> Service:
    match target.scheme:
        case "http" | "https" | "ws" | "wss":
            from pystack.apps.http.service import HttpService, HttpsService

            is_web_socket = target.scheme.startswith("ws")
            handler = site(size_bytes, counters=host.counters, web_sockets=is_web_socket)
            kind = HttpsService if target.scheme in TLS_SCHEMES else HttpService
            return kind(options, handler)
        case "ftp":
            from pystack.apps.ftp.service import FtpService

            return FtpService(options)
        case "smtp":
            from pystack.apps.smtp.service import SmtpService

            return SmtpService(options)
        case _:
            from pystack.apps.simple import Echo

            return Echo()


def _put_file(folder: Path, target: Target, size_bytes: int) -> None:
    """Put a file there that the URL names, and one where it names none."""
    parts = [part for part in unquote(target.path).split("/") if part]
    if any(part in (".", "..") or "\0" in part for part in parts):
        raise ConfigError(f"{target.text}: a file's name is not that")
    if target.path.endswith("/") or not parts:
        parts.append("page.html")
    file = folder.joinpath(*parts)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(page(size_bytes))
    except OSError as error:
        raise ConfigError(f"{target.text}: no such file can be made: {error.strerror}") from None
    # In virtual time the world begins in 1970.
    for path in (file, *list(file.parents)[: len(parts) - 1]):
        os.utime(path, (0, 0))

"""Where the API listens: on this machine alone, unless it is told otherwise."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import host_port
from pystack.core.errors import ConfigError

DEFAULT_PORT: Final = 8474  # Toxiproxy's
# Both: programs that are told "localhost" try one or the other first, and some only that.
LOOPBACK: Final = ("127.0.0.1", "::1")
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Hosts with one port between them; 0 is a free one."""

    hosts: tuple[str, ...] = LOOPBACK
    port: int = DEFAULT_PORT

    @property
    def is_loopback(self) -> bool:
        """Tell whether nobody from outside this machine gets here."""
        return all(_is_loopback(host) for host in self.hosts)

    def __str__(self) -> str:
        return host_port(self.hosts[0], self.port)


def parse_api_address(text: str, *, option: str = "--api") -> ApiAddress:
    """Read "", "9000", ":9000", "localhost:9000", "0.0.0.0", "[::1]:9000", "box.lan:9000".

    Without a host, and for localhost, it is the loopback of both versions of IP; without a port it
    is 8474. `option`: what the text was given for, in the sentence. Raises ConfigError.
    """
    host, port = _split(text)
    if host.count(":") and not _is_address(host):
        raise ConfigError(f"{option} {text}: an address of IPv6 goes in brackets: [::1]:8474")
    number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else -1
    if not port:
        number = DEFAULT_PORT
    if not 0 <= number <= _HIGHEST_PORT:
        raise ConfigError(f"{option} {text}: a port is a number up to {_HIGHEST_PORT}")
    if not host.isprintable() or any(letter in " /[]@" for letter in host):
        raise ConfigError(f"{option} {text}: use ADDRESS:PORT, as in 127.0.0.1:8474")
    return ApiAddress(LOOPBACK if host in ("", "localhost") else (host,), number)


def _split(text: str) -> tuple[str, str]:
    """Return host and port, each "" where it is not there."""
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") if rest.startswith(":") or not rest else "?"
    if text.isascii() and text.isdigit():
        return "", text
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback

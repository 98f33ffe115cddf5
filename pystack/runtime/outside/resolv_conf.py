"""Whom the machine asks for names: resolv.conf(5), as glibc reads it.

Read anew when the file has changed, as the C libraries do: a laptop that wanders has another one.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pystack.core.addresses import LOOPBACK, Ip, format_ip, is_port, parse_ip
from pystack.core.errors import ConfigError
from pystack.dns.config import split_server
from pystack.wire.dns_framing import PORT

PATH: Final = Path("/etc/resolv.conf")
_MAX_SERVERS: Final = 3  # MAXNS of glibc
_TIMEOUT_S: Final = 5.0  # RES_TIMEOUT
_MAX_TIMEOUT_S: Final = 30  # RES_MAXRETRANS
_LOOK_EACH_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Server:
    """One to ask: an address as real sockets take it ("fe80::1%eth0"), and a port."""

    address: str
    port: int = PORT

    @property
    def family(self) -> socket.AddressFamily:
        """Return the family of sockets that reach it."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What such a file says."""

    servers: tuple[Server, ...]
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # as they stand there
    timeout_s: float = _TIMEOUT_S
    rotate: bool = False

    def text_for(self, servers: Sequence[Ip]) -> str:
        """Return the file that says the same with other servers."""
        lines = [f"nameserver {format_ip(address)}" for address in servers[:_MAX_SERVERS]]
        # "search .": no domain is to be tried; without the line, that of the machine's name is.
        lines.append(f"search {' '.join(self.search) or '.'}")
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "\n".join([*lines, ""])


def parse(text: str) -> ResolvConf:
    """Read a file's text. What cannot be understood is passed over, as in glibc."""
    servers: list[Server] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        if line[:1] in ("#", ";"):
            continue
        word, _, rest = line.replace("\t", " ").partition(" ")
        values = rest.split()
        if word == "nameserver" and values and is_server(values[0]):
            servers.append(Server(values[0]))
        elif word == "search":
            search = tuple(values)
        elif word == "domain" and values:
            search = (values[0],)
        elif word == "options":
            options += values
    return ResolvConf(
        servers=tuple(servers[:_MAX_SERVERS]) or (Server(format_ip(LOOPBACK)),),
        search=search,
        options=tuple(options),
        timeout_s=_timeout_s(options),
        rotate="rotate" in options,
    )


def given(servers: Sequence[str]) -> ResolvConf:
    """Return one that asks these: "1.2.3.4", "[::1]:5353". Raises ConfigError."""
    if isinstance(servers, str) or not servers:
        raise ConfigError(f"resolvers are one or more addresses in a list, not {servers!r}")
    found = []
    for text in servers:
        address, port = split_server(text)
        if not is_server(address):
            raise ConfigError(f"{text!r} is not the address of a resolver, like 192.0.2.53")
        found.append(Server(address, port))
    return ResolvConf(servers=tuple(found))


def is_server(text: str) -> bool:
    """Tell whether it is an address that can be asked; one of a link may name the interface."""
    address, percent, zone = text.partition("%")
    if percent and not zone:
        return False
    try:
        parse_ip(address)
    except ConfigError:
        return False
    return True


class Watched:
    """A file that is read again when it has changed."""

    def __init__(self, path: Path = PATH, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds; the file is looked at once in one of them at most."""
        self._path = path
        self._clock = clock
        self._looked_at = -_LOOK_EACH_S
        self._stamp: tuple[int, int, int] | None = None  # None: there was no file
        self._known = parse("")

    def now(self) -> ResolvConf:
        """Return what it says; without a file, what glibc does then: ask this very machine."""
        at = self._clock()
        if at - self._looked_at >= _LOOK_EACH_S:
            self._looked_at = at
            self._look()
        return self._known

    def _look(self) -> None:
        try:
            found = os.stat(self._path)
            stamp = found.st_mtime_ns, found.st_ino, found.st_size
            if stamp != self._stamp:
                self._known = parse(self._path.read_text(errors="replace"))
                self._stamp = stamp
        except OSError:
            self._stamp, self._known = None, parse("")


def _timeout_s(options: Sequence[str]) -> float:
    for option in options:
        name, _, value = option.partition(":")
        if name == "timeout" and is_port(value):  # a number, and not 0
            return float(min(int(value), _MAX_TIMEOUT_S))
    return _TIMEOUT_S

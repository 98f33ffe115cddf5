"""Where proxies listen and whom they turn to: "HOST:PORT" as text, and as the machine's addresses.

A host that is an address costs nothing. A name is looked up by the machine, in a task: once at a
time however many connections wait for it, and again after a second.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

import trio

from pystack.apps.proxy.errors import CannotListenError
from pystack.core.addresses import host_port
from pystack.core.errors import ConfigError
from pystack.runtime.driver.driver import Driver

_REMEMBERED_S: Final = 1.0
_EVERYWHERE: Final = "::"
_BACKLOG: Final = 4096  # the kernel cuts it to what it allows

# What the socket module calls one: of IPv4 or of IPv6
SockAddress = tuple[str, int] | tuple[str, int, int, int]
Place = tuple[socket.AddressFamily, SockAddress]
Found = Callable[[list[Place] | OSError, float], None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host, by name or by address, and a port."""

    host: str  # "": every address of the machine, of both IP versions
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read "127.0.0.1:80", "[::1]:80", "db.example:5432", ":8080". Raises ConfigError."""
        if "://" in text:
            raise ConfigError(f"{text!r} is a URL: HOST:PORT is wanted, like 127.0.0.1:80")
        host, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            raise ConfigError(f"{text!r} has no port: HOST:PORT, like 127.0.0.1:80")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ConfigError(f"{text!r}: an address of IPv6 stands in brackets, like [::1]:80")
        elif host == "*":
            host = ""
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 0xFFFF):
            raise ConfigError(f"{text!r}: {port!r} is not a port, which is a number up to 65535")
        return cls(host, int(port))


def whole(text: str) -> str:
    """Return a place of a person's; a port alone is one of this machine's loopback."""
    return f"127.0.0.1:{text}" if text.isascii() and text.isdigit() else text


def numeric(endpoint: Endpoint, kind: socket.SocketKind) -> list[Place]:
    """Return the places of what needs no look-up; none: it is a name."""
    if not endpoint.host:
        return []
    try:
        found = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=kind, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError):
        return []
    return _places(found)


async def places_of(endpoint: Endpoint, kind: socket.SocketKind) -> list[Place]:
    """Return the places of an endpoint, at least one. Raises OSError."""
    found = numeric(endpoint, kind)
    if found:
        return found
    try:
        return _places(await trio.socket.getaddrinfo(endpoint.host, endpoint.port, type=kind))
    except UnicodeError:
        raise OSError(f"{endpoint.host!r} is not the name of a host") from None


async def find_listen(text: str) -> str:
    """Return where it is that one listens at "localhost:80", with an address: "127.0.0.1:80".

    Without a host it is at all addresses of both IP versions. Raises CannotListenError.
    """
    try:
        endpoint = Endpoint.parse(text)
        if not endpoint.host:
            return host_port(_EVERYWHERE, endpoint.port)
        places = await places_of(endpoint, socket.SOCK_STREAM)
    except ConfigError as error:
        raise CannotListenError(f"listen {error}") from None
    except OSError as error:
        raise CannotListenError(f"listen {text}: {reason(error)}") from None
    # A name that has both ("localhost") is listened on at the address that all programs try.
    _, address = min(places, key=lambda place: place[0] != socket.AF_INET)
    return host_port(*address[:2])


def listen_at(text: str, kind: socket.SocketKind) -> socket.socket:
    """Return a socket of the machine that listens there, or is bound. CannotListenError.

    `text` is what `find_listen` returns.
    """
    network = "tcp" if kind is socket.SOCK_STREAM else "udp"
    endpoint = Endpoint.parse(text)
    ((family, address),) = numeric(endpoint, kind)
    try:
        try:
            return _bound(family, address, kind)
        except OSError as error:
            absent = error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
            if endpoint.host != _EVERYWHERE or not absent:
                raise
            return _bound(socket.AF_INET, ("0.0.0.0", endpoint.port), kind)
    except OSError as error:
        raise CannotListenError(f"listen {network} {text}: bind: {reason(error)}") from None


def _bound(
    family: socket.AddressFamily,
    address: SockAddress,
    kind: socket.SocketKind,
) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        if address[0] == _EVERYWHERE:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, False)
        if kind is socket.SOCK_STREAM and sys.platform != "win32":  # there it means another thing
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        sock.bind(address)
        if kind is socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def reason(error: OSError) -> str:
    """Return it as Go's programs do: "address already in use"."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def _places(found: Sequence[tuple[socket.AddressFamily, int, int, str, object]]) -> list[Place]:
    # What the last of them may be otherwise (bytes) is of Pythons without IPv6.
    return list(dict.fromkeys((item[0], cast(SockAddress, item[4])) for item in found))


class Names:
    """Looks endpoints up for those who connect."""

    def __init__(self, driver: Driver, nursery: trio.Nursery) -> None:
        self._driver = driver
        self._nursery = nursery
        self._known: dict[tuple[Endpoint, socket.SocketKind], tuple[float, list[Place]]] = {}
        self._waiting: dict[tuple[Endpoint, socket.SocketKind], list[Found]] = {}

    def look_up(
        self, endpoint: Endpoint, kind: socket.SocketKind, on_found: Found, now: float
    ) -> None:
        """Call `on_found` with the places, or with why there are none; at once where it is known.

        It may be called when nobody waits any more.
        """
        found = numeric(endpoint, kind)
        until, remembered = self._known.get((endpoint, kind), (now, []))
        if found or until > now:
            on_found(found or remembered, now)
            return
        waiting = self._waiting.setdefault((endpoint, kind), [])
        waiting.append(on_found)
        if len(waiting) == 1:
            self._nursery.start_soon(self._look_up, endpoint, kind)

    async def _look_up(self, endpoint: Endpoint, kind: socket.SocketKind) -> None:
        result: list[Place] | OSError
        try:
            result = await places_of(endpoint, kind)
        except OSError as error:
            result = error
        now = self._driver.now()
        if not isinstance(result, OSError):
            # Others that are known are as old, or older: none is kept that nobody asks for.
            self._known = {key: item for key, item in self._known.items() if item[0] > now}
            self._known[endpoint, kind] = now + _REMEMBERED_S, result
        for on_found in self._waiting.pop((endpoint, kind)):
            on_found(result, now)
        self._driver.batch_done(now)

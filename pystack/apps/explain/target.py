"""What is to be explained: a URL, with schemes that a browser does not have.

dns, echo, tcp and udp are those: `dns://resolver/server?type=AAAA` (RFC 4501), and text that is
sent to the echo service of a host, `udp://server/hello`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from pystack.apps.clients.url import PORTS, Url
from pystack.core.addresses import is_loopback, is_v6, looks_like_address, parse_ip
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.runtime.names.zones import Version

ECHO_PORT: Final = 7  # RFC 862
DNS_PORT: Final = 53
RESOLVER: Final = "resolver"
_WEB: Final = ("http", "https", "ws", "wss", "ftp", "smtp")  # those that a client of ours speaks
_TEXT: Final = ("echo", "tcp", "udp")
SCHEMES: Final = (*_WEB, *_TEXT, "dns")
HELLO: Final = "hello"
_MAX_TEXT_BYTES: Final = 1200  # of a datagram that every line carries in one piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing to be done."""

    text: str  # as it is shown: whole
    scheme: str
    host: str  # name or address of the server; of dns, the name that is asked for
    port: int
    path: str = "/"
    query: str = ""
    over: str = "tcp"  # or "udp": what carries it
    kind: str = ""  # of dns: which records; "": addresses of the version that there is
    server: str = RESOLVER  # of dns: who is asked

    @property
    def payload(self) -> bytes:
        """Return what is said to an echo service."""
        return unquote(self.path.removeprefix("/") or HELLO).encode(errors="surrogateescape")

    @property
    def is_address(self) -> bool:
        """Tell whether the host is called by its address: then nothing is resolved."""
        return looks_like_address(self.host)

    @property
    def version(self) -> Version | None:
        """Return the IP version of the address; None: it has a name."""
        if not self.is_address:
            return None
        return 6 if is_v6(parse_ip(self.host)) else 4


def read_target(text: str) -> Target:
    """Read what is to be explained. Raises ConfigError, ClientError: one sentence each."""
    scheme = text.partition(":")[0].lower() if ":" in text else ""
    if scheme == "dns":
        return _dns(text)
    if scheme in _TEXT:
        return _echo(scheme, text)
    if "://" in text and scheme not in SCHEMES:
        hint = suggest(scheme, SCHEMES)
        raise ConfigError(f"{text}: there is no scheme {scheme!r} to explain{hint}")
    url = Url.parse(text)
    target = Target(
        text=url.text,
        scheme=url.scheme,
        host=url.host,
        port=url.port,
        path=url.path,
        query=url.query,
    )
    return _checked(target)


def over(target: Target, carrier: str) -> Target:
    """Return it by the other transport, where there are two. Raises ConfigError."""
    if target.scheme in ("echo", "dns"):
        return replace(target, over=carrier)
    if target.scheme in _TEXT:
        text = f"{carrier}:{target.text.partition(':')[2]}"
        return replace(target, over=carrier, scheme=carrier, text=text)
    raise ConfigError(f"{target.text} goes by TCP: echo and dns go by TCP or UDP")


def _echo(scheme: str, text: str) -> Target:
    parts = _split(text)
    if not parts[0]:
        raise ConfigError(f"{text}: it has no host, as in {scheme}://server/hello")
    host, port, path, query = parts
    target = Target(
        text=text,
        scheme=scheme,
        host=host,
        port=port or ECHO_PORT,
        path=f"{path}?{query}" if query else path,
        over="udp" if scheme == "udp" else "tcp",
    )
    if len(target.payload) > _MAX_TEXT_BYTES:
        raise ConfigError(f"{text[:40]}...: what is said has at most {_MAX_TEXT_BYTES:,} bytes")
    return _checked(target)


def _dns(text: str) -> Target:
    whole = text if text.lower().startswith("dns://") else f"dns:///{text[4:].lstrip('/')}"
    server, port, path, query = _split(whole)
    name = path.strip("/").removesuffix(".")
    if not name or "/" in name:
        raise ConfigError(f"{text}: it has no name to ask for, as in dns://resolver/server")
    kind = parse_qs(query.replace(";", "&")).get("type", [""])[-1].upper()
    return Target(
        text=text,
        scheme="dns",
        host=name,
        port=port or DNS_PORT,
        over="udp",
        kind=kind,
        server=server or RESOLVER,
    )


def _split(text: str) -> tuple[str, int | None, str, str]:
    if any(letter <= " " or letter == "\x7f" for letter in text):
        raise ConfigError(f"{text!r} is not a URL: it has a letter that none may have")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"{text}: {error}") from None
    if port == 0:
        raise ConfigError(f"{text}: port 0 cannot be used")
    return host, port, parts.path, parts.query


def _checked(target: Target) -> Target:
    loops = target.is_address and is_loopback(parse_ip(target.host))
    if target.host == "localhost" or target.host.endswith(".localhost") or loops:
        raise ConfigError(
            f"{target.text}: {target.host} is this very host: there is no network. "
            "What goes over it can be captured, and explained: tcpdump -i lo -w lo.pcap"
        )
    return target


assert set(_WEB) <= PORTS.keys()

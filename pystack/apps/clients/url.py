"""URLs as curl takes them, with a scheme or without; what a request could not say is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from pystack.apps.clients.trouble import ClientError, Status
from pystack.core.idna import to_ascii

PORTS: Final = {
    "http": 80,
    "https": 443,
    "ws": 80,
    "wss": 443,
    "ftp": 21,
    "ftps": 990,
    "smtp": 25,
    "smtps": 465,
}
# The service that answers a scheme, of those that a host can have
SERVICES: Final = {
    "http": "http",
    "https": "https",
    "ws": "http",
    "wss": "https",
    "ftp": "ftp",
    "smtp": "smtp",
}
_NOT_IN_NAMES: Final = "/?#@\\[]<>^`{|}\x7f"
_KEPT: Final = "%/:?#[]@!$&'()*+,;=~-._"  # of ASCII, what a URL may have as it is


@dataclass(frozen=True, slots=True)
class Url:
    """One URL, whole."""

    text: str
    scheme: str
    host: str  # in ASCII, without the brackets of an IPv6 address; its zone is "%eth0"
    port: int
    path: str  # begins with a slash
    query: str
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, text: str) -> Url:
        """Read it. Raises ClientError."""
        whole = text if "://" in text else f"{_guess(text)}://{text}"
        scheme = whole.partition("://")[0].lower()
        try:
            parts = urlsplit(whole)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise _malformed(f"{text}: {_bare_ip6(whole) or error}") from None
        if scheme not in PORTS:
            raise ClientError(
                Status.UNSUPPORTED_PROTOCOL, f"Protocol {scheme!r} is not one of {', '.join(PORTS)}"
            )
        nowhere = any(ord(letter) <= 0x20 or letter == "\x7f" for letter in text)
        if not host or nowhere or not _is_text(parts.netloc):
            raise _malformed(f"{text!r} is not a URL: no host, or a letter that none may have")
        if port == 0:
            raise _malformed(f"{text}: port 0 cannot be used")
        return cls(
            text=whole,
            scheme=scheme,
            host=_ascii(host.replace("%25", "%", 1) if ":" in host else host, text),
            port=port or PORTS[scheme],
            path=_quoted(parts.path or "/"),
            query=_quoted(parts.query),
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
        )

    def joined(self, reference: str) -> str:
        """Return what a reference means on this page (RFC 3986 section 5). Raises ClientError."""
        try:
            return urljoin(self.text, reference)
        except ValueError as error:
            raise _malformed(f"{reference[:80]!r} is not a URL: {error}") from None

    @property
    def target(self) -> str:
        """Return what a request line asks for."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def authority(self) -> str:
        """Return host and port, the latter if it is not the usual one: for the field Host."""
        # A zone means something on this host alone (RFC 6874 section 4).
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def file_name(self) -> str:
        """Return what `-O` calls the file; empty: the URL has no name for it."""
        return unquote(self.path.rpartition("/")[2]).replace("/", "_").replace("\0", "_")

    @property
    def service(self) -> str | None:
        """Return the service that answers it, as `--serve` takes it; None: there is none."""
        name = SERVICES.get(self.scheme)
        if name is None or self.port == PORTS[self.scheme]:
            return name
        return f"{name}:{self.port}"

    @property
    def is_tls(self) -> bool:
        """Tell whether TLS comes before the protocol."""
        return self.scheme in ("https", "wss", "ftps", "smtps")


def _is_text(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _quoted(text: str) -> str:
    # A command line's bytes that are no UTF-8 stay what they are.
    return quote(text, safe=_KEPT, errors="surrogateescape")


def _bare_ip6(url: str) -> str:
    """Return what to write for an IPv6 address without brackets; empty: there is none."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if "[" in host or host.count(":") < 2:
        return ""
    return f"an IPv6 address needs brackets, as in {scheme}://[{host}]{slash}{path}"


def _guess(text: str) -> str:
    """Return the scheme, as curl guesses it of the host's name."""
    first = text.partition(".")[0].lower()
    return first if first in ("ftp", "smtp") else "http"


def _ascii(host: str, text: str) -> str:
    try:
        name = to_ascii(host)
    except ValueError:
        name = ""
    # What IDNA makes of a letter may be one that no name has.
    if not name or any(letter <= " " or letter in _NOT_IN_NAMES for letter in name):
        raise _malformed(f"{text}: {host!r} is not a host's name")
    return name


def _malformed(sentence: str) -> ClientError:
    return ClientError(Status.MALFORMED_URL, sentence)

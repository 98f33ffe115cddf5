"""What is asked for: a URL, the line, and how; and the words that change one thing of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pystack import TcpConfig
from pystack.apps.clients.trouble import ClientError
from pystack.apps.explain.laboratory import Line
from pystack.apps.explain.site import PAGE_BYTES
from pystack.apps.explain.target import SCHEMES, Target, over, read_target
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.core.units import parse_size_bytes
from pystack.runtime.names.zones import Version

SEED: Final = 1  # without another one, every run is the same
PROTOCOLS: Final = ("http/1.1", "h2", "tcp", "udp")
_CARRIERS: Final = ("tcp", "udp")
_VERSIONS: Final[Mapping[str, Version]] = {"ipv4": 4, "ipv6": 6}
MOST_BYTES: Final = 100_000_000
MOST_REPEATS: Final = 1000
# Where a comparison has no URL: what can be done in all these ways
_USUAL: Final[Mapping[str, str]] = {
    **dict.fromkeys(_CARRIERS, "echo://server/hello"),
    **dict.fromkeys(("http/1.1", "h2"), "https://server/"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that can be said of a run. Raises ConfigError."""

    url: str
    line: Line = field(default_factory=Line)
    version: Version | None = 4  # of IP; None: both are there
    protocol: str | None = None  # of PROTOCOLS; None: what is usual
    repeat: int = 1
    size_bytes: int = PAGE_BYTES  # of what is served
    post_bytes: int | None = None  # None: nothing is posted
    seed: int = SEED
    congestion: str | None = None  # None: the default
    insecure: bool = False  # any certificate will do
    pcap: str | None = None  # None: no capture

    def __post_init__(self) -> None:
        """Check what is out of range."""
        for name, number, least, most in (
            ("--repeat", self.repeat, 1, MOST_REPEATS),
            ("--size", self.size_bytes, 0, MOST_BYTES),
            ("--post", self.post_bytes or 0, 0, MOST_BYTES),
        ):
            if not least <= number <= most:
                raise ConfigError(f"{name} {number}: it is {least:,} to {most:,}")

    @property
    def target(self) -> Target:
        """Return what is to be done. Raises ConfigError."""
        try:
            target = read_target(self.url)
        except ClientError as error:
            raise ConfigError(str(error)) from None
        # 4 is what nobody need have said: an address of IPv6 goes before it.
        if self.version == 6 and target.version == 4:
            raise ConfigError(f"{target.text}: that is an address of IPv4, and IPv6 was asked for")
        protocol = self.protocol
        if protocol in _CARRIERS:
            target = over(target, protocol)
        elif protocol is not None and protocol not in PROTOCOLS:
            raise ConfigError(f"there is no protocol {protocol!r}{suggest(protocol, PROTOCOLS)}")
        elif protocol is not None and target.scheme not in ("http", "https"):
            raise ConfigError(f"{protocol} is for http and https, and not for {target.scheme}")
        elif protocol == "h2" and target.scheme == "http":
            secure = f"https{target.text.removeprefix('http')}"
            raise ConfigError(f"h2 goes through TLS here, as in browsers: explain {secure}")
        if self.post_bytes is not None and target.scheme in ("ws", "wss", "ftp", "dns"):
            raise ConfigError(f"--post is not for {target.scheme}: it has nothing to post")
        return target

    @property
    def tcp(self) -> TcpConfig:
        """Return what connections are given. Raises ConfigError."""
        return TcpConfig() if self.congestion is None else TcpConfig(congestion=self.congestion)


def usual_url(words: str) -> str:
    """Return what is explained where nobody says it, and this is one side of a comparison."""
    for word in words.split():
        if word in _USUAL:
            return _USUAL[word]
        if word in SCHEMES:
            return f"{word}://server/"
    return "http://server/"


def changed(asked: Asked, words: str) -> Asked:
    """Return it with one side of a comparison: "loss=5%", "udp", "https", "delay=50ms ipv6".

    Raises ConfigError.
    """
    if not words.split():
        raise ConfigError("--compare takes two sides, like 'loss=0' 'loss=5%', or tcp udp")
    for word in words.split():
        name, equals, value = word.partition("=")
        asked = _with(asked, name, value) if equals else _by(asked, word)
    return asked


def _by(asked: Asked, word: str) -> Asked:
    """Return it by another protocol, or with another scheme."""
    scheme = asked.url.partition(":")[0]
    if word in _CARRIERS and scheme in _CARRIERS:
        return replace(asked, url=f"echo:{asked.url.partition(':')[2]}", protocol=word)
    if word in PROTOCOLS:
        return replace(asked, protocol=word)
    if word in SCHEMES:
        rest = asked.url.partition("://")[2] or asked.url
        return replace(asked, url=f"{word}://{rest}", protocol=None)
    if word in _VERSIONS:
        return replace(asked, version=_VERSIONS[word])
    hint = suggest(word, (*PROTOCOLS, *SCHEMES, *_VERSIONS))
    raise ConfigError(f"--compare: {word!r} is no protocol and no 'word=value'{hint}")


def _with(asked: Asked, name: str, value: str) -> Asked:
    match name:
        case "preset":
            return replace(asked, line=replace(asked.line, preset=value))
        case "mtu":
            return replace(asked, line=replace(asked.line, mtu_bytes=_whole(name, value)))
        case "size":
            return replace(asked, size_bytes=parse_size_bytes(value))
        case "post":
            return replace(asked, post_bytes=parse_size_bytes(value))
        case "repeat":
            return replace(asked, repeat=_whole(name, value))
        case "seed":
            return replace(asked, seed=_whole(name, value))
        case "congestion":
            return replace(asked, congestion=value)
    words: dict[str, Any] = {**asked.line.words, name.replace("-", "_"): value}
    return replace(asked, line=replace(asked.line, words=words))


def _whole(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise ConfigError(f"--compare: {name}={value}: it takes a whole number")
    return int(value)

"""How a host looks names up: what resolv.conf(5) says, in its words and with its defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypedDict

from pystack.core.addresses import is_port
from pystack.core.errors import ConfigError
from pystack.core.idna import to_ascii
from pystack.core.suggest import suggest
from pystack.core.units import parse_time_s
from pystack.wire.dns_framing import EDNS_BYTES, MAX_BYTES, PORT, UDP_BYTES

MAX_NDOTS: Final = 15  # RES_MAXNDOTS
MAX_SERVERS: Final = 16
_MAX_SEARCH: Final = 32
_MAX_NAMESERVERS: Final = 3  # MAXNS of glibc
_LABEL_BYTES: Final = 63  # RFC 1035 section 2.3.4
_NAME_BYTES: Final = 253  # as text, without the dot at its end


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverConfig:
    """Whom a host asks for names, and how patiently. Raises ConfigError for what cannot be."""

    servers: tuple[str, ...]  # addresses, or names of hosts in the network; also "10.0.0.9:5353"
    search: tuple[str, ...] = ()  # domains that short names are looked for in
    ndots: int = 1  # with so many dots a name is first tried as it stands
    timeout_s: float = 5.0  # for each try
    attempts: int = 2  # rounds through all servers
    rotate: bool = False  # begin with another server each time
    use_tcp: bool = False  # ask by TCP at once ("use-vc")
    edns_bytes: int | None = EDNS_BYTES  # None: without EDNS, so 512 bytes
    recurse: bool = True  # let the server ask others for us
    cache_entries: int = 1000  # 0: nothing is kept

    def __post_init__(self) -> None:
        """Check it."""
        if not 1 <= len(self.servers) <= MAX_SERVERS:
            raise ConfigError(f"a resolver has 1 to {MAX_SERVERS} servers, not {len(self.servers)}")
        for server in self.servers:
            split_server(server)
        if len(self.search) > _MAX_SEARCH:
            raise ConfigError(f"a search list has {_MAX_SEARCH} domains at most")
        for domain in self.search:
            if plain(domain) is None:
                raise ConfigError(f"{domain!r} is not a domain to search")
        if not 0 <= self.ndots <= MAX_NDOTS:
            raise ConfigError(f"ndots is 0 to {MAX_NDOTS}, not {self.ndots}")
        if not 0 < self.timeout_s < float("inf"):
            raise ConfigError(f"a resolver's timeout is more than 0, not {self.timeout_s} s")
        if not 1 <= self.attempts <= 100:
            raise ConfigError(f"attempts is 1 to 100, not {self.attempts}")
        if self.edns_bytes is not None and not UDP_BYTES <= self.edns_bytes <= MAX_BYTES:
            raise ConfigError(f"edns is {UDP_BYTES} to {MAX_BYTES} bytes, not {self.edns_bytes}")
        if self.cache_entries < 0:
            raise ConfigError(f"a cache has 0 entries or more, not {self.cache_entries}")


class Named(Protocol):
    """A host, or a name server of the network."""

    @property
    def name(self) -> str:
        """Return its name."""
        ...


class DnsWords(TypedDict, total=False):
    """How name servers are asked: the words of `Network.dns`, as in resolv.conf(5)."""

    search: str | Sequence[str]  # the domains that a short name is tried in
    ndots: int  # with so many dots a name is tried as it is first
    timeout: str | float  # of one question: "2s", or seconds
    attempts: int  # how often each server is asked
    rotate: bool  # begin with another server each time
    use_tcp: bool  # ask by TCP alone
    edns: int | Literal[False]  # how long an answer by UDP may be, in bytes; False: no EDNS
    cache: int  # how many answers are kept; 0: none


class DnsTable(DnsWords, total=False):
    """The same with the servers: what a host's `dns` may be."""

    servers: str | Named | Sequence[str | Named]  # their names or addresses, in order


# "ns1"; several; or {servers = ["ns1"], search = ["example.test"], timeout = "1s"}
ResolverWords = str | Named | Sequence[str | Named] | DnsTable | ResolverConfig
# Of real programs: the same; True: the lab's own names, without a server of the user's; False: none
AskWords = bool | ResolverWords


def parse_resolver(words: object) -> ResolverConfig:
    """Read what a user says of a host's resolver. Raises ConfigError."""
    if isinstance(words, ResolverConfig):
        return words
    if isinstance(words, Mapping):
        return _of_table(words)
    if isinstance(words, Sequence) and not isinstance(words, str | bytes):
        return ResolverConfig(servers=_texts("dns", [_name_of(each) for each in words]))
    name = _name_of(words)
    if isinstance(name, str):
        return ResolverConfig(servers=(name,))
    raise ConfigError(f"dns is a name server, several, or a table of words, not {words!r}")


def _of_table(table: Mapping[str, object]) -> ResolverConfig:
    found: dict[str, object] = {}
    for word, value in table.items():
        if word not in _WORDS:
            raise ConfigError(f"dns has no word {word!r}{suggest(str(word), _WORDS)}")
        field, read = _WORDS[word]
        found[field] = read(word, value)
    if "servers" not in found:
        raise ConfigError("dns needs its servers")
    return ResolverConfig(**found)  # type: ignore[arg-type]


def _servers(_word: str, value: object) -> tuple[str, ...]:
    if isinstance(value, Mapping | ResolverConfig):
        raise ConfigError(f"servers are names and addresses, not {value!r}")
    return parse_resolver(value).servers


def _domains(word: str, value: object) -> tuple[str, ...]:
    return _texts(word, [value] if isinstance(value, str) else value)


def _time_s(word: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f'{word} is a time like "2s", not {value!r}')
    return parse_time_s(value)


def _switch(word: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{word} is true or false, not {value!r}")
    return value


def _number(word: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{word} is a whole number, not {value!r}")
    return value


def _edns(word: str, value: object) -> int | None:
    return None if value is False else _number(word, value)


# The words of a table: the fields that they are, and how they are read.
_WORDS: Final[Mapping[str, tuple[str, Callable[[str, object], object]]]] = {
    "servers": ("servers", _servers),
    "search": ("search", _domains),
    "ndots": ("ndots", _number),
    "timeout": ("timeout_s", _time_s),
    "attempts": ("attempts", _number),
    "rotate": ("rotate", _switch),
    "use_tcp": ("use_tcp", _switch),
    "edns": ("edns_bytes", _edns),
    "cache": ("cache_entries", _number),
}


def _name_of(server: object) -> object:
    """Return the name of a host, for the host itself; of what is none, that."""
    name = getattr(server, "name", None)
    return name if isinstance(name, str) else server


def _texts(word: str, values: object) -> tuple[str, ...]:
    if not isinstance(values, Sequence) or not all(isinstance(value, str) for value in values):
        raise ConfigError(f"{word} is a list of texts, not {values!r}")
    return tuple(values)


def split_server(text: str) -> tuple[str, int]:
    """Return name or address, and port. Raises ConfigError.

    Of "ns1", "10.0.0.9:5353", "fd00::53" or "[fd00::53]:5353".
    """
    if not isinstance(text, str):
        raise ConfigError(f"a name server is a text, like 'ns1', not {text!r}")
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ConfigError(f"{text!r} is not a name server")
        colon, port = rest[:1], rest[1:]
    elif text.count(":") > 1:
        name, colon, port = text, "", ""
    else:
        name, colon, port = text.partition(":")
    if not name:
        raise ConfigError(f"{text!r} is not a name server")
    if not colon:
        return name, PORT
    if not is_port(port):
        raise ConfigError(f"{text!r}: {port!r} is not a port; a port is 1 to 65535")
    return name, int(port)


def plain(name: str) -> str | None:
    """Return a name as it is asked for: ASCII, lower case, no dot at its end; None: it is none."""
    try:
        name = to_ascii(name)
    except ValueError:
        return None
    name = name.removesuffix(".").lower()
    labels = name.split(".")
    if len(name) > _NAME_BYTES or not all(0 < len(label) <= _LABEL_BYTES for label in labels):
        return None
    return name if name.isprintable() and " " not in name and "\\" not in name else None


def candidates(name: str, config: ResolverConfig) -> list[str]:
    """Return what to ask for, in order, when a program wants `name` (search and ndots).

    Empty where it cannot be a name.
    """
    own = plain(name)
    if own is None or ":" in name:  # an address of IPv6 is not looked up
        return []
    if name.endswith("."):
        return [own]
    found = [f"{own}.{plain(domain)}" for domain in config.search]
    found = [longer for longer in found if len(longer) <= _NAME_BYTES]
    return [own, *found] if own.count(".") >= config.ndots else [*found, own]


def resolv_conf(config: ResolverConfig, addresses: Sequence[str]) -> str:
    """Return the file resolv.conf(5) that says the same; `addresses` are those of its servers.

    Raises ConfigError for what a C library cannot do.
    """
    if len(addresses) > _MAX_NAMESERVERS:
        raise ConfigError(f"a C library asks {_MAX_NAMESERVERS} name servers, no more")
    for server in config.servers:
        if split_server(server)[1] != PORT:
            raise ConfigError(f"{server!r}: a C library asks name servers at port {PORT} alone")
    timeout_s = max(1, round(config.timeout_s))  # whole seconds there
    options = [f"ndots:{config.ndots}", f"timeout:{timeout_s}", f"attempts:{config.attempts}"]
    options += ["rotate"] if config.rotate else []
    options += ["use-vc"] if config.use_tcp else []
    options += [] if config.edns_bytes is None else ["edns0"]
    lines = [f"nameserver {address}" for address in addresses]
    # "search .": no domain is to be tried first; glibc would take the machine's.
    lines += [f"search {' '.join(config.search) or '.'}", f"options {' '.join(options)}", ""]
    return "\n".join(lines)

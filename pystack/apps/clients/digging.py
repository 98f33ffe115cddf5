"""dig's manner of asking a name server: its words, its sections, its exit statuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from pystack import __version__
from pystack.core.addresses import host_port
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.runtime.host import Host
from pystack.runtime.names.dig import DigAnswer, DigRecord
from pystack.runtime.names.zones import Version
from pystack.wire import dns

ANSWERED: Final = 0  # also by "no such name"
NO_REPLY: Final = 9
SECTIONS: Final = ("comments", "question", "answer", "authority", "additional", "stats")
_TAB: Final = 8
_NAME_TABS: Final = 3  # a name takes so many, where it has room in them
_SWITCHES: Final = (
    *("tcp", "vc", "recurse", "rec", "short", "edns", "all", "cmd"),
    *SECTIONS,
)
_NUMBERS: Final = ("bufsize", "time", "tries", "retry")


@dataclass(frozen=True, slots=True, kw_only=True)
class DigRequest:
    """One question, and how it is to be asked and shown."""

    name: str
    kind: str = "A"
    server: str | None = None  # None: the host's own
    port: int = dns.PORT
    version: Version | None = None  # of IP; None: the one that is tried first
    tcp: bool = False
    recurse: bool = True
    edns_bytes: int | None = 1232
    timeout_s: float = 5.0
    attempts: int = 3
    short: bool = False
    shown: frozenset[str] = frozenset((*SECTIONS, "cmd"))
    words: tuple[str, ...] = ()  # as they were typed

    @property
    def place(self) -> str | None:
        """Return server and port as `host.dig` takes them."""
        if self.server is None or self.port == dns.PORT:
            return self.server
        return host_port(self.server, self.port)


@dataclass(slots=True)
class _Said:
    """What was read so far."""

    name: str = ""
    fields: dict[str, object] = field(default_factory=dict)
    shown: set[str] = field(default_factory=lambda: {*SECTIONS, "cmd"})


def read_request(
    words: Sequence[str], *, reverse: str | None, kind: str | None, port: int | None
) -> DigRequest:
    """Read `[@SERVER] NAME [TYPE] [+SWITCH ...]`, in any order. Raises ConfigError.

    `reverse`, `kind` and `port` are the options -x, -t and -p; None: they were not given.
    """
    said = _Said()
    for word in words:
        if word.startswith("@"):
            said.fields["server"] = word[1:]
        elif word.startswith("+"):
            _switch(word[1:].lower(), said)
        elif "kind" not in said.fields and word.upper() != "IN" and _is_kind(word):
            said.fields["kind"] = word.upper()
        elif word.upper() != "IN":
            if said.name or reverse is not None:
                raise ConfigError(
                    f"{word!r} is not a type, and a name to ask for was already given"
                )
            said.name = word
    if reverse is not None:
        said.name, said.fields["kind"] = reverse, "PTR"
    if kind is not None:
        said.fields["kind"] = kind.upper()
        if not _is_kind(kind):
            raise ConfigError(f"-t {kind}: there is no such type of records")
    if not said.name:
        raise ConfigError("no name to look up was given")
    if port is not None:
        said.fields["port"] = port
    more = () if reverse is None else ("-x", reverse)
    request = DigRequest(name=said.name, shown=frozenset(said.shown), words=(*words, *more))
    return replace(request, **said.fields)  # type: ignore[arg-type]


async def ask(host: Host, request: DigRequest) -> DigAnswer:
    """Ask. Raises TimeoutError, OSError, ConfigError."""
    return await host.dig(
        request.name,
        request.kind,
        server=request.place,
        version=request.version,
        tcp=request.tcp,
        recurse=request.recurse,
        edns_bytes=request.edns_bytes,
        timeout_s=request.timeout_s,
        attempts=request.attempts,
    )


def in_short(answer: DigAnswer) -> list[str]:
    """Return what `+short` shows."""
    return [record.text for record in answer.answer]


def in_full(answer: DigAnswer, request: DigRequest, utc_now: float) -> list[str]:
    """Return dig's lines; `utc_now`: seconds since 1970."""
    lines: list[str] = []
    if answer.over == "tcp" and not request.tcp and "comments" in request.shown:
        lines.append(";; Truncated, retrying in TCP mode.")
    if "cmd" in request.shown:
        lines += heading(request)
    if "comments" in request.shown:
        lines += [";; Got answer:", *_header(answer), ""]
        if answer.edns_bytes is not None:
            edns = f"; EDNS: version: 0, flags:; udp: {answer.edns_bytes}"
            lines += [";; OPT PSEUDOSECTION:", edns]
    if "question" in request.shown:
        name, kind = answer.question
        lines += [";; QUESTION SECTION:", f";{_padded(f'{name}.', 4)}IN\t{kind}", ""]
    sections = (
        ("answer", answer.answer),
        ("authority", answer.authority),
        ("additional", answer.additional),
    )
    for title, records in sections:
        if title in request.shown and records:
            if "comments" in request.shown:
                lines.append(f";; {title.upper()} SECTION:")
            lines += [_line(record) for record in records]
            if "comments" in request.shown:
                lines.append("")
    if "stats" in request.shown:
        lines += _stats(answer, utc_now)
    return lines


def heading(request: DigRequest) -> list[str]:
    """Return the first lines, which repeat what was asked."""
    typed = " ".join(request.words)
    return ["", f"; <<>> DiG of pystack {__version__} <<>> {typed}", ";; global options: +cmd"]


def nothing_came(request: DigRequest, error: OSError) -> list[str]:
    """Return what is shown where no server answers."""
    why = "timed out" if isinstance(error, TimeoutError) else error.strerror or str(error)
    where = f"{request.server or 'the name server'}#{request.port}"
    return [f";; communications error to {where}: {why}", ";; no servers could be reached"]


def _switch(text: str, said: _Said) -> None:
    """Read one word that began with a plus."""
    name, equals, value = text.partition("=")
    is_on = not name.startswith("no") or name in _SWITCHES
    name = name if is_on else name[2:]
    if name in _NUMBERS and is_on:
        _number(name, value, said)
        return
    if name not in _SWITCHES or equals:
        known = [f"+{prefix}{switch}" for prefix in ("", "no") for switch in _SWITCHES]
        known += [f"+{number}" for number in _NUMBERS]
        raise ConfigError(f"there is no +{text}{suggest(f'+{text}', known)}")
    if name in ("tcp", "vc"):
        said.fields["tcp"] = is_on
    elif name in ("recurse", "rec"):
        said.fields["recurse"] = is_on
    elif name == "short":
        said.fields["short"] = is_on
    elif name == "edns":
        said.fields["edns_bytes"] = 1232 if is_on else None
    elif name == "all":
        said.shown = {*SECTIONS, "cmd"} if is_on else set()
    else:
        (said.shown.add if is_on else said.shown.discard)(name)


def _number(name: str, value: str, said: _Said) -> None:
    is_number = value.isascii() and value.isdigit() and len(value) <= 9
    if not is_number or not 1 <= int(value) <= 65535:
        raise ConfigError(f"+{name}={value}: it takes a number, 1 to 65535")
    number = int(value)
    match name:
        case "bufsize":
            said.fields["edns_bytes"] = number
        case "time":
            said.fields["timeout_s"] = float(number)
        case "tries":
            said.fields["attempts"] = number
        case _:
            said.fields["attempts"] = number + 1


def _is_kind(word: str) -> bool:
    try:
        dns.kind_of(word.upper())
    except ValueError:
        return False
    return True


def _header(answer: DigAnswer) -> list[str]:
    additional = len(answer.additional) + (answer.edns_bytes is not None)
    counts = f"QUERY: 1, ANSWER: {len(answer.answer)}, AUTHORITY: {len(answer.authority)}"
    lines = [
        f";; ->>HEADER<<- opcode: QUERY, status: {answer.status}, id: {answer.ident}",
        f";; flags: {' '.join(answer.flags)}; {counts}, ADDITIONAL: {additional}",
    ]
    if "rd" in answer.flags and "ra" not in answer.flags:
        lines.append(";; WARNING: recursion requested but not available")
    return lines


def _stats(answer: DigAnswer, utc_now: float) -> list[str]:
    address, port = answer.server
    when = datetime.fromtimestamp(utc_now, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
    return [
        f";; Query time: {round(answer.took_s * 1000)} msec",
        f";; SERVER: {address}#{port}({address}) ({answer.over.upper()})",
        f";; WHEN: {when}",
        f";; MSG SIZE  rcvd: {answer.size_bytes}",
        "",
    ]


def _line(record: DigRecord) -> str:
    return (
        f"{_padded(f'{record.name}.', _NAME_TABS)}{record.ttl_s}\tIN\t{record.kind}\t{record.text}"
    )


def _padded(text: str, tabs: int) -> str:
    """Return it with tabs up to a column; at least one."""
    missing = tabs * _TAB - len(text)
    return text + "\t" * max(-(-missing // _TAB), 1)

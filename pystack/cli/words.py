"""Options that belong together and are handed on together: netem's words, those of services.

A command takes them as one mapping, by the words that labs and Python have for them::

    @takes(words=NETEM, service_words=SERVICES)
    def up_command(interface: ..., *, words: Words, service_words: Words) -> None: ...

What is not given is not in it.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec, TypeAlias, TypeVar

import typer

from pystack.core.errors import ConfigError
from pystack.core.units import parse_time_s
from pystack.dns.faults import WORDS as FAULT_WORDS
from pystack.link.words import WORDS, Word
from pystack.observe.registry import OBSERVERS
from pystack.runtime.device.tap_config import TapHostConfig
from pystack.runtime.names.zones import Version

P = ParamSpec("P")
T = TypeVar("T")

Words = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command."""

    kind: Any  # what typer makes of its text; bool: a switch
    help: str
    metavar: str | None = None
    flag: str | None = None  # how it is called; None: as its word
    short: str | None = None  # its other name, such as "-o"; None: it has none

    def spelling(self, word: str) -> str:
        """Return how it is written."""
        return self.flag or f"--{word.replace('_', '-')}"


# What a host on a TAP device is asked to be
TAP: Final[Mapping[str, Option]] = {
    each.name: Option(**each.metadata) for each in fields(TapHostConfig) if each.metadata
}

# How what happens is captured
PCAP: Final[Mapping[str, Option]] = {
    word: TAP[word] for word in ("pcap", "pcap_ring", "pcap_secrets", "pcap_snaplen")
}


def _netem(word: Word) -> Option:
    about = _MARKDOWN.sub(r"\1\2", word.about)
    if not word.values:
        return Option(bool, f"{about} Each way.")
    several = " May be repeated." if word.repeats else ""
    kind = list[str] if word.repeats else str
    return Option(kind, f"{about} For example '{word.example}', each way.{several}", word.values)


_MARKDOWN: Final = re.compile(r"\[(.*?)\]\(.*?\)|`(.*?)`")
# tc-netem(8)'s, each for both directions: 50 ms of delay make 100 ms of round trip. All of them but
# two that the commands have for themselves.
NETEM: Final[Mapping[str, Option]] = {
    name: _netem(word) for name, word in WORDS.items() if name not in ("seed", "mtu")
}

SERVICES: Final[Mapping[str, Option]] = {
    "root": Option(Path, "Directory that http, ftp and the like serve.", "DIR"),
    "writable": Option(bool, "Let clients change what is in --root."),
    "dotfiles": Option(bool, "Serve hidden files, and mail, too."),
    "accounts": Option(
        list[str],
        "Account for ftp; default: anonymous. May be repeated.",
        "USER:PASSWORD",
        "--account",
    ),
    "cert": Option(Path, "Certificate for TLS, in PEM; default: one is made.", "FILE"),
    "key": Option(Path, "Its key, unless it is in --cert.", "FILE"),
    "ca": Option(Path, "Write the authority that clients are to trust here.", "FILE"),
    "tls_names": Option(
        list[str], "Additional name in the certificate. May be repeated.", "NAME", "--tls-name"
    ),
    "keylog": Option(Path, "Write the keys that Wireshark needs to decrypt TLS here.", "FILE"),
    "mail_for": Option(
        list[str], "Accept mail for this domain, * for any; it is kept. May be repeated.", "DOMAIN"
    ),
    "records": Option(
        list[str], "Record that dns serves. May be repeated.", "'NAME [TTL] TYPE DATA'", "--record"
    ),
    "faults": Option(
        list[str],
        f"Fault in what dns answers: {', '.join(FAULT_WORDS)}. May be repeated.",
        "'NAME WORD [VALUE]...'",
        "--dns-fault",
    ),
    "app": Option(str, "Serve an ASGI application.", "MODULE:APP", "--asgi"),
    "app_tls": Option(bool, "Serve the ASGI application over TLS.", flag="--asgi-tls"),
}


def takes(**tables: Mapping[str, Option]) -> Callable[[Callable[P, T]], Callable[..., T]]:
    """Let a command take all options of each table, as the parameter of that name, at its place."""

    def decorate(command: Callable[P, T]) -> Callable[..., T]:
        @wraps(command)
        def with_words(*args: Any, **given: Any) -> T:  # noqa: ANN401 - as typer gives them
            for parameter, table in tables.items():
                values = {word: given.pop(word) for word in table}
                if table is NETEM:
                    _check_netem(values)
                given[parameter] = {
                    word: value for word, value in values.items() if _is_given(value)
                }
            return command(*args, **given)

        parameters: list[inspect.Parameter] = []
        for each in inspect.signature(command, eval_str=True).parameters.values():
            if each.name in tables:
                table = tables[each.name]
                parameters += [_parameter(word, option) for word, option in table.items()]
            else:
                parameters.append(each)
        # What typer reads.
        with_words.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_words.__annotations__ = {each.name: each.annotation for each in parameters}
        del with_words.__wrapped__
        return with_words

    return decorate


def bare_seconds(text: str) -> float:
    """Read a time; a bare number is in seconds, as curl and ping(8) have it. Raises ConfigError."""
    try:
        return float(text)
    except ValueError:
        return parse_time_s(text)


def ip_version(*, ipv4: bool, ipv6: bool) -> Version | None:
    """Return what -4 and -6 ask for; None: neither does. Raises ConfigError."""
    if ipv4 and ipv6:
        raise ConfigError("-4 and -6: use only one of them")
    return 4 if ipv4 else 6 if ipv6 else None


def _is_given(value: object) -> bool:
    return not (value is None or value == [])


def _check_netem(values: Mapping[str, object]) -> None:
    """Raise ConfigError where a value was forgotten, so that the next word became it."""
    for word, value in values.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each.startswith("--"):
                option = NETEM[word]
                raise ConfigError(
                    f"{option.spelling(word)} needs {option.metavar}, and {each} follows it"
                )


def _parameter(word: str, option: Option) -> inspect.Parameter:
    names = [name for name in (option.short, option.spelling(word)) if name is not None]
    info = typer.Option(*names, metavar=option.metavar, help=option.help)
    return inspect.Parameter(
        word,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[option.kind | None, info],
    )


Observe: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="'NAME WORDS'",
        help="Observer to attach: 'log packets', 'ladder', 'pcap file FILE', or one that a plug-in "
        "adds. May be repeated.",
    ),
]


def checked(observers: list[str] | None) -> tuple[str, ...]:
    """Return what was asked for. Raises ConfigError for what there is not."""
    for text in observers or ():
        OBSERVERS.read(text)
    return tuple(observers or ())


Control: TypeAlias = Annotated[
    bool, typer.Option("--control", help="Let `pystack ctl` and `top` look into it and change it.")
]
ControlSocket: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="The same, with the socket at this path."),
]


def control_path(control: bool, socket: str | None) -> str | None:
    """Return where the control socket goes: "" in the usual place; None: there is none."""
    return socket or ("" if control else None)

"""Options that belong together and are handed on together: netem's words, those of services.

A command takes them as one mapping, by the words that labs and Python have for them::

    @takes(words=NETEM, service_words=SERVICES)
    def up_command(interface: ..., *, words: Words, service_words: Words) -> None: ...

What is not given is not in it.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec, TypeVar

import typer

from pystack.core.units import parse_time_s
from pystack.dns.faults import WORDS as FAULT_WORDS

P = ParamSpec("P")
T = TypeVar("T")

Words = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command."""

    kind: Any  # what typer makes of its text
    help: str
    metavar: str | None = None
    flag: str | None = None  # how it is called; None: as its word
    short: str | None = None  # its other name, such as "-o"; None: it has none

    def spelling(self, word: str) -> str:
        """Return how it is written."""
        return self.flag or f"--{word.replace('_', '-')}"


def _netem(example: str) -> Option:
    return Option(str, f"As netem's, such as {example}; each way.", "WORDS")


_COUNT: Final = Option(int, "As netem's; each way.", "PACKETS")

# tc-netem(8)'s, each for both directions: 50 ms of delay make 100 ms of round trip
NETEM: Final[Mapping[str, Option]] = {
    "delay": _netem("50ms"),
    "jitter": _netem("5ms"),
    "distribution": _netem("normal"),
    "loss": _netem("1%"),
    "duplicate": _netem("1%"),
    "corrupt": _netem("0.1%"),
    "reorder": _netem("25%"),
    "gap": _COUNT,
    "rate": _netem("10mbit"),
    "limit": _COUNT,
    "qdisc": _netem("fq_codel"),
}

SERVICES: Final[Mapping[str, Option]] = {
    "root": Option(Path, "Directory that http, ftp and the like serve.", "DIR"),
    "writable": Option(bool, "Let clients change what is in --root."),
    "dotfiles": Option(bool, "Serve hidden files, and mail, too."),
    "accounts": Option(
        list[str],
        "Who may use ftp; else everybody may. May be repeated.",
        "USER:PASSWORD",
        "--account",
    ),
    "cert": Option(Path, "Certificate for TLS, in PEM; else one is made.", "FILE"),
    "key": Option(Path, "Its key, if that is not in --cert.", "FILE"),
    "ca": Option(Path, "Where to write whom clients are to trust.", "FILE"),
    "tls_names": Option(
        list[str], "Make the certificate for it too. May be repeated.", "NAME", "--tls-name"
    ),
    "keylog": Option(Path, "Where to write what Wireshark needs to decrypt TLS.", "FILE"),
    "mail_for": Option(
        list[str], "Take mail for it, * for any; it is kept. May be repeated.", "DOMAIN"
    ),
    "records": Option(
        list[str], "A record that dns knows. May be repeated.", "'NAME [TTL] TYPE DATA'", "--record"
    ),
    "faults": Option(
        list[str],
        f"What dns does wrong: {', '.join(FAULT_WORDS)}. May be repeated.",
        "'NAME WORD [VALUE]...'",
        "--dns-fault",
    ),
    "app": Option(str, "Serve an ASGI application.", "MODULE:APP", "--asgi"),
    "app_tls": Option(bool, "Serve that over TLS.", flag="--asgi-tls"),
}


def takes(**tables: Mapping[str, Option]) -> Callable[[Callable[P, T]], Callable[..., T]]:
    """Let a command take all options of each table, as the parameter of that name."""

    def decorate(command: Callable[P, T]) -> Callable[..., T]:
        @wraps(command)
        def with_words(*args: Any, **given: Any) -> T:  # noqa: ANN401 - as typer gives them
            for parameter, table in tables.items():
                values = {word: given.pop(word) for word in table}
                given[parameter] = {
                    word: value for word, value in values.items() if _is_given(value)
                }
            return command(*args, **given)

        parameters = [
            each
            for each in inspect.signature(command, eval_str=True).parameters.values()
            if each.name not in tables
        ]
        for table in tables.values():
            parameters += [_parameter(word, option) for word, option in table.items()]
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


def _is_given(value: object) -> bool:
    return not (value is None or value is False or value == [])


def _parameter(word: str, option: Option) -> inspect.Parameter:
    names = [name for name in (option.short, option.spelling(word)) if name is not None]
    info = typer.Option(*names, metavar=option.metavar, help=option.help)
    is_switch = option.kind is bool
    return inspect.Parameter(
        word,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if is_switch else None,
        annotation=Annotated[bool if is_switch else option.kind | None, info],
    )

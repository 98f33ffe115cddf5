"""The words of services: one table for the command's options, lab files and Python.

`{ name = "ftp", port = 2121, root = "files", writable = true }` in a lab is
`--serve ftp:2121 --root files --writable` of the command, and
`pystack.serve(host, "ftp:2121", root="files", writable=True)` in a program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypedDict

from pystack.apps.options import AppName, ServiceOptions
from pystack.apps.service import (
    ALL,
    BUILT_IN,
    SERVICES,
    Request,
    Service,
    ServiceLike,
    parse_serve,
)
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest

StrPath = str | Path


class ServiceWords(TypedDict, total=False):
    """The words, as `pystack.serve` takes them."""

    root: StrPath  # the directory that is served; mail goes to `Maildir` in it
    writable: bool  # clients may change what is in it
    dotfiles: bool  # hidden files are served too
    accounts: Sequence[str]  # "USER:PASSWORD", of FTP; without any, everybody is let in
    cert: StrPath  # of the server, with its chain, in PEM; without one, one is made
    key: StrPath  # its key; without it, the key is in `cert`
    ca: StrPath  # where to write whom to trust, if the certificate is made
    tls_names: Sequence[str]  # more names for that
    keylog: StrPath  # where to write what Wireshark needs to decrypt
    mail_for: Sequence[str]  # domains whose mail is taken; "*": any
    records: Sequence[str]  # of the DNS: "www.example.test 300 A 10.77.0.5"
    faults: Sequence[str]  # of the DNS: "www.example.test late 2s"
    app: str  # the ASGI application, "module:app"
    app_tls: bool  # it is served over TLS


@dataclass(frozen=True, slots=True)
class _Word:
    """How a word is read, and whose it is."""

    read: Callable[[str, object, Path], object]
    services: frozenset[str]
    field: str  # of ServiceOptions; "tls.key": of what is in its field `tls`


def _switch(word: str, value: object, _folder: Path) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{word!r} is true or false, not {value!r}")
    return value


def _text(word: str, value: object, _folder: Path) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{word!r} is a text, not {value!r}")
    return value


def _path(word: str, value: object, folder: Path) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ConfigError(f"{word!r} is the name of a file or directory, not {value!r}")
    return folder / value


def _texts(word: str, value: object, _folder: Path) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"{word!r} is a list of texts, not {value!r}")
    return tuple(_text(word, item, _folder) for item in value)


def _accounts(word: str, value: object, folder: Path) -> Mapping[str, str]:
    accounts: dict[str, str] = {}
    for text in _texts(word, value, folder):
        user, colon, password = text.partition(":")
        if not user or not colon:
            raise ConfigError("an account is USER:PASSWORD")  # it may hold a password: not shown
        if user in accounts:
            raise ConfigError(f"there are two accounts of the user {user!r}")
        accounts[user] = password
    return accounts


def _app(word: str, value: object, folder: Path) -> AppName:
    return AppName(_text(word, value, folder), folder)


_FILES: Final = frozenset({"http", "https", "ftp", "tftp"})
TLS_SERVICES: Final = frozenset({"https", "smtp", "ftp", "asgi"})
_WORDS: Final[Mapping[str, _Word]] = {
    "root": _Word(_path, _FILES | {"smtp"}, "root"),
    "writable": _Word(_switch, frozenset({"ftp", "tftp"}), "writable"),
    "dotfiles": _Word(_switch, _FILES, "dotfiles"),
    "accounts": _Word(_accounts, frozenset({"ftp"}), "accounts"),
    "cert": _Word(_path, TLS_SERVICES, "tls.certificate"),
    "key": _Word(_path, TLS_SERVICES, "tls.key"),
    "ca": _Word(_path, TLS_SERVICES, "tls.ca"),
    "tls_names": _Word(_texts, TLS_SERVICES, "tls.names"),
    "keylog": _Word(_path, TLS_SERVICES, "tls.keylog"),
    "mail_for": _Word(_texts, frozenset({"smtp"}), "mail_for"),
    "records": _Word(_texts, frozenset({"dns"}), "records"),
    "faults": _Word(_texts, frozenset({"dns"}), "faults"),
    "app": _Word(_app, frozenset({"asgi"}), "asgi"),
    "app_tls": _Word(_switch, frozenset({"asgi"}), "asgi_tls"),
}
_HERE: Final = Path()


def read_words(
    words: Mapping[str, object],
    options: ServiceOptions,
    folder: Path = _HERE,
    only_for: str | None = None,
) -> ServiceOptions:
    """Return the options with what the words say. Raises ConfigError.

    `folder`: names of files are relative to it. `only_for`: the one service that they are for.
    """
    fields: dict[str, object] = {}
    tls: dict[str, object] = {}
    for name, value in words.items():
        word = _WORDS.get(name)
        if word is None:
            raise ConfigError(f"services have no word {name!r}{suggest(name, _WORDS)}")
        if only_for in BUILT_IN and only_for not in word.services:
            raise ConfigError(f"{name!r} is for {_either(word.services)}, not for {only_for}")
        place, _, inner = word.field.partition(".")
        (tls if inner else fields)[inner or place] = word.read(name, value, folder)
    if tls:
        fields["tls"] = replace(options.tls, **tls)  # type: ignore[arg-type]
    return replace(options, **fields)  # type: ignore[arg-type]


def check_use(
    words: Mapping[str, object], names: Iterable[str], spelling: Callable[[str], str]
) -> None:
    """Raise ConfigError for a word that is for none of the services that are there.

    `spelling` says how the user has given a word. A plug-in's service may take any.
    """
    there = set(names)
    if ALL in there or there - BUILT_IN.keys():
        return
    for name in words:
        takers = _WORDS[name].services
        if not takers & there:
            raise ConfigError(
                f"{spelling(name)} is for {_either(takers)}, "
                f"{'which is not' if len(takers) == 1 else 'none of which is'} served: add "
                + _serving("http" if "http" in takers else min(takers))
            )


def _serving(name: str) -> str:
    """Return the option that serves it, which is its own for what is more than a name."""
    return "--asgi MODULE:APP" if name == "asgi" else f"--serve {name}"


def read_request(asked: ServiceLike, options: ServiceOptions, folder: Path = _HERE) -> Request:
    """Read what is asked for: "ftp:2121", a table of `name`, `port` and words, a class.

    Raises ConfigError.
    """
    if isinstance(asked, str):
        return Request(*parse_serve(asked), asked, options)
    table = asked if isinstance(asked, Mapping) else {"name": asked}
    name, port = table.get("name"), table.get("port")
    if port is not None and (isinstance(port, bool) or not isinstance(port, int)):
        raise ConfigError(f"'port' is a number, not {port!r}")
    words = {word: value for word, value in table.items() if word not in ("name", "port")}
    if callable(name) or isinstance(name, Service):
        chosen = SERVICES.read(name)
        return Request(chosen.title, port, chosen.title, read_words(words, options, folder), chosen)
    if not isinstance(name, str):
        raise ConfigError(f"a service needs its 'name', not {name!r}")
    text = name if port is None else f"{name}:{port}"
    parsed = parse_serve(text)
    return Request(*parsed, text, read_words(words, options, folder, only_for=parsed[0]))


def _either(names: Iterable[str]) -> str:
    *first, last = sorted(names)
    return f"{', '.join(first)} or {last}" if first else last

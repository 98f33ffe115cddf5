"""What a DNS server does wrong on purpose: "www.example.test late 2s", "* lost 30%".

A name, or "*.example.test" for all below it, or "*" for all, and words, each with its value. Of
those that a question's name falls under, the nearest counts, alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, TypedDict

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.core.units import parse_probability, parse_time_s
from pystack.dns.names import ancestors_of

ALL: Final = "*"
EXAMPLE: Final = "www.example.test late 2s"
MAX_LATE_S: Final = 60.0  # nobody waits longer for a name

Value = str | float | bool


class FaultWords(TypedDict, total=False):
    """The words, as Python has them; True: each time."""

    late: str | float
    lost: str | float | bool
    servfail: str | float | bool
    nxdomain: str | float | bool
    wrong: str
    dead: str
    stale: str | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with the answers about a name."""

    late_s: float = 0.0
    lost: float = 0.0  # probabilities, 0..1
    servfail: float = 0.0
    nxdomain: float = 0.0
    stale: float = 0.0
    wrong: str | None = None  # the address instead of each; None: they are right
    dead: str | None = None  # the one that is added; None: none is


@dataclass(frozen=True, slots=True)
class Word:
    """How one is written and read, and what it does."""

    value: str
    field: str
    read: Callable[[Value], float | str]
    help: str

    @property
    def is_optional(self) -> bool:
        """Tell whether the value may be left out."""
        return self.value.startswith("[")


def _late(value: Value) -> float:
    late_s = parse_time_s(value)
    if late_s > MAX_LATE_S:
        raise ConfigError(f"an answer is at most {MAX_LATE_S:.0f} s late, not {value}")
    return late_s


def _part(value: Value) -> float:
    return float(value) if isinstance(value, bool) else parse_probability(value)


def _address(value: Value) -> str:
    try:
        address = str(ip_address(str(value)))
    except ValueError:
        raise ConfigError(f"{value!r} is not an address") from None
    if "%" in address:
        raise ConfigError(f"{value!r}: a record's address has no zone")
    return address


# The one table of the words: of the command, of TOML and of Python; the manual's is made of it.
WORDS: Final[Mapping[str, Word]] = {
    "late": Word("TIME", "late_s", _late, "answers are delayed by that much"),
    "lost": Word("[PART]", "lost", _part, "there is no answer"),
    "servfail": Word("[PART]", "servfail", _part, "the server says that it has failed"),
    "nxdomain": Word("[PART]", "nxdomain", _part, "there is no such name"),
    "wrong": Word("ADDRESS", "wrong", _address, "it has this address, and no other"),
    "dead": Word("ADDRESS", "dead", _address, "it has this address too, and first"),
    "stale": Word("[PART]", "stale", _part, "the answer is what it was before the last change"),
}


class Faults:
    """Those of a server, by name."""

    def __init__(self, texts: tuple[str, ...] = ()) -> None:
        """Raises ConfigError."""
        self._by_name: dict[str, Fault] = {}
        for text in texts:
            name, fault = parse_fault(text)
            if name in self._by_name:
                raise ConfigError(f"{text!r}: there is a fault of that name already")
            self._by_name[name] = fault

    def set(self, name: str, fault: Fault | None) -> None:
        """Replace the fault of a name; None: remove it. Raises ConfigError."""
        key = _key_of(name)
        if fault is None:
            self._by_name.pop(key, None)
        else:
            self._by_name[key] = fault

    def clear(self) -> None:
        """Take all of them out."""
        self._by_name.clear()

    def find(self, name: str) -> Fault | None:
        """Return that of a question's name; None: all is well."""
        if not self._by_name:
            return None
        own = self._by_name.get(name)
        if own is not None:
            return own
        for above in ancestors_of(name)[1:]:
            found = self._by_name.get(f"*.{above}" if above else ALL)
            if found is not None:
                return found
        return self._by_name.get(ALL)


def parse_fault(text: str) -> tuple[str, Fault]:
    """Read "NAME WORD [VALUE] ..."; return the name and its fault. Raises ConfigError."""
    name, *rest = text.split() or ("",)
    words: dict[str, Value] = {}
    try:
        key = _key_of(name)
        if not rest:
            raise ConfigError("it needs a name and words")
        while rest:
            word = rest.pop(0)
            if word in words:
                raise ConfigError(f"{word!r} is said twice")
            known = _word(word)
            if rest and rest[0] not in WORDS:
                words[word] = rest.pop(0)
            elif known.is_optional:
                words[word] = True
            else:
                raise ConfigError(f"{word!r} needs its {known.value}")
        return key, fault_of(words)
    except ConfigError as error:
        raise ConfigError(f"{text!r} is not a fault such as {EXAMPLE!r}: {error}") from None


def fault_of(words: Mapping[str, object]) -> Fault:
    """Return the fault that words and their values make. Raises ConfigError."""
    fields: dict[str, float | str] = {}
    for word, value in words.items():
        known = _word(word)
        if not isinstance(value, str | float | int) or (
            isinstance(value, bool) and not known.is_optional
        ):
            raise ConfigError(f"{word!r} is {known.value}, not {value!r}")
        fields[known.field] = known.read(value)
    return Fault(**fields)  # type: ignore[arg-type]


def _word(word: str) -> Word:
    try:
        return WORDS[word]
    except KeyError:
        raise ConfigError(f"there is no fault {word!r}{suggest(word, WORDS)}") from None


def _key_of(name: str) -> str:
    if name in WORDS:
        raise ConfigError(f"it begins with a name; '* {name}' is for all")
    if name == ALL:
        return ALL
    from pystack.wire import dns  # the words are the command's too, which may do without

    try:
        return dns.canonical(name)
    except ValueError as error:
        raise ConfigError(str(error)) from None

"""How a plug-in is asked for: by its name and its words, in a text, in a mapping, or as it is.

`"fq_codel limit 1000 noecn"` and `{"name": "fq_codel", "limit": 1000, "ecn": False}` mean the same.
The words of a plug-in are the parameters of its factory, except for the first, which is given by
whoever uses it: one whose default is a bool is a flag, one whose default is a tuple takes several
values, one without a default is needed. Values of a text are texts: factories read them.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Final, Generic, NoReturn, TypeVar

from pystack.core.errors import ConfigError
from pystack.core.plugins import find
from pystack.core.suggest import suggest

T = TypeVar("T")

NAME: Final = "name"
_NAMED: Final = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Chosen(Generic[T]):
    """A plug-in, and what was said to it."""

    title: str  # "qdisc codel", for sentences
    factory: Callable[..., T]
    words: Mapping[str, object]

    def make(self, given: object) -> T:
        """Make one; `given` is the factory's first argument. A ConfigError then says whose it is.

        So does one for a value that the factory cannot do anything with (TypeError, ValueError).
        """
        try:
            return self.factory(given, **self.words)
        except (ConfigError, TypeError, ValueError) as error:
            raise ConfigError(f"{self.title}: {error}") from None


def read(
    group: str,
    value: str | Mapping[str, object],
    built_in: Mapping[str, Callable[..., T]],
    *,
    name_word: str = NAME,
) -> Chosen[T]:
    """Return the plug-in that is asked for. Raises ConfigError for names and words that are wrong.

    `name_word`: the word of a mapping that names the plug-in.
    """
    kind = group.removeprefix("pystack.")
    if isinstance(value, str):
        name, *tokens = _tokens(kind, value)
        factory = find(group, name, built_in)
        return _Words(kind, name, factory).from_text(tokens)
    called = value.get(name_word)
    if not isinstance(called, str):
        raise ConfigError(f"{_with_article(kind)} needs its {name_word!r}, not {called!r}")
    rest = {word: item for word, item in value.items() if word != name_word}
    return _Words(kind, called, find(group, called, built_in)).from_mapping(rest)


def _tokens(kind: str, text: str) -> list[str]:
    try:
        tokens = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"the {kind} {text!r} can't be read: {error}") from None
    if not tokens:
        raise ConfigError(f"{_with_article(kind)} needs a name")
    return tokens


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"


class _Words(Generic[T]):
    """The words that one plug-in knows."""

    def __init__(self, kind: str, name: str, factory: Callable[..., T]) -> None:
        self._title = f"{kind} {name}"
        self._factory = factory
        parameters = list(signature(factory).parameters.values())[1:]
        self._known = {item.name: item for item in parameters if item.kind in _NAMED}

    def from_text(self, tokens: list[str]) -> Chosen[T]:
        given: dict[str, object] = {}
        at = 0
        while at < len(tokens):
            found = self._word(tokens[at])
            if found is None:
                self._unknown(tokens[at])
            word, flag = found
            if word in given:
                raise ConfigError(f"{self._title}: {word!r} is there twice")
            at += 1
            if flag is not None:
                given[word] = flag
                continue
            start = at
            many = isinstance(self._known[word].default, tuple)
            most = len(tokens) if many else start + 1
            while at < min(most, len(tokens)) and self._word(tokens[at]) is None:
                at += 1
            if at == start:
                raise ConfigError(f"{self._title}: {word!r} needs a value")
            given[word] = tuple(tokens[start:at]) if many else tokens[start]
        return self._complete(given)

    def from_mapping(self, values: Mapping[str, object]) -> Chosen[T]:
        given: dict[str, object] = {}
        for word, value in values.items():
            if word not in self._known:
                self._unknown(word)
            default = self._known[word].default
            if isinstance(default, bool) and not isinstance(value, bool):
                raise ConfigError(f"{self._title}: {word!r} is true or false, not {value!r}")
            if isinstance(default, tuple):
                if not isinstance(value, list | tuple):
                    raise ConfigError(f"{self._title}: {word!r} is a list, not {value!r}")
                value = tuple(value)
            given[word] = value
        return self._complete(given)

    def _word(self, token: str) -> tuple[str, bool | None] | None:
        """Return a word and what it says if it is a flag (None: a value follows); None: no word."""
        if token in self._known:
            return token, True if isinstance(self._known[token].default, bool) else None
        for start in ("no", "no_"):
            flag = token.removeprefix(start)
            known = self._known.get(flag)
            if flag != token and known is not None and isinstance(known.default, bool):
                return flag, False
        return None

    def _unknown(self, word: str) -> NoReturn:
        hint = suggest(word, self._known) or "; it takes none"
        raise ConfigError(f"{self._title} has no word {word!r}{hint}")

    def _complete(self, given: Mapping[str, object]) -> Chosen[T]:
        for word, parameter in self._known.items():
            if parameter.default is Parameter.empty and word not in given:
                raise ConfigError(f"{self._title} needs the word {word!r}")
        return Chosen(self._title, self._factory, given)

"""Plug-ins, and the one way to ask for one: `Group.read`.

There is a `Group` for each kind of them. What it reads is

- a text, the name with its words as in tc(8): `"fq_codel limit 1000 noecn"`; a value behind a colon
  is that of the first word: `"fixed:20"`;
- a mapping that says the same: `{"name": "fq_codel", "limit": 1000, "ecn": False}`; `name` may be a
  class there;
- a class, or whatever else makes one when it is called;
- the thing itself, where one can serve alone.

Names are those of the built-in ones, and of the entry points of the group (`pystack.qdisc`). The
words of a plug-in are the parameters of its factory, except for the first ones, which are given by
whoever uses it: one whose default is a bool is a flag, one whose default is a tuple takes several
values, one without a default is needed. Values of a text are texts: factories read them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar

from pystack.core.errors import ConfigError, one_line
from pystack.core.suggest import suggest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

NAME: Final = "name"
_NAMED: Final = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Chosen(Generic[T_co]):
    """A plug-in, and what was said to it. Equal ones make the same."""

    title: str  # "qdisc codel", for sentences
    factory: Callable[..., object]  # of the thing itself, where that was given: it returns it
    words: tuple[tuple[str, object], ...] = ()
    method: str = ""  # what the thing must have
    is_itself: bool = False  # the thing itself was given, and is its giver's to close

    @property
    def name(self) -> str:
        """Return its name, as in the title."""
        return self.title.partition(" ")[2]

    def __call__(self, *given: object) -> T_co:
        """Make one. `given`: the first arguments of its factory.

        Raises ConfigError, which says whose it is, also for what else the factory raises (other
        than OSError), and for what is none of the kind.
        """
        try:
            made = self.factory(*given, **dict(self.words)) if self.words else self.factory(*given)
        except (ConfigError, TypeError, ValueError) as error:
            raise ConfigError(f"{self.title}: {one_line(error)}") from None
        except OSError:
            raise
        except Exception as error:  # whatever a stranger's code does; where, its cause tells
            what = f"{type(error).__name__}: {one_line(error)}"
            raise ConfigError(f"{self.title}: {what}") from error
        if self.method and not hasattr(made, self.method):
            kind = self.title.partition(" ")[0]
            raise ConfigError(f"{self.title}: {made!r} is no {kind}: it has no {self.method!r}")
        return made  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Group(Generic[T]):
    """One kind of plug-in, and all that there are of it."""

    kind: str  # "qdisc": for sentences; the entry points are those of the group "pystack.qdisc"
    built_in: Mapping[str, Callable[..., T]]
    method: str  # or attribute, that each of them has: by it the thing is told from its maker
    given: int = 1  # how many arguments whoever uses a factory gives it
    # With these one is made on trial when it is asked for, so that what is wrong is said then;
    # None: making one does something
    trial: tuple[object, ...] | None = None
    check: Callable[[object], None] | None = None  # what is made on trial; None: no further look
    each: str = ""  # what needs one of its own: "connection"; "": the thing itself may be given
    name_words: tuple[str, ...] = (NAME,)  # the words of a mapping that name the plug-in

    def read(self, value: object) -> Chosen[T]:
        """Return what is asked for; see the module. Raises ConfigError with the nearest name."""
        chosen = self._chosen(value)
        if self.trial is not None:
            made = chosen(*self.trial)
            if self.check is not None:
                self._look(chosen, made)
        return chosen

    def _look(self, chosen: Chosen[T], made: T) -> None:
        try:
            assert self.check is not None
            self.check(made)
        except ConfigError as error:
            raise ConfigError(f"{chosen.title}: {one_line(error)}") from None

    def recall(self, value: object) -> Chosen[T]:
        """Return the same as `read`, which was asked for it before, perhaps: as connections do."""
        try:
            return _recalled(self, value)
        except TypeError:  # what can be no key
            return self.read(value)

    def find(self, name: str) -> Callable[..., T]:
        """Return what makes the plug-in of that name; a built-in one goes before another's.

        Raises ConfigError for one that does not load, and for a name that nobody has.
        """
        if name in self.built_in:
            return self.built_in[name]
        others = self.installed()
        if name not in others:
            hint = suggest(name, sorted({*self.built_in, *others}))
            raise ConfigError(f"there is no {self.kind} {name!r}{hint}")
        try:
            plugin: Callable[..., T] = others[name].load()
        except Exception as error:  # whatever a stranger's module does when it is imported
            raise ConfigError(f"{self.kind} {name!r} ({others[name].value}): {error}") from error
        return plugin

    def installed(self) -> dict[str, EntryPoint]:
        """Return the third parties' plug-ins by name, not loaded yet."""
        # With all that it drags in (e-mail, zip archives) it takes 15 ms, and few need it.
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in entry_points(group=self.entry_points)}

    @property
    def entry_points(self) -> str:
        """Return the name of the group of entry points."""
        return f"pystack.{self.kind}"

    @property
    def names(self) -> list[str]:
        """Return all names, built in and installed."""
        return sorted({*self.built_in, *self.installed()})

    def _chosen(self, value: object) -> Chosen[T]:
        if isinstance(value, Chosen):
            return value
        if isinstance(value, str):
            return self._from_text(value)
        if isinstance(value, Mapping):
            return self._from_mapping(value)
        if not isinstance(value, type) and hasattr(value, self.method):
            if self.each:
                raise ConfigError(
                    f"{value!r} is one {self.kind}, and each {self.each} needs its own: give the "
                    "class, or what makes one"
                )
            return Chosen(self._title(value), lambda *_given: value, (), self.method, True)
        if callable(value):
            return self._words(value).from_mapping({})
        raise ConfigError(
            f"{value!r} is no {self.kind}: it takes a name with its words, a mapping, a class or "
            "what makes one"
        )

    def _from_text(self, text: str) -> Chosen[T]:
        try:
            tokens = shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"the {self.kind} {text!r} can't be read: {error}") from None
        if not tokens:
            raise ConfigError(f"{self._a_kind} needs a name")
        name, colon, first = tokens[0].partition(":")
        try:
            words = self._words(self.find(name), name)
        except ConfigError as error:
            if not first.isidentifier() or name in self.names:
                raise
            text = (
                f"{error}; a class of one's own gets a name by an entry point {self.entry_points!r}"
            )
            raise ConfigError(f"{text}, or is given itself in Python") from None
        if not colon:
            return words.from_text(tokens[1:])
        word = words.first
        if word is None:
            raise ConfigError(f"{self.kind} {name!r} has nothing to set: {text!r}")
        return words.from_text([word, first, *tokens[1:]])

    def _from_mapping(self, value: Mapping[str, object]) -> Chosen[T]:
        called = next((value[word] for word in self.name_words if word in value), None)
        rest = {word: item for word, item in value.items() if word not in self.name_words}
        if isinstance(called, str):
            return self._words(self.find(called), called).from_mapping(rest)
        if called is None or not callable(called):
            raise ConfigError(f"{self._a_kind} needs its {self.name_words[0]!r}, not {called!r}")
        return self._words(called).from_mapping(rest)

    def _words(self, factory: Callable[..., object], name: str | None = None) -> _Words[T]:
        title = self._title(factory) if name is None else f"{self.kind} {name}"
        return _Words(title, factory, self.given, self.method)

    def _title(self, thing: object) -> str:
        function = getattr(thing, "func", thing)  # of a partial
        name = getattr(function, "name", None)
        if not isinstance(name, str):
            name = getattr(function, "__name__", None) or type(function).__name__
        return f"{self.kind} {name}"

    @property
    def _a_kind(self) -> str:
        return f"an {self.kind}" if self.kind[0] in "aeio" else f"a {self.kind}"


@lru_cache(maxsize=128)
def _recalled(group: Group[T], value: Hashable) -> Chosen[T]:
    return group.read(value)


class _Words(Generic[T]):
    """The words that one plug-in knows."""

    def __init__(self, title: str, factory: Callable[..., object], given: int, method: str) -> None:
        self._title = title
        self._factory = factory
        self._method = method
        try:
            parameters = list(signature(factory).parameters.values())[given:]
        except ValueError:  # some of C's tell nothing
            parameters = []
        self._known = {item.name: item for item in parameters if item.kind in _NAMED}

    @property
    def first(self) -> str | None:
        """Return the first word that takes a value; None: there is none."""
        values = (w for w, item in self._known.items() if not isinstance(item.default, bool))
        return next(values, None)

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
            is_plain = type(default) in (str, int, float)
            if is_plain and (isinstance(value, bool) or not isinstance(value, str | int | float)):
                raise ConfigError(f"{self._title}: {word!r} can't be {value!r}")
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
        return Chosen(self._title, self._factory, tuple(given.items()), self._method)

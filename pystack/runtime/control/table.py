"""What a call is, and how what is said to it is read: from JSON, or from words of a command.

The table of all calls (`calls.py`) has their names, arguments with types and ranges, and a line of
help for each. Help, documentation and the sentences about wrong calls are made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from pystack.core.ranges import Range
from pystack.core.suggest import suggest
from pystack.runtime.control.errors import ControlError

if TYPE_CHECKING:
    from pystack.runtime.control.world import World

# What a call gives back: what JSON has
Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
Given: TypeAlias = Mapping[str, Any]  # arguments, checked
Kind = Literal["text", "number", "switch", "words", "groups"]

_SHOWN_BYTES: Final = 60  # of a wrong value, in a sentence


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call."""

    name: str
    kind: Kind
    about: str
    needed: bool = False
    among: tuple[str, ...] = ()  # what a text may be; (): anything
    within: Range | None = None  # what a number may be; None: anything finite

    @property
    def shape(self) -> str:
        """Return how it is written, and what it may be: for help."""
        match self.kind:
            case "words":
                return "WORD=VALUE..."
            case "groups":
                return "NODE,NODE... NODE..."
            case "switch":
                return f"{self.name}=yes|no"
            case "number":
                return f"{self.name}=N"
            case _:
                return f"{self.name}={'|'.join(self.among) or self.name.upper()}"

    def checked(self, call: str, value: object) -> object:
        """Return a value that the argument may have. Raises ControlError."""
        match self.kind:
            case "text":
                right = isinstance(value, str) and bool(value)
                wanted = "a text"
            case "switch":
                right, wanted = isinstance(value, bool), "true or false"
            case "number":
                within = self.within or Range(-(10**12), 10**12, whole=False)
                right, wanted = within.allows(value), str(within)
            case "words":
                right = isinstance(value, Mapping) and all(isinstance(word, str) for word in value)
                wanted = 'words with their values, like {"delay": "50ms"}'
            case "groups":
                right, wanted = _are_groups(value), 'groups of nodes, like [["a", "b"], ["c"]]'
        if not right:
            raise ControlError(f"{call}: {self.name} is {_shown(value)}: it must be {wanted}")
        if self.among and value not in self.among:
            hint = suggest(value, self.among)
            raise ControlError(f"{call}: {self.name} cannot be {_shown(value)}{hint}")
        return value

    def read(self, call: str, text: str) -> object:
        """Return what a word of a command means. Raises ControlError."""
        if self.kind == "switch":
            if text.lower() not in _SWITCHES:
                raise ControlError(f"{call}: {self.name} is {_shown(text)}: it must be yes or no")
            return _SWITCHES[text.lower()]
        if self.kind == "number":
            try:
                return float(text) if "." in text or "e" in text else int(text)
            except ValueError:
                return self.checked(call, text)
        return text


@dataclass(frozen=True, slots=True)
class Call:
    """One call."""

    name: str  # one word, or two: "link set"
    about: str
    run: Callable[[World, Given], Json]
    arguments: tuple[Argument, ...] = ()
    changes: bool = False  # True: only where that is allowed
    files: bool = False  # True: it writes files of the machine, as who runs it
    example: str = ""  # what follows its name in a command

    def checked(self, given: Mapping[str, object]) -> Given:
        """Return the arguments as they may be. Raises ControlError."""
        known = {argument.name: argument for argument in self.arguments}
        found: dict[str, object] = {}
        for name, value in given.items():
            if name not in known:
                hint = suggest(name, known) if known else ": it takes no arguments"
                raise ControlError(f"{self.name} does not know {_shown(name)}{hint}")
            if value is not None:
                found[name] = known[name].checked(self.name, value)
        for argument in self.arguments:
            if argument.needed and argument.name not in found:
                raise ControlError(f"{self.name} needs {argument.name}: {argument.about}")
        return found

    def read(self, words: Sequence[str]) -> dict[str, object]:
        """Return the arguments that words of a command say. Raises ControlError.

        NAME=VALUE says which it is; other words are taken for the arguments in their order.
        """
        known = {argument.name: argument for argument in self.arguments}
        catches = next((each for each in self.arguments if each.kind in ("words", "groups")), None)
        found: dict[str, object] = {}
        rest: dict[str, str | bool] = {}
        groups: list[list[str]] = []
        for word in words:
            name, equals, value = word.partition("=")
            if equals and name in known and known[name].kind not in ("words", "groups"):
                found[name] = known[name].read(self.name, value)
            elif equals and catches is not None and catches.kind == "words":
                rest[name] = value
            elif equals:
                hint = suggest(name, known) if known else ": it takes no arguments"
                raise ControlError(f"{self.name} does not know {_shown(name)}{hint}")
            elif catches is not None and catches.kind == "groups":
                groups.append([part for part in word.split(",") if part])
            else:
                argument = self._next(found)
                if catches is not None and (argument is None or argument.among):
                    rest[word] = True  # a switch of the link: "ecn"
                elif argument is None:
                    raise ControlError(f"{self.name} has no use for {_shown(word)}")
                else:
                    found[argument.name] = argument.read(self.name, word)
        if catches is not None and (rest or groups):
            found[catches.name] = rest or groups
        return found

    def _next(self, found: Mapping[str, object]) -> Argument | None:
        """Return the first argument that nothing was said of, and that a bare word may be."""
        plain = (each for each in self.arguments if each.kind in ("text", "number"))
        return next((each for each in plain if each.name not in found), None)

    @property
    def usage(self) -> str:
        """Return how it is called in a command."""
        parts = [
            argument.shape if argument.needed else f"[{argument.shape}]"
            for argument in self.arguments
        ]
        return " ".join((self.name, *parts))


_SWITCHES: Final[Mapping[str, bool]] = {
    "yes": True,
    "on": True,
    "true": True,
    "1": True,
    "no": False,
    "off": False,
    "false": False,
    "0": False,
}


def find_call(calls: Mapping[str, Call], words: Sequence[str]) -> tuple[Call, list[str]]:
    """Return the call that a command begins with, and what follows. Raises ControlError."""
    for count in (2, 1):
        call = calls.get(" ".join(words[:count]))
        if call is not None and len(words) >= count:
            return call, list(words[count:])
    name = words[0] if words else ""
    longer = [known for known in calls if known.startswith(f"{name} ")]
    if longer:
        said = f"{name} {words[1]}" if len(words) > 1 else name
        hint = suggest(said, longer) if len(words) > 1 else f" (there are: {', '.join(longer)})"
        raise ControlError(f"there is no call {_shown(said)}{hint}")
    raise unknown_call(name, calls)


def unknown_call(name: object, calls: Mapping[str, Call]) -> ControlError:
    """Return what is to be said of a call that there is not."""
    # Calls have two words: whoever says the second alone means those that end with it.
    ending = [known for known in calls if known.endswith(f" {name}")]
    hint = suggest(ending[0] if len(ending) == 1 else name, ending or calls)
    return ControlError(f"there is no call {_shown(name)}{hint}")


def _are_groups(value: object) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return False
    return all(
        isinstance(group, Sequence)
        and not isinstance(group, str)
        and group
        and all(isinstance(name, str) for name in group)
        for group in value
    )


def _shown(value: object) -> str:
    """Return a value as it is shown in a sentence: not all of a long one."""
    text = repr(value)
    return text if len(text) <= _SHOWN_BYTES else f"{text[:_SHOWN_BYTES]}..."

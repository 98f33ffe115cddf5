"""Reading tables of a TOML file so that every complaint names the line and the word."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import Final, NoReturn

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.link.words import WORDS
from pystack.topology.toml_places import Path, find_places, line_of

LINK_WORDS: Final = sorted(WORDS)
# Words whose value may be a file's name
_FILES: Final = frozenset(name for name, word in WORDS.items() if "FILE" in word.values)
_POSITION: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (str, "a text"),
    (int, "a whole number"),
    (float, "a number"),
    (list, "a list"),
    (dict, "a table"),
)


class Document:
    """A parsed file, and where everything in it stands."""

    def __init__(self, name: str, text: str) -> None:
        """`name` is for messages. Raises ConfigError where the text is not TOML."""
        self.name = name
        try:
            self.root: dict[str, object] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            position = _POSITION.search(message)
            line = int(position[1] or 0) if position else 0
            line = line or text.count("\n") + 1
            reason = _POSITION.sub("", message)
            raise ConfigError(f"{name}:{line}: this is not TOML: {reason}") from None
        except RecursionError:
            raise ConfigError(f"{name}: this is nested too deeply") from None
        self._places = find_places(text)

    def line(self, path: Path) -> int:
        """Return the line of what stands at `path`."""
        return line_of(self._places, path)

    def fail(self, path: Path, sentence: str) -> NoReturn:
        """Raise the ConfigError for what stands at `path`."""
        raise ConfigError(f"{self.name}:{self.line(path)}: {sentence}")

    @contextmanager
    def placed(self, path: Path) -> Iterator[None]:
        """Let the ConfigErrors of other parts of the program say where the fault stands."""
        try:
            yield
        except ConfigError as error:
            self.fail(path, str(error))

    def table(self, path: Path, value: object, words: Iterable[str] | None) -> dict[str, object]:
        """Return a table, whose keys must be among `words` (None: any)."""
        if not isinstance(value, dict):
            self.fail(path, f"{show(path)} must be a table, not {describe(value)}")
        if words is not None:
            known = list(words)
            for key in value:
                if key not in known:
                    self.unknown((*path, key), key, known)
        return value

    def unknown(self, path: Path, word: str, known: Iterable[str]) -> NoReturn:
        """Complain about a word that is none of those that can stand there."""
        where = f" in {show(path[:-1])}" if len(path) > 1 else ""
        self.fail(path, f"there is no word {word!r}{where}{suggest(word, known)}")

    def text(self, path: Path, value: object) -> str:
        """Return a text that is not empty."""
        if not isinstance(value, str):
            self.fail(path, f"{show(path)} must be a text in quotes, not {describe(value)}")
        if not value:
            self.fail(path, f"{show(path)} must not be empty")
        return value

    def texts(self, path: Path, value: object) -> list[str]:
        """Return a list of texts."""
        return [self.text((*path, at), item) for at, item in enumerate(self.items(path, value))]

    def argv(self, path: Path, value: object) -> tuple[str, ...]:
        """Return a program and its arguments, which may be empty, as those of a shell."""
        items = self.items(path, value)
        if not items:
            self.fail(path, "a command needs a word at least")
        return tuple(
            "" if at and item == "" else self.text((*path, at), item)
            for at, item in enumerate(items)
        )

    def items(self, path: Path, value: object) -> list[object]:
        """Return a list."""
        if not isinstance(value, list):
            self.fail(path, f"{show(path)} must be a list in [ ], not {describe(value)}")
        return value

    def switch(self, path: Path, value: object) -> bool:
        """Return true or false."""
        if not isinstance(value, bool):
            self.fail(path, f"{show(path)} must be true or false, not {describe(value)}")
        return value

    def whole(self, path: Path, value: object) -> int:
        """Return a whole number."""
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(path, f"{show(path)} must be a whole number, not {describe(value)}")
        return value


def text_of(path: str | FilePath) -> str:
    """Return the text of a file. Raises ConfigError."""
    try:
        return FilePath(path).read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8") from None


def link_words(
    document: Document, path: Path, words: Mapping[str, object], others: Iterable[str]
) -> dict[str, object]:
    """Return netem's and tc's words; their values are for others to check.

    `others`: what may stand there beside them. Files are named relative to the document.
    """
    found: dict[str, object] = {}
    for word, value in words.items():
        if word not in LINK_WORDS:
            document.unknown((*path, word), word, [*others, *LINK_WORDS])
        if word in _FILES and isinstance(value, str):
            beside = FilePath(document.name).parent / value
            value = str(beside) if beside.is_file() else value
        found[word] = value
    return found


def show(path: Path) -> str:
    """Return a path as one would write it: links #2.a_to_b."""
    text = ""
    for part in path:
        # People count the links of a file from 1.
        text += f" #{part + 1}" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def describe(value: object) -> str:
    """Return what a value is, for a sentence."""
    if isinstance(value, bool):
        return "true" if value else "false"
    kind = next((name for cls, name in _KINDS if isinstance(value, cls)), "a date or time")
    return f"{kind} ({value!r})" if isinstance(value, str | int | float) else kind

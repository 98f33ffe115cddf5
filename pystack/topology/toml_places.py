"""Where in a TOML document each key stands, for `tomllib` keeps no positions.

It reads documents that `tomllib` has taken already, so it checks nothing: it only has to walk over
strings, comments, arrays and tables (TOML 1.0) without losing its way.
"""

import re
import tomllib
from typing import Final

# Keys of tables, and indices of arrays: ("links", 1, "a_to_b", "rate").
Path = tuple[str | int, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}\n#]+")
_QUOTED: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def find_places(text: str) -> dict[Path, int]:
    """Return the line (from 1) of every key, table and array element of a valid document."""
    walk = _Walk(text)
    walk.document()
    return walk.lines


def line_of(places: dict[Path, int], path: Path) -> int:
    """Return the line of what stands at `path`, or of the innermost thing around it that does."""
    while path and path not in places:
        path = path[:-1]
    return places.get(path, 1)


class _Walk:
    """One walk over the text, from left to right."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._counts: dict[Path, int] = {}  # of arrays of tables: how many elements so far

    def document(self) -> None:
        """Walk over all of it."""
        table: Path = ()
        self._skip()
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _header(self) -> Path:
        """Walk over `[a.b]` or `[[a.b]]`; return the table that it opens."""
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        keys = self._dotted_key()
        self._at += 2 if is_array else 1
        path: Path = ()
        for key in keys[:-1]:
            path = self._enter((*path, key), line)
        path = (*path, keys[-1])
        if not is_array:
            path = self._last_of(path)
            self.lines[path] = line
            return path
        self.lines.setdefault(path, line)
        number = self._counts.get(path, 0)
        self._counts[path] = number + 1
        path = (*path, number)
        self.lines[path] = line
        return path

    def _enter(self, path: Path, line: int) -> Path:
        """Return the table that a key of a header stands for: of an array, its last element."""
        self.lines.setdefault(path, line)
        return self._last_of(path)

    def _last_of(self, path: Path) -> Path:
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: Path) -> None:
        """Walk over `key = value`."""
        line = self._line()
        path = table
        for key in self._dotted_key():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._skip()
        self._value(path)

    def _value(self, path: Path) -> None:
        match self._text[self._at : self._at + 1]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._at = self._match(_QUOTED).end()
            case _:
                self._at = self._match(_SCALAR).end()

    def _array(self, path: Path) -> None:
        self._at += 1
        number = 0
        self._skip()
        while not self._text.startswith("]", self._at):
            if self._text.startswith(",", self._at):
                self._at += 1
                number += 1
            else:
                self.lines[*path, number] = self._line()
                self._value((*path, number))
            self._skip()
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        self._skip()
        while not self._text.startswith("}", self._at):
            if self._text.startswith(",", self._at):
                self._at += 1
            else:
                self._pair(path)
            self._skip()
        self._at += 1

    def _dotted_key(self) -> list[str]:
        """Walk over `a."b c".d` and what is blank behind it."""
        keys: list[str] = []
        while True:
            self._skip()
            if self._text[self._at] in "\"'":
                match = self._match(_QUOTED)
                # tomllib knows the escapes
                keys.append(str(tomllib.loads(f"key = {match.group()}")["key"]))
            else:
                match = self._match(_BARE)
                keys.append(match.group())
            self._at = match.end()
            self._skip()
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _skip(self) -> None:
        self._at = self._match(_BLANK).end()

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        assert match is not None, f"not TOML at line {self._line()}"
        return match

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

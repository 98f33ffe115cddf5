"""Text to tokens: the words of packetdrill's language, each with its place.

The longest match wins, as in a generated scanner: `1:1001(1000)` are numbers, `abcd1234` is a word,
`.1...0.2` is two times with an ellipsis between them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pystack.testing.packetdrill.errors import ScriptSyntaxError


class Kind(Enum):
    """What a token is."""

    OPTION = "option"
    CODE = "code"
    COMMAND = "command"
    STRING = "string"
    ADDRESS = "address"
    FLOAT = "number with a point"
    INTEGER = "number"
    HEX = "hexadecimal number"
    WORD = "word"
    ELLIPSIS = "..."
    SYMBOL = "symbol"
    END = "end of the script"


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a script. `text` is what counts of it: without quotes, say."""

    kind: Kind
    text: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return it for a message."""
        if self.kind is Kind.END:
            return "the end of the script"
        shown = self.text.splitlines()[0] if self.text else ""
        return f"'{shown}'"


_PATTERN: Final = re.compile(
    r"""
    (?P<space>\s+ | //[^\n]* | /\*.*?\*/ | \#[^\n]*)
  | (?P<option>--[A-Za-z0-9_]+ (?:\s*=\s*(?:[^\s"`]*"[^"]*" | [^\s"`]*`[^`]*` | \S+))?)
  | (?P<code>%\{.*?\}%)
  | (?P<command>`(?:\\.|[^`])*`)
  | (?P<string>"(?:\\.|[^"])*")
  | (?P<ellipsis>\.\.\.)
  | (?P<address>\d+\.\d+\.\d+\.\d+)
  | (?P<float>-?\d*\.\d+)
  | (?P<negative>-\d+)
  | (?P<word>[A-Za-z0-9_]+)
  | (?P<symbol>\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS: Final = {
    "option": Kind.OPTION,
    "code": Kind.CODE,
    "command": Kind.COMMAND,
    "string": Kind.STRING,
    "ellipsis": Kind.ELLIPSIS,
    "address": Kind.ADDRESS,
    "float": Kind.FLOAT,
    "negative": Kind.INTEGER,
    "symbol": Kind.SYMBOL,
}
_HEX: Final = re.compile(r"0[xX][0-9a-fA-F]+")


def tokens(text: str, path: str, defines: Mapping[str, str] | None = None) -> list[Token]:
    """Return the tokens of a script, END as the last one.

    `defines` are words that stand for something else. Those that the script's own options make
    (`--define=NAME=value`) hold from there on.
    """
    known = dict(defines or {})
    found: list[Token] = []
    at, line, line_start = 0, 1, 0
    while at < len(text):
        match = _PATTERN.match(text, at)
        assert match is not None  # any character is at least a symbol
        group, part = match.lastgroup, match.group()
        column = at - line_start + 1
        if group != "space":
            assert group is not None
            token = _token(group, part, line, column)
            _check_closed(token, path)
            if token.kind is Kind.OPTION:
                _note_define(token.text, known)
            elif token.kind is Kind.WORD and token.text in known:
                token = _defined(known[token.text], line, column)
            found.append(token)
        at = match.end()
        newlines = part.count("\n")
        if newlines:
            line += newlines
            line_start = match.start() + part.rindex("\n") + 1
    found.append(Token(Kind.END, "", line, at - line_start + 1))
    return found


def _token(group: str, part: str, line: int, column: int) -> Token:
    if group == "word":
        if part.isdecimal():
            return Token(Kind.INTEGER, part, line, column)
        kind = Kind.HEX if _HEX.fullmatch(part) else Kind.WORD
        return Token(kind, part, line, column)
    kind = _KINDS[group]
    if kind in (Kind.COMMAND, Kind.STRING):
        part = part[1:-1]
    elif kind is Kind.CODE:
        part = part[2:-2]
    elif kind is Kind.OPTION:
        part = part[2:]
    return Token(kind, part, line, column)


def _check_closed(token: Token, path: str) -> None:
    # What opens something that no pattern could take whole.
    if token.kind is Kind.SYMBOL and token.text in '"`':
        raise ScriptSyntaxError(path, token.line, token.column, f"{token.text} is never closed")
    if token.kind is Kind.SYMBOL and token.text == "%":
        raise ScriptSyntaxError(path, token.line, token.column, "%{ is never closed by }%")


def _note_define(option: str, known: dict[str, str]) -> None:
    name, _, value = option.partition("=")
    symbol, equals, stands_for = value.strip().partition("=")
    if name.strip() == "define" and equals:
        known[symbol.strip()] = stands_for.strip()


def _defined(value: str, line: int, column: int) -> Token:
    if len(value) > 1 and value[0] == value[-1] and value[0] in '"`':
        kind = Kind.STRING if value[0] == '"' else Kind.COMMAND
        return Token(kind, value[1:-1], line, column)
    if value.isdecimal():
        return Token(Kind.INTEGER, value, line, column)
    return Token(Kind.HEX if _HEX.fullmatch(value) else Kind.WORD, value, line, column)


class Cursor:
    """Where the reader stands. All faults are told by the place of a token."""

    __slots__ = ("_at", "_tokens", "path")

    def __init__(self, tokens: list[Token], path: str) -> None:
        self._tokens = tokens
        self._at = 0
        self.path = path

    @property
    def here(self) -> Token:
        """Return the next token, which stays where it is."""
        return self._tokens[self._at]

    def ahead(self, count: int = 1) -> Token:
        """Return one of the tokens after the next."""
        return self._tokens[min(self._at + count, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Return the next token and step over it."""
        token = self._tokens[self._at]
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def is_symbol(self, *texts: str) -> bool:
        """Tell whether the next token is one of these characters."""
        return self.here.kind is Kind.SYMBOL and self.here.text in texts

    def is_word(self, *texts: str) -> bool:
        """Tell whether the next token is one of these words."""
        return self.here.kind is Kind.WORD and self.here.text in texts

    def accept(self, text: str) -> bool:
        """Step over a character if it is the next; tell whether it was."""
        if self.is_symbol(text):
            self.take()
            return True
        return False

    def accept_word(self, text: str) -> bool:
        """Step over a word if it is the next; tell whether it was."""
        if self.is_word(text):
            self.take()
            return True
        return False

    def expect(self, text: str, where: str) -> None:
        """Step over a character that must come next."""
        if not self.accept(text):
            raise self.fault(f"'{text}' is missing {where}, before {self.here}")

    def integer(self, what: str, largest: int = 0xFFFFFFFF) -> int:
        """Return the number that must come next, 0 to `largest`."""
        token = self.here
        if token.kind not in (Kind.INTEGER, Kind.HEX):
            raise self.fault(f"{what} is a number, not {token}")
        value = int(token.text, 0 if token.kind is Kind.HEX else 10)
        if not 0 <= value <= largest:
            raise self.fault(f"{what} is {value}: it must be 0 to {largest}")
        self.take()
        return value

    def fault(self, what: str, token: Token | None = None) -> ScriptSyntaxError:
        """Return an error to raise, with the place of `token` or of what comes next."""
        token = token or self.here
        return ScriptSyntaxError(self.path, token.line, token.column, what)

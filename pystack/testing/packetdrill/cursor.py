"""A place in a row of tokens, and how to move on from it."""

from __future__ import annotations

from pystack.testing.packetdrill.errors import ScriptSyntaxError
from pystack.testing.packetdrill.lexer import Kind, Token


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

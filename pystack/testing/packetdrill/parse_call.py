"""Lines with a system call: its name, arguments as C has them, and its result."""

from __future__ import annotations

import codecs

from pystack.testing.packetdrill.lexer import Cursor, Kind
from pystack.testing.packetdrill.script import (
    ANYTHING,
    Applied,
    Call,
    Either,
    Expression,
    Listing,
    Structure,
    Text,
    Word,
)


def parse_call(cursor: Cursor) -> Call:
    """Read what follows the time: an end time, perhaps, and the call."""
    end_s = None
    if cursor.here.kind is Kind.ELLIPSIS:
        cursor.take()
        token = cursor.here
        if token.kind not in (Kind.FLOAT, Kind.INTEGER):
            raise cursor.fault(f"the time at which the call returns is missing before {token}")
        end_s = round(float(cursor.take().text), 6)
    name = cursor.here
    if name.kind is not Kind.WORD:
        raise cursor.fault(f"a packet, a call, a command or code is missing before {name}")
    cursor.take()
    cursor.expect("(", f"after {name.text}")
    arguments = _expressions(cursor, ")")
    cursor.expect("=", f"after the arguments of {name.text}: what it returns")
    result = _expression(cursor)
    errno_name = None
    if cursor.here.kind is Kind.WORD and cursor.ahead().text == "(":
        errno_name = cursor.take().text
    if cursor.is_symbol("("):
        _note(cursor)
    return Call(name.text, arguments, result, errno_name, end_s)


def _note(cursor: Cursor) -> None:
    opened = cursor.take()
    while not cursor.accept(")"):
        if cursor.take().kind is Kind.END:
            raise cursor.fault("'(' is never closed", opened)


def _expressions(cursor: Cursor, closing: str) -> tuple[Expression, ...]:
    found: list[Expression] = []
    if cursor.accept(closing):
        return ()
    while True:
        found.append(_expression(cursor))
        if cursor.accept(closing):
            return tuple(found)
        cursor.expect(",", f"or '{closing}'")


def _expression(cursor: Cursor) -> Expression:
    left = _operand(cursor)
    while cursor.accept("|"):
        left = Either(left, _operand(cursor))
    return left


def _operand(cursor: Cursor) -> Expression:
    token = cursor.here
    match token.kind:
        case Kind.ELLIPSIS:
            cursor.take()
            return ANYTHING
        case Kind.INTEGER:
            return int(cursor.take().text)
        case Kind.HEX:
            return int(cursor.take().text, 16)
        case Kind.STRING:
            return _text(cursor)
        case Kind.WORD:
            return _word(cursor)
        case _:
            pass
    if cursor.accept("["):
        return Listing(_expressions(cursor, "]"))
    if cursor.accept("{"):
        return _braces(cursor)
    raise cursor.fault(f"{token} is not something that a call takes or returns")


def _word(cursor: Cursor) -> Expression:
    name = cursor.take().text
    if cursor.accept("("):
        return Applied(name, _expressions(cursor, ")"))
    if cursor.accept("="):  # a field outside of a structure: its name only says what it is
        return _expression(cursor)
    return Word(name)


def _text(cursor: Cursor) -> Text:
    data = b""
    while cursor.here.kind is Kind.STRING:
        data += codecs.escape_decode(cursor.take().text.encode("latin-1", "replace"))[0]
    if cursor.here.kind is Kind.ELLIPSIS:
        cursor.take()
        return Text(data, open_end=True)
    return Text(data)


def _braces(cursor: Cursor) -> Expression:
    if not _begins_field(cursor):
        return Listing(_expressions(cursor, "}"))
    fields: dict[str, Expression] = {}
    while True:
        if not _begins_field(cursor):
            raise cursor.fault(f"a field's name is missing before {cursor.here}")
        name = cursor.take().text
        if cursor.accept("("):  # msg_iov(2): how many there are
            fields[f"{name} count"] = _expression(cursor)
            cursor.expect(")", f"after {name}")
        cursor.expect("=", f"after {name}")
        fields[name] = _expression(cursor)
        if cursor.accept("}"):
            return Structure(fields)
        cursor.expect(",", "or '}'")


def _begins_field(cursor: Cursor) -> bool:
    return cursor.here.kind is Kind.WORD and cursor.ahead().text in ("=", "(")

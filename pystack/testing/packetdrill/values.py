"""Expressions of a script: what they are worth, and whether a value is what one says."""

from __future__ import annotations

from pystack.core.addresses import Ip, parse_ip
from pystack.core.errors import ConfigError
from pystack.testing.packetdrill.constants import VALUES
from pystack.testing.packetdrill.errors import MismatchError
from pystack.testing.packetdrill.script import (
    ANYTHING,
    Applied,
    Either,
    Expression,
    Listing,
    Structure,
    Text,
    Word,
)


def number(expression: Expression) -> int:
    """Return an expression as a number. MismatchError where it is none."""
    match expression:
        case int():
            return expression
        case Word(name):
            if name not in VALUES:
                raise MismatchError(f"{name} is not a constant that is known here")
            return VALUES[name]
        case Either(left, right):
            return number(left) | number(right)
        case Applied("htons" | "htonl" | "ntohs" | "ntohl", (argument,)):
            return number(argument)
        case Listing((argument,)):
            return number(argument)
        case _:
            raise MismatchError(f"{show(expression)} is not a number")


def optional_number(expression: Expression, default: int) -> int:
    """Return an expression as a number, `...` as the default."""
    return default if expression is ANYTHING else number(expression)


def address(expression: Expression, default: tuple[Ip, int]) -> tuple[Ip, int] | None:
    """Return a socket address; None for one of AF_UNSPEC, the default for `...`."""
    if expression is ANYTHING:
        return default
    if expression == Word("AF_UNSPEC"):
        return None
    if not isinstance(expression, Structure):
        raise MismatchError(f"{show(expression)} is not a socket address")
    fields = expression.fields
    if fields.get("sa_family") == Word("AF_UNSPEC"):
        return None
    port = number(fields.get("sin_port", fields.get("sin6_port", 0)))
    match fields.get("sin_addr", fields.get("sin6_addr")):
        case Applied("inet_addr" | "inet_pton", (*_, Text(data))):
            try:
                return parse_ip(data.decode("latin-1")), port
            except ConfigError as error:
                raise MismatchError(str(error)) from None
        case None:
            return default[0], port
        case other:
            raise MismatchError(f"{show(other)} is not an address: inet_addr(...) is")


def data_of(expression: Expression, size: int) -> bytes | None:
    """Return the bytes that a buffer holds, at most `size`; None for `...`."""
    if isinstance(expression, Text):
        return expression.data[:size]
    return None


def agrees(expected: Expression, actual: int) -> bool:
    """Tell whether a number is what the script says."""
    return expected is ANYTHING or number(expected) == actual


def show(expression: Expression | None) -> str:
    """Return an expression as it is written."""
    match expression:
        case int():
            return str(expression)
        case Word(name):
            return name
        case Text(data, open_end):
            text = data.decode("latin-1").encode("unicode_escape").decode()
            return f'"{text}"' + ("..." if open_end else "")
        case Either(left, right):
            return f"{show(left)}|{show(right)}"
        case Listing(items):
            return f"[{', '.join(show(item) for item in items)}]"
        case Structure(fields):
            return "{" + ", ".join(f"{name}={show(one)}" for name, one in fields.items()) + "}"
        case Applied(name, arguments):
            return f"{name}({', '.join(show(one) for one in arguments)})"
        case None:
            return "nothing"
        case _:
            return "..."

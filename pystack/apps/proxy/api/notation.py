"""JSON as Toxiproxy, a program in Go, writes it and reads it.

Written: no blanks, names in the order given, `<`, `>` and `&` escaped, whole floats without a
fraction. Read: names of fields in any case of letters, null is as if it were not there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NoReturn, TypeAlias

from pystack.apps.proxy.errors import BadRequestError

# What is read from a body, and what is written
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_PLAIN_FROM: Final = 1e-6  # floats from here on
_PLAIN_BELOW: Final = 1e21  # and below this have no exponent, as in ECMAScript
_ESCAPED: Final = re.compile("[<>&\u2028\u2029]")
_LONE: Final = re.compile("[\ud800-\udfff]")
_KINDS: Final[Mapping[type, str]] = {
    bool: "bool",
    dict: "object",
    float: "number",
    int: "number",
    list: "array",
    str: "string",
}


def write(value: object) -> str:
    """Return a value as JSON. TypeError: it has no such form."""
    match value:
        case None | True | False:
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return _text(value)
        case int():
            return str(value)
        case float():
            return _number(value)
        case Mapping():
            pairs = (f"{_text(str(name))}:{write(each)}" for name, each in value.items())
            return "{" + ",".join(pairs) + "}"
        case list() | tuple():
            return "[" + ",".join(map(write, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _text(text: str) -> str:
    quoted = json.dumps(_LONE.sub("\ufffd", text), ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise TypeError(f"{value} has no form in JSON")
    if value == 0:
        return "0"
    if not _PLAIN_FROM <= abs(value) < _PLAIN_BELOW:
        return re.sub(r"e([-+])0*(\d)", r"e\1\2", repr(value))
    plain = format(Decimal(repr(value)), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


# reading


def read(body: bytes) -> Json:
    """Read a body. Raises BadRequestError."""
    if not body.strip():
        raise BadRequestError("EOF")
    try:
        value: Json = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BadRequestError(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadRequestError(f"{error.msg[:1].lower()}{error.msg[1:]}: {where}") from None
    except RecursionError:
        raise BadRequestError("it is nested too deeply") from None
    except ValueError:  # so many digits that Python will not read them
        raise BadRequestError("a number is too long") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequestError(f"{name} is not JSON")


def as_object(value: Json, what: str = "the body") -> dict[str, Json]:
    """Return the fields of an object by their names in lower case. Raises BadRequestError."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError(f"{what} is an object, not {_kind(value)}")
    return {name.lower(): each for name, each in value.items() if each is not None}


def as_list(value: Json, what: str = "the body") -> list[Json]:
    """Return the items of an array. Raises BadRequestError."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadRequestError(f"{what} is an array, not {_kind(value)}")
    return value


def text(fields: Mapping[str, Json], name: str) -> str:
    """Return a field that is text, "" where it is not given. Raises BadRequestError."""
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise BadRequestError(f"{name} is a string, not {_kind(value)}")
    return value


def switch(fields: Mapping[str, Json], name: str) -> bool | None:
    """Return a field that is true or false, None where it is not given. Raises BadRequestError."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequestError(f"{name} is true or false, not {_kind(value)}")
    return value


def number(fields: Mapping[str, Json], name: str) -> float | None:
    """Return a field that is a number, None where it is not given. Raises BadRequestError."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequestError(f"{name} is a number, not {_kind(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise BadRequestError(f"{name} is out of range")
    return result


def _kind(value: Json) -> str:
    kind = _KINDS[type(value)]
    return f"an {kind}" if kind[0] in "ao" else f"a {kind}"

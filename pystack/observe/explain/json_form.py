"""Stories as JSON, for tools and assistants, and back. docs/explain.md describes the schema.

The keys are the names of the fields in `story.py`. A key may be added within a version; whoever
reads skips those that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Final, Literal, Union, get_args, get_origin, get_type_hints

from pystack.core.errors import ConfigError
from pystack.observe.explain.story import Comparison, Story

VERSION: Final = 1
_FORMATS: Final[Mapping[str, type[Story] | type[Comparison]]] = {
    "pystack-story": Story,
    "pystack-comparison": Comparison,
}


def as_json(told: Story | Comparison) -> str:
    """Return it as JSON; bytes are in hexadecimal. Equal stories give equal texts."""
    name = next(name for name, kind in _FORMATS.items() if isinstance(told, kind))
    plain: dict[str, object] = {"format": name, "version": VERSION}
    for field in fields(told):
        plain[field.name] = _plain(getattr(told, field.name))
    text = json.dumps(plain, indent=1, ensure_ascii=False)
    # What has no shape on paper stands within strings alone, and lines are ours.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text) + "\n"


def from_json(text: str) -> Story | Comparison:
    """Return what `as_json` wrote. Raises ConfigError if it is something else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"this is no JSON: {error}") from None
    kind = _FORMATS.get(str(found.get("format"))) if isinstance(found, dict) else None
    if kind is None:
        raise ConfigError('this is no story: JSON of one begins with "format": "pystack-story"')
    if found.get("version") != VERSION:
        raise ConfigError(f"version {found.get('version')} of a story; known is {VERSION}")
    try:
        told = _value(kind, found, kind.__name__)
    except RecursionError:
        raise ConfigError("this story is nested too deeply") from None
    assert isinstance(told, Story | Comparison)
    return told


def _plain(value: object) -> object:
    """Return a value as JSON knows it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value.hex() if isinstance(value, bytes) else value


@cache
def _hints(kind: type) -> dict[str, object]:
    return get_type_hints(kind)


def _value(kind: object, found: object, where: str) -> object:
    """Return a value of the type `kind` from JSON's. Raises ConfigError, which says where."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal and found in inner:
        return found
    if origin in (Union, UnionType):
        if found is None and NoneType in inner:
            return None
        return _value(next(one for one in inner if one is not NoneType), found, where)
    if origin is list and isinstance(found, list):
        return [_value(inner[0], one, f"{where}[{n}]") for n, one in enumerate(found)]
    if origin is tuple and isinstance(found, list):
        kinds = [inner[0]] * len(found) if inner[1:] == (...,) else list(inner)
        if len(kinds) == len(found):
            pairs = enumerate(zip(kinds, found, strict=True))
            return tuple(_value(one, value, f"{where}[{n}]") for n, (one, value) in pairs)
    if origin is dict and isinstance(found, dict):
        return {name: _value(inner[1], one, f"{where}.{name}") for name, one in found.items()}
    if kind is bytes and isinstance(found, str):
        try:
            return bytes.fromhex(found)
        except ValueError:
            raise ConfigError(f"{where} is not in hexadecimal") from None
    if kind is float and isinstance(found, int) and not isinstance(found, bool):
        return float(found)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(found, dict):
        return _record(kind, found, where)
    if (
        isinstance(kind, type)
        and isinstance(found, kind)
        and (kind is bool) == (type(found) is bool)
    ):
        return found
    raise ConfigError(f"{where} of a story cannot be {json.dumps(found)[:40]}")


def _record(kind: type, found: Mapping[str, object], where: str) -> object:
    values = {}
    for field in fields(kind):
        if field.name in found:
            hint = _hints(kind)[field.name]
            values[field.name] = _value(hint, found[field.name], f"{where}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{where} of a story has no {field.name}")
    return kind(**values)

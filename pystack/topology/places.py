"""Places of a lab's file that get another value before it is read: "links.r1-r2.rate".

A place is a dotted key of TOML. Of a list, the entries are numbered from 1; a link goes by the
names of its two ends too, in either order, and then all links between the two are meant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.topology.reading import Document
from pystack.topology.toml_places import Path

_OTHER_WAY: Final = {"a_to_b": "b_to_a", "b_to_a": "a_to_b"}


def put(document: Document, places: Mapping[str, object]) -> None:
    """Set places of a document. Raises ConfigError for one that there is not.

    The last word of a place may be new: whoever reads the document knows which there are.
    """
    for place, value in places.items():
        for path in _paths(document, place):
            table: object = document.root
            for part in path[:-1]:
                if isinstance(table, dict):
                    table = table.setdefault(part, {}) if part in _OTHER_WAY else table[part]
                else:
                    assert isinstance(table, list)
                    assert isinstance(part, int)
                    table = table[part]
            last: Any = path[-1]  # a key or an index, as `table` is
            assert isinstance(table, dict | list)
            table[last] = value


def parts_of(place: str) -> list[str]:
    """Return the words of a dotted key, of which some may be in quotes. Raises ConfigError."""
    try:
        found: object = tomllib.loads(f"{place} = 0")
    except tomllib.TOMLDecodeError:
        found = None
    parts: list[str] = []
    while isinstance(found, dict) and len(found) == 1:
        ((word, found),) = found.items()
        parts.append(word)
    if found != 0 or not parts:
        raise ConfigError(f"{place!r} is no place in a file, such as 'links.r1-r2.rate'")
    return parts


def _paths(document: Document, place: str) -> list[Path]:
    """Return what a place stands for, once for each link."""
    found: list[Path] = [()]
    turned: set[Path] = set()
    parts = parts_of(place)
    for at, part in enumerate(parts):
        is_last = at == len(parts) - 1
        further: list[Path] = []
        for path in found:
            value = _at(document.root, path)
            if isinstance(value, list):
                for number in _entries(document, place, path, value, part):
                    further.append((*path, number))
                    if part == "-".join(reversed(_ends(value[number]))):
                        turned.add((*path, number))
                continue
            word = _OTHER_WAY.get(part, part) if path in turned else part
            if not is_last and word not in _OTHER_WAY:
                _check(document, place, value, part)
            elif not isinstance(value, dict):
                raise ConfigError(f"{place!r}: there is nothing further in {document.name}")
            further.append((*path, word))
        found = further
    return found


def _at(value: object, path: Path) -> object:
    """Return what stands at a path; an empty table where there is nothing yet."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part, {})
        elif isinstance(value, list):
            assert isinstance(part, int)
            value = value[part]
    return value


def _check(document: Document, place: str, table: object, part: str) -> None:
    known: Iterable[str] = table if isinstance(table, dict) else ()
    if part not in known:
        raise ConfigError(
            f"{place!r}: there is no {part!r} in {document.name}{suggest(part, known)}"
        )


def _entries(
    document: Document, place: str, path: Path, entries: Sequence[object], part: str
) -> list[int]:
    """Return the numbers of the entries that a word stands for."""
    if part.isascii() and part.isdigit() and 1 <= int(part) <= len(entries):
        return [int(part) - 1]
    named = ["-".join(_ends(entry)) for entry in entries]
    found = [
        number
        for number, entry in enumerate(entries)
        if part in (named[number], "-".join(reversed(_ends(entry)))) and named[number]
    ]
    if not found:
        known = [name for name in named if name] or [
            str(number + 1) for number in range(len(entries))
        ]
        raise ConfigError(
            f"{place!r}: there is no {part!r} in {path[-1]} of {document.name}"
            f"{suggest(part, known)}"
        )
    return found


def _ends(entry: object) -> list[str]:
    """Return the names of a link's two ends; nothing if it is no link."""
    between = entry.get("between") if isinstance(entry, dict) else None
    return [str(name) for name in between] if isinstance(between, list) else []

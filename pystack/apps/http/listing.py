"""The page that lists a directory."""

import os
import stat
from datetime import UTC, datetime
from typing import Final, TypeAlias
from urllib.parse import quote_from_bytes

from pystack.apps.http.templates import macro, markup, template
from pystack.apps.http.wording import count
from pystack.apps.tree import Tree
from pystack.apps.turns import current_turn

MAX_ENTRIES: Final = 10_000  # so that no directory makes a page that nobody can read
_ENTRY_UNITS: Final = 2  # of the work that `pystack.apps.turns` counts


# Not a directory, its name in lower case, its row. Python's collector does not look at tuples of
# such; with objects instead, twenty listings at once stopped the host for a third of a second.
_Entry: TypeAlias = tuple[bool, str, str]


async def listing_page(tree: Tree, descriptor: int, segments: list[bytes]) -> str:
    """Return the page for the open directory at `segments`: directories first, then by name."""
    entries, left_out = await _entries(tree, descriptor, segments)
    entries.sort()
    files = sum(is_file for is_file, _, _ in entries)
    return template("listing.html").render(
        path="/" + "".join(f"{_text(segment)}/" for segment in segments),
        is_root=not segments,
        rows=markup("".join([row for _, _, row in entries])),
        directories=len(entries) - files,
        files=files,
        left_out=left_out,
    )


async def _entries(tree: Tree, descriptor: int, segments: list[bytes]) -> tuple[list[_Entry], int]:
    """Return what is to be shown, and how many more there are."""
    entries: list[_Entry] = []
    left_out = 0
    turn = current_turn()
    for name, status in tree.entries(descriptor, segments):
        if turn.spend(_ENTRY_UNITS):
            await turn.wait()
        if status is None:
            continue
        if len(entries) == MAX_ENTRIES:
            left_out += 1
            continue
        is_directory = stat.S_ISDIR(status.st_mode)
        row = _row(name, status, is_directory=is_directory)
        entries.append((not is_directory, _text(name).casefold(), row))
    return entries, left_out


def _row(name: bytes, status: os.stat_result, *, is_directory: bool) -> str:
    mark = "/" if is_directory else ""
    when = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%d %H:%M")
    row: str = macro("listing_row.html", "row")(
        href=quote_from_bytes(name, safe="") + mark,
        name=_text(name) + mark,
        size="" if is_directory else count(status.st_size),
        when=when,
    )
    return row


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")

"""The page that lists a directory."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from operator import attrgetter
from typing import Final
from urllib.parse import quote_from_bytes

from pystack.apps.http.style import LISTING_STYLE
from pystack.apps.http.tree import Tree
from pystack.apps.turns import current_turn

MAX_ENTRIES: Final = 10_000  # so that no directory makes a page that nobody can read
_ROWS_A_UNIT: Final = 4  # of the work that `pystack.apps.turns` counts


@dataclass(frozen=True, slots=True)
class _Entry:
    order: tuple[bool, str]  # made while others may run; to sort is one step
    name: bytes
    is_directory: bool
    size_bytes: int
    modified_s: float


async def listing_page(tree: Tree, descriptor: int, segments: list[bytes]) -> str:
    """Return the page for the open directory at `segments`: directories first, then by name."""
    turn = current_turn()
    entries, left_out = await _entries(tree, descriptor, segments)
    rows = []
    for number, entry in enumerate(entries):
        rows.append(_row(entry))
        if number % _ROWS_A_UNIT == 0 and turn.spend(1):
            await turn.wait()
    if segments:
        rows.insert(0, '<tr><td><a href="../">../</a></td><td></td><td></td></tr>')
    path = "/" + "".join(f"{_text(segment)}/" for segment in segments)
    files = sum(not entry.is_directory for entry in entries)
    note = f"{len(entries) - files} directories, {files} files"
    if left_out:
        note += f", and {left_out} more that are not shown"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(path)}</title>
<style>{LISTING_STYLE}</style>
</head>
<body>
<h1>{escape(path)}</h1>
<table>
<thead><tr><th>Name</th><th class="size">Bytes</th><th class="when">Modified (UTC)</th></tr></thead>
<tbody>
{"".join(rows)}
</tbody>
</table>
<p>{note}</p>
</body>
</html>
"""


async def _entries(tree: Tree, descriptor: int, segments: list[bytes]) -> tuple[list[_Entry], int]:
    """Return what is to be shown, and how many more there are."""
    entries: list[_Entry] = []
    left_out = 0
    turn = current_turn()
    with os.scandir(descriptor) as found:
        for item in found:
            if turn.spend(1):
                await turn.wait()
            name = os.fsencode(item.name)
            if name.startswith(b".") or b"\\" in name:
                continue  # not served either
            if len(entries) == MAX_ENTRIES:
                left_out += 1
                continue
            try:
                if item.is_symlink() and tree.resolve([*segments, name]) is None:
                    continue
                status = item.stat()
                is_directory = item.is_dir()
            except OSError:
                continue  # a link to nothing, or gone in between
            order = not is_directory, _text(name).casefold()
            entries.append(_Entry(order, name, is_directory, status.st_size, status.st_mtime))
    entries.sort(key=attrgetter("order"))
    return entries, left_out


def _row(entry: _Entry) -> str:
    mark = "/" if entry.is_directory else ""
    size = "" if entry.is_directory else f"{entry.size_bytes:,}".replace(",", "\u202f")
    when = datetime.fromtimestamp(entry.modified_s, UTC).strftime("%Y-%m-%d %H:%M")
    return (
        f'<tr><td><a href="{quote_from_bytes(entry.name, safe="")}{mark}">'
        f"{escape(_text(entry.name))}{mark}</a></td>"
        f'<td class="size">{size}</td><td class="when">{when}</td></tr>\n'
    )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")

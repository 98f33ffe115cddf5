"""The page that lists a directory."""

import os
import stat
from datetime import UTC, datetime
from html import escape
from typing import Final, TypeAlias
from urllib.parse import quote_from_bytes

from pystack.apps.http.style import LISTING_STYLE
from pystack.apps.tree import Tree
from pystack.apps.turns import current_turn

MAX_ENTRIES: Final = 10_000  # so that no directory makes a page that nobody can read
_ENTRY_UNITS: Final = 1  # of the work that `pystack.apps.turns` counts


# Not a directory, its name in lower case, its row. Python's collector does not look at tuples of
# such; with objects instead, twenty listings at once stopped the host for a third of a second.
_Entry: TypeAlias = tuple[bool, str, str]


async def listing_page(tree: Tree, descriptor: int, segments: list[bytes]) -> str:
    """Return the page for the open directory at `segments`: directories first, then by name."""
    entries, left_out = await _entries(tree, descriptor, segments)
    entries.sort()
    rows = [row for _, _, row in entries]
    if segments:
        rows.insert(0, '<tr><td><a href="../">../</a></td><td></td><td></td></tr>')
    path = "/" + "".join(f"{_text(segment)}/" for segment in segments)
    files = sum(is_file for is_file, _, _ in entries)
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
    size = "" if is_directory else f"{status.st_size:,}".replace(",", "\u202f")
    when = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%d %H:%M")
    return (
        f'<tr><td><a href="{quote_from_bytes(name, safe="")}{mark}">'
        f"{escape(_text(name))}{mark}</a></td>"
        f'<td class="size">{size}</td><td class="when">{when}</td></tr>\n'
    )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")

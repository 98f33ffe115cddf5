"""A directory whose files may be opened by the path of a URL, and none outside of it.

The path is cut into decoded segments, and each is opened below the one before without following
symbolic links; so nothing can change between a check and its use. Where a link is met, the path is
resolved, held against the root, and then walked in the same way. Hidden files (a dot first) are not
served, save `.well-known` (RFC 8615); that also rules out `.` and `..`.
"""

import errno
import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from pystack.core.errors import ConfigError

# Looking a directory up needs no right to list it; O_PATH is Linux's alone.
_DIRECTORY: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
# O_NONBLOCK: a named pipe must not stop the server before it is seen to be one.
_LAST: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FORBIDDEN: Final = frozenset(b"/\\\0")
_LINK_ERRNOS: Final = frozenset({errno.ELOOP, errno.ENOTDIR})
_MAX_LINKS: Final = 40  # on the way, as Linux has it
_MAX_DEPTH: Final = 256  # deeper there is nothing; to look for it would only take time


def split_path(path: str) -> list[bytes] | None:
    """Return the decoded segments of the path of a URL, empty ones left out.

    None: no file can have this name: it is hidden, or an encoded separator or NUL is in it.
    """
    if path.count("/") > _MAX_DEPTH:
        return None
    segments: list[bytes] = []
    for part in path.split("/"):
        if not part:
            continue
        segment = unquote_to_bytes(part)
        if not _FORBIDDEN.isdisjoint(segment):
            return None
        if segment[:1] == b"." and segment != b".well-known":
            return None
        segments.append(segment)
    return segments


class Tree:
    """The files below one directory."""

    def __init__(self, root: Path) -> None:
        if os.open not in os.supports_dir_fd:
            raise ConfigError("serving a directory needs an operating system with openat(2)")
        if not root.is_dir():
            raise ConfigError(f"root {str(root)!r} is not a directory")
        self._root = os.fsencode(root.resolve(strict=True))

    def open(self, segments: list[bytes]) -> int:
        """Return a descriptor for what is there; OSError where it is not, or lies outside."""
        for _ in range(_MAX_LINKS):
            try:
                return self._walk(segments)
            except _StoppedError as stopped:
                count = stopped.count
                inside = self.resolve(segments[:count])
                if inside is None or inside == segments[:count]:  # out of the root; no link
                    raise OSError(stopped.errno, os.strerror(stopped.errno)) from None
                segments = inside + segments[count:]
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def resolve(self, segments: list[bytes]) -> list[bytes] | None:
        """Return the segments with all links followed; None: they lead out of the root."""
        real = os.path.realpath(os.path.join(self._root, *segments))
        if real == self._root:
            return []
        prefix = self._root.rstrip(b"/") + b"/"
        return real[len(prefix) :].split(b"/") if real.startswith(prefix) else None

    def _walk(self, segments: list[bytes]) -> int:
        at = os.open(self._root, _LAST if not segments else _DIRECTORY)
        for index, segment in enumerate(segments):
            flags = _LAST if index == len(segments) - 1 else _DIRECTORY
            try:
                below = os.open(segment, flags, dir_fd=at)
            except OSError as error:
                if error.errno in _LINK_ERRNOS:
                    raise _StoppedError(error.errno, index + 1) from None
                raise
            finally:
                os.close(at)
            at = below
        return at


class _StoppedError(Exception):
    """The last of the first `count` segments is a link, or no directory."""

    def __init__(self, number: int, count: int) -> None:
        super().__init__(number, count)
        self.errno = number
        self.count = count

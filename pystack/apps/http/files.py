"""A directory served over HTTP (`--root`): files, ranges of them, and listings.

A small file is read at once, without a thread: opening, reading and closing one from the page cache
takes less than waking a thread does. A big one is read 64 KiB at a time, and where the page cache
does not have the next part, in a thread, so that a slow disk holds up nobody else.
"""

import errno
import mimetypes
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes

import trio

from pystack.apps.http.conditions import check_page
from pystack.apps.http.listing import listing_page
from pystack.apps.http.messages import BodyError, BodySource, HttpError, Part, Request, Response
from pystack.apps.http.ranges import Representation, answer
from pystack.apps.tree import Tree, split_path
from pystack.apps.world import machine_now

SMALL_BYTES: Final = 64 * 1024
CHUNK_BYTES: Final = 256 * 1024

_ENCODED: Final = {
    ".gz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".xz": "application/x-xz",
    ".zst": "application/zstd",
    ".br": "application/x-brotli",
}
# What the standard library's table lacks, or gives no good answer for in a browser.
_TYPES: Final = {
    ".avif": "image/avif",
    ".cfg": "text/plain",
    ".ini": "text/plain",
    ".js": "text/javascript",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".pcap": "application/vnd.tcpdump.pcap",
    ".py": "text/plain",
    ".toml": "text/plain",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".yaml": "text/plain",
    ".yml": "text/plain",
}
# An instance of its own knows the built-in table alone: the same answer on every machine.
_BUILT_IN: Final = mimetypes.MimeTypes().types_map[True]
_GONE_ERRNOS: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL}
)


class FileSite:
    """A handler that serves what lies below `root`; hidden files with `dotfiles` only."""

    def __init__(self, root: Path, *, dotfiles: bool = False) -> None:
        self._tree = Tree(root, dotfiles=dotfiles)

    async def __call__(self, request: Request) -> Response:
        """Answer GET or HEAD."""
        segments = split_path(request.path)
        if segments is None:
            raise HttpError(404)
        descriptor = self._open(segments)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and (not request.path.endswith("/")):
                return _file_answer(request, descriptor, status, segments[-1])
            if stat.S_ISDIR(status.st_mode):
                return await self._directory_answer(request, descriptor, segments)
            raise HttpError(404)
        finally:
            os.close(descriptor)

    async def _directory_answer(
        self, request: Request, descriptor: int, segments: list[bytes]
    ) -> Response:
        if not request.path.endswith("/"):
            # Built from the segments, not from the path: `//elsewhere/x` must not lead there.
            place = "/" + "/".join(quote_from_bytes(s, safe="") for s in segments) + "/"
            place += f"?{request.query}" if request.query else ""
            moved = Response.text(f"This directory is at {place}\n", 301)
            moved.headers = [("Location", place)]
            return moved
        try:
            index = self._open([*segments, b"index.html"])
        except HttpError as error:
            if error.status != 404:
                raise
            return await self._listing(request, descriptor, segments)
        try:
            status = os.fstat(index)
            if stat.S_ISREG(status.st_mode):
                return _file_answer(request, index, status, b"index.html")
            return await self._listing(request, descriptor, segments)
        finally:
            os.close(index)

    async def _listing(self, request: Request, descriptor: int, segments: list[bytes]) -> Response:
        check_page(request)
        return Response.html(await listing_page(self._tree, descriptor, segments))

    def _open(self, segments: list[bytes]) -> int:
        try:
            return self._tree.open(segments)
        except OSError as error:
            if error.errno in _GONE_ERRNOS:
                raise HttpError(404) from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise HttpError(403) from None
            raise HttpError(503, "The file cannot be opened just now.") from error


def content_type(name: bytes) -> str:
    """Return the media type for the name of a file, by its suffix."""
    suffix = os.path.splitext(os.fsdecode(name))[1].lower()
    kind = _ENCODED.get(suffix) or _TYPES.get(suffix) or _BUILT_IN.get(suffix)
    if kind is None:
        return "application/octet-stream"
    is_text = kind.startswith("text/") or kind in ("application/json", "application/xml")
    return f"{kind}; charset=utf-8" if is_text else kind


def _file_answer(
    request: Request, descriptor: int, status: os.stat_result, name: bytes
) -> Response:
    # A date in the future is not told (RFC 9110 section 8.8.2.1).
    now_s = machine_now()
    thing = Representation(
        size_bytes=status.st_size,
        # The second time is there since the first can be set to anything.
        etag=f'"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_size:x}-{status.st_ino:x}"',
        modified_s=max(0, int(min(status.st_mtime, now_s))),
        content_type=content_type(name),
        is_date_strong=status.st_mtime < int(now_s),
    )

    def content(start: int, stop: int) -> BodySource:
        if stop - start <= SMALL_BYTES:
            data = os.pread(descriptor, stop - start, start)
            if len(data) == stop - start and not has_changed(descriptor, status):
                return data
        return FileBody(os.dup(descriptor), start, stop, status)

    return answer(request, thing, content)


def has_changed(descriptor: int, before: os.stat_result) -> bool:
    """Tell whether what was read is not what was there `before`.

    A file that has grown is taken for one that is being written at its end, a log or a capture:
    what it had is still there.
    """
    now = os.fstat(descriptor)
    if now.st_size > before.st_size:
        return False
    return (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size)


class FileBody:
    """Part of an open file, read as it is sent; `close` lets go of the descriptor.

    BodyError when the file is changed meanwhile: half of the one version and half of the other is
    neither.

    The parts are views of one buffer, each good until the next is asked for: memory that is new
    for each costs as much as the reading.
    """

    __slots__ = ("_at", "_buffer", "_descriptor", "_status", "_stop")

    def __init__(
        self, descriptor: int, start: int, stop: int, status: os.stat_result | None = None
    ) -> None:
        """`status`: what it was when the answer's head was made; None: what it is."""
        self._descriptor = descriptor
        self._at = start
        self._buffer = memoryview(b"")
        self._stop = stop
        self._status = os.fstat(descriptor) if status is None else status

    def __aiter__(self) -> AsyncIterator[Part]:
        return self

    async def __anext__(self) -> Part:
        if self._at >= self._stop:
            raise StopAsyncIteration
        size = min(CHUNK_BYTES, self._stop - self._at)
        data: Part | None = self._read_cached(size)
        if data is None:
            data = await trio.to_thread.run_sync(os.pread, self._descriptor, size, self._at)
        if not data:
            raise BodyError(f"the file ended {self._stop - self._at} bytes too early")
        if has_changed(self._descriptor, self._status):
            raise BodyError("the file was changed while it was being sent")
        self._at += len(data)
        return data

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read_cached(self, size: int) -> memoryview | None:
        """Return the next part if no disk must be waited for; None: it must, or may have to."""
        if not self._buffer:
            self._buffer = memoryview(bytearray(size))
        buffer = self._buffer[:size]
        try:
            count = os.preadv(self._descriptor, [buffer], self._at, os.RWF_NOWAIT)
        except (OSError, AttributeError):  # EAGAIN; or a system or file system that can't tell
            return None
        return buffer[:count]

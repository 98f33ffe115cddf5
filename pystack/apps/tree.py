"""A directory whose files strangers may open and, where they are let, write; and none outside.

A path is cut into names, and each is opened below the one before without following symbolic
links; so nothing can change between a check and its use. Where a link is met, the path is resolved,
held against the root and the rule below, and then walked in the same way. (openat2(2) would follow
links below the root by itself, but also those to files that are hidden.)

Hidden files (a dot first) are as good as not there unless the tree is made with `dotfiles`: they
are not opened, listed, made or renamed, by a link neither. `.well-known` is not one (RFC 8615);
`Maildir` is, for the mail that the service smtp keeps there is nobody's to read who only asks.

What does not fit is an OSError of the system's: ENOENT, EACCES, EEXIST, ENOSPC ...
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote_to_bytes

from pystack.core.errors import ConfigError, error_of
from pystack.core.opening import flag

# Where a platform has not all of these, a Tree is refused.
_PATH_ONLY: Final = flag("O_PATH")  # Linux's alone
_ALWAYS: Final = flag("O_NOFOLLOW") | flag("O_CLOEXEC")
# Looking a directory up needs no right to list it.
_DIRECTORY: Final = _ALWAYS | flag("O_DIRECTORY") | _PATH_ONLY
# O_NONBLOCK: a named pipe must not stop the server before it is seen to be one.
_READ: Final = _ALWAYS | os.O_RDONLY | flag("O_NONBLOCK")
_LOOK: Final = _ALWAYS | flag("O_NONBLOCK") | _PATH_ONLY
_WRITE: Final = _ALWAYS | os.O_WRONLY | flag("O_NONBLOCK")
_FORBIDDEN: Final = frozenset(b"/\\\0")
_LINK_ERRNOS: Final = frozenset({errno.ELOOP, errno.ENOTDIR})
_MAX_LINKS: Final = 40  # on the way, as Linux has it
# Each link has all before it looked at anew, which takes some 15 us a name.
_MAX_LOOKS: Final = 1024
_MAX_DEPTH: Final = 256  # deeper there is nothing; to look for it would only take time
_MAIL: Final = b"Maildir"
_FILE_MODE: Final = 0o666  # less the process's umask
_DIRECTORY_MODE: Final = 0o777


def split_path(path: str) -> list[bytes] | None:
    """Return the decoded segments of the path of a URL, empty ones left out.

    None: no file can have this name: an encoded separator or NUL is in it, or it is `.` or `..`.
    """
    if path.count("/") > _MAX_DEPTH:
        return None
    segments = [unquote_to_bytes(part) for part in path.split("/") if part]
    return segments if all(_is_name(segment) for segment in segments) else None


def join_path(at: Sequence[bytes], path: bytes) -> list[bytes] | None:
    """Return the segments of a path as users type it: absolute, or from the directory `at`.

    `.` and `..` count as everywhere, but above the root is the root. None: no file can have it.
    """
    segments = [] if path.startswith(b"/") else list(at)
    if path.count(b"/") > _MAX_DEPTH:
        return None
    for part in path.split(b"/"):
        if part == b"..":
            del segments[-1:]
        elif part not in (b"", b"."):
            if not _is_name(part):
                return None
            segments.append(part)
    return segments if len(segments) <= _MAX_DEPTH else None


def is_hidden(name: bytes) -> bool:
    """Tell whether a name stands for a file that is not served unless asked for."""
    return (name.startswith(b".") and name != b".well-known") or name == _MAIL


class Tree:
    """The files below one directory."""

    def __init__(self, root: Path, *, dotfiles: bool = False) -> None:
        """`dotfiles`: let hidden files be files like others."""
        if os.open not in os.supports_dir_fd:
            raise ConfigError("serving a directory needs an operating system with openat(2)")
        if not root.is_dir():
            raise ConfigError(f"root {str(root)!r} is not a directory")
        self._root = os.fsencode(root.resolve(strict=True))
        self._dotfiles = dotfiles

    def shows(self, name: bytes) -> bool:
        """Tell whether a file may have this name here."""
        return _is_name(name) and (self._dotfiles or not is_hidden(name))

    # reading

    def open(self, segments: Sequence[bytes]) -> int:
        """Return a descriptor to read what is there: a file, a directory, a pipe ..."""
        return self._open(segments, _READ)

    def stat(self, segments: Sequence[bytes]) -> os.stat_result:
        """Return what is known of what is there; of what a link leads to."""
        with self._opened(segments, _LOOK) as descriptor:
            return os.fstat(descriptor)

    def entries(
        self, descriptor: int, segments: Sequence[bytes]
    ) -> Iterator[tuple[bytes, os.stat_result | None]]:
        """Go through the open directory at `segments`, in the order that the system has.

        A name comes with what `look` says of it; with None it is not to be shown: it is hidden, a
        link that leads nowhere or out, or gone meanwhile. (It comes all the same, for going by
        thousands of them is work too.)
        """
        with os.scandir(descriptor) as found:
            for item in found:
                name = os.fsencode(item.name)
                yield name, self.look(descriptor, segments, name)

    def look(
        self, descriptor: int, segments: Sequence[bytes], name: bytes
    ) -> os.stat_result | None:
        """Return what `stat` says of a name in the open directory at `segments`.

        None: it is not to be shown.
        """
        if not self.shows(name):
            return None
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            is_link = stat.S_ISLNK(status.st_mode)
            return self.stat([*segments, name]) if is_link else status
        except OSError:
            return None

    def resolve(self, segments: Sequence[bytes]) -> list[bytes] | None:
        """Return the segments, links followed; None: they lead out, or to what is hidden."""
        real = os.path.realpath(os.path.join(self._root, *segments))
        if real == self._root:
            return []
        prefix = self._root.rstrip(b"/") + b"/"
        if not real.startswith(prefix):
            return None
        inside = real[len(prefix) :].split(b"/")
        return inside if all(self.shows(segment) for segment in inside) else None

    # writing

    def open_to_write(self, segments: Sequence[bytes], *, append: bool = False) -> int:
        """Return a descriptor to write a regular file, made where there is none.

        Nothing of what it holds is taken away. `append`: all that is written goes to the end.
        """
        flags = _WRITE | os.O_CREAT | (os.O_APPEND if append else 0)
        return _regular(self._open(segments, flags))

    def create(self, segments: Sequence[bytes], mode: int = _FILE_MODE) -> int:
        """Make a file and return a descriptor to write it; FileExistsError where there is one."""
        return self._open(segments, _WRITE | os.O_CREAT | os.O_EXCL, mode)

    def new_file(self, segments: Sequence[bytes], mode: int = _FILE_MODE) -> "NewFile":
        """Begin a file that is seen only when it is whole."""
        directory, name = self._open_parent(segments)
        try:
            return NewFile(directory, name, mode)
        except BaseException:
            os.close(directory)
            raise

    def make_directory(self, segments: Sequence[bytes], mode: int = _DIRECTORY_MODE) -> None:
        """Make a directory."""
        with self._parent(segments) as (directory, name):
            os.mkdir(name, mode, dir_fd=directory)

    def remove(self, segments: Sequence[bytes]) -> None:
        """Remove a file, or a link: not what it leads to."""
        with self._parent(segments) as (directory, name):
            os.unlink(name, dir_fd=directory)

    def remove_directory(self, segments: Sequence[bytes]) -> None:
        """Remove an empty directory."""
        with self._parent(segments) as (directory, name):
            os.rmdir(name, dir_fd=directory)

    def rename(self, old: Sequence[bytes], new: Sequence[bytes]) -> None:
        """Give a file, a directory or a link another name; a file of that name is replaced."""
        with self._parent(old) as (source, old_name), self._parent(new) as (target, new_name):
            os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)

    def change(
        self, segments: Sequence[bytes], *, mode: int | None = None, modified_s: float | None = None
    ) -> None:
        """Give what is there other permissions, another time of its last change (since 1970)."""
        if not segments:
            raise error_of(errno.EBUSY)  # the root itself
        with self._opened(segments, _LOOK) as descriptor:
            # Linux opens by O_PATH what may not be read, and then takes no fchmod(2).
            place = f"/proc/self/fd/{descriptor}" if _PATH_ONLY else descriptor
            if mode is not None:
                os.chmod(place, mode)
            if modified_s is not None:
                os.utime(place, (modified_s, modified_s))

    # below the root

    def _open(self, segments: Sequence[bytes], flags: int, mode: int = _FILE_MODE) -> int:
        path, looks = list(segments), 0
        for _ in range(_MAX_LINKS):
            try:
                return self._walk(path, flags, mode)
            except _StoppedError as stopped:
                count = stopped.count
                looks += count
                if looks > _MAX_LOOKS:
                    break
                inside = self.resolve(path[:count])
                if inside is None or inside == path[:count]:  # out of the root; no link
                    raise error_of(stopped.errno) from None
                path = inside + path[count:]
        raise error_of(errno.ELOOP)

    @contextmanager
    def _opened(self, segments: Sequence[bytes], flags: int) -> Iterator[int]:
        descriptor = self._open(segments, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _parent(self, segments: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
        """Open the directory that the last segment is to be in, and give that one too."""
        directory, name = self._open_parent(segments)
        try:
            yield directory, name
        finally:
            os.close(directory)

    def _open_parent(self, segments: Sequence[bytes]) -> tuple[int, bytes]:
        """Return a descriptor for the directory that the last segment is to be in, and that."""
        if not segments:
            raise error_of(errno.EBUSY)  # the root itself
        name = segments[-1]
        if not self.shows(name):
            raise error_of(errno.EACCES)
        return self._open(segments[:-1], _DIRECTORY), name

    def _walk(self, segments: list[bytes], flags: int, mode: int) -> int:
        for segment in segments:
            if not self.shows(segment):
                raise error_of(errno.EACCES if flags & os.O_CREAT else errno.ENOENT)
        at = os.open(self._root, _DIRECTORY if segments else flags, mode)
        for index, segment in enumerate(segments):
            is_last = index == len(segments) - 1
            try:
                below = os.open(segment, flags if is_last else _DIRECTORY, mode, dir_fd=at)
            except OSError as error:
                if error.errno in _LINK_ERRNOS:
                    raise _StoppedError(error.errno, index + 1) from None
                raise
            finally:
                os.close(at)
            at = below
            # By O_PATH alone a link itself is opened.
            if is_last and flags == _LOOK and stat.S_ISLNK(os.fstat(at).st_mode):
                os.close(at)
                raise _StoppedError(errno.ELOOP, index + 1)
        return at


class NewFile:
    """A file that is written beside its place under a hidden name, and put there when it is whole.

    In a `with` block: left without `keep`, nothing of it is left.
    """

    def __init__(self, directory: int, name: bytes, mode: int) -> None:
        """`directory` is a descriptor that is closed at the end."""
        self._directory = directory
        self._name = name
        self._is_open = True
        # Counted, not drawn: two runs in virtual time are the same.
        number = 0
        while True:
            self._hidden_name = b".new-%d.part" % number
            try:
                flags = _WRITE | os.O_CREAT | os.O_EXCL
                self.descriptor = os.open(self._hidden_name, flags, mode, dir_fd=directory)
                break
            except FileExistsError:  # one that is being written, or was when the power went
                number += 1

    def keep(self) -> None:
        """Put it in its place; what was there is replaced."""
        here = self._directory
        os.rename(self._hidden_name, self._name, src_dir_fd=here, dst_dir_fd=here)
        self._close()

    def discard(self) -> None:
        """Leave nothing of it; after `keep` this is nothing."""
        if self._is_open:
            with suppress(OSError):
                os.unlink(self._hidden_name, dir_fd=self._directory)
            self._close()

    def _close(self) -> None:
        self._is_open = False
        os.close(self.descriptor)
        os.close(self._directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.discard()


class _StoppedError(Exception):
    """The last of the first `count` segments is a link, or no directory."""

    def __init__(self, number: int, count: int) -> None:
        super().__init__(number, count)
        self.errno = number
        self.count = count


def _is_name(segment: bytes) -> bool:
    return segment not in (b"", b".", b"..") and _FORBIDDEN.isdisjoint(segment)


def _regular(descriptor: int) -> int:
    """Return it, if it is a file's; else close it: EINVAL."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error_of(errno.EINVAL)
    return descriptor

"""A Maildir: each message is a file, written in `tmp`, and in `new` only when it is on the disk.

A power cut leaves whole messages in `new` and, perhaps, parts of others in `tmp`, where nobody
looks. So the order is: write, fsync the file, link it into `new`, fsync `new`; then the client may
be told. Several messages that come together go through it together: a journal that is asked by
several threads at once writes once for all of them, and so the disk takes as long as for one.

All here blocks; `pystack.apps.smtp.delivery` has it done by a thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pystack.apps.world import machine_now
from pystack.core.errors import ConfigError
from pystack.core.opening import flag

NAME: Final = "Maildir"
MAX_THREADS: Final = 8  # that wait for the disk
LEAVING_S: Final = 36 * 3600.0  # what lies in tmp for so long belongs to nobody, as by convention

_ALWAYS: Final = flag("O_NOFOLLOW") | flag("O_CLOEXEC")
_DIRECTORY: Final = os.O_RDONLY | flag("O_DIRECTORY") | _ALWAYS
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _ALWAYS
_FOLDERS: Final = ("tmp", "new", "cur")
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class Files(Protocol):
    """The calls of `os` that are made here: tests let each of them fail, or be the last."""

    def open(self, path: str, flags: int, mode: int = ..., *, dir_fd: int | None = ...) -> int:
        """As `os.open`."""
        ...

    def write(self, fd: int, data: memoryview, /) -> int:
        """As `os.write`."""
        ...

    def fsync(self, fd: int) -> None:
        """As `os.fsync`."""
        ...

    def close(self, fd: int) -> None:
        """As `os.close`."""
        ...

    def mkdir(self, path: str, mode: int = ..., *, dir_fd: int | None = ...) -> None:
        """As `os.mkdir`."""
        ...

    def link(
        self, src: str, dst: str, *, src_dir_fd: int | None = ..., dst_dir_fd: int | None = ...
    ) -> None:
        """As `os.link`."""
        ...

    def rename(
        self, src: str, dst: str, *, src_dir_fd: int | None = ..., dst_dir_fd: int | None = ...
    ) -> None:
        """As `os.rename`."""
        ...

    def unlink(self, path: str, *, dir_fd: int | None = ...) -> None:
        """As `os.unlink`."""
        ...

    def listdir(self, path: int) -> list[str]:
        """As `os.listdir`, of a descriptor."""
        ...

    def stat(self, path: str, *, dir_fd: int | None = ...) -> os.stat_result:
        """As `os.stat`."""
        ...


@dataclass(slots=True)
class Delivery:
    """A file that is to be, and what became of it."""

    content: bytes
    utc_s: float  # when it came, for its name
    process: int | None  # for it too; None in virtual time, where names are the same in each run
    error: OSError | None = None  # None: it is on the disk
    name: str = ""


_Written = tuple[Delivery, int]  # and the descriptor of its file


class _Map(Protocol):
    def __call__(
        self, function: Callable[[_Written], None], items: Sequence[_Written], /
    ) -> Iterator[None]: ...


class Maildir:
    """The one below `root`. One thread at a time uses it."""

    def __init__(self, root: Path, host_name: str, files: Files = os) -> None:
        """Raises ConfigError where `root` is no directory."""
        self._pool: ThreadPoolExecutor | None = None  # None: more than one was never asked for
        if os.open not in os.supports_dir_fd:
            raise ConfigError("a Maildir needs an operating system with openat(2)")
        if not root.is_dir():
            raise ConfigError(f"root {str(root)!r} is not a directory")
        self._root = os.fspath(root.resolve(strict=True))
        # As the convention has it: a slash would lead elsewhere, a colon begins the flags.
        self._host_name = host_name.replace("/", "\\057").replace(":", "\\072")
        self._files = files
        self._count = 0

    def prepare(self) -> None:
        """Make the directories, and throw old leavings away. Raises OSError."""
        with self._folders() as folders:
            self._tidy(folders["tmp"])
        # Also if somebody else has made them, a moment ago.
        for place in (self._root, os.path.join(self._root, NAME)):
            descriptor = self._files.open(place, _DIRECTORY)
            try:
                self._files.fsync(descriptor)
            finally:
                self._files.close(descriptor)

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        """Write them; each is told in its `error` if it could not be. Raises nothing.

        In real time several are synchronized by threads.
        """
        try:
            with self._folders() as folders:
                self._deliver(deliveries, folders["tmp"], folders["new"])
        except OSError as error:
            for each in deliveries:
                each.error = each.error or error

    def _deliver(self, deliveries: Sequence[Delivery], tmp: int, new: int) -> None:
        files = self._files
        written: list[_Written] = []
        there: list[Delivery] = []
        try:
            for each in deliveries:
                with _failing(each):
                    written.append((each, self._create(each, tmp)))
                    _write_all(files, written[-1][1], each.content)
        finally:
            for _ in self._at_once(written)(self._synchronize, written):
                pass
        for each, _ in written:
            if each.error is None:
                with _failing(each):
                    self._publish(each, tmp, new)
                    there.append(each)
            if each.error is not None:
                self._remove(each.name, tmp)
        try:
            files.fsync(new)
        except OSError:
            # Nobody knows what is on the disk: the clients are to send again.
            for each in there:
                self._remove(each.name, new)
            raise

    def _at_once(self, written: Sequence[_Written]) -> _Map:
        """Return what calls a function for each: in threads where there are several, and time."""
        if len(written) < 2 or written[0][0].process is None:
            return map
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_THREADS, "maildir")
        return self._pool.map

    def _synchronize(self, written: _Written) -> None:
        delivery, descriptor = written
        with _failing(delivery):
            try:
                if delivery.error is None:
                    self._files.fsync(descriptor)
            finally:
                self._files.close(descriptor)

    def _create(self, delivery: Delivery, tmp: int) -> int:
        while True:
            delivery.name = self._next_name(delivery)
            try:
                return self._files.open(delivery.name, _NEW_FILE, 0o600, dir_fd=tmp)
            except FileExistsError:
                continue  # one of an earlier run in virtual time

    def _publish(self, delivery: Delivery, tmp: int, new: int) -> None:
        """Let it be in `new` under a name that nothing has there."""
        files, name, last = self._files, delivery.name, delivery.name
        while True:
            try:
                files.link(name, last, src_dir_fd=tmp, dst_dir_fd=new)
            except FileExistsError:
                last = self._next_name(delivery)
                continue
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                files.rename(name, last, src_dir_fd=tmp, dst_dir_fd=new)
            else:
                self._remove(name, tmp)
            delivery.name = last
            return

    def _next_name(self, delivery: Delivery) -> str:
        self._count += 1
        seconds, microseconds = divmod(int(delivery.utc_s * 1e6), 1_000_000)
        process = "" if delivery.process is None else f"P{delivery.process}"
        return f"{seconds}.M{microseconds:06}{process}Q{self._count}.{self._host_name}"

    def _remove(self, name: str, folder: int) -> None:
        with suppress(OSError):
            self._files.unlink(name, dir_fd=folder)

    def _tidy(self, tmp: int) -> None:
        oldest = machine_now() - LEAVING_S
        for name in self._files.listdir(tmp):
            with suppress(OSError):
                if self._files.stat(name, dir_fd=tmp).st_mtime < oldest:
                    self._remove(name, tmp)

    @contextmanager
    def _folders(self) -> Iterator[dict[str, int]]:
        """Open them, made where they are missing, so that a Maildir may be moved away at any time.

        A symbolic link is not followed.
        """
        files, opened = self._files, []
        try:
            opened.append(files.open(self._root, _DIRECTORY))
            opened.append(self._open_folder(NAME, opened[0]))
            opened.extend(self._open_folder(name, opened[1]) for name in _FOLDERS)
            yield dict(zip(_FOLDERS, opened[2:], strict=True))
        finally:
            for descriptor in opened:
                with suppress(OSError):  # nothing was written to a directory's
                    files.close(descriptor)

    def _open_folder(self, name: str, parent: int) -> int:
        files = self._files
        try:
            return files.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            with suppress(FileExistsError):
                files.mkdir(name, 0o700, dir_fd=parent)
            files.fsync(parent)
            return files.open(name, _DIRECTORY, dir_fd=parent)


@contextmanager
def _failing(delivery: Delivery) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        delivery.error = delivery.error or error


def _write_all(files: Files, descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[files.write(descriptor, rest) :]

"""Where control sockets are: in a directory that nobody else may enter, or where the user says.

By default that is `pystack/` in $XDG_RUNTIME_DIR or /run/user/UID, else /tmp/pystack-UID: the first
whose sockets have a path that is short enough. Nothing here follows a link at the end of a path,
and nothing is taken over that is another user's.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pystack.core.errors import ConfigError, DeviceError

SUFFIX: Final = ".sock"
_MODE: Final = 0o600
_MOST_PATH_BYTES: Final = 107  # sun_path of unix(7), without the byte at its end
_SHORTEST: Final = "/tmp"
_BACKLOG: Final = 256
_KNOCK_S: Final = 1.0


@dataclass(slots=True)
class Place:
    """A socket that is bound, and its file."""

    socket: socket.socket
    path: Path
    identity: tuple[int, int]  # device and inode: the file is ours only while it is this one
    owner: int  # the file's, when it was made

    def remove(self) -> None:
        """Close it, and remove its file if that is still ours."""
        self.socket.close()
        with suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self.identity:
                os.unlink(self.path)


def own_directories() -> Iterator[Path]:
    """Yield where sockets of this user may be, the first choice first."""
    uid = os.geteuid()
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    for parent in (given, f"/run/user/{uid}"):
        if parent and _is_private(Path(parent)):
            yield Path(parent) / "pystack"
    temporary = tempfile.gettempdir()
    yield Path(temporary) / f"pystack-{uid}"
    if temporary != _SHORTEST:  # $TMPDIR may be too long for a socket
        yield Path(_SHORTEST) / f"pystack-{uid}"


def default_path(name: str) -> Path:
    """Return where the socket of what is called so goes, in a directory of ours. DeviceError."""
    file = f"{_plain(name)}-{os.getpid()}{SUFFIX}"
    directory = next(each for each in own_directories() if _fits(each / file))
    try:
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
    except OSError as error:
        raise DeviceError(f"cannot make {directory} for control: {error.strerror}") from None
    if not _is_private(directory):
        raise DeviceError(
            f"{directory} is no directory of this user's alone (mode 0700): remove it, or say "
            "where the control socket goes (--control-socket PATH)"
        )
    return directory / file


def bind(path: Path) -> Place:
    """Bind a socket to a path, for this user alone, and listen. ConfigError, DeviceError.

    The file of a socket that nobody listens at any more is replaced.
    """
    path = Path(os.path.abspath(path))
    if not _fits(path):
        raise ConfigError(
            f"the path of a Unix socket has at most {_MOST_PATH_BYTES} bytes, and {path} has "
            f"{len(os.fsencode(path))}"
        )
    with _alone_in(path.parent):
        _make_way(path)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The file is made with the mode that the socket has, so it is never anything else.
            os.fchmod(made.fileno(), _MODE)
            made.bind(os.fspath(path))
            found = os.lstat(path)
            made.listen(_BACKLOG)
        except OSError as error:
            made.close()
            raise DeviceError(f"cannot make the control socket {path}: {error.strerror}") from None
    return Place(made, path, (found.st_dev, found.st_ino), found.st_uid)


def running() -> list[Path]:
    """Return the sockets of this user's at which somebody listens; dead ones are removed."""
    found = []
    for directory in own_directories():
        if not _is_private(directory):
            continue
        for path in sorted(directory.glob(f"*{SUFFIX}")):
            if _is_own_socket(path):
                with _alone_in(directory):
                    if is_listened_at(path):
                        found.append(path)
                        continue
                    with suppress(OSError):
                        os.unlink(path)
    return found


def is_listened_at(path: Path) -> bool:
    """Tell whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(_KNOCK_S)
        try:
            knocking.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # too many at once, or not ours to ask
            return True
    return True


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Have nobody else there find dead sockets, or make one, for the length of the block.

    One that is bound and does not listen yet looks dead. Only where nobody else may enter: others
    could keep the lock.
    """
    if not _is_private(directory):
        yield
        return
    import fcntl  # Unix alone has it, as it has these sockets

    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _make_way(path: Path) -> None:
    """Remove the file of a socket that nobody listens at. ConfigError for anything else there."""
    try:
        found = os.lstat(path)
    except OSError:  # nothing is there, or what is wrong is said when it is made
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{path} is there, and is no socket")
    if found.st_uid != os.geteuid():
        raise ConfigError(f"{path} is another user's socket")
    if is_listened_at(path):
        raise ConfigError(f"{path} is the control socket of another pystack, which runs")
    with suppress(OSError):
        os.unlink(path)


def _fits(path: Path) -> bool:
    """Tell whether a socket can have this path."""
    return len(os.fsencode(os.path.abspath(path))) <= _MOST_PATH_BYTES


def _is_private(directory: Path) -> bool:
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


def _is_own_socket(path: Path) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()


def _plain(name: str) -> str:
    """Return a name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:32] or "pystack"

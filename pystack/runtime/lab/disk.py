"""Disk: a host's directory, of which a crash loses what was not synced.

It is a real directory of the machine, which programs use by path; what is seen of that is
`os.fsync`, `os.fdatasync` and `os.sync`, as Python calls them. What a crash leaves:

- of each file what was in it when it was last synced, and of what was written since then a part,
  from the beginning: how much is drawn from the seed;
- names (files made, renamed, removed) as they were when anything on the disk was last synced, or
  as they are: all or none, drawn too. So a rename is never half done.

These are the rules of ext4 with data=ordered, but for `auto_da_alloc`: a file that replaces another
without having been synced may well be empty. Files of SQLite, which syncs by itself and unseen,
stay as they are, as if each of its writes had got there: a power cut that its journal is made for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Final
from weakref import WeakSet

from pystack.core.rng import Random, component_rng
from pystack.runtime.borrowed.loan import Borrow, Loan

_SQLITE: Final = b"SQLite format 3\0"
_OF_SQLITE: Final = ("", "-wal", "-journal", "-shm")


@dataclass(slots=True)
class _Tree:
    """What a directory holds: files by their paths in it, each by its number; and directories."""

    files: dict[str, int] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)


class Disk:
    """The directory of one host. `path` is there until `close`."""

    def __init__(self, name: str, rng: Random) -> None:
        """`rng`: what draws what a crash leaves."""
        # By the machine's chance: the host's own is its programs'.
        self._place = Path(Context().run(tempfile.mkdtemp, prefix=f"pystack-{name[:40]}-"))
        self.path = self._place / "disk"
        # A file that was synced has a second name here, so that its number is given to no other.
        self._kept = self._place / "kept"
        self.path.mkdir()
        self._kept.mkdir()
        self._rng = rng
        self._synced: dict[int, bytes] = {}  # contents, by the files' numbers
        self._names = _Tree()  # as they were when anything was last synced
        _SEEN.take()
        _disks.add(self)

    def close(self) -> None:
        """Remove it."""
        _disks.discard(self)
        _SEEN.give_back()
        shutil.rmtree(self._place, ignore_errors=True)

    def synced(self, descriptor: int) -> bool:
        """Take note that a file, or a directory, is synced; False: it is none of this disk."""
        about = os.fstat(descriptor)
        key = about.st_dev, about.st_ino
        now = self._tree()
        if S_ISDIR(about.st_mode):
            folders = [self.path, *(self.path / name for name in now.folders)]
            if key not in [(found.st_dev, found.st_ino) for found in map(os.stat, folders)]:
                return False
        else:
            name = next((name for name, number in now.files.items() if number == about.st_ino), "")
            if not name or (self.path / name).stat().st_dev != about.st_dev:
                return False
            self._keep(about.st_ino, self.path / name)
        self._names = now
        return True

    def synced_all(self) -> None:
        """Take note that all of it is synced."""
        self._names = self._tree()
        for name, number in self._names.files.items():
            self._keep(number, self.path / name)

    def crash(self) -> Callable[[], None]:
        """Draw what a crash at this instant leaves; return what makes it so.

        That is to be called once nothing of the host's programs can write any more.
        """
        now = self._tree()
        written = {number: (self.path / name).read_bytes() for name, number in now.files.items()}
        names = self._rng.choice((self._names, now)) if self._names != now else now
        whole = {
            name + ending
            for name, number in now.files.items()
            if written[number].startswith(_SQLITE)
            for ending in _OF_SQLITE
        }
        left: dict[str, bytes] = {
            name: written[now.files[name]] for name in whole if name in now.files
        }
        for name, number in sorted(names.files.items()):
            if name not in left:
                old = self._synced.get(number, b"")
                left[name] = self._torn(old, written.get(number, old))
        folders = sorted({*names.folders, *(str(Path(name).parent) for name in left)})
        return lambda: self._become(left, folders)

    def _torn(self, old: bytes, new: bytes) -> bytes:
        """Return a file of which only the first part of what changed was written."""
        if old == new:
            return old
        same = next(
            (at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
            min(len(old), len(new)),
        )
        most = max(len(old), len(new))
        cut = self._rng.randint(same, most)
        return new if cut == most else new[:cut] + old[cut:]

    def _become(self, files: dict[str, bytes], folders: list[str]) -> None:
        # New files: whoever has one open has the old one, which nobody will see.
        shutil.rmtree(self.path, ignore_errors=True)  # a program may have removed it itself
        self.path.mkdir(exist_ok=True)
        shutil.rmtree(self._kept)
        self._kept.mkdir()
        self._synced.clear()
        for folder in folders:
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (self.path / name).write_bytes(data)
        self.synced_all()

    def _keep(self, number: int, path: Path) -> None:
        self._synced[number] = path.read_bytes()
        second = self._kept / str(number)
        if not second.exists():
            os.link(path, second)

    def _tree(self) -> _Tree:
        tree = _Tree()
        for folder, folders, files in os.walk(self.path):
            for name in sorted(files):
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    tree.files[str(path.relative_to(self.path))] = path.stat().st_ino
            for name in folders:
                path = Path(folder, name)
                if not path.is_symlink():  # `os.walk` takes a link to a directory for one
                    tree.folders.append(str(path.relative_to(self.path)))
        tree.folders.sort()
        return tree


class Disks:
    """Those of one network. A host has one from when it is first asked for."""

    def __init__(self, seed: int) -> None:
        """`seed`: the network's, from which comes what a crash leaves."""
        self._seed = seed
        self._disks: dict[str, Disk] = {}

    def path(self, host: str) -> Path:
        """Return the directory of a host."""
        disk = self._disks.get(host)
        if disk is None:
            disk = self._disks[host] = Disk(host, component_rng(self._seed, f"disk/{host}"))
        return disk.path

    def crash(self, host: str) -> Callable[[], None]:
        """See `Disk.crash`; of a host without one, nothing is lost."""
        disk = self._disks.get(host)
        return (lambda: None) if disk is None else disk.crash()

    def close(self) -> None:
        """Remove all."""
        for disk in self._disks.values():
            disk.close()


def _watch(borrow: Borrow) -> None:
    """Hear of what Python syncs."""

    def telling(original: Callable[..., Any]) -> Callable[..., Any]:
        def sync(fd: Any) -> Any:  # noqa: ANN401  # as the original, which says what is wrong
            number = fd if isinstance(fd, int) else fd.fileno() if hasattr(fd, "fileno") else None
            if isinstance(number, int) and any(_noted(disk, number) for disk in tuple(_disks)):
                return None  # there is nothing that a machine's own power cut could take
            return original(fd)

        return sync

    def telling_all(original: Callable[..., Any]) -> Callable[..., Any]:
        def sync() -> Any:  # noqa: ANN401
            for disk in tuple(_disks):
                disk.synced_all()
            return original()

        return sync

    borrow.function(os.fsync, telling)
    if hasattr(os, "fdatasync"):
        borrow.function(os.fdatasync, telling)
    if hasattr(os, "sync"):
        borrow.function(os.sync, telling_all)


def _noted(disk: Disk, number: int) -> bool:
    try:
        return disk.synced(number)
    except OSError:  # it is no descriptor: the original says so
        return False


_SEEN: Final = Loan(_watch)
_disks: Final[WeakSet[Disk]] = WeakSet()

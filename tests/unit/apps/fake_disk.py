"""A file system that knows what of it is on the disk, and whose power can be cut at any call.

What is certain after a power cut is what was synchronized: a file's bytes by an fsync of the file,
its name by one of the directory. Of all the rest, anything may be there or not.
"""

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


class PowerCutError(BaseException):
    """Nothing of the program goes on."""


@dataclass(eq=False)
class Node:
    """A file, or a directory."""

    is_directory: bool
    data: bytes = b""
    entries: dict[str, "Node"] = field(default_factory=dict)
    safe_data: bytes = b""  # what is certain
    safe_entries: dict[str, "Node"] = field(default_factory=dict)
    ever_entries: dict[str, "Node"] = field(default_factory=dict)  # names it has had since

    def names_after_a_cut(self) -> dict[str, "Node"]:
        """Return every name that may be in this directory."""
        return {**self.ever_entries, **self.entries, **self.safe_entries}


class FakeDisk:
    """The calls of `os` that a Maildir makes, on a root that is there."""

    def __init__(self, before_call: Callable[[int, str], None] = lambda number, name: None) -> None:
        """`before_call` is told the number and name of each call, and may raise."""
        self.root = Node(is_directory=True)
        self.calls = 0
        self.has_links = True
        self.before_call = before_call
        self.open_nodes: dict[int, Node] = {}
        self._last = 100
        self._lock = threading.Lock()

    def _call(self, name: str) -> None:
        with self._lock:  # several threads may synchronize at once
            self.calls += 1
            number = self.calls
        self.before_call(number, name)

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        self._call("open")
        if dir_fd is None:
            node = self.root if not path.endswith("Maildir") else self.root.entries["Maildir"]
        elif flags & os.O_CREAT:
            folder = self.open_nodes[dir_fd]
            if path in folder.entries:
                raise FileExistsError(errno.EEXIST, "there")
            node = folder.entries[path] = folder.ever_entries[path] = Node(is_directory=False)
        else:
            found = self.open_nodes[dir_fd].entries.get(path)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, "not there")
            node = found
        self._last += 1
        self.open_nodes[self._last] = node
        return self._last

    def write(self, fd: int, data: memoryview, /) -> int:
        self._call("write")
        part = bytes(data[:7])  # never all at once
        self.open_nodes[fd].data += part
        return len(part)

    def fsync(self, fd: int) -> None:
        self._call("fsync")
        node = self.open_nodes[fd]
        node.safe_data = node.data
        node.safe_entries = dict(node.entries)
        node.ever_entries = {}

    def close(self, fd: int) -> None:
        self._call("close")
        del self.open_nodes[fd]

    def mkdir(self, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._call("mkdir")
        assert dir_fd is not None
        folder = self.open_nodes[dir_fd]
        folder.entries[path] = folder.ever_entries[path] = Node(is_directory=True)

    def link(
        self, src: str, dst: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        self._call("link")
        if not self.has_links:
            raise OSError(errno.EPERM, "no links here")
        assert src_dir_fd is not None
        assert dst_dir_fd is not None
        folder = self.open_nodes[dst_dir_fd]
        if dst in folder.entries:
            raise FileExistsError(errno.EEXIST, "there")
        node = self.open_nodes[src_dir_fd].entries[src]
        folder.entries[dst] = folder.ever_entries[dst] = node

    def rename(
        self, src: str, dst: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        self._call("rename")
        assert src_dir_fd is not None
        assert dst_dir_fd is not None
        folder = self.open_nodes[dst_dir_fd]
        node = self.open_nodes[src_dir_fd].entries.pop(src)
        folder.entries[dst] = folder.ever_entries[dst] = node

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        self._call("unlink")
        assert dir_fd is not None
        del self.open_nodes[dir_fd].entries[path]

    def listdir(self, path: int) -> list[str]:
        self._call("listdir")
        return list(self.open_nodes[path].entries)

    def stat(self, path: str, *, dir_fd: int | None = None) -> os.stat_result:
        self._call("stat")
        return os.stat_result((0,) * 10)  # from 1970

"""Python without what not everybody has: what is taken away is missed by all that comes after.

For a process of its own, and before pystack is imported.
"""

import asyncio  # noqa: F401 - this and the next are Python's own: they may have what is here
import os
import select
import shutil  # noqa: F401
import signal
import socket
import subprocess  # noqa: F401
import sys
import sysconfig
from collections.abc import Callable
from functools import partial

import trio.socket  # with the names that it found in `socket` here
import trio.testing  # noqa: F401

sysconfig.get_config_vars()  # while it can be found out

# Trio, and what comes with it everywhere (cffi on Windows)
WITH_TRIO = {"attr", "attrs", "cffi", "idna", "outcome", "sniffio", "sortedcontainers", "trio"}
OF_POSIX = {
    *("fcntl", "grp", "pty", "pwd", "readline", "resource", "spwd", "syslog", "termios", "tty"),
}
OF_WINDOWS_TOO = {
    "os": {
        *("O_APPEND", "O_CREAT", "O_EXCL", "O_RDONLY", "O_RDWR", "O_TRUNC", "O_WRONLY"),
    },
    "signal": {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"},
    "socket": {
        *("IPPROTO_IP", "IPPROTO_TCP", "IPPROTO_UDP", "SO_BROADCAST", "SO_DONTROUTE", "SO_ERROR"),
        *("SO_KEEPALIVE", "SO_LINGER", "SO_OOBINLINE", "SO_RCVBUF", "SO_REUSEADDR", "SO_SNDBUF"),
        *("SO_TYPE", "TCP_NODELAY"),
    },
}
CALLS_OF_POSIX = {
    os: (
        *("chown", "eventfd", "fchdir", "fchmod", "fork", "getegid", "geteuid", "getgid"),
        *("getgrouplist", "getgroups", "getuid", "killpg", "mkfifo", "mknod", "pipe2", "readv"),
        *("set_blocking", "setegid", "seteuid", "setgroups", "setresgid", "setresuid", "statvfs"),
        *("sysconf", "uname", "writev"),
    ),
    select: ("PIPE_BUF", "poll"),
    signal: ("alarm", "pthread_sigmask", "setitimer", "sigwait"),
    socket: (
        *("AF_NETLINK", "AF_PACKET", "AF_UNIX", "CMSG_LEN", "CMSG_SPACE", "SCM_RIGHTS"),
        *("recv_fds", "send_fds", "sethostname"),
    ),
}


class Refuse:
    """Finds no module that is not allowed."""

    def __init__(self, is_allowed: Callable[[str], bool]) -> None:
        self.is_allowed = is_allowed

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Raise for what is not to be there, and leave the rest to others."""
        if not self.is_allowed(name.partition(".")[0]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def trio_alone(*more: str) -> None:
    """Leave nothing but Python, pystack, Trio and these."""
    allowed = {"alone", "alone_programs", "pystack", *WITH_TRIO, *sys.stdlib_module_names, *more}
    sys.meta_path.insert(0, Refuse(lambda name: name in allowed))


def no_posix() -> None:
    """Leave of Python what Windows has too, but for what Trio runs on here."""
    for name in OF_POSIX & set(sys.modules):
        del sys.modules[name]
    sys.meta_path.insert(0, Refuse(lambda name: name not in OF_POSIX))
    for module, names in CALLS_OF_POSIX.items():
        for name in set(names) & set(dir(module)):
            delattr(module, name)
    for module, beginnings in (
        (os, ("O_",)),
        (signal, ("SIG",)),
        (socket, ("IP_", "MSG_", "SO_", "TCP_", "UDP_")),
    ):
        for name in dir(module):
            if name.startswith(beginnings) and name not in OF_WINDOWS_TOO[module.__name__]:
                delattr(module, name)
    socket.socketpair = partial(socket.socketpair, socket.AddressFamily(1))
    os.supports_dir_fd = set()
    sys.platform = "elsewhere"

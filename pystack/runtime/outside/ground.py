"""What all parts of one `Outside` stand on: the host, what waits for sockets, and how many of them.

A process has so many descriptors and no more. Every real socket is taken from one allowance, which
ends before the process's does: a program inside that opens too many loses connections of its own,
and nothing else of the process fails. Whoever holds sockets that can be missed (a session long
silent) may be asked to give one up.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip, format_ip, is_v6, without_zone
from pystack.runtime.device.limits import open_files
from pystack.runtime.outside.reach import Reach, is_forbidden
from pystack.runtime.socket.seal import unsealed
from pystack.stack.icmp_core import Trouble

if TYPE_CHECKING:
    from pystack.core.counters import Counters
    from pystack.core.scheduler import Scheduler
    from pystack.runtime.outside.real_errors import SentError
    from pystack.runtime.splice.poller import Poller
    from pystack.stack.host import Host

_log: Final = logging.getLogger("pystack")

# Left to the rest of the process: devices, files, a timer, what programs of its own open.
SPARE_DESCRIPTORS: Final = 64
_UNLIMITED: Final = 1 << 20
MOST_READ: Final = 64  # datagrams of one socket in one go: others have their turn
DATAGRAM_BYTES: Final = 65535  # the longest that can be

# What no descriptor or buffer was left for: not the network's fault.
SHORT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Of a real socket, as what a router would say of it
_TROUBLES: Final[dict[int, Trouble]] = {
    errno.ENETUNREACH: Trouble.NO_ROUTE,
    errno.ENETDOWN: Trouble.NO_ROUTE,
    errno.EHOSTUNREACH: Trouble.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Trouble.HOST_UNREACHABLE,
    errno.ENONET: Trouble.HOST_UNREACHABLE,
    errno.EADDRNOTAVAIL: Trouble.NO_ROUTE,  # no address of our own in that version
    errno.EAFNOSUPPORT: Trouble.NO_ROUTE,  # IPv6 is switched off
    errno.EINVAL: Trouble.NO_ROUTE,
    errno.EACCES: Trouble.PROHIBITED,  # a firewall, or a broadcast address
    errno.EPERM: Trouble.PROHIBITED,
    errno.ECONNREFUSED: Trouble.PORT_UNREACHABLE,
    errno.ENOPROTOOPT: Trouble.UNKNOWN_PROTOCOL,
    errno.EPROTONOSUPPORT: Trouble.NO_ROUTE,
}


def trouble_of(error: OSError) -> Trouble | None:
    """Return what an error of a real socket is in a router's words; None: nothing of the sort."""
    return _TROUBLES.get(error.errno or 0)


class Ground:
    """One host's way out, as its parts share it."""

    def __init__(self, host: Host, poller: Poller, reach: Reach, allowance: int) -> None:
        """`allowance`: how many real sockets there may be at once."""
        self.host = host
        self.poller = poller
        self.reach = reach
        self.left = allowance
        # Each is asked, in order, to close something it can do without; False: it has nothing.
        self.spenders: list[Callable[[], bool]] = []
        self._warned: set[str] = set()

    @property
    def counters(self) -> Counters:
        """Return the counters of the host."""
        return self.host.counters

    @property
    def scheduler(self) -> Scheduler:
        """Return what calls back later."""
        return self.host.scheduler

    def take(self) -> bool:
        """Take a descriptor of the allowance; False: there is none. `give` gives it back."""
        while self.left < 1:
            # One may give up what has no descriptor at that moment.
            if any(spend() for spend in self.spenders):
                continue
            self.counters.add("outside_no_descriptor")
            self.warn_once(
                "descriptors",
                "there are as many connections to the outside as this process may have "
                "descriptors: more are not answered for now (`ulimit -n` raises the limit)",
            )
            return False
        self.left -= 1
        return True

    def give(self) -> None:
        """Give a descriptor back."""
        self.left += 1

    def reporter_of(self, sent: SentError) -> Ip | None:
        """Return whose word an error is, as they are known inside; None: nobody's from there."""
        if sent.reporter is None:
            return None
        inside = self.reach.inside_of(sent.reporter)
        return None if is_forbidden(inside) else inside

    def warn_once(self, key: str, text: str) -> None:
        """Say in the log what a user has to know, the first time that it happens."""
        if key not in self._warned:
            self._warned.add(key)
            _log.warning("%s: %s", self.host.name, text)


def open_socket(family: int, kind: int, proto: int = 0) -> socket.socket:
    """Open a socket of the machine that never blocks, whichever host's program runs. OSError."""
    with unsealed():  # what arrives may be worked on while a program of a host runs
        sock = socket.socket(family, kind, proto)
    sock.setblocking(False)
    return sock


def family_of(address: Ip) -> socket.AddressFamily:
    """Return the family of sockets that reach an address."""
    return socket.AF_INET6 if is_v6(address) else socket.AF_INET


def text_of(address: Ip) -> str:
    """Return an address as real sockets give and take it."""
    return format_ip(without_zone(address))


def allowance_of_process() -> int:
    """Return how many more descriptors this process may have, less those to spare."""
    if sys.platform == "win32":
        return _UNLIMITED
    limit = int(min(open_files(), _UNLIMITED))
    return max(limit - _open_descriptors() - SPARE_DESCRIPTORS, 1)


def _open_descriptors() -> int:
    for directory in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(directory))
        except OSError:
            continue
    return 16

"""One socket of the machine, and the tunnels that go through it: told apart by who and which VNI.

What strangers send costs a read, a look at eight bytes and a number counted up. Nothing of it is
kept, and after a batch others have their turn.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import trio

from pystack.core.addresses import host_port
from pystack.core.errors import ConfigError, WireError
from pystack.runtime.vxlan.udp_socket import (
    bare,
    errors_of,
    open_at,
    open_source,
    read_ancillary,
)
from pystack.wire import vxlan

if TYPE_CHECKING:
    import socket

    from pystack.core.counters import Counters
    from pystack.runtime.device.tap import BatchDriver
    from pystack.runtime.driver.driver import Driver

log: Final = logging.getLogger("pystack.vxlan")

_BATCH_DATAGRAMS: Final = 64  # as of a TAP
_BATCH_BYTES: Final = 448 << 10  # as of a TAP: a datagram can be a train of 64 KiB
_MOST_BYTES: Final = 65536
_ANCILLARY_BYTES: Final = 128


class Member(Protocol):
    """A tunnel, as its socket knows it."""

    counters: Counters

    def arrived(
        self,
        datagrams: bytes,
        each_bytes: int,
        now: float,
        *,
        keyed: bool,
        sender: int,
        mark: int,
    ) -> bool:
        """Take datagrams that came from the other end's address with its VNI, and one header.

        `each_bytes`: of one, but for the last, which may be shorter. `sender`: its port. `mark`:
        their ECN field. True: `batch_ends` has something to do.
        """
        ...

    def batch_ends(self, now: float) -> None:
        """Hand on what is kept to be handed on together."""
        ...

    def told(self, number: int) -> None:
        """Take an error that the kernel has about a datagram to the other end."""
        ...


class Endpoint:
    """One socket."""

    def __init__(self, family: int, listen: tuple[str, int]) -> None:
        """Raises ConfigError, DeviceError."""
        self.shown = host_port(*listen)
        self.socket = open_at(family, *listen)
        self.reading = trio.Lock()  # of the tunnel whose task reads for all
        self._members: dict[tuple[str, int], Member] = {}
        self._hosts: dict[str, int] = {}  # how many tunnels lead there
        self._sources: dict[int, socket.socket] = {}  # others to send from
        self._waiting: dict[Member, None] = {}  # for the end of the batch
        self._room = bytearray(_MOST_BYTES)
        self._view = memoryview(self._room)

    def join(self, host: str, vni: int, member: Member) -> None:
        """Let a tunnel have what comes from `host` with that VNI. Raises ConfigError."""
        if (host, vni) in self._members:
            raise ConfigError(
                f"there is a link to {host} with vni {vni} at {self.shown} already: give this one "
                "another vni, on both sides"
            )
        self._members[host, vni] = member
        self._hosts[host] = self._hosts.get(host, 0) + 1

    def leave(self, host: str, vni: int) -> bool:
        """Forget a tunnel; tell whether it was the last one, with which the socket is closed."""
        del self._members[host, vni]
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
        if self._members:
            return False
        with suppress(RuntimeError):  # outside of Trio nobody waits for it
            trio.lowlevel.notify_closing(self.socket)
        for sock in (self.socket, *self._sources.values()):
            sock.close()
        return True

    def source(self, number: int) -> socket.socket:
        """Return the socket to send from, of that number; where there is none, the one of 0."""
        if not number:
            return self.socket
        found = self._sources.get(number)
        if found is None:
            found = self._sources[number] = open_source(self.socket) or self.socket
        return found

    async def read(self, driver: BatchDriver) -> None:
        """Hand on what arrives until the socket is closed."""
        while self.socket.fileno() >= 0:
            try:
                await trio.lowlevel.wait_readable(self.socket)
            except trio.ClosedResourceError:
                return
            if driver.paused:
                await driver.goes_on()  # the kernel's buffer holds it
            more = True
            while more and self.socket.fileno() >= 0:
                now = driver.batch_begins()
                try:
                    more = self._batch(now)
                finally:
                    driver.batch_done(now)
                if more:
                    await trio.lowlevel.checkpoint()

    def look_at_errors(self) -> None:
        """Tell the tunnels what the kernel has to say of what they sent."""
        for sock in (self.socket, *self._sources.values()):
            for host, number in errors_of(sock):
                for (its_host, _vni), member in list(self._members.items()):
                    if bare(its_host) == host:
                        member.told(number)

    def _batch(self, now: float) -> bool:
        """Hand on what is there, up to a batch; True if there may be more."""
        try:
            return self._taken(now)
        finally:
            waiting, self._waiting = self._waiting, {}
            for member in waiting:
                member.batch_ends(now)

    def _taken(self, now: float) -> bool:
        taken_bytes = 0
        for number in range(_BATCH_DATAGRAMS):
            try:
                size, ancillary, _flags, sender = self.socket.recvmsg_into(
                    [self._room], _ANCILLARY_BYTES
                )
            except BlockingIOError:
                if not number:
                    self.look_at_errors()  # it is for those that it was woken
                return False
            except OSError:
                if self.socket.fileno() < 0:  # closed by the receiver of the last frame
                    return False
                self.look_at_errors()
                continue
            each, mark = read_ancillary(ancillary)
            # Whoever gathers keeps parts of it.
            datagrams = bytes(self._view[:size])
            if not 0 < each < size:
                self._datagrams(sender, datagrams, size, mark, now)
            elif _have_one_header(datagrams, each):
                self._datagrams(sender, datagrams, each, mark, now)
            else:
                for start in range(0, size, each):
                    one = datagrams[start : start + each]
                    self._datagrams(sender, one, len(one), mark, now)
            taken_bytes += size
            if taken_bytes > _BATCH_BYTES:
                break
        return True

    def _stranger(self, reason: str, datagrams: int) -> None:
        """Count what belongs to no tunnel: at the first one."""
        first = next(iter(self._members.values()), None)
        if first is not None:  # the receiver of the last frame has not closed all
            first.counters.add(reason, datagrams)

    def _datagrams(
        self, sender: tuple[str, int], datagrams: bytes, each_bytes: int, mark: int, now: float
    ) -> None:
        """Hand on datagrams of one header to whose they are."""
        number = -(-len(datagrams) // each_bytes) if each_bytes else 1
        try:
            vni, keyed = vxlan.parse(datagrams)
        except WireError as error:
            self._stranger(error.reason, number)
            return
        host = sender[0]
        member = self._members.get((host, vni))
        if member is None:
            known = host in self._hosts
            self._stranger("vxlan_wrong_vni" if known else "vxlan_wrong_source", number)
        elif member.arrived(datagrams, each_bytes, now, keyed=keyed, sender=sender[1], mark=mark):
            self._waiting[member] = None


def _have_one_header(datagrams: bytes, each_bytes: int) -> bool:
    """Tell whether all of several datagrams are for one tunnel: the kernel looks at ports alone."""
    starts = range(0, len(datagrams), each_bytes)
    return len({datagrams[start : start + vxlan.HEADER_BYTES] for start in starts}) == 1


class Endpoints:
    """All sockets of one world, by where they listen."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, tuple[str, int]], Endpoint] = {}

    @classmethod
    def of(cls, driver: Driver) -> Endpoints:
        """Return those of a world."""
        found = driver.kept.setdefault(cls, cls())
        assert isinstance(found, cls)
        return found

    def at(self, family: int, listen: tuple[str, int]) -> Endpoint:
        """Return the socket that listens there; a new one, if there is none. DeviceError."""
        found = self._open.get((family, listen))
        if found is None:
            found = self._open[family, listen] = Endpoint(family, listen)
        return found

    def leave(self, family: int, listen: tuple[str, int], host: str, vni: int) -> None:
        """Take a tunnel out of its socket, which is closed with the last one."""
        if self._open[family, listen].leave(host, vni):
            del self._open[family, listen]

"""VxlanPort: a Port whose other end is on another machine, at the end of datagrams of UDP.

Frames go out as they are sent, complete with checksums, and never wait: what the kernel has no room
for is lost and counted. That nobody is there yet, or no more, is said once and ends nothing.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import host_port, is_multicast, is_unspecified, parse_ip
from pystack.core.errors import ConfigError, DeviceError, WireError
from pystack.link.port import DEFAULT_MTU_BYTES, PortBase
from pystack.runtime.vxlan import too_big
from pystack.runtime.vxlan.endpoint import Endpoint, Endpoints, log
from pystack.runtime.vxlan.offloaded import frame_of
from pystack.runtime.vxlan.session import Session, key_of
from pystack.runtime.vxlan.udp_socket import bare, path_mtu, resolve, segmented
from pystack.wire import ethernet, vxlan
from pystack.wire.frame import CHECKSUM_PARTIAL, SUPER_TEXT_BYTES, Frame, split
from pystack.wire.ipv4 import MAX_PACKET_BYTES, MIN_MTU_BYTES

if TYPE_CHECKING:
    from pystack.core.scheduler import Handle, Scheduler
    from pystack.runtime.driver.driver import Driver
    from pystack.topology.tunnels import Tunnel
    from pystack.wire.checksum import Buffer

HELLO_EVERY_S: Final = 1.0  # while the other end is not known
_EVERYBODY: Final = parse_ip("255.255.255.255")
_OUTER_BYTES: Final = 28  # IPv4 and UDP
_OUTER_BYTES6: Final = 48
_NO_LIMIT_BYTES: Final = 1 << 16
# What one call takes (UDP_MAX_SEGMENTS, and what a datagram can have)
_MOST_AT_ONCE: Final = 64
_MOST_BYTES: Final = 65000
# The kernel, or the interface, cannot cut: each goes alone then.
_NO_SEGMENTS: Final = frozenset({errno.EINVAL, errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT})
# A key that is not the other's, or an end that has started again: they have to meet.
_DOUBTS: Final = frozenset({"vxlan_unknown_session", "vxlan_bad_tag"})
_PASSING: Final = frozenset({"refused", "unsent"})
_WORTH_SAYING: Final = frozenset({"vxlan_bad_tag", "vxlan_no_tag", "vxlan_unexpected_tag"})


class VxlanPort(PortBase):
    """The way to another machine as a Port."""

    gso_max_bytes = SUPER_TEXT_BYTES  # they are cut here, and leave together
    uso_max_bytes = SUPER_TEXT_BYTES
    fills_checksums = True

    def __init__(
        self,
        scheduler: Scheduler,
        tunnel: Tunnel,
        *,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Find the other machine, and how large a packet gets there. Nothing is sent yet.

        Raises ConfigError, DeviceError.
        """
        listens_at = tunnel.listen[0]
        family = 0 if not listens_at else resolve(listens_at, 0)[0]
        self._tunnel = tunnel
        self._family, self._to = resolve(*tunnel.remote, family)
        self._host = bare(self._to[0])
        self.shown = host_port(*tunnel.remote)
        address = parse_ip(self._host)
        if is_multicast(address) or is_unspecified(address) or address == _EVERYBODY:
            raise ConfigError(f"{self.shown} is not one machine: a link has one other end")
        self._scheduler = scheduler
        is_plain = tunnel.key is None
        self._around_bytes = vxlan.PLAIN_OVERHEAD_BYTES if is_plain else vxlan.KEYED_OVERHEAD_BYTES
        self._limit_bytes = _NO_LIMIT_BYTES  # of a frame, as it was said
        self._most_bytes = self._measured()  # and as it fits the path
        super().__init__(self._most_bytes - ethernet.HEADER_BYTES)
        if self.mtu_bytes < MIN_MTU_BYTES:
            raise DeviceError(f"the path to {self.shown} has no room for a frame around a packet")
        self._header = vxlan.pack_header(tunnel.vni)
        self._session: Session | None = None  # None: without a key
        if tunnel.key is not None:
            self._session = Session(key_of(tunnel.key), tunnel.vni, random)
        self._endpoint: Endpoint | None = None  # None: not open yet, or closed
        self._endpoints: Endpoints | None = None
        self._timer: Handle | None = None
        self._cuts = sys.platform.startswith("linux")  # the kernel cuts for us, as far as we know
        self._said: set[str] = set()

    def open(self, driver: Driver) -> None:
        """Open the socket, or share one that listens there. ConfigError, DeviceError."""
        if self._endpoint is not None or self.closed:
            return
        endpoints, tunnel = Endpoints.of(driver), self._tunnel
        endpoint = endpoints.at(self._family, tunnel.listen)
        endpoint.join(self._host, tunnel.vni, self)
        self._endpoint, self._endpoints = endpoint, endpoints
        if self._session is not None:
            self._greet(self._scheduler.now)

    async def run(self, driver: Driver) -> None:
        """Deliver what arrives until the port is closed."""
        self.open(driver)
        endpoint = self._endpoint
        if endpoint is None:
            return
        async with endpoint.reading:  # one of those that share the socket reads for all
            await endpoint.read(driver)

    def close(self) -> None:
        """Send and deliver nothing any more. A second close does nothing."""
        if self.closed:
            return
        super().close()
        if self._timer is not None:
            self._timer.cancel()
        if self._endpoint is not None and self._endpoints is not None:
            tunnel = self._tunnel
            self._endpoints.leave(self._family, tunnel.listen, self._host, tunnel.vni)
            self._endpoint = None

    def narrow(self, mtu_bytes: int) -> None:
        """Let no larger packet through than a link says, though the path has room for it."""
        self.mtu_bytes = mtu_bytes
        self._limit_bytes = mtu_bytes + ethernet.HEADER_BYTES
        self._most_bytes = self._measured()

    # out

    def send(self, frame: Frame, now: float) -> None:
        """Send a frame, or what it is cut into. Never raises, never waits."""
        session = self._session
        if session is not None and not session.is_open:
            self.counters.add("vxlan_no_session")
            return
        if frame.gso_bytes or frame.checksum == CHECKSUM_PARTIAL:
            try:
                pieces = split(frame)
            except WireError as error:
                self.counters.add(error.reason)
                return
        else:
            pieces = [frame]
        # All have the same length, but for the last, which may be shorter.
        each_bytes = len(pieces[0].data)
        if each_bytes > self._most_bytes:
            self._too_large(pieces[0], now)
            return
        each_bytes += self._around_bytes
        most = min(_MOST_AT_ONCE, _MOST_BYTES // each_bytes or 1)
        for start in range(0, len(pieces), most):
            datagrams = [self._wrapped(piece.data) for piece in pieces[start : start + most]]
            if not self._put(datagrams, each_bytes):
                self._too_large(pieces[start], now)
                return

    def _wrapped(self, data: Buffer) -> Sequence[Buffer]:
        session = self._session
        return (self._header, data) if session is None else session.seal(data)

    def _put(self, datagrams: Sequence[Sequence[Buffer]], each_bytes: int) -> bool:
        """Give the kernel datagrams; False: they are too large for the path."""
        one_by_one = len(datagrams) == 1 or not self._cuts
        if not one_by_one:
            parts = [part for datagram in datagrams for part in datagram]
            number = self._give(parts, (segmented(each_bytes),))
            if number not in _NO_SEGMENTS:
                return self._is_settled(number, len(datagrams))
        for datagram in datagrams:
            number = self._give(datagram)
            if not self._is_settled(number, 1):
                return False  # which a kernel that was to cut may say in other words
        if not one_by_one:
            self._cuts = False
        return True

    def _give(
        self, parts: Sequence[Buffer], ancillary: Sequence[tuple[int, int, bytes]] = ()
    ) -> int:
        """Return 0, or the errno of what became of it."""
        endpoint = self._endpoint
        if endpoint is None:
            return errno.EBADF
        number = 0
        for _ in range(2):
            try:
                endpoint.socket.sendmsg(parts, ancillary, 0, self._to)
            except BlockingIOError:
                return errno.EAGAIN
            except OSError as error:
                # Perhaps of what was sent before, or by another tunnel: then this was not tried.
                number = error.errno or errno.EIO
                endpoint.look_at_errors()
            else:
                return 0
        return number

    def _is_settled(self, number: int, datagrams: int) -> bool:
        """Count what was not sent, and why; False: it is too large, and its sender has to hear."""
        if not number:
            return True
        if number == errno.EMSGSIZE:
            self._most_bytes = self._measured()
            return False
        if number in (errno.EAGAIN, errno.ENOBUFS):
            self.counters.add("vxlan_buffer_full", datagrams)
        elif number == errno.EBADF:
            self.counters.add("port_closed", datagrams)
        else:
            self.counters.add("vxlan_not_sent", datagrams)
            self.told(number)
        return True

    def _too_large(self, frame: Frame, now: float) -> None:
        self.counters.add("vxlan_too_large")
        mtu_bytes = self._most_bytes - ethernet.HEADER_BYTES
        reply = too_big.answer(frame, mtu_bytes)
        if reply is not None:
            # As an event of its own: never from inside the sender
            self._scheduler.call_at(now, lambda at: self.sink(reply, at))

    def _measured(self) -> int:
        """Return how long a frame can be on the path, as far as the kernel knows it."""
        path_bytes = min(path_mtu(self._family, self._to) or DEFAULT_MTU_BYTES, MAX_PACKET_BYTES)
        outer_bytes = _OUTER_BYTES6 if self._family == socket.AF_INET6 else _OUTER_BYTES
        return min(path_bytes - outer_bytes - self._around_bytes, self._limit_bytes)

    def _greet(self, now: float) -> None:
        """Say who this end is until the other is known."""
        self._timer = None
        session = self._session
        if session is not None and not session.is_open and not self.closed:
            number = self._give((session.hello(),))
            if number and number != errno.EAGAIN:
                self.told(number)
            self._timer = self._scheduler.call_at(now + HELLO_EVERY_S, self._greet)

    # in

    def arrived(self, datagram: memoryview, now: float, *, keyed: bool) -> None:
        """Take a datagram that came from the other end's address with its VNI."""
        session = self._session
        if session is None:
            if keyed:
                self._refuse("vxlan_unexpected_tag", "has a key, and this end has none", now)
                return
            frame = bytes(datagram[vxlan.HEADER_BYTES :])
        else:
            if not keyed:
                self._refuse("vxlan_no_tag", "has no key, and this end has one", now)
                return
            try:
                opened, answer = session.open(datagram, now)
            except WireError as error:
                self._refuse(error.reason, "has another key, or somebody forges datagrams", now)
                return
            if answer is not None:
                self._give((answer,))
            if opened is None:
                return
            frame = opened
        if self._said:
            self._said -= _PASSING  # it is there: that it has gone is worth a word again
        if len(frame) < ethernet.HEADER_BYTES:
            self.counters.add("vxlan_runt")
            return
        self.sink(Frame(frame) if keyed else frame_of(frame, self.mtu_bytes), now)

    def told(self, number: int) -> None:
        """Take an error that the kernel has about a datagram to the other end."""
        if number == errno.EMSGSIZE:
            self._most_bytes = self._measured()
        elif number == errno.ECONNREFUSED:
            self._say("refused", "nobody listens there yet; it goes on when somebody does")
        else:
            self._say("unsent", f"{os.strerror(number)}; it goes on when it is reached")

    def _refuse(self, reason: str, likely: str, now: float) -> None:
        self.counters.add(reason)
        if reason in _DOUBTS and self._session is not None:
            hello = self._session.doubt(now)
            if hello is not None:
                self._give((hello,))
        if reason in _WORTH_SAYING:
            self._say(reason, f"datagrams are refused ({reason}): the other end {likely}")

    def _say(self, key: str, what: str) -> None:
        """Say in the log what a user has to know, once: strangers cannot fill it."""
        if key not in self._said:
            self._said.add(key)
            log.warning("udp://%s vni %d: %s", self.shown, self._tunnel.vni, what)

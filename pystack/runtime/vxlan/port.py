"""VxlanPort: a Port whose other end is on another machine, at the end of datagrams of UDP.

Frames go out as they are sent, complete with checksums, and never wait: what the kernel has no room
for is lost and counted. That nobody is there yet, or no more, is said once and ends nothing.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import host_port, is_link_local, is_multicast, is_unspecified, parse_ip
from pystack.core.errors import ConfigError, DeviceError, WireError
from pystack.link.port import DEFAULT_MTU_BYTES, PortBase
from pystack.runtime.vxlan import too_big
from pystack.runtime.vxlan.departing import Departing
from pystack.runtime.vxlan.endpoint import Endpoint, Endpoints, log
from pystack.runtime.vxlan.gather import Gathering
from pystack.runtime.vxlan.held import Held
from pystack.runtime.vxlan.inner import codepoint, decapsulated, flow_number, is_tagged, untagged
from pystack.runtime.vxlan.offloaded import frame_of, open_at
from pystack.runtime.vxlan.session import Session, key_of
from pystack.runtime.vxlan.udp_socket import Sockaddr, bare, marked, path_mtu, resolve, segmented
from pystack.wire import ethernet, vxlan
from pystack.wire.frame import CHECKSUM_PARTIAL, SUPER_TEXT_BYTES, Frame, cut
from pystack.wire.ipv4 import MAX_PACKET_BYTES, MIN_MTU_BYTES

if TYPE_CHECKING:
    from pystack.core.scheduler import Handle, Scheduler
    from pystack.runtime.driver.driver import Driver
    from pystack.topology.tunnels import Tunnel
    from pystack.wire.checksum import Buffer

HELLO_EVERY_S: Final = 1.0  # while the other end is not known
KEEP_EVERY_S: Final = 20.0  # NATs forget who is silent, some after 30 s
QUIET_S: Final = 5.0  # or have forgotten: nothing has come for so long
_EVERYBODY: Final = parse_ip("255.255.255.255")
_OUTER_BYTES: Final = 28  # IPv4 and UDP
_OUTER_BYTES6: Final = 48
_NO_LIMIT_BYTES: Final = 1 << 16
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
        self._host = self._to[0]
        self.shown = host_port(*tunnel.remote)
        address = parse_ip(bare(self._host))
        if is_multicast(address) or is_unspecified(address) or address == _EVERYBODY:
            raise ConfigError(f"{self.shown} is not one machine: a link has one other end")
        if is_link_local(address) and self._family == socket.AF_INET6 and not self._to[-1]:
            raise ConfigError(
                f"{self.shown} is on each link another machine: say on which, like "
                f"udp://[{self._host}%eth0]:{tunnel.remote[1]}"
            )
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
        self._greeted_at = self._heard_at = -math.inf
        self._departing, self._is_planned = Departing(), False
        self._held = Held(self._count_lost)  # until the other end is known
        self.gathers = False  # segments go on as super-frames: whoever joins it says so
        self._gathering = Gathering()
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
        self._depart(self._scheduler.now)
        self._held.clear()
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
        """Send a frame, or what it is cut into, when what runs now is done. Never raises or waits.

        What else is sent until then, and has the same length, leaves in the same call.
        """
        if self.closed:
            self.counters.add("port_closed")
            return
        session = self._session
        if session is not None and not session.is_open:
            self._held.add(frame, now)
            self.counters.add("vxlan_held")
            return
        pieces: Sequence[bytes]
        # A tag vouches for what is in a frame, and the other end sees an open checksum: of plain
        # headers, that is.
        is_open = frame.checksum == CHECKSUM_PARTIAL
        if frame.gso_bytes or (is_open and (session is None or not open_at(frame.data))):
            try:
                pieces = cut(frame, inside=session is not None)
            except WireError as error:
                self.counters.add(error.reason)
                return
        else:
            pieces = (frame.data,)
        tunnel = self._tunnel
        # All have the same length, but for the last, which may be shorter; and the same headers.
        first = pieces[0]
        if not tunnel.vlan_tags and is_tagged(first):
            data = untagged(first)
            if data is None:
                self.counters.add("vxlan_vlan_tag", len(pieces))
                return
            first, pieces = data, (data,)
        if len(first) > self._most_bytes:
            self._too_large(first, now)
            return
        ports = tunnel.source_ports
        way = (codepoint(first), 0 if ports == 1 else flow_number(first) % ports)
        number, around_bytes = 0, self._around_bytes
        while number < len(pieces):
            taken = self._departing.add(pieces, number, way, around_bytes)
            number += taken
            if not taken:
                self._depart(now)
        if not self._is_planned:
            self._is_planned = True
            self._scheduler.post(now, self._departs, None)

    def _departs(self, _nothing: None, now: float) -> None:
        self._is_planned = False
        self._depart(now)

    def _depart(self, now: float) -> None:
        """Give the kernel what is to leave."""
        departing, frames = self._departing, self._departing.frames
        if not frames:
            return
        self._departing = Departing()
        mark, port = departing.way
        ancillary, number = marked(self._family, mark), 0
        if len(frames) > 1 and self._cuts:
            session, header = self._session, self._header
            if session is None:
                parts: list[Buffer] = [part for data in frames for part in (header, data)]
            else:
                parts = session.seal(frames)
            cut = segmented(departing.each_bytes + self._around_bytes)
            number = self._give(parts, (*ancillary, cut), port)
            if number != errno.EMSGSIZE and number not in _NO_SEGMENTS:
                self._count_unsent(number, len(frames))
                return
        # The kernel, or the interface, cannot cut; or they are too large, in this or other words.
        cannot = bool(number)
        for data in frames:
            number = self._give(self._wrapped(data), ancillary, port)
            if number == errno.EMSGSIZE:
                cannot = False
                self._most_bytes = self._measured()
                self._too_large(data, now)
            else:
                self._count_unsent(number, 1)
        if cannot:
            self._cuts = False

    def _wrapped(self, data: Buffer) -> Sequence[Buffer]:
        session = self._session
        return (self._header, data) if session is None else session.seal((data,))

    def _give(
        self,
        parts: Sequence[Buffer],
        ancillary: Sequence[tuple[int, int, bytes]] = (),
        port: int = 0,
        to: Sockaddr | None = None,
    ) -> int:
        """Return 0, or the errno of what became of it. `port`: the number of one to send from."""
        endpoint = self._endpoint
        if endpoint is None:
            return errno.EBADF
        sock, number = endpoint.source(port), 0
        for _ in range(2):
            try:
                sock.sendmsg(parts, ancillary, 0, to or self._to)
            except BlockingIOError:
                return errno.EAGAIN
            except OSError as error:
                # Perhaps of what was sent before, or by another tunnel: then this was not tried.
                number = error.errno or errno.EIO
                endpoint.look_at_errors()
            else:
                return 0
        return number

    def _count_lost(self) -> None:
        self.counters.add("vxlan_no_session")

    def _count_unsent(self, number: int, datagrams: int) -> None:
        """Count what was not sent, and why; 0: it was."""
        if not number:
            return
        if number in (errno.EAGAIN, errno.ENOBUFS):
            self.counters.add("vxlan_buffer_full", datagrams)
        elif number == errno.EBADF:
            self.counters.add("port_closed", datagrams)
        else:
            self.counters.add("vxlan_not_sent", datagrams)
            self.told(number)

    def _met(self, sender: int, now: float) -> None:
        """Go on with the other end, which has proved that it is there, at that port."""
        host, port, *more = self._to
        if port != sender:  # it is behind a NAT, or its NAT has forgotten it
            self._to = (host, sender, *more)  # type: ignore[assignment]
        for frame in self._held.taken(now):
            self.send(frame, now)

    def _too_large(self, data: bytes, now: float) -> None:
        self.counters.add("vxlan_too_large")
        mtu_bytes = self._most_bytes - ethernet.HEADER_BYTES
        reply = too_big.answer(data, mtu_bytes)
        if reply is not None:
            # As an event of its own: never from inside the sender
            self._scheduler.call_at(now, lambda at: self.sink(reply, at))

    def _measured(self) -> int:
        """Return how long a frame can be on the path, as far as the kernel knows it."""
        path_bytes = min(path_mtu(self._family, self._to) or DEFAULT_MTU_BYTES, MAX_PACKET_BYTES)
        outer_bytes = _OUTER_BYTES6 if self._family == socket.AF_INET6 else _OUTER_BYTES
        return min(path_bytes - outer_bytes - self._around_bytes, self._limit_bytes)

    def _greet(self, now: float) -> None:
        """Say who this end is: often until the other is known, then so that NATs remember it."""
        session = self._session
        if session is None or self.closed:
            return
        self._held.expire(now)
        due = self._keeps_at() if session.is_open else now
        if due <= now:
            self._greeted_at = now
            number = self._give((session.hello(),))
            if number and number != errno.EAGAIN:
                self.told(number)
            due = self._keeps_at() if session.is_open else now + HELLO_EVERY_S
        self._timer = self._scheduler.call_at(due, self._greet)

    def _keeps_at(self) -> float:
        """Return when a HELLO is to go to an end that is known, if nothing comes before."""
        greeted_at = self._greeted_at
        return min(max(self._heard_at, greeted_at) + QUIET_S, greeted_at + KEEP_EVERY_S)

    # in

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

        `each_bytes`: of one, but for the last, which may be shorter. `sender`: the port. `mark`:
        their ECN field. True: `batch_ends` has something to do.
        """
        session, whole_bytes = self._session, len(datagrams)
        starts: Sequence[int] = range(0, whole_bytes, each_bytes)
        if session is None:
            if keyed:
                self._refuse(
                    "vxlan_unexpected_tag", "has a key, and this end has none", now, len(starts)
                )
                return False
            before, behind = vxlan.HEADER_BYTES, 0
        elif not keyed:
            self._refuse("vxlan_no_tag", "has no key, and this end has one", now, len(starts))
            return False
        else:
            starts = self._opened(session, datagrams, each_bytes, now, sender)
            before, behind = vxlan.KEYED_BYTES, vxlan.TAG_BYTES
        if not starts:
            return False
        if self._said:
            self._said -= _PASSING  # it is there: that it has gone is worth a word again
        if whole_bytes == each_bytes:
            return self._frame(memoryview(datagrams)[before : whole_bytes - behind], mark, now)
        return self._unwrapped(
            datagrams,
            [start + before for start in starts],
            each_bytes - before - behind,
            whole_bytes - behind,
            mark,
            now,
        )

    def _unwrapped(
        self, whole: bytes, starts: Sequence[int], size: int, end: int, mark: int, now: float
    ) -> bool:
        """Take frames that begin at `starts` and have `size` bytes each, or as many as up to `end`.

        Most are the middle of a train, and are looked at together (HOT).
        """
        gathering, view, is_kept = self._gathering, memoryview(whole), False
        full = len(starts) if starts[-1] + size <= end else len(starts) - 1
        looks = self.gathers and (not mark & 1 or gathering.codepoint == mark)
        number = 0
        while number < full:
            taken = gathering.go_on(whole, starts, number, full, size) if looks else 0
            if taken:
                number, is_kept = number + taken, True
                continue
            start = starts[number]
            is_kept = self._frame(view[start : start + size], mark, now) or is_kept
            number += 1
            if mark & 1:  # what is there may be another flow's now
                looks = self.gathers and gathering.codepoint == mark
        for start in starts[full:]:
            is_kept = self._frame(view[start:end], mark, now) or is_kept
        return is_kept

    def _frame(self, data: memoryview, mark: int, now: float) -> bool:
        """Take one frame; True: it is kept until `batch_ends`."""
        if len(data) < ethernet.HEADER_BYTES:
            self.counters.add("vxlan_runt")
            return False
        if mark & 1 and codepoint(data) != mark:
            changed = decapsulated(bytes(data), mark)
            if changed is None:
                self.counters.add("vxlan_congested")
                return False
            data = memoryview(changed)
        if not self._tunnel.vlan_tags and is_tagged(data):
            self.counters.add("vxlan_vlan_tag")
            return False
        if self.gathers:
            if self._gathering.goes_on(data):
                return True
            self.batch_ends(now)
            # What is larger nobody has cut yet: it is no piece of anything.
            fits = len(data) - ethernet.HEADER_BYTES <= self.mtu_bytes
            if fits and self._gathering.begin(data):
                return True
        whole = bytes(data)
        self.sink(frame_of(whole, self.mtu_bytes), now)
        return False

    def batch_ends(self, now: float) -> None:
        """Hand on what was gathered: nothing more is there at the moment."""
        frame = self._gathering.taken()
        if frame is not None:
            self.sink(frame, now)

    def _opened(
        self, session: Session, datagrams: bytes, each_bytes: int, now: float, sender: int
    ) -> list[int]:
        """Return where those of some keyed datagrams begin that have a good frame (HOT)."""
        view, end = memoryview(datagrams), len(datagrams)
        good: list[int] = []
        start = 0
        if each_bytes == end:
            if self._is_good(session, view, now, sender):
                good.append(0)
            start = end
        while start < end:
            behind = start + session.open_run(datagrams, start, each_bytes) * each_bytes
            good += range(start, min(behind, end), each_bytes)
            if behind < end and self._is_good(session, view[behind:][:each_bytes], now, sender):
                good.append(behind)
            start = behind + each_bytes
        if good:
            self._heard_at = now
            if sender != self._to[1]:
                # It has several ports, or a NAT on the way has forgotten the one that we know.
                self._give_to(sender, session.ask(now))
        return good

    def _is_good(self, session: Session, datagram: memoryview, now: float, sender: int) -> bool:
        """Tell whether a keyed datagram has a frame, and learn of one that has none."""
        proofs = session.proofs
        try:
            opened, answer = session.open(datagram, now, moved=sender != self._to[1])
        except WireError as error:
            self._refuse(error.reason, "has another key, or somebody forges datagrams", now)
            return False
        if opened is not None:
            return True
        self._give_to(sender, answer)
        if session.proofs != proofs:
            self._met(sender, now)
        return False

    def _give_to(self, port: int, hello: bytes | None) -> None:
        """Send a HELLO to a port of the other machine, where there is one to be sent."""
        if hello is not None:
            host, _port, *more = self._to
            self._give((hello,), to=(host, port, *more))  # type: ignore[arg-type]

    def told(self, number: int) -> None:
        """Take an error that the kernel has about a datagram to the other end."""
        if number == errno.EMSGSIZE:
            self._most_bytes = self._measured()
        elif number == errno.ECONNREFUSED:
            self._say("refused", "nobody listens there yet; it goes on when somebody does")
        else:
            self._say("unsent", f"{os.strerror(number)}; it goes on when it is reached")

    def _refuse(self, reason: str, likely: str, now: float, datagrams: int = 1) -> None:
        self.counters.add(reason, datagrams)
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

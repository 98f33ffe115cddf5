"""UDP to the outside: a real socket for each socket inside that has sent something there.

As a NAT with endpoint-independent mapping (RFC 4787, REQ-1): whatever a program sends from one
port, to anybody, leaves by one real socket, and what those answer to whom it has sent comes back,
from whichever of their ports (address-dependent filtering, REQ-8). Nothing tells when a program
inside closes its socket, so sessions age: after `IDLE_S` of silence (REQ-5 asks for 2 minutes or
more), those that have only asked name servers sooner. The sessions are bounded by the descriptors
that there are: where none is left, the one that was silent for longest goes.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip, is_v6
from pystack.runtime.outside import hops
from pystack.runtime.outside.aging import Aging
from pystack.runtime.outside.ground import (
    DATAGRAM_BYTES,
    MOST_READ,
    SHORT_OF,
    Ground,
    family_of,
    open_socket,
    text_of,
    trouble_of,
)
from pystack.runtime.outside.real_errors import ask_for_errors, errors_of
from pystack.runtime.socket.option_numbers import UDP_SEGMENT
from pystack.runtime.splice.poller import READ
from pystack.wire import ip, ipv4, ipv6, udp
from pystack.wire.dns_framing import PORT as DNS_PORT
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.intercept import HeldDatagram

IDLE_S: Final = 180.0
BRIEF_S: Final = 20.0  # of a session that has sent to port 53 alone (REQ-5 a exempts it)
MAX_PEERS: Final = 1024  # addresses that one session knows; the oldest is forgotten
_NOT_CUT: Final = frozenset({errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT})
_UDP_GRO: Final = 104
_INT: Final = struct.Struct("=i")
_ROOM_BYTES: Final = socket.CMSG_SPACE(_INT.size) if hasattr(socket, "CMSG_SPACE") else 0
_BURST_BYTES: Final = 65000
_BURST_DATAGRAMS: Final = 64
_BUFFER_BYTES: Final = 1 << 20  # wanted of the kernel; it may give less (net.core.rmem_max)

RealAddress = tuple[str, int]


class Sessions:
    """All of one host's."""

    def __init__(self, ground: Ground, *, idle_s: float = IDLE_S, brief_s: float = BRIEF_S) -> None:
        """`idle_s`, `brief_s`: after how much silence a session ends; the second of DNS alone."""
        self._ground = ground
        expired = partial(ground.counters.add, "outside_udp_expired")
        what = "sessions to the outside"
        # By who sends, inside
        self._lasting: Aging[tuple[Ip, int], _Session] = Aging(
            ground.scheduler, idle_s, what, expired
        )
        self._brief: Aging[tuple[Ip, int], _Session] = Aging(
            ground.scheduler, brief_s, what, expired
        )
        ground.spenders.append(self._spend)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._lasting) + len(self._brief)

    def datagram_arrived(self, datagram: HeldDatagram, real: Ip, now: float) -> None:
        """Send a datagram, or a burst, on to a real address."""
        key = datagram.src, datagram.src_port
        session = self._lasting.get(key)
        if session is None:
            session = self._brief.get(key)
            if session is None:
                session = self._open(datagram, real, now)
                if session is None:
                    return
            if datagram.dst_port != DNS_PORT:
                self._brief.forget(key)
                self._lasting.add(key, session, now)
        session.send(datagram, real, now)
        self.used(session, now)

    def used(self, session: _Session, now: float) -> None:
        """Take note that a session is not silent."""
        if not self._lasting.used(session.key, now):
            self._brief.used(session.key, now)

    def close(self) -> None:
        """Close all sockets."""
        self._lasting.close()
        self._brief.close()

    def _open(self, datagram: HeldDatagram, real: Ip, now: float) -> _Session | None:
        ground = self._ground
        if not ground.take():
            return None
        key = datagram.src, datagram.src_port
        try:
            session = self._made(key, family_of(real))
        except OSError as error:
            ground.give()
            trouble = trouble_of(error)
            ground.counters.add("outside_udp_not_opened")
            if trouble is not None and error.errno not in SHORT_OF:
                datagram.refuse(trouble, now)
            return None
        self._brief.add(key, session, now)
        ground.counters.add("outside_udp_sessions")
        return session

    def _made(self, key: tuple[Ip, int], family: socket.AddressFamily) -> _Session:
        while True:
            try:
                return _Session(self, self._ground, key, family)
            except OSError as error:  # no port may be left, of those that the machine has for it
                if error.errno != errno.EADDRINUSE or not self._spend():
                    raise

    def _spend(self) -> bool:
        """Close the session that is missed least; False: there is none."""
        if not self._brief.spend() and not self._lasting.spend():
            return False
        self._ground.counters.add("outside_udp_evicted")
        return True


class _Session:
    """One socket inside, and the real one that stands for it."""

    __slots__ = (
        "_cuts",
        "_few",
        "_ground",
        "_peers",
        "_sessions",
        "_sock",
        "_watch",
        "key",
        "used_at",
    )

    def __init__(
        self,
        sessions: Sessions,
        ground: Ground,
        key: tuple[Ip, int],
        family: socket.AddressFamily,
    ) -> None:
        self.key = key
        self.used_at = ground.scheduler.now
        self._sessions = sessions
        self._ground = ground
        # Those that it has sent to: their real addresses, and how they are called inside
        self._peers: OrderedDict[str, Ip] = OrderedDict()
        self._few: hops.Ancillary = []  # how many hops the next has left; []: as many as usual
        self._cuts = sys.platform.startswith("linux")  # True: the kernel may cut bursts
        self._sock = open_socket(family, socket.SOCK_DGRAM)
        try:
            # Else the first datagram would get it a port, or a false "try again" for want of one.
            self._sock.bind(("", 0))
            with suppress(OSError):
                ask_for_errors(self._sock)
            with suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            if self._cuts:
                with suppress(OSError):
                    self._sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
            self._watch = ground.poller.watch(self._sock, self._ready, READ)
        except BaseException:
            self._sock.close()
            raise

    def send(self, datagram: HeldDatagram, real: Ip, now: float) -> None:
        """Send what came from inside."""
        to = text_of(real), datagram.dst_port
        peers = self._peers
        if to[0] not in peers:
            if len(peers) >= MAX_PEERS:
                peers.popitem(last=False)
            peers[to[0]] = datagram.dst
        self._few = hops.kept(datagram.ttl, self._sock.family)
        payload, each_bytes = datagram.payload, datagram.gso_bytes
        if not each_bytes or each_bytes >= len(payload):
            self._send(payload, to, datagram, now)
            return
        if self._cuts and not self._few and self._send_burst(payload, each_bytes, to):
            return
        for at in range(0, len(payload), each_bytes):
            if not self._send(payload[at : at + each_bytes], to, datagram, now):
                return

    def _send_burst(self, payload: bytes, each_bytes: int, to: RealAddress) -> bool:
        """Have the kernel cut a burst (UDP_SEGMENT); False: it would not, and nothing was sent."""
        size = struct.pack("=H", each_bytes)
        try:
            self._sock.sendmsg([payload], [(socket.IPPROTO_UDP, UDP_SEGMENT, size)], 0, to)
        except BlockingIOError:
            return False
        except OSError as error:
            # Longer than the path's MTU, or it can't cut at all; else it is about an earlier one.
            self._cuts = error.errno not in _NOT_CUT
            return False
        self._ground.counters["outside_udp_out"] += -(-len(payload) // each_bytes)
        return True

    def close(self) -> None:
        """Close the socket, and give back its descriptor."""
        self._watch.close()
        self._sock.close()
        self._ground.give()

    def _send(self, payload: bytes, to: RealAddress, held: HeldDatagram, now: float) -> bool:
        """Send one; False: none of the same burst need be tried."""
        counters = self._ground.counters
        for _ in range(2):
            try:
                if self._few:
                    self._sock.sendmsg([payload], self._few, 0, to)
                else:
                    self._sock.sendto(payload, to)
            except BlockingIOError:
                counters.add("outside_udp_send_buffer_full")
                return False
            except OSError as error:
                # An error about an earlier one is told by the next call, whoever that is for.
                if self._take_errors(now):
                    continue
                self._refused(error, held, now)
                return False
            counters["outside_udp_out"] += 1
            return True
        return False

    def _refused(self, error: OSError, held: HeldDatagram, now: float) -> None:
        self._ground.counters.add("outside_udp_not_sent")
        trouble = trouble_of(error)
        if trouble is not None:
            held.refuse(trouble, now)

    def _take_errors(self, now: float) -> int:
        """Tell inside what became of datagrams; return of how many."""
        count = 0
        for sent in errors_of(self._sock):
            count += 1
            self._ground.counters.add("outside_udp_errors")
            inside = self._peers.get(sent.to[0])
            if inside is not None and sent.trouble is not None:
                quoted = _packet((*self.key, inside, sent.to[1]), sent.payload)
                reporter = self._ground.reporter_of(sent)
                self._ground.host.tell(quoted, sent.trouble, now, reporter=reporter)
        return count

    def _ready(self, events: int, now: float) -> None:
        receive = self._sock.recvmsg
        count = 0
        row: list[bytes] = []  # of one sender, one after the other, that came alone
        row_from: RealAddress = ("", 0)
        for _ in range(MOST_READ):
            try:
                payload, ancillary, _flags, peer = receive(DATAGRAM_BYTES, _ROOM_BYTES)
            except BlockingIOError:
                break
            except OSError:
                self._take_errors(now)
                continue
            count += 1
            sender = peer[:2]
            each_bytes = _each_bytes(ancillary, len(payload)) if ancillary else 0
            if row and (each_bytes or sender != row_from):
                self._deliver(row_from, bursts(row), now)
                row = []
            if each_bytes:
                self._deliver(sender, ((payload, each_bytes),), now)
            else:
                row.append(payload)
                row_from = sender
        if row:
            self._deliver(row_from, bursts(row), now)
        if count:
            self._sessions.used(self, now)
        else:
            self._take_errors(now)  # kept without a word: the queue was full then

    def _deliver(self, sender: RealAddress, found: Iterable[tuple[bytes, int]], now: float) -> None:
        """Give what one sender has sent to whom it is for: (payload, bytes of each in a burst)."""
        ground = self._ground
        inside = self._peers.get(sender[0])
        counters, send_as = ground.counters, ground.host.udp.send_as
        src, src_port = self.key
        for payload, each_bytes in found:
            count = -(-len(payload) // each_bytes) if each_bytes else 1
            if inside is None:
                counters.add("outside_udp_stranger", count)
                continue
            counters["outside_udp_in"] += count
            send_as(inside, sender[1], src, src_port, payload, now, gso_bytes=each_bytes)


def _each_bytes(ancillary: Sequence[tuple[int, int, bytes]], size: int) -> int:
    """Return how long each datagram of a burst is that the kernel has joined; 0: it is one."""
    for level, kind, cargo in ancillary:
        if (level, kind) == (socket.IPPROTO_UDP, _UDP_GRO):
            each_bytes: int = _INT.unpack_from(cargo)[0]
            return each_bytes if 0 < each_bytes < size else 0
    return 0


def bursts(payloads: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
    """Join datagrams of one size in a row, the last perhaps shorter: (payload, bytes of each).

    Of one that stays alone the second is 0.
    """
    at = 0
    while at < len(payloads):
        each_bytes, end = len(payloads[at]), at + 1
        room = min(_BURST_BYTES // max(each_bytes, 1), _BURST_DATAGRAMS)
        while end < len(payloads) and end - at < room:
            size = len(payloads[end])
            if not 0 < size <= each_bytes:
                break
            end += 1
            if size < each_bytes:
                break
        if end - at == 1:
            yield payloads[at], 0
        else:
            yield b"".join(payloads[at:end]), each_bytes
        at = end


def _packet(ends: tuple[Ip, int, Ip, int], payload: bytes) -> Packet:
    """Return a datagram anew as it came from inside, for an error to quote."""
    src, src_port, dst, dst_port = ends
    data = udp.pack(src, dst, src_port, dst_port, payload)
    pack = ipv6.pack_header if is_v6(dst) else ipv4.pack_header
    return ip.parse(pack(src, dst, ipv4.UDP, len(data)) + data)

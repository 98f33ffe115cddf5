"""Ping to the outside, by sockets that the kernel lets anybody have for it (icmp(7), Linux).

Each program inside that pings (an address and an identifier) has a real socket, whose identifier is
the kernel's. Who may have such sockets is the machine's to say (`net.ipv4.ping_group_range`); where
this user may not, requests are dropped by name, and the log says so once.
"""

from __future__ import annotations

import errno
import socket
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip
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
from pystack.runtime.outside.real_errors import SentError, ask_for_errors, errors_of
from pystack.runtime.splice.poller import READ
from pystack.wire import icmp, icmpv6

if TYPE_CHECKING:
    from pystack.stack.intercept import HeldEcho

IDLE_S: Final = 30.0
MAX_SOCKETS: Final = 256
_MAX_ASKED: Final = 64  # requests of one program that wait for their answers
_ROOM_BYTES: Final = 64  # for the hops that a reply had left
_SEQ_AT: Final = 6


class Echoes:
    """All of one host's."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        # By who asks, and with which identifier
        self._pingers: Aging[tuple[Ip, int], _Pinger] = Aging(
            ground.scheduler, IDLE_S, "pings to the outside"
        )
        ground.spenders.append(self._pingers.spend)

    def __len__(self) -> int:
        """Return how many programs are known to ping."""
        return len(self._pingers)

    def echo_arrived(self, echo: HeldEcho, real: Ip, now: float) -> None:
        """Send a request on."""
        key = echo.src, echo.ident
        pinger = self._pingers.get(key) or self._open(echo, real, now)
        if pinger is not None:
            self._pingers.used(key, now)
            pinger.send(echo, real, now)

    def close(self) -> None:
        """Close all sockets."""
        self._pingers.close()

    def _open(self, echo: HeldEcho, real: Ip, now: float) -> _Pinger | None:
        ground = self._ground
        if len(self._pingers) >= MAX_SOCKETS:
            self._pingers.spend()
        if not ground.take():
            return None
        try:
            pinger = _Pinger(ground, family_of(real))
        except OSError as error:
            ground.give()
            self._not_opened(error, echo, now)
            return None
        self._pingers.add((echo.src, echo.ident), pinger, now)
        return pinger

    def _not_opened(self, error: OSError, echo: HeldEcho, now: float) -> None:
        ground = self._ground
        if error.errno in (errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT):
            ground.counters.add("outside_ping_not_allowed")
            ground.warn_once(
                "ping",
                "this user may not ping from here, so pings to the outside get no answer "
                '(`sysctl -w net.ipv4.ping_group_range="0 2147483647"` allows it)',
            )
            return
        ground.counters.add("outside_ping_not_sent")
        trouble = trouble_of(error)
        if trouble is not None and error.errno not in SHORT_OF:
            echo.refuse(trouble, now)


class _Pinger:
    """Somebody inside who pings, and the real socket for that."""

    __slots__ = ("_asked", "_ground", "_is_v6", "_sock", "_watch", "used_at")

    def __init__(self, ground: Ground, family: socket.AddressFamily) -> None:
        self.used_at = ground.scheduler.now
        self._ground = ground
        self._is_v6 = family == socket.AF_INET6
        # What waits for an answer, by whom it was sent to and its number; the oldest first
        self._asked: OrderedDict[tuple[str, int], HeldEcho] = OrderedDict()
        proto = socket.IPPROTO_ICMPV6 if self._is_v6 else socket.IPPROTO_ICMP
        self._sock = open_socket(family, socket.SOCK_DGRAM, proto)
        try:
            with suppress(OSError):
                ask_for_errors(self._sock)
            with suppress(OSError):
                hops.ask_for_hops(self._sock)
            self._watch = ground.poller.watch(self._sock, self._ready, READ)
        except BaseException:
            self._sock.close()
            raise

    def send(self, echo: HeldEcho, real: Ip, now: float) -> None:
        """Ask the real address."""
        to = text_of(real)
        kind = icmpv6.ECHO if self._is_v6 else icmp.ECHO
        # The kernel writes its own identifier, and the checksum.
        message = icmp.HEADER.pack(kind, 0, 0, echo.seq) + echo.payload
        if len(self._asked) >= _MAX_ASKED:
            self._asked.popitem(last=False)
        self._asked[to, echo.seq] = echo
        few = hops.kept(echo.ttl, self._sock.family)
        for _ in range(2):
            try:
                self._sock.sendmsg([message], few, 0, (to, 0))
            except BlockingIOError:
                break
            except OSError as error:
                if self._take_errors(now):
                    continue  # it was about an earlier one
                self._asked.pop((to, echo.seq), None)
                self._ground.counters.add("outside_ping_not_sent")
                trouble = trouble_of(error)
                if trouble is not None:
                    echo.refuse(trouble, now)
                return
            self._ground.counters.add("outside_ping_out")
            return
        self._ground.counters.add("outside_ping_not_sent")

    def close(self) -> None:
        """Close the socket, and give back its descriptor."""
        self._watch.close()
        self._sock.close()
        self._ground.give()

    def _ready(self, _events: int, now: float) -> None:
        count = 0
        for _ in range(MOST_READ):
            try:
                message, ancillary, _flags, sender = self._sock.recvmsg(DATAGRAM_BYTES, _ROOM_BYTES)
            except BlockingIOError:
                break
            except OSError:
                self._take_errors(now)
                continue
            count += 1
            self._answered(message, hops.told(ancillary), sender[0], now)
        if not count:
            self._take_errors(now)

    def _answered(self, message: bytes, left: int | None, sender: str, now: float) -> None:
        if len(message) < icmp.HEADER_BYTES:
            return
        reply = icmpv6.ECHO_REPLY if self._is_v6 else icmp.ECHO_REPLY
        echo = self._asked.pop((sender, _seq_of(message)), None)
        if message[0] != reply or echo is None:
            self._ground.counters.add("outside_ping_stray")
            return
        self._ground.counters.add("outside_ping_in")
        echo.reply(message[icmp.HEADER_BYTES :], now, left)

    def _take_errors(self, now: float) -> int:
        count = 0
        for sent in errors_of(self._sock):
            count += 1
            self._tell(sent, now)
        return count

    def _tell(self, sent: SentError, now: float) -> None:
        self._ground.counters.add("outside_ping_errors")
        if len(sent.payload) < icmp.HEADER_BYTES or sent.trouble is None:
            return
        echo = self._asked.pop((sent.to[0], _seq_of(sent.payload)), None)
        if echo is not None:
            echo.refuse(sent.trouble, now, self._ground.reporter_of(sent))


def _seq_of(message: bytes) -> int:
    return int.from_bytes(message[_SEQ_AT : _SEQ_AT + 2], "big")

"""What a host remembers for TCP Fast Open (RFC 7413): cookies of servers, and the key of its own.

A cookie of ours is a keyed hash of both addresses and of the day, so nothing is kept per client;
that of yesterday is still good, and is answered with today's (section 4.1.2).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip
from pystack.tcp.fast_open import FastOpen
from pystack.wire import tcp_options
from pystack.wire.tcp_options import FastOpenCookie

if TYPE_CHECKING:
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.tcp.listener import Listener
    from pystack.wire.tcp import Segment

MAX_COOKIES: Final = 1024  # of servers; the one that was learned first makes room
COOKIE_BYTES: Final = 8  # as Linux
PERIOD_S: Final = 86400.0  # how long a key is in use
# After a SYN with text that got no answer, how long no more are sent to there (section 4.1.3.1)
AVOID_S: Final = 3600.0

_NEW: Final = FastOpenCookie(b"")
_UNKNOWN_MSS: Final = 0xFFFF  # our own link's decides


class FastOpenTable:
    """Cookies by server, and the making of our own."""

    __slots__ = ("_avoided", "_cookies", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cookies: dict[Ip, tuple[FastOpenCookie, int]] = {}
        self._avoided: dict[Ip, float] = {}  # where text in a SYN was lost, until when

    def request(self, server: Ip, now: float, *, cookieless: bool) -> FastOpen | None:
        """Return what an active open is to show; None: for a while nothing."""
        until = self._avoided.get(server)
        if until is not None:
            if now < until:
                return None
            del self._avoided[server]
        cookie, mss = self._cookies.get(server, (_NEW, _UNKNOWN_MSS))
        return FastOpen(
            None if cookieless else cookie,
            mss,
            lambda found, found_mss: self._learned(server, found, found_mss),
            lambda: self._failed(server, now),
        )

    def syn_arrived(
        self, listener: Listener[TcpSocket], socket: TcpSocket, syn: Segment, now: float
    ) -> bool:
        """Look at a SYN's cookie; True: its text may be taken at once.

        Else the SYN-ACK tells of the right cookie, if it was asked for or the one shown is wrong.
        """
        shown = tcp_options.parse(syn.options).fast_open
        connection = socket.connection
        if connection.config.fast_open_cookieless in ("server", "both"):
            if shown is None and not syn.payload:
                return False
        elif shown is None or not self._is_good(shown, socket, now):
            return False
        # Section 5.1: whoever forges addresses with a cookie that he was given may not fill memory.
        if len(listener.fast_opened) >= connection.config.fast_open_pending:
            return False
        listener.fast_opened.add(socket)
        return True

    def _is_good(self, shown: FastOpenCookie, socket: TcpSocket, now: float) -> bool:
        period = int(now // PERIOD_S)
        mine = self.cookie_of(socket.local, socket.remote, period)
        if shown.value == mine:
            return True
        socket.connection.fast_open_reply = FastOpenCookie(mine, experimental=shown.experimental)
        return shown.value == self.cookie_of(socket.local, socket.remote, period - 1)

    def clear(self) -> None:
        """Forget all servers: the power is off."""
        self._cookies.clear()
        self._avoided.clear()

    def cookie_of(self, local: Ip, remote: Ip, period: int) -> bytes:
        """Return the cookie that a client shows to one of our addresses, in a key's time."""
        name = f"{local} {remote} {period}".encode()
        return hashlib.blake2s(name, key=self._key, digest_size=COOKIE_BYTES).digest()

    def _learned(self, server: Ip, cookie: FastOpenCookie | None, mss: int) -> None:
        known, _ = self._cookies.pop(server, (_NEW, 0))
        if len(self._cookies) >= MAX_COOKIES:
            del self._cookies[next(iter(self._cookies))]
        self._cookies[server] = (known if cookie is None else cookie, mss)

    def _failed(self, server: Ip, now: float) -> None:
        if len(self._avoided) >= MAX_COOKIES:
            del self._avoided[next(iter(self._avoided))]
        self._avoided[server] = now + AVOID_S

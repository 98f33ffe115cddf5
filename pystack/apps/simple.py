"""Echo (RFC 862), discard (RFC 863), character generator (RFC 864) and daytime (RFC 867).

Over UDP, what answers any datagram can be set upon another such service, and the two never stop. So
a datagram that comes from the port of one of these services is not answered, but counted.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Final

import trio

from pystack.core.counters import Counters

IDLE_S: Final = 600.0  # a connection on which nothing arrives for so long is closed
SEND_S: Final = 60.0  # a peer that reads nothing for so long is given up
RECEIVE_BYTES: Final = 64 * 1024

ANSWERING_PORTS: Final = frozenset({7, 13, 17, 19, 37})  # those of RFC 862 to 868 that answer
CHARGEN_LINE_CHARS: Final = 72
CHARGEN_MAX_DATAGRAM: Final = 512  # RFC 864: "a random number (between 0 and 512)"

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_PRINTABLE: Final = bytes(range(0x20, 0x7F))  # 95 characters, space included
_log: Final = logging.getLogger("pystack.apps")


class Echo:
    """Sends back what it is sent."""

    name: Final = "echo"
    tcp_port: Final = 7
    udp_port: Final = 7

    def __init__(self) -> None:
        self.counters = Counters()

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Echo until the peer has ended its side."""
        while data := await _receive(stream):
            if not await _send(stream, data):
                return

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return the payload."""
        return None if _would_loop(self.counters, self.name, peer) else payload


class Discard:
    """Throws away what it is sent."""

    name: Final = "discard"
    tcp_port: Final = 9
    udp_port: Final = 9

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Read until the peer has ended its side."""
        while await _receive(stream):
            pass

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Answer nothing."""
        return None


class Chargen:
    """Sends lines of characters for as long as somebody takes them."""

    name: Final = "chargen"
    tcp_port: Final = 19
    udp_port: Final = 19

    def __init__(self, rng: Random) -> None:
        self.counters = Counters()
        self._rng = rng
        self._lines = b"".join(chargen_line(number) for number in range(len(_PRINTABLE)))

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Send until the peer ends its side, goes away or stops reading; what it sends is lost."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_to_end, stream, nursery.cancel_scope)
            with suppress(trio.BrokenResourceError):
                while await _send(stream, self._lines):
                    pass
            nursery.cancel_scope.cancel()

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return 0 to 512 characters, whatever was sent."""
        if _would_loop(self.counters, self.name, peer):
            return None
        return self._lines[: self._rng.randint(0, CHARGEN_MAX_DATAGRAM)]

    async def _read_to_end(
        self, stream: trio.abc.HalfCloseableStream, scope: trio.CancelScope
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await stream.receive_some(RECEIVE_BYTES):
                pass
        scope.cancel()


class Daytime:
    """Tells the date and the time."""

    name: Final = "daytime"
    tcp_port: Final = 13
    udp_port: Final = 13

    def __init__(self, utc_now: Callable[[], float]) -> None:
        self.counters = Counters()
        self._utc_now = utc_now

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Send the line and end."""
        await _send(stream, daytime_line(self._utc_now()))

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return the line, whatever was sent."""
        if _would_loop(self.counters, self.name, peer):
            return None
        return daytime_line(self._utc_now())


def chargen_line(number: int) -> bytes:
    """Return line `number` of the pattern of RFC 864: each begins one character further on."""
    start = number % len(_PRINTABLE)
    return (_PRINTABLE + _PRINTABLE)[start : start + CHARGEN_LINE_CHARS] + b"\r\n"


def daytime_line(utc_s: float) -> bytes:
    """Return the time as RFC 867 has it, `Tuesday, February 22, 1982 17:37:43-UTC`."""
    # Names of our own: strftime's depend on the locale.
    t = datetime.fromtimestamp(utc_s, UTC)
    day, month = _DAYS[t.weekday()], _MONTHS[t.month - 1]
    return f"{day}, {month} {t.day}, {t.year} {t:%H:%M:%S}-UTC\r\n".encode("ascii")


def _would_loop(counters: Counters, name: str, peer: tuple[str, int]) -> bool:
    if peer[1] not in ANSWERING_PORTS:
        return False
    counters.add("udp_loop_refused")
    _log.debug("%s: not answering %s port %d, itself a service", name, *peer)
    return True


async def _receive(stream: trio.abc.ReceiveStream) -> bytes:
    """Return what comes next; nothing at the end, or after a long silence."""
    with trio.move_on_after(IDLE_S):
        return bytes(await stream.receive_some(RECEIVE_BYTES))
    return b""


async def _send(stream: trio.abc.SendStream, data: bytes) -> bool:
    """Send; False: the peer does not read, and the stream is of no more use."""
    with trio.move_on_after(SEND_S):
        await stream.send_all(data)
        return True
    await trio.aclose_forcefully(stream)
    return False

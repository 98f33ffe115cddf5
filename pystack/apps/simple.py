"""Echo (RFC 862), discard (RFC 863), characters (RFC 864), daytime (RFC 867) and time (RFC 868).

Over UDP, what answers any datagram can be set upon another such service, and the two never stop;
`pystack.apps.answering` sees to it that they are not asked about the datagrams of such a one.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from random import Random
from types import TracebackType
from typing import Final, Self

import trio

from pystack.apps.base import Service
from pystack.apps.turns import BULK_BYTES_A_UNIT, current_turn

IDLE_S: Final = 600.0  # a connection on which nothing arrives for so long is closed
SEND_S: Final = 60.0  # a peer that reads nothing for so long is given up
# At once, for each call costs: with 64 KiB a connection moves a third as much, with 7 KB a tenth.
RECEIVE_BYTES: Final = 1024 * 1024
SEND_BYTES: Final = 256 * 1024

SECONDS_TO_1970: Final = 2_208_988_800  # from where RFC 868 counts, the beginning of 1900

CHARGEN_LINE_CHARS: Final = 72
CHARGEN_MAX_DATAGRAM: Final = 512  # RFC 864: "a random number (between 0 and 512)"

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_PRINTABLE: Final = bytes(range(0x20, 0x7F))  # 95 characters, space included


class Echo(Service):
    """Sends back what it is sent."""

    name: Final = "echo"
    tcp_port: Final = 7
    udp_port: Final = 7
    answers_anything: Final = True

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Echo until the peer has ended its side."""
        with _Patience(stream) as patient:
            while data := await patient.receive():
                await patient.send(data)
        await patient.give_up_if_deaf()

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return the payload."""
        return payload


class Discard(Service):
    """Throws away what it is sent."""

    name: Final = "discard"
    tcp_port: Final = 9
    udp_port: Final = 9

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Read until the peer has ended its side."""
        with _Patience(stream) as patient:
            while await patient.receive():
                pass


class Chargen(Service):
    """Sends lines of characters for as long as somebody takes them."""

    name: Final = "chargen"
    tcp_port: Final = 19
    udp_port: Final = 19
    answers_anything: Final = True

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        lines = b"".join(chargen_line(number) for number in range(len(_PRINTABLE)))
        self._lines = lines * (SEND_BYTES // len(lines))  # each time around they begin anew

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Send until the peer ends its side, goes away or stops reading; what it sends is lost."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_to_end, stream, nursery.cancel_scope)
            with suppress(trio.BrokenResourceError), _Patience(stream) as patient:
                while True:
                    await patient.send(self._lines)
            nursery.cancel_scope.cancel()
        await patient.give_up_if_deaf()

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return 0 to 512 characters, whatever was sent, but no more than that had.

        Its sender may be made up; this is no way to send more to somebody than one sends oneself.
        """
        if not payload:
            return None
        return self._lines[: self._rng.randint(0, min(len(payload), CHARGEN_MAX_DATAGRAM))]

    async def _read_to_end(
        self, stream: trio.abc.HalfCloseableStream, scope: trio.CancelScope
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await stream.receive_some(RECEIVE_BYTES):
                pass
        scope.cancel()


class Daytime(Service):
    """Tells the date and the time."""

    name: Final = "daytime"
    tcp_port: Final = 13
    udp_port: Final = 13
    answers_anything: Final = True

    def __init__(self, utc_now: Callable[[], float]) -> None:
        self._utc_now = utc_now

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Send the line and end."""
        with _Patience(stream) as patient:
            await patient.send(daytime_line(self._utc_now()))
        await patient.give_up_if_deaf()

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return the line, whatever was sent."""
        return daytime_line(self._utc_now())


class Time(Service):
    """Tells how many seconds there have been since 1900."""

    name: Final = "time"
    tcp_port: Final = 37
    udp_port: Final = 37
    answers_anything: Final = True

    def __init__(self, utc_now: Callable[[], float]) -> None:
        self._utc_now = utc_now

    async def handle_tcp(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Send the number and end."""
        with _Patience(stream) as patient:
            await patient.send(time_number(self._utc_now()))
        await patient.give_up_if_deaf()

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        """Return the number, whatever was sent."""
        return time_number(self._utc_now())


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


def time_number(utc_s: float) -> bytes:
    """Return the time as RFC 868 has it: 32 bits, which begin anew in 2036."""
    return ((int(utc_s) + SECONDS_TO_1970) % 2**32).to_bytes(4, "big")


class _Patience:
    """Receives and sends on a stream, and ends the `with` block when the peer takes too long.

    One scope for the connection, whose deadline moves: a scope for each call costs 9 us, which was
    a quarter of an echo.
    """

    __slots__ = ("_scope", "_sending", "_stream", "_turn")

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self._stream = stream
        self._scope = trio.CancelScope()
        self._sending = False
        self._turn = current_turn()

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        return bool(self._scope.__exit__(kind, error, traceback))

    async def receive(self) -> bytes:
        """Return what comes next; nothing at the end."""
        if self._turn.spend(0):
            self._scope.deadline = inf
            await self._turn.wait()
        self._scope.deadline = trio.current_time() + IDLE_S
        data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
        self._turn.spend(len(data) // BULK_BYTES_A_UNIT)  # it waits before the next
        return data

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        if self._turn.spend(len(data) // BULK_BYTES_A_UNIT):
            self._scope.deadline = inf
            await self._turn.wait()
        self._scope.deadline = trio.current_time() + SEND_S
        self._sending = True
        await self._stream.send_all(data)
        self._sending = False

    async def give_up_if_deaf(self) -> None:
        """After the block: a peer that did not read may not take the end in order either."""
        if self._sending and self._scope.cancelled_caught:
            await trio.aclose_forcefully(self._stream)

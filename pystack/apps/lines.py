"""Lines of commands, and replies to them: the control side of SMTP, FTP and their like.

Bytes come in through a bounded buffer and leave it as lines; what a client has pipelined stays
until it is asked for. Replies are gathered as long as another whole line is there, so that a batch
of commands is answered by one segment. What a peer does wrong is a `PeerError`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from pystack.apps.ending import cut, linger
from pystack.apps.troubles import PeerError
from pystack.apps.turns import BULK_BYTES_A_UNIT, current_turn
from pystack.core.errors import ConfigError

LINE_RECEIVE_BYTES: Final = 16 * 1024
BULK_RECEIVE_BYTES: Final = 64 * 1024
GATHER_BYTES: Final = 16 * 1024  # so much is sent even though more commands are there
# Of a line that is too long; a peer that sends more is cut off
MAX_SKIPPED_BYTES: Final = 1024 * 1024
LAST_WORD_S: Final = 0.5
LINGER_S: Final = 5.0  # how long a peer that was sent away is listened to
LINGER_BYTES: Final = 64 * 1024 * 1024


class LineError(PeerError):
    """A line that is none; the reader is behind it, and the next one may be asked for."""


class LineTooLongError(LineError):
    """A line of more than `LineRules.max_bytes`."""


class BadLineError(LineError):
    """A line that ends with LF alone, or that holds a byte which it may not hold."""


class EndlessLineError(PeerError):
    """More than `MAX_SKIPPED_BYTES` without an end of line: nothing more is read."""


class SilentPeerError(PeerError):
    """The peer did not send in time what it was to send."""


class DeafPeerError(PeerError):
    """The peer did not take in time what it was sent: it cannot be told anything either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRules:
    """What a protocol takes for a line. All raise ConfigError when built wrong."""

    max_bytes: int = 2048  # with the end of the line
    lf_ends: bool = False  # LF alone ends a line as CR LF does; else it is a BadLineError
    refused: bytes = b"\0\r"  # bytes that a line may not hold, its end aside
    line_units: int = 4  # of work for a line and its reply, see `pystack.apps.turns`
    send_s: float = 60.0  # for the peer to take replies; then DeafPeerError

    def __post_init__(self) -> None:
        for name, value in (("max_bytes", self.max_bytes), ("send_s", self.send_s)):
            if not value > 0:
                raise ConfigError(f"{name} is {value}; it must be greater than 0")


class Lines:
    """Reads lines from a stream and sends replies on it, in the turn of the task's connection.

    One task uses it. Cancelled while it reads it has lost nothing; cancelled while it sends, the
    stream is fit for closing only.
    """

    __slots__ = ("_buffer", "_is_sending", "_out", "_rules", "_searched", "_stream", "_turn")

    def __init__(self, stream: trio.abc.HalfCloseableStream, rules: LineRules) -> None:
        self._stream = stream
        self._rules = rules
        self._turn = current_turn()
        self._buffer = bytearray()
        self._searched = 0  # so many of its first bytes are no LF
        self._out = bytearray()  # replies that are not sent yet
        self._is_sending = False

    # lines

    async def next_line(self, timeout_s: float) -> bytes | None:
        """Return the next line without its end; None: the peer has ended its side.

        `timeout_s` is for all of the line, however many pieces it comes in. A line that the peer
        ends its side within is none. Raises LineError, EndlessLineError, SilentPeerError,
        DeafPeerError, and what the stream raises.
        """
        rules, buffer = self._rules, self._buffer
        end = await self._find_end(trio.current_time() + timeout_s)
        if end is None:
            return None
        if self._turn.spend(rules.line_units):
            await self._turn.wait()
        if end > rules.max_bytes:
            self.consume(end)
            raise LineTooLongError(f"a line of more than {rules.max_bytes} bytes")
        has_cr = end > 1 and buffer[end - 2] == 0x0D
        line = bytes(buffer[: end - 1 - has_cr])
        self.consume(end)
        if not has_cr and not rules.lf_ends:
            raise BadLineError("a line that ends with LF alone")
        if len(line) != len(line.translate(None, rules.refused)):
            raise BadLineError("a line with a byte that none may hold: " + _shown(line, rules))
        return line

    def take_rest(self) -> bytes:
        """Return what was received and not asked for yet, and forget it.

        Before a change to TLS it must be called ahead of the reply that allows it, and what it
        returns must be thrown away: it came in clear.
        """
        rest = bytes(self._buffer)
        self.consume(len(rest))
        return rest

    def change_stream(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Go on over another stream: TLS over the one before. Nothing of before is kept."""
        self._stream = stream
        self.take_rest()
        self._out.clear()

    # bytes between lines

    async def peek(self, timeout_s: float) -> bytearray:
        """Return what is there or comes next, for somebody who looks before it is a line.

        It is the buffer itself: look only, then `consume`. Empty: the peer has ended its side.
        Raises as `next_line`, but no LineError.
        """
        if not self._buffer:
            await self._fill(trio.current_time() + timeout_s, BULK_RECEIVE_BYTES)
        return self._buffer

    def consume(self, count: int) -> None:
        """Throw away the first bytes of the buffer."""
        del self._buffer[:count]
        self._searched = 0

    # replies

    async def reply(self, data: bytes) -> None:
        """Send it, now or together with what follows. Raises DeafPeerError."""
        self._out += data
        if len(self._out) >= GATHER_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send what was not sent yet; `next_line` does so before it waits. Raises DeafPeerError."""
        if not self._out:
            return
        data = bytes(self._out)
        self._out.clear()
        self._is_sending = True
        with trio.move_on_after(self._rules.send_s) as scope:
            await self._stream.send_all(data)
            self._is_sending = False
        if scope.cancelled_caught:
            raise DeafPeerError(f"took no reply for {self._rules.send_s:g} s")

    # the end

    async def last_word(self, data: bytes) -> None:
        """Send it behind all replies, although the task is cancelled, if none is half sent.

        That takes a moment at most.
        """
        if not self._is_sending:
            data = bytes(self._out) + data
            self._out.clear()
            with (
                trio.move_on_after(LAST_WORD_S, shield=True),
                suppress(trio.BrokenResourceError, trio.ClosedResourceError),
            ):
                await self._stream.send_all(data)

    async def finish(self) -> None:
        """Send what was not sent, end our side, and read on for a while before closing.

        A peer that was sent away while it was sending sees the last reply then.
        """
        self.take_rest()
        try:
            with trio.move_on_after(LINGER_S) as scope:
                await self.flush()
            if scope.cancelled_caught:
                await self.cut()
            elif await linger(self._stream, timeout_s=LINGER_S, max_bytes=LINGER_BYTES):
                await self._stream.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError, DeafPeerError):
            await self.cut()  # it has gone: that is what was wanted

    async def cut(self) -> None:
        """End the connection at once: by a reset where the stream has one."""
        await cut(self._stream)

    # below

    async def _find_end(self, deadline: float) -> int | None:
        """Return how many bytes the next line has with its end; None: there is none."""
        buffer = self._buffer
        while (end := buffer.find(b"\n", self._searched) + 1) == 0:
            self._searched = len(buffer)
            if self._searched >= self._rules.max_bytes:
                await self._skip(deadline)
                raise LineTooLongError(f"a line of more than {self._rules.max_bytes} bytes")
            if not await self._fill(deadline, LINE_RECEIVE_BYTES):
                return None
        return end

    async def _skip(self, deadline: float) -> None:
        """Throw away the rest of a line."""
        buffer, skipped = self._buffer, 0
        while (end := buffer.find(b"\n") + 1) == 0:
            skipped += len(buffer)
            self.consume(len(buffer))
            if skipped > MAX_SKIPPED_BYTES:
                raise EndlessLineError(f"a line of more than {MAX_SKIPPED_BYTES} bytes")
            if not await self._fill(deadline, BULK_RECEIVE_BYTES):
                return
        self.consume(end)

    async def _fill(self, deadline: float, max_bytes: int) -> bool:
        """Receive more; False: there will be no more."""
        await self.flush()
        if self._turn.spend(0):
            await self._turn.wait()
        self._turn.renew()
        with trio.move_on_at(deadline) as scope:
            data = await self._stream.receive_some(max_bytes)
        if scope.cancelled_caught:
            raise SilentPeerError("sent nothing whole in time")
        self._turn.spend(len(data) // BULK_BYTES_A_UNIT)
        self._buffer += data
        return bool(data)


def _shown(line: bytes, rules: LineRules) -> str:
    first = next(byte for byte in line if byte in rules.refused)
    return {0: "NUL", 10: "LF", 13: "CR"}.get(first, f"0x{first:02x}")


def split_command(line: bytes) -> tuple[str, bytes]:
    """Return a command's verb in capitals, and what follows the blank after it, as it stands.

    A verb that is no ASCII is an empty one.
    """
    verb, _, argument = line.partition(b" ")
    return (verb.decode("ascii").upper() if verb.isascii() else ""), argument

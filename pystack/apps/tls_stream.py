"""TLS over any Trio stream: OpenSSL's state in memory, its bytes moved here.

Not `trio.SSLStream`, which can end one direction only together with the other, takes a connection
that was cut for one that has ended where it is told to be compatible with HTTPS, reads one record a
call, and takes 12 us for a write of 64 bytes where this takes 5 (`docs/decisions.md`).
"""

from __future__ import annotations

import operator
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, SupportsIndex, cast

import trio

from pystack.apps.ending import abort
from pystack.apps.troubles import PeerError
from pystack.apps.turns import current_turn
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.runtime.key_log import key_log

RECORD_BYTES: Final = 16 * 1024  # RFC 8446 section 5.1: no record has more
# What is encrypted and sent as one: each write ends with a segment that is not full.
WRITE_BYTES: Final = 256 * 1024
DEFAULT_RECEIVE_BYTES: Final = 256 * 1024
# Read in one go, which is what a write of ours has: records of a byte take as long as long ones.
MAX_RECORDS: Final = 32
MAX_ANSWERS_BYTES: Final = 64 * 1024  # of OpenSSL's own to a peer that takes nothing
EARLY_BYTES: Final = 32 * 1024  # the first of a connection
EARLY_RECORD_BYTES: Final = 4 * 1024
HANDSHAKE_S: Final = 10.0
HANDSHAKE_BYTES: Final = 128 * 1024  # from the peer; a chain of certificates has a tenth of it
ALERT_S: Final = 1.0  # to get the word out why we do not go on
HANDSHAKE_UNITS: Final = 30  # of work, see `pystack.apps.turns`: keys, a signature


class TlsError(PeerError):
    """A handshake that came to nothing."""


class HandshakeTimeoutError(TlsError):
    """A handshake that was not done in time."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"no TLS handshake within {timeout_s:g} s")


class ClearTextError(TlsError):
    """The peer does not speak TLS but text; `received` is what it has sent."""

    def __init__(self, received: bytes) -> None:
        super().__init__("the peer speaks in clear to a port of TLS")
        self.received = received


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What was agreed on in a handshake."""

    version: str  # "TLSv1.3"
    cipher: str  # "TLS_AES_256_GCM_SHA384"
    alpn: str | None  # "h2"; None: none was agreed on
    is_resumed: bool
    server_name: str | None  # as the client asked for it (SNI); None: it did not


class TlsStream(trio.abc.HalfCloseableStream):
    """One end of a TLS connection. Made by `TlsServer.accept` and `tls_client`.

    The end of data is the peer's close_notify. A transport that ends before it was cut, by whoever
    it was: `trio.BrokenResourceError`.
    """

    __slots__ = (
        "_asked_name",
        "_at_eof",
        "_closed",
        "_counters",
        "_early_bytes",
        "_error",
        "_flushing",
        "_incoming",
        "_outgoing",
        "_plain",
        "_receiving",
        "_sending",
        "_sent_eof",
        "_ssl",
        "_waiting",
        "transport",
    )

    def __init__(
        self,
        transport: trio.abc.HalfCloseableStream,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_name: str | None = None,
        counters: Counters | None = None,
    ) -> None:
        """`server_name`: whom a client wants to talk to, and whose certificate it wants to see."""
        self.transport: Final = transport
        self._counters = Counters() if counters is None else counters
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name
        )
        self._asked_name = server_name
        self._early_bytes = EARLY_BYTES  # that are still to be sent in short records
        self._plain = b""  # decrypted and not yet asked for; only after `send_eof`
        self._at_eof = False
        self._error: str | None = None  # why nothing goes any more
        self._closed = False
        self._sent_eof = False
        self._sending = False
        self._receiving = False
        self._flushing = False
        self._waiting = trio.lowlevel.ParkingLot()  # for the end of somebody else's flush

    async def do_handshake(self, timeout_s: float = HANDSHAKE_S) -> None:
        """Agree on keys. Raises TlsError, BrokenResourceError; ClearTextError of a server."""
        with trio.move_on_after(timeout_s) as scope:
            await self._shake_hands()
        if scope.cancelled_caught:
            raise HandshakeTimeoutError(timeout_s)

    async def _shake_hands(self) -> None:
        turn = current_turn()
        hello = b""  # what the client has said first
        received_bytes = 0
        while True:
            try:
                self._ssl.do_handshake()
                await self._flush()
                if self._ssl.server_side:
                    self._asked_name = asked_name(hello)
                return
            except ssl.SSLWantReadError:
                await self._flush()
            except ssl.SSLError as error:
                self._error = in_words(error)
                await self._send_alert()
                raise TlsError(f"no TLS handshake: {self._error}") from error
            # In little pieces, for the rest of them is a stranger's until it has ended
            data = await self.transport.receive_some(RECORD_BYTES)
            if not data:
                raise TlsError("the peer ended in the middle of the TLS handshake")
            if turn.spend(1 if received_bytes else HANDSHAKE_UNITS):
                await turn.wait()
            if not received_bytes and self._ssl.server_side and data[:1].isalpha():
                raise ClearTextError(bytes(data))
            if received_bytes < RECORD_BYTES:
                hello += data
            received_bytes += len(data)
            if received_bytes > HANDSHAKE_BYTES:
                raise TlsError("the peer's part of the TLS handshake is too long")
            self._incoming.write(data)

    # sending

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send all of `data`. Raises as `trio.abc.SendStream`."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._check_may_send()
        self._sending = True
        try:
            if len(data) <= WRITE_BYTES:
                await self._send(data)
                return
            view = memoryview(data).cast("B")
            for start in range(0, len(view), WRITE_BYTES):
                await self._send(view[start : start + WRITE_BYTES])
        finally:
            self._sending = False

    async def _send(self, data: bytes | bytearray | memoryview) -> None:
        self._check_may_send()
        if data:  # OpenSSL has no record for nothing
            try:
                if self._early_bytes > 0:
                    self._write_early(data)
                else:
                    self._ssl.write(data)
            except ssl.SSLError as error:
                raise self._broken(in_words(error)) from error
            await self._flush()
        else:
            await trio.lowlevel.checkpoint()

    def _write_early(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt in short records: none can be read before the last segment of it is there.

        The first window of a connection has ten segments, and a whole record needs twelve.
        """
        view = memoryview(data)
        self._early_bytes -= len(view)
        for start in range(0, len(view), EARLY_RECORD_BYTES):
            self._ssl.write(view[start : start + EARLY_RECORD_BYTES])

    async def _flush(self) -> None:
        """Send what OpenSSL has for the peer; in order, whichever task has made it."""
        while self._flushing:
            await self._waiting.park()
        if self._error is not None:
            raise trio.BrokenResourceError(self._error)
        self._flushing = True
        done = False
        try:
            while self._outgoing.pending:
                await self.transport.send_all(self._outgoing.read())
            done = True
        finally:
            self._flushing = False
            self._waiting.unpark_all()
            if not done and self._error is None:
                # A part of a record is on its way, and whatever came after it would be garbage.
                self._error = "sending a record was broken off"

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room in the transport."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._check_may_send()
        self._sending = True
        try:
            await self.transport.wait_send_all_might_not_block()
        finally:
            self._sending = False

    async def send_eof(self) -> None:
        """Send no more: close_notify, and the transport's own end. Reading goes on."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed here")
        if self._sent_eof:
            await trio.lowlevel.checkpoint()
            return
        self._check_may_send()
        self._sending = True
        try:
            self._notify()
            await self._flush()
            await self.transport.send_eof()
        finally:
            self._sending = False

    def _notify(self) -> None:
        """Have OpenSSL write close_notify, and hide from it what we have yet to read."""
        self._sent_eof = True
        if self._ssl.pending():
            self._plain += self._ssl.read(self._ssl.pending())
        rest = self._incoming.read()
        with suppress(ssl.SSLWantReadError, ssl.SSLError):
            self._ssl.unwrap()
        if rest:
            self._incoming.write(rest)

    # receiving

    async def receive_some(self, max_bytes: SupportsIndex | None = None) -> bytes:
        """Return what has arrived, at least one byte; empty after the peer's close_notify.

        Raises as `trio.abc.ReceiveStream`; BrokenResourceError too where the peer's data was cut.
        """
        limit = DEFAULT_RECEIVE_BYTES if max_bytes is None else operator.index(max_bytes)
        if limit < 1:
            raise ConfigError(f"max_bytes is {max_bytes}: it must be 1 or more")
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this stream")
        self._receiving = True
        try:
            return await self._receive(limit)
        finally:
            self._receiving = False

    async def _receive(self, limit: int) -> bytes:
        has_waited = False
        while True:
            if self._closed:
                raise trio.ClosedResourceError("this stream was closed here")
            data = self._read(limit)
            pending_bytes = self._outgoing.pending
            if pending_bytes > (MAX_ANSWERS_BYTES if self._sending else 0):
                # An answer to what came, such as new keys, or an alert
                await (self._send_alert() if self._error else self._flush())
                has_waited = True
            if data is not None:
                if not has_waited:
                    await trio.lowlevel.checkpoint()
                return data
            if self._error is not None:
                raise trio.BrokenResourceError(self._error)
            arrived = await self.transport.receive_some(DEFAULT_RECEIVE_BYTES)
            has_waited = True
            if not arrived:
                self._counters.add("tls_truncated")
                raise self._broken("the connection was cut: it ended without a close_notify")
            self._incoming.write(arrived)

    def _read(self, limit: int) -> bytes | None:
        """Return what can be decrypted of what is here; None: there must be more first."""
        if self._plain:
            data, self._plain = self._plain[:limit], self._plain[limit:]
            return data
        if self._at_eof:
            return b""
        first = self._read_record(limit)
        incoming = self._incoming
        if not first or not incoming.pending or len(first) >= limit:
            return first
        parts, size = [first], len(first)
        while size < limit and incoming.pending and len(parts) < MAX_RECORDS:
            more = self._read_record(limit - size)
            if not more:
                break
            parts.append(more)
            size += len(more)
        return b"".join(parts)

    def _read_record(self, limit: int) -> bytes | None:
        try:
            data = self._ssl.read(min(limit, RECORD_BYTES))
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLError as error:
            self._counters.add("tls_errors")
            self._error = in_words(error)
            return None
        if not data:
            self._at_eof = True
        return data

    # the end

    async def aclose(self) -> None:
        """Say close_notify where that is still possible, and close the transport."""
        may_notify = not (self._closed or self._error or self._sent_eof or self._sending)
        self._closed = True
        try:
            if may_notify:
                self._notify()
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._flush()
        finally:
            await self.transport.aclose()

    def abort(self) -> None:
        """End the connection at once: by a reset where the transport has one."""
        self._closed = True
        abort(self.transport)

    async def _send_alert(self) -> None:
        """Tell the peer why, if it takes it."""
        with (
            trio.move_on_after(ALERT_S),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError),
        ):
            await self.transport.send_all(self._outgoing.read())

    # what can be told

    @property
    def tls(self) -> TlsInfo:
        """Return what the handshake has agreed on."""
        cipher = self._ssl.cipher()
        return TlsInfo(
            self._ssl.version() or "none",
            "none" if cipher is None else cipher[0],
            self._ssl.selected_alpn_protocol(),
            bool(self._ssl.session_reused),
            self._asked_name,
        )

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """Return OpenSSL's own, for what `tls` does not tell."""
        return self._ssl

    @property
    def unacknowledged_bytes(self) -> int:
        """Return how much the peer has not acknowledged. AttributeError where that is not told."""
        return _telling(self.transport).unacknowledged_bytes

    @property
    def local_address(self) -> tuple[str, int]:
        """Return (address, port) of this end. AttributeError where the transport does not tell."""
        return _telling(self.transport).local_address

    @property
    def remote_address(self) -> tuple[str, int]:
        """Return (address, port) of the other end. AttributeError as for `local_address`."""
        return _telling(self.transport).remote_address

    @property
    def moved_bytes(self) -> int:
        """Return how much has moved in the transport, both ways. AttributeError as there."""
        return _telling(self.transport).moved_bytes

    def _check_may_send(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed here")
        if self._sent_eof:
            raise trio.ClosedResourceError("send_eof was called on this stream")
        if self._error is not None:
            raise trio.BrokenResourceError(self._error)

    def _broken(self, words: str) -> trio.BrokenResourceError:
        self._error = words
        return trio.BrokenResourceError(words)


class _TellingStream(Protocol):
    @property
    def local_address(self) -> tuple[str, int]: ...

    @property
    def remote_address(self) -> tuple[str, int]: ...

    @property
    def moved_bytes(self) -> int: ...

    @property
    def unacknowledged_bytes(self) -> int: ...


def _telling(stream: object) -> _TellingStream:
    return cast("_TellingStream", stream)


def asked_name(said: bytes) -> str | None:
    """Return the name that a ClientHello asks for (RFC 8446 section 4.1.2, RFC 6066 section 3).

    None: for none, or it is no name. Read here and not in OpenSSL's callback: CPython decodes the
    name before it calls, and writes a traceback to standard error for one that is not ASCII.
    """
    hello, at = b"", 0
    while len(said) >= at + 5 and said[at] == 22:  # the records of handshakes
        length = int.from_bytes(said[at + 3 : at + 5], "big")
        hello += said[at + 5 : at + 5 + length]
        at += 5 + length
    try:
        place = 38  # behind type, length, version and random
        place += 1 + hello[place]  # session
        place += 2 + int.from_bytes(hello[place : place + 2], "big")  # ciphers
        place += 1 + hello[place]  # compression
        place += 2
        while place + 4 <= len(hello):
            kind = int.from_bytes(hello[place : place + 2], "big")
            length = int.from_bytes(hello[place + 2 : place + 4], "big")
            if kind == 0:  # server_name: a list with one entry, a host's name
                name = hello[place + 9 : place + 4 + length].decode("ascii")
                return name if name.isprintable() and name else None
            place += 4 + length
    except (IndexError, UnicodeDecodeError):
        pass
    return None


def in_words(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason for a failure, as words."""
    verify = getattr(error, "verify_message", "")
    reason = (error.reason or str(error)).replace("_", " ").lower()
    return f"{reason}: {verify}" if verify else reason


async def tls_client(
    stream: trio.abc.HalfCloseableStream,
    context: ssl.SSLContext,
    server_name: str | None,
    *,
    timeout_s: float = HANDSHAKE_S,
) -> TlsStream:
    """Begin TLS as the client. `server_name`: whose certificate is wanted, a name or an address.

    Raises TlsError, also where the certificate is not to be trusted or time is up. The stream stays
    the caller's to close then.
    """
    key_log().note(context)
    tls = TlsStream(stream, context, server_side=False, server_name=server_name)
    await tls.do_handshake(timeout_s)
    return tls

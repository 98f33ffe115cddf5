"""Drives SMTP sessions over streams: one call serves one connection.

`session` knows what to answer, `content` where a message ends; this module moves the bytes, and
adds what costs time: time-outs, least rates, TLS, and waiting for the disk before the 250.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from pystack.apps.limits import Patience, SmtpLimits
from pystack.apps.lines import (
    BadLineError,
    DeafPeerError,
    EndlessLineError,
    LineRules,
    Lines,
    LineTooLongError,
    SilentPeerError,
)
from pystack.apps.smtp import replies
from pystack.apps.smtp.content import ContentReader, Flaw
from pystack.apps.smtp.delivery import DeliveryError, NoRoomError, Store
from pystack.apps.smtp.message import Message, protocol_name
from pystack.apps.smtp.replies import Reply, reply
from pystack.apps.smtp.session import Policy, Session, Step
from pystack.apps.turns import Turn, current_turn
from pystack.core.counters import Counters

_log: Final = logging.getLogger("pystack.apps")

CONTENT_BYTES_A_UNIT: Final = 16 * 1024  # of work, see `pystack.apps.turns`
DELIVERY_UNITS: Final = 10

# Begins TLS on a stream, of which the bytes have been received already.
StartTls = Callable[[trio.abc.HalfCloseableStream, bytes], Awaitable[trio.abc.HalfCloseableStream]]

_REFUSALS: Final = {
    Flaw.BARE_NEWLINE: (554, "5.6.0", "smtp_bare_newlines"),
    Flaw.NUL: (554, "5.6.0", "smtp_nuls"),
    Flaw.LONG_LINE: (554, "5.6.0", "smtp_long_lines"),
    Flaw.TOO_BIG: (552, "5.3.4", "smtp_too_big"),
    Flaw.NO_ROOM: (452, "4.3.1", "smtp_no_room"),
}


class Room:
    """What all connections together may hold of messages that are under way."""

    def __init__(self, max_bytes: int) -> None:
        self.free_bytes = max_bytes

    def has(self, count: int) -> bool:
        """Tell whether so much is free."""
        return count <= self.free_bytes


@dataclass(slots=True)
class Server:
    """What connections have in common."""

    policy: Policy
    limits: SmtpLimits
    store: Store
    utc_now: Callable[[], float]
    counters: Counters
    room: Room
    start_tls: StartTls | None  # None: there is no TLS
    messages: int = 0  # so many came

    async def serve(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection, and close it. Raises PeerError, and what the stream raises."""
        await _Connection(self, stream).run()


class _Connection:
    def __init__(self, server: Server, stream: trio.abc.HalfCloseableStream) -> None:
        self._server = server
        self._stream = stream
        self._session = Session(server.policy, offers_tls=server.start_tls is not None)
        rules = LineRules(max_bytes=server.limits.line_bytes, send_s=server.limits.send_s)
        self._lines = Lines(stream, rules)
        self._turn: Turn = current_turn()
        address = getattr(stream, "remote_address", None)
        self._address: str = address[0] if address else ""

    async def run(self) -> None:
        try:
            await self._say(self._session.greeting())
            try:
                while await self._serve_one():
                    pass
            except SilentPeerError:
                await self._refuse("smtp_time_outs", replies.TOO_SLOW)
            except EndlessLineError:
                await self._refuse("smtp_endless_lines", replies.LINE_TOO_LONG)
            await self._lines.finish()
        except DeafPeerError:
            self._server.counters.add("smtp_time_outs")
            await self._lines.cut()
            raise

    async def _serve_one(self) -> bool:
        """Answer one command; False: the session is at its end."""
        session = self._session
        try:
            line = await self._lines.next_line(self._server.limits.command_s)
        except LineTooLongError:
            await self._refuse("smtp_long_lines", session.refuse(replies.LINE_TOO_LONG))
        except BadLineError:
            await self._refuse("smtp_bad_lines", session.refuse(replies.BAD_LINE))
        except trio.Cancelled:
            await self._lines.last_word(replies.CLOSING.pack())  # RFC 5321 (3.8)
            raise
        else:
            if line is None:
                return False
            answer = session.command(line)
            if answer.code >= 400:
                self._count(answer)
            if session.step is Step.TLS:
                await self._begin_tls(answer)
                return True
            await self._say(answer)
            if session.step is Step.CONTENT:
                return await self._take_message()
        return session.step is not Step.END

    async def _begin_tls(self, answer: Reply) -> None:
        """RFC 3207 section 4; what came in clear behind the command must not count as TLS's."""
        start_tls = self._server.start_tls
        assert start_tls is not None
        injected = self._lines.take_rest()
        await self._say(answer)
        await self._lines.flush()
        self._lines.change_stream(await start_tls(self._stream, injected))
        self._session.tls_began()

    # a message

    async def _take_message(self) -> bool:
        """Read a message and say what became of it; False: the session is at its end."""
        reader = ContentReader(self._server.limits.size_bytes)
        held = _Held(self._server.room)
        try:
            is_whole = await self._read_content(reader, held)
            if is_whole is None:
                return False
            if reader.flaw is None:
                answer = await self._deliver(reader.take_text())
            else:
                code, enhanced, counter = _REFUSALS[reader.flaw]
                self._server.counters.add(counter)
                answer = reply(code, enhanced, f"Not taken: {reader.flaw.value}")
        finally:
            held.resize(0)
        await self._say(self._session.content_taken(answer))
        return is_whole

    async def _read_content(self, reader: ContentReader, held: _Held) -> bool | None:
        """Read to the end of the message; False: no further than it makes sense; None: it ended."""
        limits, lines = self._server.limits, self._lines
        patience, refused_bytes = Patience(limits.content_s, limits.least_rate_bps), 0
        while True:
            began_at = trio.current_time()
            if reader.flaw is not None:
                patience.left_s = min(patience.left_s, limits.refused_s)
            try:
                chunk = await lines.peek(patience.left_s)
            except SilentPeerError:
                if reader.flaw is None:
                    raise
                return False
            size_bytes = len(chunk)
            if not size_bytes:
                return None
            if self._turn.spend(1 + size_bytes // CONTENT_BYTES_A_UNIT):
                await self._turn.wait()
            end = reader.feed(chunk)
            lines.consume(size_bytes if end is None else end)
            if reader.flaw is None and not held.resize(reader.size_bytes):
                reader.refuse(Flaw.NO_ROOM)
            if reader.flaw is not None:
                held.resize(0)
                refused_bytes += size_bytes
            if end is not None:
                return True
            if refused_bytes > limits.refused_bytes:
                return False
            patience.received(size_bytes, trio.current_time() - began_at)

    async def _deliver(self, data: bytes) -> Reply:
        session, server = self._session, self._server
        envelope = session.envelope
        assert envelope is not None
        if self._turn.spend(DELIVERY_UNITS):
            await self._turn.wait()
        server.messages += 1
        utc_s = server.utc_now()
        message = Message(
            sender=envelope.sender.text,
            recipients=tuple(each.text for each in envelope.recipients),
            data=data,
            received_at_s=utc_s,
            helo=session.helo,
            address=self._address,
            protocol=protocol_name(
                is_extended=session.is_extended, is_tls=session.is_tls, is_utf8=envelope.is_utf8
            ),
            host_name=server.policy.host_name,
            ident=f"{int(utc_s)}.{server.messages}",
        )
        answer = await self._keep(message)
        _log.info(
            "smtp: %d bytes from <%s> for <%s>: %s",
            len(data),
            message.sender,
            ">, <".join(message.recipients),
            answer.text,
        )
        return answer

    async def _keep(self, message: Message) -> Reply:
        counters = self._server.counters
        try:
            await self._server.store.keep(message)
        except NoRoomError:
            counters.add("smtp_no_room")
            return replies.NO_ROOM
        except DeliveryError:
            counters.add("smtp_not_written")
            return replies.NOT_WRITTEN
        counters.add("smtp_messages")
        return reply(250, "2.6.0", f"{message.ident} Message kept")

    # replies

    async def _say(self, answer: Reply) -> None:
        await self._lines.reply(answer.pack())

    async def _refuse(self, counter: str, answer: Reply) -> None:
        self._server.counters.add(counter)
        await self._say(answer)

    def _count(self, answer: Reply) -> None:
        if answer.code == 550:
            self._server.counters.add("smtp_relaying_denied")
        elif answer.code == 421:
            self._server.counters.add("smtp_sent_away")
        else:
            self._server.counters.add("smtp_refused")


class _Held:
    """What one message takes of the room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bytes = 0

    def resize(self, size_bytes: int) -> bool:
        """Take so much in all; False: there is no room, and nothing is taken."""
        more = size_bytes - self._bytes
        if more > 0 and not self._room.has(more):
            self.resize(0)
            return False
        self._room.free_bytes -= more
        self._bytes = size_bytes
        return True

"""One question, put to servers until one of them has an answer (RFC 1034 5.3.3, resolv.conf(5)).

Sans-IO: it says what to send where, and until when to wait; whoever drives it tells what came. An
answer counts if address, port, ident and question are those of a query that is under way (RFC 5452
section 9.1); all else is dropped by name, and the wait goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from pystack.core.errors import WireError
from pystack.core.rng import Random
from pystack.dns.answers import Answer, LoopError, Question, Status, read
from pystack.dns.config import ResolverConfig
from pystack.wire import dns
from pystack.wire.dns import (
    BAD_VERSION,
    FORMAT_ERROR,
    IN,
    NAME_ERROR,
    NO_ERROR,
    NOT_IMPLEMENTED,
    QUERY,
)

# What a server says that does not know EDNS (RFC 6891 section 7).
_NO_EDNS: Final = frozenset({FORMAT_ERROR, NOT_IMPLEMENTED, BAD_VERSION})

Server = tuple[str, int]  # address and port


class Send(NamedTuple):
    """A query to be sent."""

    server: Server
    data: bytes
    over_tcp: bool


class Told(Protocol):
    """Receives what was counted and what was dropped."""

    def count(self, name: str) -> None:
        """Count something by name."""
        ...

    def drop(self, name: str, data: bytes, now: float) -> None:
        """Count a message that was thrown away, and show it to whoever looks."""
        ...


@dataclass(slots=True)
class _Pending:
    """A query that may still be answered."""

    ident: int
    server: Server
    over_tcp: bool


@dataclass(slots=True)
class Exchange:
    """The whole of it. `answer` is there when it is over."""

    question: Question
    servers: Sequence[Server]  # in the order in which they are asked
    config: ResolverConfig
    rng: Random
    told: Told
    takes_failures: bool = False  # a server that says that it has failed has answered
    answer: Answer | None = None
    deadline: float = 0.0  # until when the last query waits
    message: dns.Message | None = None  # that of the answer, or of the last failure
    message_bytes: int = 0
    came_by_tcp: bool = False
    sent: int = 0  # queries so far
    _at: int = -1  # which of attempts x servers
    _pending: list[_Pending] = field(default_factory=list)
    _without_edns: set[Server] = field(default_factory=set)
    _rcode: int | None = None  # of the last server that had no answer; None: all were silent

    def begin(self, now: float) -> Send | None:
        """Return the first query."""
        return self._next(now)

    @property
    def server(self) -> Server:
        """Return whom the last query went to."""
        return self.servers[self._at % len(self.servers)]

    def timed_out(self, now: float) -> Send | None:
        """Nothing has come until the deadline: return the next query; None: that was the last."""
        self.told.count("dns_timeout")
        return self._next(now)

    def unreachable(self, server: Server, now: float) -> Send | None:
        """Nobody is there (ICMP, or no route): go on at once, unless that is known already."""
        waits = any(it.server == server and not it.over_tcp for it in self._pending)
        if self.answer is not None or server != self.server or not waits:
            return None
        self.told.count("dns_server_unreachable")
        return self._next(now)

    def stream_failed(self, now: float) -> Send | None:
        """The connection with the last query has ended without an answer."""
        self.told.count("dns_stream_failed")
        return self._next(now)

    def give_up(self) -> None:
        """End it without an answer."""
        self._finish(Answer(Status.TIMED_OUT))

    def arrived(self, data: bytes, server: Server, now: float, *, over_tcp: bool) -> Send | None:
        """Take a message from `server`; return what is to be sent next, if anything is."""
        if self.answer is not None:
            self.told.drop("dns_answer_late", data, now)
            return None
        if server not in self.servers:
            self.told.drop("dns_answer_from_stranger", data, now)
            return None
        # Before it is read: that may take 40 ms, and who guesses idents sends many.
        ident = int.from_bytes(data[:2], "big")
        if len(data) > 1 and not any(query.ident == ident for query in self._pending):
            self.told.drop("dns_answer_wrong_ident", data, now)
            return None
        try:
            message = dns.parse_message(data)
        except WireError:
            self.told.drop("dns_answer_malformed", data, now)
            return None
        pending = self._pending_for(message, server, over_tcp=over_tcp)
        if isinstance(pending, str):
            self.told.drop(pending, data, now)
            return None
        self._pending.remove(pending)
        self.message, self.message_bytes, self.came_by_tcp = message, len(data), over_tcp
        return self._answered(message, pending, now)

    def _pending_for(
        self, message: dns.Message, server: Server, *, over_tcp: bool
    ) -> _Pending | str:
        """Return the query that a message answers, or the name for what is wrong with it."""
        if not message.is_response or message.opcode != QUERY:
            return "dns_answer_is_none"
        found = [
            query
            for query in self._pending
            if query.ident == message.ident and query.over_tcp is over_tcp
        ]
        if not found:
            return "dns_answer_wrong_ident"
        asked = [(question.name, question.kind, question.klass) for question in message.questions]
        # Some say that they have failed, and nothing else, as they could not read it.
        is_bare_failure = not asked and message.rcode not in (NO_ERROR, NAME_ERROR)
        if asked != [(*self.question, IN)] and not is_bare_failure:
            return "dns_answer_wrong_question"
        matching = [query for query in found if query.server == server]
        return matching[0] if matching else "dns_answer_from_stranger"

    def _answered(self, message: dns.Message, query: _Pending, now: float) -> Send | None:
        server = query.server
        if message.truncated and not query.over_tcp:
            self.told.count("dns_truncated")
            return self._query(server, now, over_tcp=True)
        if message.rcode in _NO_EDNS and self._has_edns(server):
            self.told.count("dns_edns_refused")
            self._without_edns.add(server)
            return self._query(server, now, over_tcp=query.over_tcp)
        if message.rcode in (NO_ERROR, NAME_ERROR) and not message.truncated:
            try:
                answer = read(message, self.question, server[0])
            except LoopError:
                self.told.count("dns_alias_loop")
                answer = Answer(Status.LOOP, server=server[0], rcode=message.rcode)
            self._finish(answer)
            return None
        self.told.count("dns_server_failed")
        self._rcode = message.rcode
        if self.takes_failures:
            self._finish(Answer(Status.FAILED, server=server[0], rcode=message.rcode))
            return None
        return self._next(now) if server == self.server else None

    def _next(self, now: float) -> Send | None:
        self._at += 1
        if self._at >= self.config.attempts * len(self.servers):
            self._at -= 1
            status = Status.TIMED_OUT if self._rcode is None else Status.FAILED
            answer = Answer(status, server=self.server[0], rcode=self._rcode)
            self._finish(answer)
            return None
        return self._query(self.server, now, over_tcp=self.config.use_tcp)

    def _query(self, server: Server, now: float, *, over_tcp: bool) -> Send:
        ident = self._fresh_ident()
        self._pending.append(_Pending(ident, server, over_tcp))
        self.deadline = now + self.config.timeout_s
        payload_bytes = self.config.edns_bytes if self._has_edns(server) else None
        data = dns.pack_query(
            ident,
            *self.question,
            recursion_desired=self.config.recurse,
            payload_bytes=payload_bytes,
        )
        self.told.count("dns_queries" if not over_tcp else "dns_queries_tcp")
        if self.sent:
            self.told.count("dns_retry")
        self.sent += 1
        return Send(server, data, over_tcp)

    def _has_edns(self, server: Server) -> bool:
        return self.config.edns_bytes is not None and server not in self._without_edns

    def _fresh_ident(self) -> int:
        used = {query.ident for query in self._pending}
        while True:
            ident = self.rng.getrandbits(16)
            if ident not in used:
                return ident

    def _finish(self, answer: Answer) -> None:
        self.answer = answer
        self._pending.clear()

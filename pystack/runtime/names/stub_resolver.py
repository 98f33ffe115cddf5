"""The resolver of a host: names and addresses over the network (RFC 1034 section 5.3.1, a stub).

It asks the servers that it was given, keeps what they said for as long as they allow, and lets
those who want the same at the same time wait for one query.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import Ip, parse_ip
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.dns.answers import MAX_ALIASES, Answer, Question, Status
from pystack.dns.cache import Cache
from pystack.dns.config import ResolverConfig, candidates, split_server
from pystack.dns.exchange import Exchange, Server
from pystack.observe.observer import LookUp
from pystack.runtime.names.lookups import HostTold, Lookup, check_up, tell_answer
from pystack.runtime.names.ordering import has_version, why_order
from pystack.runtime.names.zones import format_on
from pystack.wire import dns
from pystack.wire.dns import AAAA, PTR, A

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost
    from pystack.runtime.names.known import KnownNames

EAI_NODATA: Final = getattr(socket, "EAI_NODATA", socket.EAI_NONAME)
_KINDS: Final = ((4, A), (6, AAAA))


@dataclass(frozen=True, slots=True)
class Found:
    """The addresses of a name, in the order in which they are to be tried."""

    canonical: str
    addresses: tuple[Ip, ...]  # of both versions


class StubResolver:
    """Looks names up for the programs of one host."""

    def __init__(self, host: BareHost, known: KnownNames, config: ResolverConfig) -> None:
        """`known`: the names that the host can tell without asking."""
        self.config = config
        self.cache = Cache(config.cache_entries)
        self._host = host
        self._known = known
        self._rng = component_rng(host.seed, f"resolver/{host.name}")
        self._told = HostTold(host)
        self._lookups: dict[Question, Lookup] = {}
        self._turns = 0
        self.is_automatic = False  # True: routers have said whom to ask (RFC 8106)

    async def addresses(self, name: str, versions: Sequence[int] = ()) -> Found:
        """Return the addresses of a name, best first. Raises `socket.gaierror`, OSError (ENETDOWN).

        `versions`: 4, 6 or both; (): those that the host has addresses of itself.
        """
        if not versions:
            stack = self._host.stack
            versions = [it for it, _ in _KINDS if has_version(stack, v6=it == 6)] or (4,)
        kinds = [kind for version, kind in _KINDS if version in versions]
        return self._in_order(await self._search(name, kinds), name)

    async def name_of(self, address: str) -> str | None:
        """Return the name of an address (PTR); None: it has none. Raises `socket.gaierror`."""
        question = Question(dns.reversed_name(address), PTR)
        answers = await self._follow(question.name, (PTR,))
        answer = answers[PTR]
        if answer.status is Status.FOUND:
            return answer.records[0].target
        if answer.status not in (Status.NO_NAME, Status.NO_DATA):
            raise self._error(address, [answer])
        return None

    async def ask(self, questions: Iterable[Question]) -> list[Answer]:
        """Return what the servers say, or have said, to each of the questions."""
        await check_up(self._host)
        answers: dict[Question, Answer] = {}
        questions = list(questions)
        with ExitStack() as stack:
            lookups: dict[Question, Lookup] = {}
            for question in questions:
                known = self.cache.find(question, self._host.now())
                if known is None:
                    lookups[question] = stack.enter_context(self._aboard(question))
                else:
                    self._told.count("dns_cache_hits")
                    answers[question] = known
                    if self._host.stack.observers:
                        left_s = self.cache.holds_for_s(question, self._host.now())
                        tell_answer(self._host, question, known, ttl_s=math.floor(left_s))
            if not lookups:
                await trio.lowlevel.checkpoint()
            for question, lookup in lookups.items():
                answers[question] = await lookup.wait()
        if lookups:
            self._host.stack.check_up()
        return [answers[question] for question in questions]

    def forget(self) -> None:
        """Lose all that was kept, as when the power goes."""
        self.cache.clear()

    def servers(self) -> list[Server]:
        """Return whom to ask, in order, now. Raises ConfigError for one that is not there."""
        found: list[Server] = []
        for text in self.config.servers:
            name, port = split_server(text)
            found.append((format_on(self._host.stack, self._address_of(name)), port))
        if self.config.rotate:
            at = self._turns % len(found)
            self._turns += 1
            found = [*found[at:], *found[:at]]
        return found

    def _address_of(self, name: str) -> Ip:
        """Return the address of a server: whoever told us whom to ask told us that as well."""
        try:
            return self._known.addresses(name)[0]
        except OSError as error:
            raise ConfigError(f"{self._host.name} cannot ask {name!r}: {error.strerror}") from None

    # one name after the other

    async def _search(self, name: str, kinds: Sequence[int]) -> dict[int, Answer]:
        """Return the answers for the first name of the search list that has any."""
        tried: list[Answer] = []
        try:
            names = [dns.canonical(candidate) for candidate in candidates(name, self.config)]
        except ValueError:
            names = []
        if not names:
            await trio.lowlevel.checkpoint()
            raise socket.gaierror(socket.EAI_NONAME, f"{name!r} cannot be a name")
        for candidate in names:
            answers = await self._follow(candidate, kinds)
            if any(answer.status is Status.FOUND for answer in answers.values()):
                return answers
            tried += answers.values()
            if any(answer.status is Status.TIMED_OUT for answer in answers.values()):
                break  # as glibc: a server that does not answer this will not answer the next
        raise self._error(name, tried)

    async def _follow(self, name: str, kinds: Sequence[int]) -> dict[int, Answer]:
        """Return the answers for one name, through aliases that lead to other servers' names."""
        ended: dict[int, Answer] = {}
        names = dict.fromkeys(kinds, name)
        ways: dict[int, list[str]] = {kind: [name] for kind in kinds}
        while names:
            asked = list(names.items())
            answers = await self.ask(Question(its_name, kind) for kind, its_name in asked)
            for (kind, its_name), answer in zip(asked, answers, strict=True):
                ways[kind] += answer.aliases
                if not answer.goes_on:
                    ended[kind] = answer
                    del names[kind]
                elif len(ways[kind]) > MAX_ALIASES or len({*ways[kind]}) < len(ways[kind]):
                    self._told.count("dns_alias_loop")
                    ended[kind] = Answer(Status.LOOP, server=answer.server)
                    del names[kind]
                else:
                    names[kind] = answer.canonical or its_name
        return {kind: replace(ended[kind], aliases=tuple(ways[kind][1:])) for kind in kinds}

    @contextmanager
    def _aboard(self, question: Question) -> Iterator[Lookup]:
        """Share the look-up for a question: that under way, or a new one."""
        lookup = self._lookups.get(question)
        if lookup is None:
            servers = self.servers()
            exchange = Exchange(question, servers, self.config, self._rng, self._told)
            lookup = Lookup(self._host, exchange, self._ended)
            self._lookups[question] = lookup
            try:
                lookup.begin()
            except BaseException:
                lookup.close()
                del self._lookups[question]
                raise
        else:
            self._told.count("dns_shared")
        lookup.askers += 1
        try:
            yield lookup
        finally:
            lookup.askers -= 1
            if not lookup.askers and self._lookups.get(question) is lookup:
                lookup.close()
                del self._lookups[question]

    def _ended(self, lookup: Lookup, now: float) -> None:
        """Keep what was learnt, and let the next who asks begin anew."""
        question, answer = lookup.exchange.question, lookup.exchange.answer
        assert answer is not None
        self.cache.keep(question, answer, now)
        if self._lookups.get(question) is lookup:
            del self._lookups[question]

    # the end

    def _in_order(self, answers: dict[int, Answer], name: str) -> Found:
        found = dict.fromkeys(
            parse_ip(record.address)
            for answer in answers.values()
            for record in answer.records
            if record.address is not None
        )
        aliases = [answer.canonical for answer in answers.values() if answer.canonical]
        ordered = self._known.in_order(tuple(found))
        if self._host.stack.observers and len(ordered) > 1:
            self._tell_order(name, ordered)
        return Found(aliases[0] if aliases else name, ordered)

    def _tell_order(self, name: str, ordered: Sequence[Ip]) -> None:
        """Tell observers in which order addresses are to be tried, and by which rule."""
        host = self._host
        found = tuple(format_on(host.stack, address) for address in ordered)
        why = why_order(host.stack, ordered)
        host.stack.notify(
            LookUp(host.now(), host.name, name, "ordered", addresses=found, detail=why)
        )

    def _error(self, name: str, tried: Sequence[Answer]) -> socket.gaierror:
        """Return why a name has no address, as getaddrinfo(3) has it."""
        by_status = {answer.status: answer for answer in tried}
        if Status.TIMED_OUT in by_status:
            servers = ", ".join(self.config.servers)
            return socket.gaierror(socket.EAI_AGAIN, f"{name!r}: no answer from {servers}")
        if (failed := by_status.get(Status.FAILED)) is not None and failed.rcode is not None:
            is_cut = failed.rcode == dns.NO_ERROR  # by TCP too
            why = "a truncated answer" if is_cut else dns.rcode_name(failed.rcode)
            return socket.gaierror(socket.EAI_AGAIN, f"{name!r}: {why}, says {failed.server}")
        if (circle := by_status.get(Status.LOOP)) is not None:
            why = f"the aliases of {name!r} lead in a circle, says {circle.server}"
            return socket.gaierror(socket.EAI_FAIL, why)
        if Status.NO_DATA in by_status:
            server = by_status[Status.NO_DATA].server
            return socket.gaierror(EAI_NODATA, f"{name!r} has no address, says {server}")
        server = by_status[Status.NO_NAME].server
        return socket.gaierror(socket.EAI_NONAME, f"no such name as {name!r}, says {server}")

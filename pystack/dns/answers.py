"""What a message says in answer to a question: records, a further name, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from pystack.wire.dns import CNAME, IN, NAME_ERROR, SOA, Message, Record

# Aliases that are followed for one name. RFC 1034 section 3.6.2 says that there should be none of
# aliases, section 5.2.2 that a resolver is to notice a circle; glibc and unbound stop here or near.
MAX_ALIASES: Final = 16
_MAX_TTL_S: Final = 86_400  # what RFC 8767 section 4 and most resolvers hold for enough
_MAX_NEGATIVE_TTL_S: Final = 3 * 3600  # RFC 2308 section 5: one to three hours


class Question(NamedTuple):
    """A name, in lower case and with no dot at its end, and the type of record that is wanted."""

    name: str
    kind: int


class Status(Enum):
    """What became of a question."""

    FOUND = "found"
    NO_DATA = "NODATA"  # there is that name, but nothing of that kind (RFC 2308 section 2.2)
    NO_NAME = "NXDOMAIN"
    FAILED = "SERVFAIL"  # servers answered, and none had an answer
    TIMED_OUT = "no answer"
    LOOP = "alias loop"  # aliases lead in a circle, or are too many


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a question."""

    status: Status
    records: tuple[Record, ...] = ()  # of the kind that was asked for
    aliases: tuple[str, ...] = ()  # the names that led to it, each an alias of the one before
    ttl_s: int = 0  # how long it may be kept
    goes_on: bool = False  # the last alias is to be asked for: this server did not say more
    server: str = ""  # who said so
    rcode: int | None = None  # of the last who answered; None: nobody did

    @property
    def canonical(self) -> str | None:
        """Return the name behind all aliases; None: it is the one that was asked for."""
        return self.aliases[-1] if self.aliases else None


class LoopError(Exception):
    """Aliases that lead in a circle, or are too many."""


def read(message: Message, question: Question, server: str = "") -> Answer:
    """Return what a message with NOERROR or NXDOMAIN says. Raises LoopError.

    Only what hangs together with the question counts: a server may add whatever it likes.
    """
    name = question.name
    aliases: list[str] = []
    ttls: list[int] = []
    while True:
        found = _of(message.answers, name, question.kind)
        if found:
            return Answer(
                Status.FOUND,
                tuple(found),
                tuple(aliases),
                _kept(ttls + [record.ttl_s for record in found]),
                server=server,
                rcode=message.rcode,
            )
        alias = _of(message.answers, name, CNAME)
        if not alias or alias[0].target is None:
            break
        ttls.append(alias[0].ttl_s)
        name = alias[0].target
        aliases.append(name)
        if len(aliases) > MAX_ALIASES or name in (question.name, *aliases[:-1]):
            raise LoopError(name)
    negative = _negative_ttl_s(message)
    status = Status.NO_NAME if message.rcode == NAME_ERROR else Status.NO_DATA
    # A server of the alias alone ends with it, without a word (an SOA) of what is behind.
    goes_on = bool(aliases) and status is Status.NO_DATA and negative is None
    return Answer(
        status,
        aliases=tuple(aliases),
        ttl_s=_kept(ttls if goes_on else [*ttls, negative or 0], _MAX_NEGATIVE_TTL_S),
        goes_on=goes_on,
        server=server,
        rcode=message.rcode,
    )


def _of(records: tuple[Record, ...], name: str, kind: int) -> list[Record]:
    return [it for it in records if it.kind == kind and it.name == name and it.klass == IN]


def _kept(ttls: list[int], most: int = _MAX_TTL_S) -> int:
    return min([*ttls, most])


def _negative_ttl_s(message: Message) -> int | None:
    """Return how long it may be remembered that there is nothing (RFC 2308 section 5).

    None: there is no SOA, so not at all.
    """
    for record in message.authority:
        if record.kind == SOA and record.soa_minimum_s is not None:
            return min(record.ttl_s, record.soa_minimum_s)
    return None

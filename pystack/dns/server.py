"""A DNS server without its sockets: a query in, an answer out.

It answers of what it knows by itself, and asks nobody (RFC 1034 section 4.3.1, RFC 6891, RFC 8482).
What it is to do wrong is in `faults.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Unpack

from pystack.core.counters import Counters
from pystack.core.errors import ConfigError, WireError
from pystack.core.rng import Random
from pystack.dns.faults import ALL, Fault, Faults, FaultWords, fault_of
from pystack.dns.names import Names
from pystack.dns.zone import Found, Zones
from pystack.wire import dns

MAX_QUERY_RECORDS: Final = 8  # beside its question; one of them is used, OPT
MAX_QUERY_LABELS: Final = 160  # a name has up to 127; those of the other records are short

_OPCODE_AT: Final = 2  # byte of the header, and the bits of it
_IS_RESPONSE: Final = 0x80
_OPCODE: Final = 0x78
# What is asked for that is no record (RFC 6895 section 3.1)
_NO_ANSWER: Final = {
    41: dns.FORMAT_ERROR,  # OPT
    249: dns.FORMAT_ERROR,  # TKEY
    250: dns.FORMAT_ERROR,  # TSIG
    251: dns.REFUSED,  # IXFR
    252: dns.REFUSED,  # AXFR
    253: dns.NOT_IMPLEMENTED,  # MAILB
    254: dns.NOT_IMPLEMENTED,  # MAILA
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and when it is to leave."""

    data: bytes
    after_s: float = 0.0


class DnsServer:
    """Knows records and the names of a network; answers queries about them."""

    def __init__(
        self,
        *,
        records: Iterable[str] = (),
        faults: Iterable[str] = (),
        names: Names | None = None,
        ttl_s: int = 0,
        host_name: str = "dns",
        rng: Random,
        counters: Counters | None = None,
    ) -> None:
        """`records`, `faults`: see `records.py`, `faults.py`. Raises ConfigError.

        `names`: of the network; None: there is none. `ttl_s`: how long they may be kept; 0: not at
        all, for a network can change at any time.
        """
        self.counters = Counters() if counters is None else counters
        self._zones = Zones(_texts("records", records), names, ttl_s, host_name)
        self._faults = Faults(_texts("faults", faults))
        self._is_all = names is not None and names.are_all
        self._rng = rng

    def set(self, *records: str) -> None:
        """Replace the records of their names and kinds, from now on.

        "www.example.test 60 A 10.0.0.9". What was there before is what the fault `stale` gives.
        Raises ConfigError.
        """
        self._zones.set(*records)

    def remove(self, name: str, kind: str | None = None) -> None:
        """Take out a name's records of one kind ("AAAA"), None for all. Raises ConfigError."""
        self._zones.remove(name, kind)

    def fault(self, name: str = ALL, **words: Unpack[FaultWords]) -> None:
        """Do something wrong from now on when a name is asked for, "*" for all.

        `dns.fault("www", late="2s", lost="30%")`, instead of what was wrong with it before;
        without words, nothing is. Raises ConfigError.
        """
        self._faults.set(name, fault_of(words) if words else None)

    def clear_faults(self) -> None:
        """Do nothing wrong any more."""
        self._faults.clear()

    def answer(self, data: bytes, *, by_tcp: bool = False) -> Reply | None:
        """Return the answer to a message; None: there is none, and a counter says why."""
        if len(data) > _OPCODE_AT and data[_OPCODE_AT] & _IS_RESPONSE:
            self.counters.add("dns_not_a_query")
            return None
        try:
            query = dns.parse_message(data, MAX_QUERY_RECORDS, MAX_QUERY_LABELS)
        except WireError as error:
            self.counters.add(error.reason)
            # What an update holds, say, is not for us to read.
            is_other = len(data) > _OPCODE_AT and data[_OPCODE_AT] & _OPCODE
            refusal = dns.pack_refusal(data, dns.NOT_IMPLEMENTED if is_other else dns.FORMAT_ERROR)
            return None if refusal is None else Reply(refusal)
        room = dns.MAX_BYTES if by_tcp else _room_by_udp(query)
        rcode = _why_not(query)
        if rcode is not None:
            self.counters.add("dns_refused")
            found = Found(rcode, authoritative=False)
            return Reply(dns.pack_message(self._response(query, found), room))
        [question] = query.questions
        fault = self._faults.find(question.name)
        if fault is not None:
            return self._answer_wrongly(query, fault, room)
        found = self._zones.look_up(question)
        self.counters.add("dns_answered")
        return Reply(dns.pack_message(self._response(query, found), room))

    def _answer_wrongly(self, query: dns.Message, fault: Fault, room: int) -> Reply | None:
        [question] = query.questions
        if self._happens("lost", fault.lost):
            return None
        if self._happens("servfail", fault.servfail):
            found = Found(dns.SERVER_FAILURE, authoritative=False)
        elif self._happens("nxdomain", fault.nxdomain):
            found = self._zones.deny(question.name)
        else:
            found = self._zones.look_up(question, stale=self._happens("stale", fault.stale))
            before = found.answers
            found.answers = _with_addresses(before, fault)
            if found.answers != before:
                self.counters.add("dns_fault_address")
        if fault.late_s:
            self.counters.add("dns_fault_late")
        return Reply(dns.pack_message(self._response(query, found), room), fault.late_s)

    def _happens(self, word: str, probability: float) -> bool:
        """Let chance say whether a fault happens, and count it if it does."""
        happens = probability > 0 and self._rng.random() < probability
        if happens:
            self.counters.add(f"dns_fault_{word}")
        return happens

    def _response(self, query: dns.Message, found: Found) -> dns.Message:
        edns = query.edns
        return dns.Message(
            ident=query.ident,
            is_response=True,
            opcode=query.opcode,
            rcode=found.rcode,
            authoritative=found.authoritative,
            recursion_desired=query.recursion_desired,
            # Where the network is all there is, nothing is left to ask others for.
            recursion_available=self._is_all,
            questions=query.questions,
            answers=tuple(found.answers),
            authority=tuple(found.authority),
            additional=tuple(found.additional),
            edns=None if edns is None else dns.Edns(dns.EDNS_BYTES, 0, edns.dnssec_ok),
        )


def _why_not(query: dns.Message) -> int | None:
    """Return the code of what is wrong with a query; None: it can be answered."""
    if query.edns is not None and query.edns.version > 0:
        return dns.BAD_VERSION
    if query.opcode != dns.QUERY:
        return dns.NOT_IMPLEMENTED
    if not query.questions:
        return dns.FORMAT_ERROR
    [question] = query.questions
    if question.klass not in (dns.IN, dns.ANY_CLASS):
        return dns.REFUSED
    return _NO_ANSWER.get(question.kind)


def _room_by_udp(query: dns.Message) -> int:
    if query.edns is None:
        return dns.UDP_BYTES
    return min(max(query.edns.payload_bytes, dns.UDP_BYTES), dns.EDNS_BYTES)


def _with_addresses(answers: list[dns.Record], fault: Fault) -> list[dns.Record]:
    """Return answers with the addresses that a fault gives them."""
    answers = list(answers)
    if fault.wrong is not None:
        kind = dns.kind_of_address(fault.wrong)
        right = [each for each in answers if each.kind == kind]
        if right:
            answers = [each for each in answers if each.kind not in dns.ADDRESS_KINDS]
            answers.append(dns.record(right[0].name, kind, right[0].ttl_s, fault.wrong))
    if fault.dead is not None:
        kind = dns.kind_of_address(fault.dead)
        for at, each in enumerate(answers):
            if each.kind == kind:
                answers.insert(at, dns.record(each.name, kind, each.ttl_s, fault.dead))
                break
    return answers


def _texts(word: str, lines: Iterable[str]) -> tuple[str, ...]:
    found = list(lines) if isinstance(lines, Iterable) and not isinstance(lines, str) else [None]
    texts = tuple(line for line in found if isinstance(line, str))
    if len(texts) < len(found):
        raise ConfigError(f"{word} is a list of texts, not {lines!r}")
    return texts

"""What there is, by name and kind, and what is answered of it (RFC 1034 section 4.3.2).

Records are the user's; beside them are the names of a network, which may change at any time. A
record is in the zone that the nearest SOA record above it begins; where there is none, in that of
the last two labels of its name ("example.test"), or, of an address's name, in that above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from pystack.core.errors import ConfigError
from pystack.dns.names import Names, ancestors_of
from pystack.dns.records import parse_record
from pystack.wire import dns

MAX_RECORDS_OF_A_SET: Final = 1000  # which is sent as one message
MAX_CHAIN: Final = 16  # of aliases
MAX_ADDITIONAL: Final = 32
NEGATIVE_TTL_S: Final = 60  # of zones without an SOA record of the user's

_TO_HOSTS: Final = frozenset({dns.MX, dns.SRV, dns.NS})  # whose targets' addresses are added

_Sets = Mapping[int, tuple[dns.Record, ...]]  # what is at a name, by kind


@dataclass(slots=True)
class Found:
    """What answers a question."""

    rcode: int = dns.NO_ERROR
    authoritative: bool = True
    answers: list[dns.Record] = field(default_factory=list)
    authority: list[dns.Record] = field(default_factory=list)
    additional: list[dns.Record] = field(default_factory=list)


class Zones:
    """All that a server knows by itself."""

    def __init__(
        self, records: Iterable[str], names: Names | None, ttl_s: int, host_name: str
    ) -> None:
        """`ttl_s`: of the network's names; None as `names`: there is no network.

        Raises ConfigError.
        """
        self._names = names
        self._ttl_s = ttl_s
        self._sets: dict[str, dict[int, tuple[dns.Record, ...]]] = {}
        self._nodes: set[str] = set()  # that have something at them or below
        self._apexes: dict[str, dns.Record] = {}  # of zones, with their SOA records
        self._turns: dict[tuple[str, int], int] = {}  # which of a set is first, next time
        self._before: dict[tuple[str, int], tuple[dns.Record, ...]] = {}  # the last change
        self._seen: dict[str, tuple[str, ...]] = {}  # addresses of the network's names
        self._host_name = (dns.canonical(host_name) if _is_name(host_name) else "") or "dns"
        self._add(map(parse_record, records))
        for name in () if names is None else names.all_names():
            self._of_network(name)

    def set(self, *lines: str) -> None:
        """Replace all records of their names and kinds. Raises ConfigError."""
        records = [parse_record(line) for line in lines]
        places = dict.fromkeys((each.name, each.kind) for each in records)
        before = {name: dict(sets) for name, sets in self._sets.items()}
        for name, kind in places:
            self._sets.get(name, {}).pop(kind, None)
        try:
            self._add(records)
        except ConfigError:
            self._sets = before
            self._rebuild()
            raise
        self._remember(before, places)

    def remove(self, name: str, kind: str | None = None) -> None:
        """Take out the records of a name, of one kind or all. Raises ConfigError for none."""
        try:
            key = dns.canonical(name)
            number = None if kind is None else dns.kind_of(kind)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        there = self._sets.get(key, {})
        kinds = list(there) if number is None else [number] if number in there else []
        if not kinds:
            what = "records" if kind is None else f"{kind} records"
            raise ConfigError(f"{name!r} has no {what}")
        self._remember(self._sets, [(key, each) for each in kinds])
        for each in kinds:
            del there[each]
        self._rebuild()

    def look_up(self, question: dns.Question, *, stale: bool = False) -> Found:
        """Return what answers a question; `stale`: as it was before the last change."""
        found = Found()
        name = question.name
        passed = {name}
        while True:
            above = ancestors_of(name)
            apex = self._apex_of(above)
            if apex is None:
                if not found.answers:
                    found.rcode, found.authoritative = dns.REFUSED, False
                return found
            above = above[: above.index(apex) + 1]  # no further than that
            referral = self._referral(above, question.kind)
            if referral is not None:
                found.authority = list(referral)
                found.authoritative = bool(found.answers)
                self._add_addresses(found, referral)
                return found
            sets = self._at(above, stale)
            if sets is None or not self._take(found, name, sets, question.kind):
                found.rcode = dns.NAME_ERROR if sets is None else dns.NO_ERROR
                found.authority = [self._denial(apex)]
                return found
            alias = found.answers[-1]
            if alias.kind != dns.CNAME or question.kind in (dns.CNAME, dns.ANY):
                self._add_addresses(found, found.answers)
                return found
            assert alias.target is not None
            name = alias.target
            if name in passed or len(passed) > MAX_CHAIN:
                return found  # in circles: what it leads to is for who asked to find out
            passed.add(name)

    def deny(self, name: str) -> Found:
        """Return the answer that there is no such name, whether there is or not."""
        apex = self._apex_of(ancestors_of(name))
        return Found(dns.NAME_ERROR, authority=[] if apex is None else [self._denial(apex)])

    def _take(self, found: Found, name: str, sets: _Sets, kind: int) -> bool:
        """Add what is asked for, or where that is to be found; False: there is neither."""
        if kind == dns.ANY:
            kind = next(iter(sets), kind)  # RFC 8482 section 4.1: one set will do
        elif kind not in sets:
            kind = dns.CNAME
        records = sets.get(kind, ())
        if len(records) > 1 and kind in dns.ADDRESS_KINDS and records[0].name in self._sets:
            whose = records[0].name, kind
            first = self._turns.get(whose, 0) % len(records)
            self._turns[whose] = first + 1
            records = records[first:] + records[:first]
        # Of a wildcard, they get the name that was asked for.
        found.answers += [
            each if each.name == name else replace(each, name=name) for each in records
        ]
        return bool(records)

    def _at(self, above: list[str], stale: bool) -> _Sets | None:
        """Return what there is at a name, a wildcard's too; None: there is no such name.

        `above`: the name, and those above it up to its zone's.
        """
        name, apex = above[0], above[-1]
        sets = self._own(name, stale)
        if sets is None:
            sets = self._of_network(name, stale)
        if name == apex:
            return {**(sets or {}), dns.SOA: (self._apexes[apex],)}
        is_new = stale and name in self._sets
        if sets is not None or (name in self._nodes and not is_new):
            return sets or {}
        # RFC 4592 section 3.3.1: the nearest that exists is the one that counts
        nearest = next((each for each in above[1:] if each in self._nodes), apex)
        return self._own(f"*.{nearest}" if nearest else "*", stale)

    def _own(self, name: str, stale: bool) -> _Sets | None:
        sets = self._sets.get(name)
        if not stale:
            return sets
        older = {kind: there for (whose, kind), there in self._before.items() if whose == name}
        merged = {kind: records for kind, records in {**(sets or {}), **older}.items() if records}
        return merged or None

    def _of_network(self, name: str, stale: bool = False) -> _Sets | None:
        """Return what the network knows of a name, and take note of changes."""
        if self._names is None:
            return None
        backwards = dns.reversed_address(name)
        if backwards is not None:
            found = self._names.name_of(backwards)
            if found is None or not _is_name(found):  # there are names that only a network can say
                return None
            return {dns.PTR: (dns.record(name, dns.PTR, self._ttl_s, found),)}
        addresses = self._names.addresses_of(name)
        if addresses is None:
            return None
        seen = self._seen.get(name, addresses)
        self._seen[name] = addresses
        for kind in dns.ADDRESS_KINDS if seen != addresses else ():
            self._before[name, kind] = self._address_records(name, kind, seen)
        return {
            kind: records
            for kind in dns.ADDRESS_KINDS
            if (
                records := self._before.get((name, kind), ())
                if stale and (name, kind) in self._before
                else self._address_records(name, kind, addresses)
            )
        }

    def _address_records(
        self, name: str, kind: int, addresses: Iterable[str]
    ) -> tuple[dns.Record, ...]:
        return tuple(
            dns.record(name, kind, self._ttl_s, each)
            for each in addresses
            if dns.kind_of_address(each) == kind
        )

    def _referral(self, above: list[str], kind: int) -> tuple[dns.Record, ...] | None:
        """Return the servers of a part of the zone that was given away; None: it is ours."""
        # What signs such a part is for the zone above it to say, RFC 4035 section 3.1.4.1.
        below = above[1:-1] if kind == dns.DS else above[:-1]
        for each in reversed(below):  # the one nearest to the apex
            if (servers := self._sets.get(each, {}).get(dns.NS)) is not None:
                return servers
        return None

    def _add_addresses(self, found: Found, records: Iterable[dns.Record]) -> None:
        """Add the addresses of those that mail, services and zones are with."""
        to_hosts = islice((each for each in records if each.kind in _TO_HOSTS), MAX_ADDITIONAL)
        for name in dict.fromkeys(each.target for each in to_hosts):
            if name is None:
                continue
            sets = self._own(name, False) or self._of_network(name) or {}
            for kind in dns.ADDRESS_KINDS:
                room = MAX_ADDITIONAL - len(found.additional)
                found.additional += sets.get(kind, ())[:room]

    def _denial(self, apex: str) -> dns.Record:
        """Return the SOA record that says how long "there is none" may be kept (RFC 2308 3)."""
        soa = self._apexes[apex]
        return replace(soa, ttl_s=min(soa.ttl_s, soa.soa_minimum_s or 0))

    def _apex_of(self, above: list[str]) -> str | None:
        return next((each for each in above if each in self._apexes), None)

    def _add(self, records: Iterable[dns.Record]) -> None:
        """Add records to those of their names and kinds. Raises ConfigError."""
        fresh: dict[tuple[str, int], dict[object, dns.Record]] = {}
        for each in records:
            sets = self._sets.setdefault(each.name, {})
            place = each.name, each.kind
            if place not in fresh:
                fresh[place] = {one.data: one for one in sets.get(each.kind, ())}
            _check(each, sets, fresh[place])
            fresh[place].setdefault(each.data, each)
            sets.setdefault(each.kind, ())
        for (name, kind), there in fresh.items():
            self._sets[name][kind] = tuple(there.values())
        self._rebuild()

    def _rebuild(self) -> None:
        """Find out anew which names and zones there are."""
        for name in [name for name, sets in self._sets.items() if not sets]:
            del self._sets[name]
        self._nodes = {each for name in self._sets for each in ancestors_of(name)}
        self._apexes = {
            name: sets[dns.SOA][0] for name, sets in self._sets.items() if dns.SOA in sets
        }
        for name in self._sets:
            # What the user says is not as short-lived as a network: also where the root is ours.
            if "." in name and not name.endswith(".arpa"):
                self._cover(name, _usual_apex(name))
        if self._names is not None:
            if self._names.are_all:
                self._apexes.setdefault("", self._made_soa("", self._ttl_s))
            else:
                for name in self._names.all_names():
                    self._cover(name, name)
                    for address in self._names.addresses_of(name) or ():
                        backwards = dns.reversed_name(address)
                        self._cover(backwards, backwards)
        for name in list(self._sets):
            self._cover(name, _usual_apex(name))

    def _cover(self, name: str, apex: str) -> None:
        """Begin a zone for a name that is in none."""
        if self._apex_of(ancestors_of(name)) is None:
            self._apexes[apex] = self._made_soa(apex, NEGATIVE_TTL_S)

    def _made_soa(self, apex: str, ttl_s: int) -> dns.Record:
        server = f"{self._host_name}. hostmaster.{self._host_name}."
        return dns.record(apex, dns.SOA, ttl_s, f"{server} 1 3600 600 86400 {ttl_s}")

    def _remember(
        self,
        before: Mapping[str, Mapping[int, tuple[dns.Record, ...]]],
        places: Iterable[tuple[str, int]],
    ) -> None:
        for name, kind in places:
            self._before[name, kind] = before.get(name, {}).get(kind, ())
            self._turns.pop((name, kind), None)


def _check(new: dns.Record, sets: _Sets, there: Mapping[object, dns.Record]) -> None:
    """Raise ConfigError for a record that cannot be beside the others at its name."""
    kind, owner = dns.kind_name(new.kind), new.name or "."
    others = next(iter(there.values()), new)
    if others.ttl_s != new.ttl_s:  # RFC 2181 section 5.2
        raise ConfigError(
            f"the {kind} records of {owner} live {others.ttl_s} s and {new.ttl_s} s: "
            "a set has one time to live"
        )
    if new.data in there:
        return
    if dns.CNAME in sets or (new.kind == dns.CNAME and sets):  # RFC 1034 section 3.6.2
        raise ConfigError(f"{owner} is a CNAME, and can have no other record beside it")
    if new.kind == dns.SOA and there:
        raise ConfigError(f"{owner} has two SOA records")
    if len(there) >= MAX_RECORDS_OF_A_SET:
        raise ConfigError(f"{owner} has more than {MAX_RECORDS_OF_A_SET} {kind} records")


def _usual_apex(name: str) -> str:
    """Return where the zone of a name begins, if nobody says."""
    # Of a wildcard, that of what is at its place
    above = ancestors_of(name.removeprefix("*.") if name != "*" else "")
    if name.endswith(".arpa"):
        return above[1]
    return above[max(len(above) - 3, 0)]


def _is_name(text: str) -> bool:
    try:
        dns.canonical(text)
    except ValueError:
        return False
    return True

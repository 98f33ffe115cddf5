"""A DNS server to ask, and its answers as dnspython reads them."""

from random import Random

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from pystack.dns.names import Names
from pystack.dns.server import DnsServer

ZONE = (
    "example.test 3600 SOA ns1.example.test. admin.example.test. 7 3600 600 86400 60",
    "example.test 3600 NS ns1.example.test",
    "example.test 600 MX 10 mail.example.test",
    "ns1.example.test 3600 A 10.77.0.53",
    "mail.example.test 600 A 10.77.0.25",
    "mail.example.test 600 AAAA 2001:db8::25",
    "www.example.test 300 A 10.77.0.5",
    "www.example.test 300 A 10.77.0.6",
    "www.example.test 300 A 10.77.0.7",
    "alias.example.test 60 CNAME other.example.test",
    "other.example.test 60 CNAME www.example.test",
    "away.example.test 60 CNAME www.example.org",
    "nowhere.example.test 60 CNAME nothing.example.test",
    "a.loop.example.test 60 CNAME b.loop.example.test",
    "b.loop.example.test 60 CNAME a.loop.example.test",
    "_sip._tcp.example.test 60 SRV 1 2 5060 mail.example.test",
    'www.example.test 60 TXT "v=spf1 -all" "more"',
    "*.wild.example.test 60 A 10.77.0.9",
    "deep.sub.wild.example.test 60 A 10.77.0.10",
    "given.example.test 60 NS ns.given.example.test",
    "ns.given.example.test 60 A 10.77.0.54",
    "5.0.77.10.in-addr.arpa 60 PTR www.example.test",
)


def server(*records: str, **words: object) -> DnsServer:
    return DnsServer(records=records, rng=Random(1), **words)  # type: ignore[arg-type]


def ask(
    asked: DnsServer, name: str, kind: str = "A", *, by_tcp: bool = False, **words: object
) -> dns.message.Message:
    """Return the answer to a question."""
    query = dns.message.make_query(name, kind, id=7, **words)  # type: ignore[arg-type]
    reply = asked.answer(query.to_wire(), by_tcp=by_tcp)
    assert reply is not None
    answer = dns.message.from_wire(reply.data)
    assert query.is_response(answer)
    return answer


def texts(section: list[dns.rrset.RRset]) -> list[str]:
    return [line for each in section for line in each.to_text().splitlines()]


def code(message: dns.message.Message) -> str:
    return dns.rcode.to_text(message.rcode())


SOA = "example.test. 60 IN SOA ns1.example.test. admin.example.test. 7 3600 600 86400 60"


ADDRESSES = {"server": ("10.0.0.9",), "router": ("10.0.0.1", "10.0.1.1"), "six": ("2001:db8::6",)}


def network(addresses: dict[str, tuple[str, ...]] = ADDRESSES, *, are_all: bool = True) -> Names:
    def name_of(address: str) -> str | None:
        return next((name for name, theirs in addresses.items() if address in theirs), None)

    return Names(addresses.get, name_of, addresses.keys, are_all)

"""What the DNS server answers; dnspython reads it."""

import sys

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rrset
import dns.update
import pytest
from dns_asking import SOA, ZONE, ask, code, network, server, texts
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import ConfigError
from pystack.dns.names import Names
from pystack.dns.server import DnsServer


@pytest.fixture
def zone() -> DnsServer:
    return server(*ZONE)


# --- what is there


def test_addresses_take_turns(zone: DnsServer) -> None:
    firsts = [ask(zone, "www.example.test").answer[0][0].to_text() for _ in range(4)]
    # A set has no order of dnspython's own: it keeps that of the message.
    assert firsts == ["10.77.0.5", "10.77.0.6", "10.77.0.7", "10.77.0.5"]


def test_an_answer_is_authoritative_and_offers_no_recursion(zone: DnsServer) -> None:
    answer = ask(zone, "WWW.example.TEST")
    assert answer.flags & dns.flags.AA
    assert not answer.flags & dns.flags.RA
    assert answer.question[0].name.to_text() == "WWW.example.TEST."
    assert answer.answer[0].ttl == 300


@pytest.mark.parametrize(
    ("name", "kind", "answer", "additional"),
    [
        (
            "example.test",
            "MX",
            ["example.test. 600 IN MX 10 mail.example.test."],
            [
                "mail.example.test. 600 IN A 10.77.0.25",
                "mail.example.test. 600 IN AAAA 2001:db8::25",
            ],
        ),
        (
            "_sip._tcp.example.test",
            "SRV",
            ["_sip._tcp.example.test. 60 IN SRV 1 2 5060 mail.example.test."],
            [
                "mail.example.test. 600 IN A 10.77.0.25",
                "mail.example.test. 600 IN AAAA 2001:db8::25",
            ],
        ),
        (
            "example.test",
            "NS",
            ["example.test. 3600 IN NS ns1.example.test."],
            ["ns1.example.test. 3600 IN A 10.77.0.53"],
        ),
        ("www.example.test", "TXT", ['www.example.test. 60 IN TXT "v=spf1 -all" "more"'], []),
        (
            "5.0.77.10.in-addr.arpa",
            "PTR",
            ["5.0.77.10.in-addr.arpa. 60 IN PTR www.example.test."],
            [],
        ),
        (
            "alias.example.test",
            "AAAA",
            [
                "alias.example.test. 60 IN CNAME other.example.test.",
                "other.example.test. 60 IN CNAME www.example.test.",
            ],
            [],
        ),
        (
            "alias.example.test",
            "CNAME",
            ["alias.example.test. 60 IN CNAME other.example.test."],
            [],
        ),
        ("away.example.test", "A", ["away.example.test. 60 IN CNAME www.example.org."], []),
        (
            "a.loop.example.test",
            "A",
            [
                "a.loop.example.test. 60 IN CNAME b.loop.example.test.",
                "b.loop.example.test. 60 IN CNAME a.loop.example.test.",
            ],
            [],
        ),
        ("any.wild.example.test", "A", ["any.wild.example.test. 60 IN A 10.77.0.9"], []),
        ("a.b.wild.example.test", "A", ["a.b.wild.example.test. 60 IN A 10.77.0.9"], []),
    ],
)
def test_records_are_given_with_what_goes_with_them(
    zone: DnsServer, name: str, kind: str, answer: list[str], additional: list[str]
) -> None:
    reply = ask(zone, name, kind)
    assert (code(reply), texts(reply.answer)) == ("NOERROR", answer)
    assert texts(reply.additional) == additional


def test_an_alias_is_followed_to_its_addresses(zone: DnsServer) -> None:
    answer = texts(ask(zone, "alias.example.test").answer)
    assert answer[:2] == [
        "alias.example.test. 60 IN CNAME other.example.test.",
        "other.example.test. 60 IN CNAME www.example.test.",
    ]
    assert len(answer) == 5


@pytest.mark.parametrize("kind", ["ANY", "HINFO"])
def test_any_gets_one_set(zone: DnsServer, kind: str) -> None:  # RFC 8482 section 4.1
    answer = ask(zone, "www.example.test", kind).answer
    assert [each.rdtype.name for each in answer] == (["A"] if kind == "ANY" else [])


def test_a_part_that_was_given_away_is_referred_to(zone: DnsServer) -> None:
    reply = ask(zone, "www.given.example.test")
    assert (code(reply), reply.answer) == ("NOERROR", [])
    assert not reply.flags & dns.flags.AA
    assert texts(reply.authority) == ["given.example.test. 60 IN NS ns.given.example.test."]
    assert texts(reply.additional) == ["ns.given.example.test. 60 IN A 10.77.0.54"]


def test_what_signs_a_part_is_for_the_zone_above_to_say(zone: DnsServer) -> None:
    reply = ask(zone, "given.example.test", "DS")  # RFC 4035 section 3.1.4.1
    assert (code(reply), reply.answer) == ("NOERROR", [])
    assert reply.flags & dns.flags.AA
    assert [each.rdtype.name for each in reply.authority] == ["SOA"]
    reply = ask(zone, "www.given.example.test", "DS")  # for who the part was given to
    assert not reply.flags & dns.flags.AA
    assert [each.rdtype.name for each in reply.authority] == ["NS"]


# --- what is not


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("nothing.example.test", "A", "NXDOMAIN"),
        ("nowhere.example.test", "A", "NXDOMAIN"),  # RFC 6604: that of the end of the chain
        ("www.example.test", "AAAA", "NOERROR"),
        ("alias.example.test", "MX", "NOERROR"),
        ("wild.example.test", "A", "NOERROR"),
        ("sub.wild.example.test", "A", "NOERROR"),  # there is something below it
        ("x.sub.wild.example.test", "A", "NXDOMAIN"),  # so the wildcard is not for those below it
        ("_tcp.example.test", "SRV", "NOERROR"),
    ],
)
def test_there_is_none_comes_with_how_long_it_may_be_kept(
    zone: DnsServer, name: str, kind: str, rcode: str
) -> None:
    reply = ask(zone, name, kind)
    assert code(reply) == rcode
    assert texts(reply.authority) == [SOA]  # RFC 2308: 60, not 3600
    assert reply.flags & dns.flags.AA


@pytest.mark.parametrize("name", ["www.example.org", "test", ".", "6.0.78.10.in-addr.arpa"])
def test_what_is_in_no_zone_is_refused(zone: DnsServer, name: str) -> None:
    reply = ask(zone, name)
    assert (code(reply), reply.answer, reply.authority) == ("REFUSED", [], [])


def test_a_zone_without_soa_is_that_of_the_last_two_labels() -> None:
    asked = server("a.b.example.test A 10.0.0.1")
    assert code(ask(asked, "b.example.test")) == "NOERROR"
    assert code(ask(asked, "c.example.test")) == "NXDOMAIN"
    assert code(ask(asked, "test")) == "REFUSED"
    [soa] = ask(asked, "example.test", "SOA").answer
    assert soa.ttl == 60


# --- queries of other sorts


@pytest.mark.parametrize(
    ("kind", "rcode"),
    [("AXFR", "REFUSED"), ("IXFR", "REFUSED"), ("OPT", "FORMERR"), ("MAILB", "NOTIMP")],
)
def test_what_is_no_record_is_not_asked_for(zone: DnsServer, kind: str, rcode: str) -> None:
    assert code(ask(zone, "example.test", kind)) == rcode


def test_other_classes_and_operations_are_refused(zone: DnsServer) -> None:
    chaos = ask(zone, "version.bind", "TXT", rdclass="CH")
    assert code(chaos) == "REFUSED"
    query = dns.message.make_query("www.example.test", "A", use_edns=0)
    for opcode in (dns.opcode.IQUERY, dns.opcode.STATUS, dns.opcode.NOTIFY):
        query.set_opcode(opcode)
        for junk, edns in ((b"", 0), (b"junk", -1)):  # what cannot be read has no question either
            reply = zone.answer(query.to_wire() + junk)
            assert reply is not None
            answer = dns.message.from_wire(reply.data)
            assert (answer.rcode(), answer.opcode()) == (dns.rcode.NOTIMP, opcode)
            assert answer.edns == edns
    update = dns.update.UpdateMessage("example.test")
    update.add("www", 300, "A", "10.0.0.1")
    reply = zone.answer(update.to_wire())
    assert reply is not None
    assert dns.message.from_wire(reply.data).rcode() == dns.rcode.NOTIMP
    # The first was of another class.
    assert (zone.counters["dns_refused"], zone.counters["dns_trailing_bytes"]) == (5, 3)


def test_what_is_no_query_is_answered_by_its_code_or_not_at_all(zone: DnsServer) -> None:
    reply = zone.answer(bytes(4) + b"\xff\xff" + bytes(6))
    assert reply is not None
    assert dns.message.from_wire(reply.data).rcode() == dns.rcode.FORMERR
    assert zone.answer(b"") is None
    assert zone.answer(b"\0\7\x81\x80" + bytes(8)) is None  # two servers would never stop
    no_question = zone.answer(bytes(12))
    assert no_question is not None
    assert dns.message.from_wire(no_question.data).rcode() == dns.rcode.FORMERR
    assert zone.counters["dns_many_questions"] == zone.counters["dns_not_a_query"] == 1


def test_edns_of_later_versions_is_told_so(zone: DnsServer) -> None:
    reply = ask(zone, "www.example.test", use_edns=1)
    assert (reply.rcode(), reply.edns, reply.answer) == (dns.rcode.BADVERS, 0, [])


def test_cookies_are_ignored(zone: DnsServer) -> None:  # RFC 7873 section 5.2.2
    cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
    reply = ask(zone, "www.example.test", use_edns=0, options=[cookie])
    assert (reply.edns, reply.options, reply.payload) == (0, (), 1232)


@pytest.mark.parametrize(
    ("words", "most"),
    [
        ({}, 512),
        ({"use_edns": 0, "payload": 100}, 512),
        ({"use_edns": 0, "payload": 1000}, 1000),
        ({"use_edns": 0, "payload": 65535}, 1232),
    ],
)
def test_by_udp_no_more_is_sent_than_both_can_take(words: dict[str, int], most: int) -> None:
    # An address takes 16 bytes, the rest 34, EDNS 11
    fits = (most - 34 - (11 if words else 0)) // 16
    for count in (fits, fits + 1):
        records = [f"many.example.test A 10.0.{n // 256}.{n % 256}" for n in range(count)]
        asked = server(*records)
        query = dns.message.make_query("many.example.test", "A", **words)  # type: ignore[arg-type]
        reply = asked.answer(query.to_wire())
        assert reply is not None
        answer = dns.message.from_wire(reply.data)
        is_whole = count == fits
        assert bool(answer.flags & dns.flags.TC) is not is_whole
        assert sum(map(len, answer.answer)) == (count if is_whole else 0)
        assert len(reply.data) <= most
        assert is_whole or len(reply.data) <= len(query.to_wire())
        whole = ask(asked, "many.example.test", by_tcp=True, **words)
        assert sum(map(len, whole.answer)) == count


# --- the names of a network


def test_names_of_the_network_have_their_addresses_and_may_not_be_kept() -> None:
    asked = server(names=network())
    assert texts(ask(asked, "Server").answer) == ["Server. 0 IN A 10.0.0.9"]
    for _ in range(2):  # in the order of the interfaces: the first is the one that is usual
        [router] = ask(asked, "router").answer
        assert [each.to_text() for each in router] == ["10.0.0.1", "10.0.1.1"]
    assert texts(ask(asked, "six", "AAAA").answer) == ["six. 0 IN AAAA 2001:db8::6"]
    assert ask(asked, "server").flags & dns.flags.RA


def test_a_network_is_all_there_is() -> None:
    asked = server("www.example.test A 10.0.0.5", names=network())
    assert (code(ask(asked, "server", "AAAA")), code(ask(asked, "example.org"))) == (
        "NOERROR",
        "NXDOMAIN",
    )
    assert len(ask(asked, "www.example.test").answer) == 1


def test_in_a_network_too_the_users_zones_say_how_long_there_is_none() -> None:
    asked = server("www.example.test A 10.0.0.5", "alone A 10.0.0.6", names=network())
    for name, kind, apex, ttl_s in (
        ("www.example.test", "AAAA", "example.test.", 60),
        ("nothing.example.test", "A", "example.test.", 60),
        ("alone", "AAAA", ".", 0),
        ("server", "AAAA", ".", 0),
    ):
        [soa] = ask(asked, name, kind).authority
        assert (soa.name.to_text(), soa.ttl) == (apex, ttl_s)


def test_an_address_of_the_network_has_its_name() -> None:
    asked = server(names=network())
    assert texts(ask(asked, "1.1.0.10.in-addr.arpa", "PTR").answer) == [
        "1.1.0.10.in-addr.arpa. 0 IN PTR router."
    ]
    assert code(ask(asked, "8.0.0.10.in-addr.arpa", "PTR")) == "NXDOMAIN"


@pytest.mark.parametrize("name", ["dns of probe", "größe", "x" * 64, ""])
def test_a_host_of_any_name_can_say_that_there_is_none(name: str) -> None:
    asked = server("www.example.test A 10.0.0.1", names=network(), host_name=name)
    [soa] = ask(asked, "nothing").authority
    assert soa.name.to_text() == "."


def test_a_host_alone_knows_itself_and_nothing_else() -> None:
    asked = server(names=network({"pystack": ("10.77.0.2",)}, are_all=False))
    assert len(ask(asked, "pystack").answer) == 1
    assert len(ask(asked, "2.0.77.10.in-addr.arpa", "PTR").answer) == 1
    assert code(ask(asked, "example.org")) == "REFUSED"
    assert code(ask(asked, "3.0.77.10.in-addr.arpa", "PTR")) == "REFUSED"


# --- while it runs


def test_records_are_put_in_the_place_of_others() -> None:
    asked = server("www.test 60 A 10.0.0.1", "www.test 60 A 10.0.0.2", "www.test TXT x")
    asked.set("www.test 30 A 10.0.0.3", "new.test A 10.0.0.4")
    assert texts(ask(asked, "www.test").answer) == ["www.test. 30 IN A 10.0.0.3"]
    assert len(ask(asked, "www.test", "TXT").answer) == len(ask(asked, "new.test").answer) == 1
    with pytest.raises(ConfigError):
        asked.set("new.test A 10.0.0.9", "www.test CNAME new.test")
    assert texts(ask(asked, "new.test").answer) == ["new.test. 300 IN A 10.0.0.4"]
    asked.remove("www.test", "A")
    assert code(ask(asked, "www.test")) == "NOERROR"
    asked.remove("www.test")
    asked.remove("new.test")
    assert code(ask(asked, "www.test")) == "REFUSED"
    for name, kind in (("www.test", None), ("www.test", "A"), ("www.test", "WHAT"), ("..", None)):
        with pytest.raises(ConfigError):
            asked.remove(name, kind)


# --- strangers


@given(st.binary(max_size=200), st.booleans())
def test_hostile_bytes_are_answered_briefly_or_not_at_all(data: bytes, by_tcp: bool) -> None:
    asked = server(*ZONE, names=network(), faults=["* lost 50%"])
    for candidate in (data, b"\0\7\1\0\0\1\0\0\0\0\0\0" + data, data[:2] + b"\0\0\0\1" + data):
        reply = asked.answer(candidate, by_tcp=by_tcp)
        if reply is not None:
            answer = dns.message.from_wire(reply.data)
            assert answer.flags & dns.flags.QR
            assert by_tcp or len(reply.data) <= 512


@given(st.data())
def test_any_name_gets_an_answer_that_dnspython_reads(draw: st.DataObject) -> None:
    label = st.one_of(st.binary(min_size=1, max_size=20), st.sampled_from([b"1", b"0", b"f", b"*"]))
    labels = draw.draw(st.lists(label, max_size=8))
    below = draw.draw(
        st.sampled_from(
            [
                (b"example", b"test"),
                (b"wild", b"example", b"test"),
                (),
                (b"in-addr", b"arpa"),
                (b"ip6", b"arpa"),
            ]
        )
    )
    name = dns.name.Name((*labels, *below, b""))
    kind = draw.draw(st.integers(0, 65535))
    query = dns.message.make_query(name, dns.rdatatype.RdataType.make(1))
    data = bytearray(query.to_wire())
    data[-4:-2] = kind.to_bytes(2, "big")
    reply = server(*ZONE, names=network()).answer(bytes(data))
    assert reply is not None
    answer = dns.message.from_wire(reply.data)
    assert answer.question[0].name.labels == name.labels
    assert answer.rcode() != dns.rcode.SERVFAIL


def test_a_long_name_is_not_much_more_work_than_a_short_one() -> None:
    asked = server(*ZONE, names=network(), faults=["*.example.org lost"])

    def calls(labels: int) -> int:
        count = 0

        def note(_frame: object, event: str, _arg: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        name = dns.name.Name((b"a",) * labels + (b"example", b"test", b""))
        query = dns.message.make_query(name, "A").to_wire()
        sys.setprofile(note)
        try:
            asked.answer(query)
        finally:
            sys.setprofile(None)
        return count

    calls(1)
    # What grew with the square of its labels took a hundred times as long.
    assert calls(119) < 10 * calls(1)


@pytest.mark.parametrize(
    ("record", "name"), [("*.test A 10.0.0.9", "www.test"), ("* A 10.0.0.9", "www.example.test")]
)
def test_a_wildcard_below_a_short_name_is_in_the_zone_of_what_it_stands_for(
    record: str, name: str
) -> None:
    assert texts(ask(server(record), name).answer) == [f"{name}. 300 IN A 10.0.0.9"]


def test_of_many_hosts_the_addresses_of_the_first_alone_are_looked_for() -> None:
    """Else a question of 40 bytes costs 12 ms, to be answered with the flag TC."""
    asked: list[str] = []

    def addresses_of(name: str) -> tuple[str, ...] | None:
        asked.append(name)
        return None

    names = Names(addresses_of, lambda _: None, list)
    many = server(*(f"example.test MX {n} mail{n}.example.test" for n in range(900)), names=names)
    asked.clear()
    assert ask(many, "example.test", "MX").flags & dns.flags.TC
    assert len([name for name in asked if name.startswith("mail")]) == 32

"""What the DNS server answers when it is told to do something wrong."""

import dns.message
import pytest
from dns_asking import ADDRESSES, SOA, ZONE, ask, code, network, server, texts

from pystack.dns.server import DnsServer


def wrong(*faults: str, records: tuple[str, ...] = ZONE, **words: object) -> DnsServer:
    return server(*records, faults=faults, **words)


def test_an_answer_that_is_lost_is_none() -> None:
    asked = wrong("www.example.test lost")
    query = dns.message.make_query("www.example.test", "A").to_wire()
    assert asked.answer(query) is None
    assert asked.counters["dns_fault_lost"] == 1
    assert len(ask(asked, "mail.example.test").answer) == 1


def test_a_part_of_the_answers_is_lost() -> None:
    asked = wrong("* lost 30%")
    query = dns.message.make_query("www.example.test", "A").to_wire()
    got = sum(asked.answer(query) is not None for _ in range(1000))
    assert 650 < got < 750


def test_an_answer_is_late() -> None:
    asked = wrong("*.example.test late 1500ms")
    query = dns.message.make_query("www.example.test", "A").to_wire()
    reply = asked.answer(query)
    assert reply is not None
    assert reply.after_s == 1.5


@pytest.mark.parametrize(
    ("fault", "rcode"),
    [("servfail", "SERVFAIL"), ("nxdomain", "NXDOMAIN"), ("servfail 0%", "NOERROR")],
)
def test_an_answer_has_a_wrong_code(fault: str, rcode: str) -> None:
    reply = ask(wrong(f"www.example.test {fault}"), "www.example.test")
    assert code(reply) == rcode
    assert bool(reply.answer) is (rcode == "NOERROR")
    assert texts(reply.authority) == ([SOA] if rcode == "NXDOMAIN" else [])


@pytest.mark.parametrize(
    ("fault", "name", "kind", "addresses"),
    [
        ("wrong 192.0.2.1", "www.example.test", "A", ["192.0.2.1"]),
        ("wrong 192.0.2.1", "mail.example.test", "AAAA", ["2001:db8::25"]),
        ("wrong 2001:db8::bad", "mail.example.test", "AAAA", ["2001:db8::bad"]),
        ("wrong 192.0.2.1", "nothing.example.test", "A", []),
        (
            "dead 192.0.2.1",
            "www.example.test",
            "A",
            ["192.0.2.1", "10.77.0.5", "10.77.0.6", "10.77.0.7"],
        ),
        ("dead 192.0.2.1", "mail.example.test", "AAAA", ["2001:db8::25"]),
    ],
)
def test_a_name_has_wrong_addresses(fault: str, name: str, kind: str, addresses: list[str]) -> None:
    reply = ask(wrong(f"* {fault}"), name, kind)
    assert [each.to_text() for item in reply.answer for each in item] == addresses


def test_the_addresses_at_the_end_of_a_chain_are_wrong_and_the_chain_is_not() -> None:
    answer = texts(ask(wrong("alias.example.test wrong 192.0.2.1"), "alias.example.test").answer)
    assert answer == [
        "alias.example.test. 60 IN CNAME other.example.test.",
        "other.example.test. 60 IN CNAME www.example.test.",
        "www.example.test. 300 IN A 192.0.2.1",
    ]


def test_a_stale_answer_is_what_it_was_before_the_change() -> None:
    asked = server("www.a.test 60 A 10.0.0.1")
    asked.fault("www.a.test", stale=True)
    assert texts(ask(asked, "www.a.test").answer) == ["www.a.test. 60 IN A 10.0.0.1"]
    asked.set("www.a.test 60 A 10.0.0.2")
    assert texts(ask(asked, "www.a.test").answer) == ["www.a.test. 60 IN A 10.0.0.1"]
    asked.set("new.a.test 60 A 10.0.0.3")
    asked.fault("*", stale=True)
    assert code(ask(asked, "new.a.test")) == "NXDOMAIN"
    asked.clear_faults()
    assert texts(ask(asked, "www.a.test").answer) == ["www.a.test. 60 IN A 10.0.0.2"]


def test_the_network_too_had_other_addresses_before() -> None:
    addresses = dict(ADDRESSES)
    asked = server(names=network(addresses), faults=["* stale"])
    addresses["server"] = ("10.0.0.10",)
    assert texts(ask(asked, "server").answer) == ["server. 0 IN A 10.0.0.9"]
    asked.fault()
    assert texts(ask(asked, "server").answer) == ["server. 0 IN A 10.0.0.10"]


def test_the_nearest_fault_is_the_one_that_counts() -> None:
    asked = wrong("* lost", "*.example.test servfail", "www.example.test nxdomain")
    assert code(ask(asked, "www.example.test")) == "NXDOMAIN"
    assert code(ask(asked, "mail.example.test")) == "SERVFAIL"
    asked.fault("www.example.test")
    assert code(ask(asked, "www.example.test")) == "SERVFAIL"
    asked.fault("*.example.test", servfail=0.0)
    assert code(ask(asked, "www.example.test")) == "NOERROR"
    assert asked.answer(dns.message.make_query("example.org", "A").to_wire()) is None

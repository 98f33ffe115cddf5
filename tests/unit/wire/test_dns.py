"""DNS messages, with dpkt as the oracle."""

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import parse_ip4
from pystack.core.errors import WireError
from pystack.wire import dns


def query_bytes(name: str, kind: int = dns.A, **fields: int) -> bytes:
    """Return a query as dpkt makes it."""
    question = dpkt.dns.DNS.Q(name=name, type=kind)
    return bytes(dpkt.dns.DNS(id=0xBEEF, qd=[question], **fields))


def test_a_query_is_read_with_its_name_in_lower_case() -> None:
    query = dns.parse_query(query_bytes("Server.Lab", dns.AAAA))
    assert (query.ident, query.name) == (0xBEEF, "server.lab")
    assert (query.kind, query.klass) == (dns.AAAA, dns.IN)
    assert query.is_standard
    assert query.recursion_desired  # dpkt's own default


def test_an_answer_repeats_the_question_letter_by_letter() -> None:
    # RFC 1035 section 4.1.1; and who mixes the letters' case to be safe from forgers wants it back.
    query = dns.parse_query(query_bytes("sErVeR"))
    reply = dpkt.dns.DNS(dns.pack_answer(query, dns.NO_ERROR, (dns.A, bytes((10, 0, 0, 9)))))
    assert (reply.id, reply.qr, reply.aa, reply.rd, reply.ra, reply.rcode) == (
        (0xBEEF, 1, 1, 1, 1, 0)
    )
    [question], [answer] = reply.qd, reply.an
    assert (question.name, question.type) == ("sErVeR", dns.A)
    assert (answer.name, answer.type, answer.cls, answer.ttl) == ("sErVeR", dns.A, dns.IN, 0)
    assert answer.ip == bytes((10, 0, 0, 9))


def test_an_answer_without_records_has_its_code() -> None:
    query = dns.parse_query(query_bytes("nobody", rd=0))
    reply = dpkt.dns.DNS(dns.pack_answer(query, dns.NAME_ERROR))
    assert (reply.rcode, reply.rd, reply.an) == (dns.NAME_ERROR, 0, [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "dns_truncated"),
        (query_bytes("server")[:11], "dns_truncated"),
        (query_bytes("server")[:15], "dns_truncated"),
        (query_bytes("server")[:-1], "dns_truncated"),
        (query_bytes("server")[:-5], "dns_truncated"),
        (query_bytes("server", qr=1), "dns_not_a_query"),
        (bytes(dpkt.dns.DNS(id=1, qd=[])), "dns_not_one_question"),
        (query_bytes("server")[:12] + b"\xc0\x0c\0\1\0\1", "dns_compressed_question"),
        (query_bytes("server")[:12] + b"\x3f" + bytes(62), "dns_truncated"),
        (query_bytes("server")[:12] + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1", "dns_long_name"),
    ],
)
def test_what_is_no_query_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        dns.parse_query(data)
    assert caught.value.reason == reason


@given(st.binary(max_size=300))
def test_hostile_bytes_raise_nothing_but_a_wire_error(data: bytes) -> None:
    for candidate in (data, bytes(4) + b"\0\1" + bytes(6) + data):
        try:
            query = dns.parse_query(candidate)
        except WireError:
            continue
        assert dns.pack_answer(query, dns.REFUSED)[12:].startswith(query.question)


def test_a_name_is_packed_as_length_and_letters() -> None:
    assert dns.pack_name("ab.c.") == b"\2ab\1c\0"
    assert dns.pack_name("") == b"\0"


@pytest.mark.parametrize("name", ["a..b", "x" * 64, ".".join(["x" * 60] * 5), "größe"])
def test_a_name_that_dns_cannot_say_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError among them
        dns.pack_name(name)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("4.3.2.10.in-addr.arpa", parse_ip4("10.2.3.4")),
        ("255.0.0.0.in-addr.arpa", parse_ip4("0.0.0.255")),
        ("256.0.0.10.in-addr.arpa", None),
        ("3.2.10.in-addr.arpa", None),
        ("a.3.2.10.in-addr.arpa", None),
        ("server", None),
    ],
)
def test_the_names_of_reverse_lookups_are_addresses(name: str, address: int | None) -> None:
    assert dns.reversed_address(name) == address

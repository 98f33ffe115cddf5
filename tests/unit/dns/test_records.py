"""Records and zones in text."""

from random import Random

import pytest

from pystack.core.errors import ConfigError
from pystack.dns.names import ancestors_of
from pystack.dns.records import parse_record
from pystack.dns.server import DnsServer


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("www.example.test 300 A 10.77.0.5", "www.example.test. 300 IN A 10.77.0.5"),
        ("www.example.test. A 10.77.0.5", "www.example.test. 300 IN A 10.77.0.5"),
        ("  WWW.Example.TEST\t5m\tin  a  10.77.0.5 ", "www.example.test. 300 IN A 10.77.0.5"),
        ("a IN 1h30m AAAA 2001:db8::1", "a. 5400 IN AAAA 2001:db8::1"),
        ("a 0 MX 10 mail.test", "a. 0 IN MX 10 mail.test."),
        ('a TXT "two  words" x', 'a. 300 IN TXT "two  words" "x"'),
        ("_x._tcp.a 2w SRV 1 2 80 w.a.", "_x._tcp.a. 1209600 IN SRV 1 2 80 w.a."),
        (". NS ns1.", ". 300 IN NS ns1."),
        ("größe A 10.0.0.1", "xn--gre-6ka8i. 300 IN A 10.0.0.1"),
    ],
)
def test_a_record_is_a_line_of_a_zone_file(text: str, line: str) -> None:
    assert str(parse_record(text)) == line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is NAME [TTL] TYPE DATA"),
        ("www", "it is NAME [TTL] TYPE DATA"),
        ("www 300", "it is NAME [TTL] TYPE DATA"),
        ("www A", "is not data of A"),
        ("www A 10.0.0", "'10.0.0' is not data of A"),
        ("www 300 400 A 10.0.0.1", "'400' is not a type"),
        ("www 99999999999 A 10.0.0.1", "a time to live of 99999999999 s is outside"),
        (f"www {'9' * 5000} A 10.0.0.1", "is not a record"),
        (f"www {'1' * 100}x A 10.0.0.1", "is not a type"),  # read once, not in 2**100 ways
        ("www ANY x", "ANY is for queries"),
        ("www TYPE41 x", "TYPE41 is for queries"),
        ("a..b A 10.0.0.1", "'a..b' is not a name for DNS"),
        ("A 10.0.0.1", "'10.0.0.1' is not a type"),
    ],
)
def test_a_bad_record_is_told_with_how_it_should_be(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_record(text)
    assert words in str(caught.value)
    assert "is not a record such as 'www.example.test 300 A 10.77.0.5'" in str(caught.value)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (["a A 10.0.0.1", "a 5 A 10.0.0.2"], "the A records of a live 300 s and 5 s"),
        (["a A 10.0.0.1", "a CNAME b"], "a is a CNAME, and can have no other record"),
        (["a CNAME b", "A TXT x"], "a is a CNAME, and can have no other record"),
        (["a CNAME b", "a CNAME c"], "a is a CNAME, and can have no other record"),
        (["a SOA b c 1 2 3 4 5", "a SOA b c 2 2 3 4 5"], "a has two SOA records"),
        ([f"a A 10.0.{n // 256}.{n % 256}" for n in range(1001)], "a has more than 1000 A records"),
    ],
)
def test_records_that_cannot_be_together_are_told(records: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DnsServer(records=records, rng=Random(1))


def test_the_same_record_twice_is_one() -> None:
    DnsServer(records=["a CNAME b", "A. 300 CNAME b."], rng=Random(1))


def test_the_names_above_a_name() -> None:
    assert ancestors_of("a.b.c") == ["a.b.c", "b.c", "c", ""]
    assert ancestors_of(r"a\.b.c") == [r"a\.b.c", "c", ""]
    assert ancestors_of(r"a\\.b") == [r"a\\.b", "b", ""]
    assert ancestors_of("") == [""]

"""What a message says in answer to a question."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.dns.answers import MAX_ALIASES, Answer, LoopError, Question, Status, read
from pystack.wire import dns

WWW = Question("www.example.test", dns.A)
SOA = "ns1.example.test. root.example.test. 1 3600 600 86400 {minimum}"


def message(*lines: str, rcode: int = dns.NO_ERROR, soa: tuple[int, int] | None = None) -> Answer:
    """Return what is read of a message; `soa`: its TTL and its minimum."""
    answers = []
    for line in lines:
        name, ttl, kind, data = line.split(maxsplit=3)
        answers.append(dns.record(name, kind, int(ttl), data))
    authority = ()
    if soa is not None:
        text = SOA.format(minimum=soa[1])
        authority = (dns.record("example.test", "SOA", soa[0], text),)
    return read(
        dns.Message(
            ident=1,
            is_response=True,
            rcode=rcode,
            answers=tuple(answers),
            authority=authority,  # type: ignore[arg-type]
        ),
        WWW,
    )


def addresses(answer: Answer) -> list[str | None]:
    """Return the addresses in it."""
    return [record.address for record in answer.records]


def test_addresses_are_found_in_the_order_of_the_server() -> None:
    answer = message("www.example.test 60 A 10.0.0.9", "www.example.test 30 A 10.0.0.8")
    assert answer.status is Status.FOUND
    assert addresses(answer) == ["10.0.0.9", "10.0.0.8"]
    assert answer.ttl_s == 30
    assert answer.canonical is None


def test_aliases_are_followed_in_any_order_and_the_shortest_time_holds() -> None:
    answer = message(
        "b.test 40 A 10.0.0.9", "a.test 20 CNAME b.test", "www.example.test 30 CNAME a.test"
    )
    assert addresses(answer) == ["10.0.0.9"]
    assert answer.aliases == ("a.test", "b.test")
    assert answer.canonical == "b.test"
    assert answer.ttl_s == 20


def test_what_a_server_adds_of_other_names_is_not_believed() -> None:
    answer = message("bank.test 60 A 6.6.6.6", "www.example.test 60 TXT hello", soa=(60, 60))
    assert answer.status is Status.NO_DATA
    assert answer.records == ()


def test_a_record_of_another_class_is_of_another_world() -> None:
    chaos = dns.record(WWW.name, "A", 60, "6.6.6.6")
    chaos.klass = 3
    assert read(dns.Message(ident=1, answers=(chaos,)), WWW).status is Status.NO_DATA


def test_an_alias_alone_is_to_be_asked_for_further() -> None:
    answer = message("www.example.test 30 CNAME elsewhere.test")
    assert answer.goes_on
    assert answer.canonical == "elsewhere.test"
    assert answer.ttl_s == 30


@pytest.mark.parametrize(
    ("rcode", "soa", "status", "ttl_s"),
    [
        (dns.NAME_ERROR, (60, 30), Status.NO_NAME, 30),
        (dns.NAME_ERROR, (20, 30), Status.NO_NAME, 20),
        (dns.NAME_ERROR, None, Status.NO_NAME, 0),
        (dns.NO_ERROR, (60, 30), Status.NO_DATA, 30),
        (dns.NO_ERROR, None, Status.NO_DATA, 0),
        (dns.NAME_ERROR, (90_000, 90_000), Status.NO_NAME, 10_800),
    ],
)
def test_nothing_is_kept_as_long_as_its_soa_says(
    rcode: int, soa: tuple[int, int] | None, status: Status, ttl_s: int
) -> None:
    answer = message(rcode=rcode, soa=soa)
    assert (answer.status, answer.ttl_s, answer.goes_on) == (status, ttl_s, False)


def test_an_alias_of_nothing_is_nothing() -> None:
    answer = message("www.example.test 30 CNAME gone.test", rcode=dns.NAME_ERROR, soa=(60, 60))
    assert answer.status is Status.NO_NAME
    assert answer.ttl_s == 30


def test_a_long_time_to_live_is_a_day() -> None:
    assert message("www.example.test 999999 A 10.0.0.9").ttl_s == 86_400


@pytest.mark.parametrize(
    "lines",
    [
        ["www.example.test 1 CNAME www.example.test"],
        ["www.example.test 1 CNAME a.test", "a.test 1 CNAME www.example.test"],
        ["www.example.test 1 CNAME a.test", "a.test 1 CNAME b.test", "b.test 1 CNAME a.test"],
        ["www.example.test 1 CNAME n0"]
        + [f"n{number} 1 CNAME n{number + 1}" for number in range(MAX_ALIASES)],
    ],
)
def test_aliases_in_a_circle_or_without_an_end_are_refused(lines: list[str]) -> None:
    with pytest.raises(LoopError):
        message(*lines)


NAMES = st.sampled_from([WWW.name, "a.test", "b.test", "c.test"])
LINES = st.one_of(
    st.tuples(NAMES, st.just("A"), st.sampled_from(["10.0.0.8", "10.0.0.9"])),
    st.tuples(NAMES, st.just("CNAME"), NAMES),
    st.tuples(NAMES, st.just("TXT"), st.just("hello")),
)


@given(st.lists(LINES, max_size=12), st.sampled_from([dns.NO_ERROR, dns.NAME_ERROR]))
def test_whatever_a_server_says_what_is_believed_hangs_together(
    lines: list[tuple[str, str, str]], rcode: int
) -> None:
    records = tuple(dns.record(name, kind, 60, data) for name, kind, data in lines)
    said = dns.Message(ident=1, is_response=True, rcode=rcode, answers=records)
    try:
        answer = read(said, WWW)
    except LoopError:
        assert any(record.kind == dns.CNAME for record in records)
        return
    chain = [WWW.name, *answer.aliases]
    assert len({*chain}) == len(chain)
    for one, other in pairwise(chain):
        assert any(it.name == one and it.target == other for it in records)
    if answer.status is Status.FOUND:
        assert answer.records
        assert {record.name for record in answer.records} == {chain[-1]}
    else:
        assert not any(it.name == chain[-1] and it.kind == dns.A for it in records)
        assert answer.goes_on == (rcode == dns.NO_ERROR and len(chain) > 1)

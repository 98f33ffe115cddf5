"""One question and the servers it is put to: tries, answers that count, and those that do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.dns.answers import Question, Status
from pystack.dns.config import ResolverConfig
from pystack.dns.exchange import Exchange, Send, Server
from pystack.wire import dns

WWW = Question("www.example.test", dns.A)
ONE, TWO = ("10.0.0.1", 53), ("10.0.0.2", 53)


@dataclass
class Told:
    """Remembers what was counted and dropped."""

    counted: Counter[str] = field(default_factory=Counter)
    dropped: list[str] = field(default_factory=list)

    def count(self, name: str) -> None:
        """Count it."""
        self.counted[name] += 1

    def drop(self, name: str, data: bytes, now: float) -> None:
        """Note it."""
        self.dropped.append(name)


def exchange(*servers: Server, **words: object) -> tuple[Exchange, Told]:
    """Return an exchange with some servers, and who is told."""
    told = Told()
    config = ResolverConfig(servers=("x",), **words)  # type: ignore[arg-type]
    return Exchange(WWW, servers or (ONE,), config, Random(1), told), told


def begun(*servers: Server, **words: object) -> tuple[Exchange, Told, Send]:
    """Return the same, and its first query, sent at second 10."""
    made, told = exchange(*servers, **words)
    send = made.begin(10.0)
    assert send is not None
    return made, told, send


def answer_to(
    send: Send,
    *,
    address: str | None = "10.0.0.9",
    rcode: int = dns.NO_ERROR,
    truncated: bool = False,
    **changes: object,
) -> bytes:
    """Return an answer to a query."""
    query = dns.parse_message(send.data)
    records = () if address is None else (dns.record(WWW.name, "A", 60, address),)
    message = dns.Message(
        ident=query.ident,
        is_response=True,
        rcode=rcode,
        truncated=truncated,
        questions=query.questions,
        answers=records,
        edns=query.edns,
    )
    for name, value in changes.items():
        setattr(message, name, value)
    return dns.pack_message(message)


def arrive(made: Exchange, data: bytes, send: Send, now: float = 10.1) -> Send | None:
    """Let a message come from where the query went."""
    return made.arrived(data, send.server, now, over_tcp=send.over_tcp)


def test_the_first_answer_ends_it() -> None:
    made, told, send = begun()
    assert (send.server, send.over_tcp, made.deadline) == (ONE, False, 15.0)
    query = dns.parse_message(send.data)
    assert query.recursion_desired
    assert query.edns == dns.Edns(1232)
    assert arrive(made, answer_to(send), send) is None
    assert made.answer is not None
    assert made.answer.records[0].address == "10.0.0.9"
    assert made.answer.server == "10.0.0.1"
    assert told.counted == {"dns_queries": 1}


def test_each_server_is_asked_for_each_attempt_and_waited_for_as_long() -> None:
    made, told, _ = begun(ONE, TWO)
    asked = []
    now = 10.0
    while made.answer is None:
        now += 5.0
        assert made.deadline == now
        send = made.timed_out(now)
        asked.append(None if send is None else send.server)
    assert asked == [TWO, ONE, TWO, None]
    assert made.answer.status is Status.TIMED_OUT
    assert told.counted == {"dns_queries": 4, "dns_timeout": 4, "dns_retry": 3}


def test_a_late_answer_to_an_earlier_try_counts() -> None:
    made, _, first = begun()
    second = made.timed_out(15.0)
    assert second is not None
    assert dns.parse_message(second.data).ident != dns.parse_message(first.data).ident
    arrive(made, answer_to(first), first, 15.1)
    assert made.answer is not None


@pytest.mark.parametrize("rcode", [dns.SERVER_FAILURE, dns.REFUSED, 11])
def test_a_server_that_has_failed_is_not_waited_for(rcode: int) -> None:
    made, told, send = begun(ONE, TWO)
    after = arrive(made, answer_to(send, address=None, rcode=rcode), send)
    assert after is not None
    assert (after.server, made.deadline) == (TWO, 15.1)
    arrive(made, answer_to(after), after, 10.2)
    assert made.answer is not None
    assert made.answer.status is Status.FOUND
    assert told.counted["dns_server_failed"] == 1


def test_where_all_have_failed_the_answer_says_so() -> None:
    made, _, send = begun(attempts=1)
    failure = answer_to(send, address=None, rcode=dns.SERVER_FAILURE)
    assert arrive(made, failure, send) is None
    assert made.answer is not None
    assert (made.answer.status, made.answer.rcode) == (Status.FAILED, dns.SERVER_FAILURE)


def test_a_bare_failure_is_one() -> None:
    made, told, send = begun(ONE, TWO, edns_bytes=None)
    ident = dns.parse_message(send.data).ident
    query = dns.pack_message(dns.Message(ident=ident))
    refusal = dns.pack_refusal(query, dns.FORMAT_ERROR)
    assert refusal is not None
    assert arrive(made, refusal, send) is not None
    assert told.dropped == []


@pytest.mark.parametrize("rcode", [dns.FORMAT_ERROR, dns.NOT_IMPLEMENTED, dns.BAD_VERSION])
def test_a_server_without_edns_is_asked_again_without(rcode: int) -> None:
    made, told, send = begun()
    again = arrive(made, answer_to(send, address=None, rcode=rcode), send)
    assert again is not None
    assert dns.parse_message(again.data).edns is None
    arrive(made, answer_to(again), again)
    assert made.answer is not None
    assert made.answer.status is Status.FOUND
    assert told.counted["dns_edns_refused"] == 1


def test_a_truncated_answer_is_asked_for_by_tcp() -> None:
    made, told, send = begun()
    again = arrive(made, answer_to(send, truncated=True), send)
    assert again is not None
    assert (again.over_tcp, again.server, made.deadline) == (True, ONE, 15.1)
    # by UDP nobody is to answer it
    made.arrived(answer_to(again), ONE, 10.2, over_tcp=False)
    assert told.dropped == ["dns_answer_wrong_ident"]
    arrive(made, answer_to(again), again)
    assert made.answer is not None
    assert made.came_by_tcp
    assert told.counted["dns_truncated"] == 1


def test_without_tcp_the_next_server_is_asked() -> None:
    made, told, send = begun(ONE, TWO)
    by_tcp = arrive(made, answer_to(send, truncated=True), send)
    assert by_tcp is not None
    after = made.stream_failed(10.2)
    assert after is not None
    assert (after.server, after.over_tcp) == (TWO, False)
    assert told.counted["dns_stream_failed"] == 1


def test_tcp_may_be_asked_for_at_once() -> None:
    _, _, send = begun(use_tcp=True)
    assert send.over_tcp


def test_an_unreachable_server_is_left_at_once_but_once() -> None:
    made, told, _ = begun(ONE, TWO)
    after = made.unreachable(ONE, 10.1)
    assert after is not None
    assert after.server == TWO
    assert made.unreachable(ONE, 10.2) is None  # known already
    assert made.answer is None
    assert told.counted["dns_server_unreachable"] == 1


def forged(send: Send, what: str) -> tuple[bytes, Server]:
    """Return an answer that is wrong in one point, and where it comes from."""
    query = dns.parse_message(send.data)
    match what:
        case "dns_answer_wrong_ident":
            return answer_to(send, ident=query.ident ^ 1), ONE
        case "dns_answer_from_stranger":
            return answer_to(send), ("10.0.0.66", 53)
        case "port":
            return answer_to(send), ("10.0.0.1", 5353)
        case "other server":
            return answer_to(send), TWO
        case "dns_answer_wrong_question":
            return answer_to(send, questions=(dns.Question("bank.test", dns.A),)), ONE
        case "kind":
            return answer_to(send, questions=(dns.Question(WWW.name, dns.TXT),)), ONE
        case "class":
            return answer_to(send, questions=(dns.Question(WWW.name, dns.A, 3),)), ONE
        case "no question":
            return answer_to(send, questions=()), ONE
        case "dns_answer_is_none":
            return answer_to(send, is_response=False), ONE
        case "opcode":
            return answer_to(send, opcode=4), ONE
        case "dns_answer_malformed":
            return answer_to(send)[:-3], ONE
        case _:
            return b"x", ONE


@pytest.mark.parametrize(
    ("what", "counter"),
    [
        ("dns_answer_wrong_ident", None),
        ("dns_answer_from_stranger", None),
        ("port", "dns_answer_from_stranger"),
        ("other server", "dns_answer_from_stranger"),
        ("dns_answer_wrong_question", None),
        ("kind", "dns_answer_wrong_question"),
        ("class", "dns_answer_wrong_question"),
        ("no question", "dns_answer_wrong_question"),
        ("dns_answer_is_none", None),
        ("opcode", "dns_answer_is_none"),
        ("dns_answer_malformed", None),
        ("short", "dns_answer_malformed"),
    ],
)
def test_a_forged_answer_is_dropped_by_name_and_the_right_one_still_counts(
    what: str, counter: str | None
) -> None:
    made, told, send = begun(ONE, TWO)
    data, server = forged(send, what)
    assert made.arrived(data, server, 10.05, over_tcp=False) is None
    assert made.answer is None
    assert told.dropped == [counter or what]
    arrive(made, answer_to(send), send)
    assert made.answer is not None
    assert made.arrived(answer_to(send), ONE, 10.2, over_tcp=False) is None
    assert told.dropped[1:] == ["dns_answer_late"]


def test_an_answer_with_a_guessed_ident_is_not_read() -> None:
    """It may have 16,000 labels, which take 40 ms; who guesses has thousands of them."""
    made, told, send = begun()
    malformed = bytearray(answer_to(send)[:-3])
    malformed[0] ^= 1
    assert made.arrived(bytes(malformed), ONE, 10.05, over_tcp=False) is None
    assert told.dropped == ["dns_answer_wrong_ident"]


def test_the_case_of_letters_does_not_matter() -> None:
    made, _, send = begun()
    data = answer_to(send).replace(b"\3www\7example", b"\3WwW\7eXample", 1)
    arrive(made, data, send)
    assert made.answer is not None


def test_aliases_in_a_circle_are_the_end() -> None:
    made, told, send = begun()
    circle = dns.record(WWW.name, "CNAME", 60, WWW.name)
    arrive(made, answer_to(send, answers=(circle,)), send)
    assert made.answer is not None
    assert made.answer.status is Status.LOOP
    assert told.counted["dns_alias_loop"] == 1


def test_whoever_digs_takes_a_failure_for_an_answer() -> None:
    made, _, send = begun(ONE, TWO)
    made.takes_failures = True
    arrive(made, answer_to(send, address=None, rcode=dns.REFUSED), send)
    assert made.answer is not None
    assert made.answer.rcode == dns.REFUSED


STEPS = st.sampled_from(
    ["timeout", "servfail", "truncated", "formerr", "stream", "unreachable", "noise", "forged"]
)


@given(st.lists(STEPS, max_size=60), st.integers(1, 3), st.integers(1, 3), st.data())
def test_whatever_happens_it_ends_after_a_bounded_number_of_queries(
    steps: list[str], servers: int, attempts: int, data: st.DataObject
) -> None:
    made, told = exchange(*[(f"10.0.0.{n}", 53) for n in range(1, servers + 1)], attempts=attempts)
    send = made.begin(0.0)
    last = send
    now = 0.0
    for step in steps:
        if made.answer is not None:
            break
        assert last is not None
        assert made.deadline == pytest.approx(now + 5.0) or made.deadline > now
        server = last.server
        match step:
            case "timeout":
                now = made.deadline
                send = made.timed_out(now)
            case "servfail":
                send = arrive(made, answer_to(last, address=None, rcode=2), last, now)
            case "truncated":
                send = arrive(made, answer_to(last, truncated=True), last, now)
            case "formerr":
                send = arrive(made, answer_to(last, address=None, rcode=1), last, now)
            case "stream":
                send = made.stream_failed(now) if last.over_tcp else None
            case "unreachable":
                send = made.unreachable(server, now)
            case "noise":
                noise = data.draw(st.binary(max_size=40))
                send = made.arrived(noise, server, now, over_tcp=last.over_tcp)
            case _:
                wrong = answer_to(last, questions=(dns.Question("bank.test", 1),))
                send = arrive(made, wrong, last, now)
        last = send or last
    # each try at most once more without EDNS, and once more by TCP
    assert made.sent <= attempts * servers * 2 + servers
    assert len(made._pending) <= made.sent
    while made.answer is None:
        now = made.deadline
        made.timed_out(now)
    assert made.sent <= attempts * servers * 2 + servers
    assert made.answer.status in (Status.TIMED_OUT, Status.FAILED)
    assert made._pending == []
    assert told.counted["dns_queries"] + told.counted["dns_queries_tcp"] == made.sent

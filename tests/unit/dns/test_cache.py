"""What is remembered of names, and for how long."""

from hypothesis import given
from hypothesis import strategies as st

from pystack.dns.answers import Answer, Question, Status
from pystack.dns.cache import Cache
from pystack.wire import dns

WWW = Question("www.example.test", dns.A)


def found(ttl_s: int) -> Answer:
    """Return an answer with an address."""
    record = dns.record(WWW.name, "A", ttl_s, "10.0.0.9")
    return Answer(Status.FOUND, (record,), ttl_s=ttl_s)


def test_an_answer_is_known_until_its_time_is_over() -> None:
    cache = Cache(10)
    cache.keep(WWW, found(60), 100.0)
    assert cache.find(WWW, 159.9) == found(60)
    assert cache.find(WWW, 160.0) is None
    assert len(cache) == 0
    assert cache.find(Question(WWW.name, dns.AAAA), 100.0) is None


def test_what_has_no_time_is_not_kept() -> None:
    cache = Cache(10)
    cache.keep(WWW, found(0), 0.0)
    for status in (Status.FAILED, Status.TIMED_OUT, Status.LOOP):
        cache.keep(WWW, Answer(status), 0.0)
    assert len(cache) == 0


def test_a_name_that_there_is_not_has_nothing_of_any_kind() -> None:
    cache = Cache(10)
    cache.keep(WWW, Answer(Status.NO_NAME, ttl_s=30), 0.0)
    known = cache.find(Question(WWW.name, dns.TXT), 29.9)
    assert known is not None
    assert known.status is Status.NO_NAME
    assert cache.find(WWW, 30.0) is None


def test_no_data_is_known_of_that_kind_alone() -> None:
    cache = Cache(10)
    cache.keep(WWW, Answer(Status.NO_DATA, ttl_s=30), 0.0)
    assert cache.find(WWW, 1.0) is not None
    assert cache.find(Question(WWW.name, dns.AAAA), 1.0) is None


def test_behind_an_alias_there_may_be_no_name_and_the_alias_is_still_one() -> None:
    cache = Cache(10)
    cache.keep(WWW, Answer(Status.NO_NAME, aliases=("gone.test",), ttl_s=30), 0.0)
    assert cache.find(WWW, 1.0) is not None
    assert cache.find(Question(WWW.name, dns.CNAME), 1.0) is None


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    cache = Cache(2)
    one, two, three = (Question(name, dns.A) for name in ("one", "two", "three"))
    cache.keep(one, found(60), 0.0)
    cache.keep(two, found(60), 0.0)
    cache.find(one, 1.0)
    cache.keep(three, found(60), 2.0)
    assert [*cache] == [one, three]


def test_with_no_entries_nothing_is_kept() -> None:
    cache = Cache(0)
    cache.keep(WWW, found(60), 0.0)
    assert len(cache) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-1, 50), st.integers(0, 9))))
def test_it_never_has_more_than_its_limit_nor_what_is_over(
    steps: list[tuple[int, int, int]],
) -> None:
    cache = Cache(5)
    now = 0.0
    ends: dict[Question, float] = {}
    for name, ttl_s, later in steps:
        question = Question(str(name), dns.A)
        known = cache.find(question, now)
        assert known is None or now < ends[question]
        cache.keep(question, found(max(ttl_s, 0)), now)
        if ttl_s > 0:
            ends[question] = now + ttl_s
        assert len(cache) <= 5
        now += later


def test_answers_of_a_thousand_records_count_for_what_they_are() -> None:
    """Each takes 300 KB: a thousand of them would be 300 MB."""
    cache, many = Cache(100), dns.MAX_RECORDS
    records = tuple(
        dns.record("www.test", "A", 60, f"10.0.{n >> 8}.{n & 255}") for n in range(many)
    )
    for number in range(5):
        cache.keep(Question(f"{number}.test", dns.A), Answer(Status.FOUND, records, ttl_s=60), 0.0)
    assert [name for name, _ in cache] == ["4.test"]  # of 8 records each a hundred have room
    for number in range(101):
        question = Question(f"small{number}.test", dns.A)
        cache.keep(question, Answer(Status.FOUND, records[:8], ttl_s=60), 1.0)
    assert len(cache) == 100
    for question in cache:
        assert cache.find(question, 100.0) is None
    cache.keep(Question("last.test", dns.A), Answer(Status.FOUND, records, ttl_s=60), 100.0)
    assert len(cache) == 1

"""Byte ranges and conditions, RFC 9110 sections 13 and 14."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from http_talk import Answer, ask, get
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.http import HttpError, Request, Response
from pystack.apps.http.conditions import http_date_s
from pystack.apps.http.ranges import Representation, answer, parse_range

DATA = bytes(range(100))
THING = Representation(len(DATA), '"tag"', 1_000_000_000, "text/plain")
MODIFIED = "Sun, 09 Sep 2001 01:46:40 GMT"


async def handler(request: Request) -> Response:
    return answer(request, THING, lambda start, stop: DATA[start:stop])


async def ask_with(*headers: str, method: str = "GET") -> Answer:
    return await ask(get("/", *headers, method=method), handler, method=method)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 100)),
        ("bytes=0-100", (0, 100)),
        ("bytes=99-", (99, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=5-99999999999999999999", (5, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-100", (0, 100)),
        ("bytes=-101", (0, 100)),
        ("BYTES= 1-2 ", (1, 3)),
        # what is not understood is as if it were not there
        ("bytes=2-1", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes", None),
        ("bytes=a-b", None),
        ("bytes=1-2x", None),
        ("bytes=--1", None),
        ("bytes=+1-2", None),
        ("bytes=\u0661-2", None),  # a digit, but not an ASCII one
        ("bytes=" + "9" * 5000 + "-", None),
        ("lines=1-2", None),
        ("bytes=0-1,5-6", None),  # more than one: the whole
    ],
)
def test_one_range_is_read_and_anything_odd_means_the_whole(
    text: str, part: tuple[int, int] | None
) -> None:
    assert parse_range(text, 100) == part


@pytest.mark.parametrize(
    ("text", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0)]
)
def test_a_range_beyond_the_end_is_a_416(text: str, size: int) -> None:
    with pytest.raises(HttpError) as caught:
        parse_range(text, size)
    assert caught.value.status == 416
    assert ("Content-Range", f"bytes */{size}") in caught.value.headers


def test_the_last_bytes_of_nothing_are_the_whole() -> None:
    assert parse_range("bytes=-5", 0) is None


@given(st.text(max_size=30) | st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}"), st.integers(0, 9999))
def test_a_range_always_lies_within_and_is_never_empty(text: str, size: int) -> None:
    try:
        part = parse_range(text, size)
    except HttpError as error:
        assert error.status == 416  # noqa: PT017
        return
    if part is not None:
        assert 0 <= part[0] < part[1] <= size


@pytest.mark.trio
async def test_a_range_is_answered_with_206() -> None:
    part = await ask_with("Range: bytes=10-19")
    assert (part.status, part.body) == (206, DATA[10:20])
    assert part.headers["content-range"] == "bytes 10-19/100"
    assert part.headers["content-length"] == "10"
    assert part.headers["etag"] == '"tag"'


@pytest.mark.trio
async def test_without_a_range_the_whole_is_sent_and_says_that_ranges_work() -> None:
    whole = await ask_with()
    assert (whole.status, whole.body) == (200, DATA)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["last-modified"] == MODIFIED


@pytest.mark.trio
async def test_a_range_counts_with_get_alone() -> None:
    whole = await ask_with("Range: bytes=10-19", method="HEAD")
    assert (whole.status, whole.headers["content-length"]) == (200, "100")


@pytest.mark.trio
async def test_an_unsatisfiable_range_is_a_416_that_names_the_size() -> None:
    refused = await ask_with("Range: bytes=100-")
    assert (refused.status, refused.headers["content-range"]) == (416, "bytes */100")


@pytest.mark.trio
@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"tag"', 206),
        ('"other"', 200),
        ('W/"tag"', 200),  # a weak tag never promises the same bytes
        (MODIFIED, 206),
        ("Sun, 09 Sep 2001 01:46:41 GMT", 200),
        ("yesterday", 200),
    ],
)
async def test_if_range_gives_the_part_only_of_the_same_thing(condition: str, status: int) -> None:
    assert (await ask_with("Range: bytes=0-0", f"If-Range: {condition}")).status == status


@pytest.mark.trio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (['If-None-Match: "tag"'], 304),
        (['If-None-Match: W/"tag"'], 304),
        (['If-None-Match: "a", "tag" , "b"'], 304),
        (["If-None-Match: *"], 304),
        (['If-None-Match: "other"'], 200),
        ([f"If-Modified-Since: {MODIFIED}"], 304),
        (["If-Modified-Since: Sun, 09 Sep 2001 01:46:41 GMT"], 304),
        (["If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT"], 200),
        (["If-Modified-Since: Sunday, 09-Sep-01 01:46:40 GMT"], 304),  # the obsolete form
        (["If-Modified-Since: Sun Sep  9 01:46:40 2001"], 304),  # asctime's, in GMT like the others
        (["If-Modified-Since: Sun Sep  9 01:46:39 2001"], 200),
        (["If-Modified-Since: Sun, 09 Sep 2001 01:46:40 -0500"], 200),  # no HTTP date
        (["If-Modified-Since: Sun, 31 Feb 2001 01:46:40 GMT"], 200),
        (["If-Modified-Since: tomorrow"], 200),
        (['If-None-Match: "other"', f"If-Modified-Since: {MODIFIED}"], 200),
        (['If-None-Match: "tag"', "Range: bytes=0-1"], 304),
    ],
)
async def test_what_the_client_has_already_is_not_sent_again(
    headers: list[str], status: int
) -> None:
    for method in ("GET", "HEAD"):
        got = await ask_with(*headers, method=method)
        assert got.status == status
        assert got.headers["etag"] == '"tag"'
        if status == 304:
            assert got.body == b""
            assert "content-type" not in got.headers


@pytest.mark.trio
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
async def test_a_date_means_the_same_wherever_the_server_is(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for date in ("Sun Sep  9 01:46:40 2001", MODIFIED, "Sunday, 09-Sep-01 01:46:40 GMT"):
            assert (await ask_with(f"If-Modified-Since: {date}")).status == 304
            assert (await ask_with(f"If-Unmodified-Since: {date}")).status == 200
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("now_s", "year", "expected"),
    [(0.0, "01", 2001), (1.79e9, "76", 2076), (1.79e9, "77", 1977), (1.79e9, "26", 2026)],
)
def test_a_year_of_two_digits_is_at_most_50_years_ahead(
    now_s: float, year: str, expected: int
) -> None:
    seconds = http_date_s(f"Sunday, 09-Sep-{year} 01:46:40 GMT", now_s)
    assert seconds is not None
    assert datetime.fromtimestamp(seconds, UTC).year == expected


@given(st.text(max_size=40))
def test_what_is_no_date_is_none(text: str) -> None:
    assert http_date_s(text, 0.0) is None


@pytest.mark.trio
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (['If-Match: "tag"'], 200),
        (['If-Match: "a,", "tag"'], 200),
        (["If-Match: *"], 200),
        (['If-Match: "other"'], 412),
        (['If-Match: W/"tag"'], 412),  # the strong comparison
        (["If-Match: "], 412),
        ([f"If-Unmodified-Since: {MODIFIED}"], 200),
        (["If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT"], 412),
        (["If-Unmodified-Since: tomorrow"], 200),
        # If-Match counts, and not the date; then come the conditions of caches
        (['If-Match: "tag"', "If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT"], 200),
        (['If-Match: "tag"', 'If-None-Match: "tag"'], 304),
        (['If-Match: "other"', 'If-None-Match: "tag"'], 412),
    ],
)
async def test_a_condition_that_does_not_hold_is_a_412(headers: list[str], status: int) -> None:
    for method in ("GET", "HEAD"):
        assert (await ask_with(*headers, method=method)).status == status


@pytest.mark.trio
async def test_a_date_of_a_second_that_may_not_be_over_resumes_nothing() -> None:
    fresh = replace(THING, is_date_strong=False)

    async def serve_fresh(request: Request) -> Response:
        return answer(request, fresh, lambda start, stop: DATA[start:stop])

    raw = get("/", "Range: bytes=0-0", f"If-Range: {MODIFIED}")
    assert (await ask(raw, serve_fresh)).status == 200
    assert (await ask(raw, handler)).status == 206

"""What comes from a client reaches h11 whole, in order, and a body without a look at its lines."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.http.feed import Feed
from pystack.apps.http.messages import HttpError
from pystack.apps.limits import Limits

LINES = b"\n" * 65536  # a body with more lines than a head may have


def head(feed: Feed, text: bytes) -> None:
    """Feed a request's head, and say what the server says then."""
    feed.add(text)
    event = feed.next_event()
    assert isinstance(event, h11.Request)
    for name, value in event.headers:
        if name == b"content-length":
            feed.expect_body(int(value))


def body(feed: Feed) -> list[bytes]:
    """Return the parts of a body as h11 gives them."""
    parts = []
    while isinstance(event := feed.next_event(), h11.Data):
        parts.append(bytes(event.data))
    return parts


def test_a_body_of_a_known_length_is_not_cut() -> None:
    feed = Feed(Limits())
    head(feed, b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 131072\r\n\r\n")
    feed.add(LINES)
    assert body(feed) == [LINES]
    feed.add(LINES)
    assert body(feed) == [LINES]
    assert feed.http.their_state is h11.DONE


def test_lines_behind_a_body_are_counted_again() -> None:
    feed = Feed(Limits())
    head(feed, b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n")
    feed.add(LINES + b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 101)
    assert body(feed) == [LINES]
    feed.http.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
    feed.http.send(h11.EndOfMessage())
    feed.http.start_next_cycle()
    with pytest.raises(HttpError, match="100 lines"):
        feed.next_event()


@given(st.lists(st.integers(1, 3000), max_size=8), st.booleans())
def test_however_it_is_cut_it_is_the_same(cuts: list[int], chunked: bool) -> None:
    content = bytes(range(10, 14)) * 2000
    if chunked:
        sent = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent += b"1f40\r\n" + content + b"\r\n0\r\n\r\n"
    else:
        sent = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n" + content
    sent += b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
    feed, received, at = Feed(Limits()), b"", 0
    for size in [*cuts, len(sent)]:
        part, at = sent[at : at + size], min(at + size, len(sent))
        if part:
            feed.add(part)
        event = feed.next_event()
        while event not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Request) and not chunked:
                feed.expect_body(8000)
            elif isinstance(event, h11.Data):
                received += event.data
            event = feed.next_event()
    assert received == content
    assert feed.rest == b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("piece_bytes", [1, 100, 600, 16384])
def test_a_head_has_as_many_lines_however_it_comes(piece_bytes: int) -> None:
    def come(fields: int) -> None:
        feed = Feed(Limits())
        text = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * (fields - 1) + b"\r\n"
        for start in range(0, len(text), piece_bytes):
            feed.add(text[start : start + piece_bytes])
            event = feed.next_event()
        assert isinstance(event, h11.Request)

    come(100)
    for fields in (101, 2000):
        with pytest.raises(HttpError, match="100 lines"):
            come(fields)

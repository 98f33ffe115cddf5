"""URLs, variables of `-w` and content codings of the clients: values in, values out."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.clients.decoding import PIECE_BYTES, Decoder
from pystack.apps.clients.transfer import VARIABLES, Transfer, as_dict, written_out
from pystack.apps.clients.trouble import ClientError, Status
from pystack.apps.clients.url import PORTS, Url


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "target", "name"),
    [
        ("http://server/", "http", "server", 80, "/", ""),
        ("server", "http", "server", 80, "/", ""),
        ("server:8080/a/b.txt", "http", "server", 8080, "/a/b.txt", "b.txt"),
        ("HTTPS://Server/?q=1#part", "https", "server", 443, "/?q=1", ""),
        ("ftp.server/x", "ftp", "ftp.server", 21, "/x", "x"),
        ("http://server/a b%20c/é", "http", "server", 80, "/a%20b%20c/%C3%A9", "é"),
        ("http://bücher.example/", "http", "xn--bcher-kva.example", 80, "/", ""),
        ("http://[::1]:81/", "http", "::1", 81, "/", ""),
        ("ws://server/ws/echo", "ws", "server", 80, "/ws/echo", "echo"),
        ("http://server/%2e%2e%2fetc", "http", "server", 80, "/%2e%2e%2fetc", ".._etc"),
    ],
)
def test_a_url_is_taken_apart(
    text: str, scheme: str, host: str, port: int, target: str, name: str
) -> None:
    if " " in text:
        text = text.replace(" ", "%20")
    url = Url.parse(text)
    assert (url.scheme, url.host, url.port, url.target) == (scheme, host, port, target)
    assert url.file_name == name


def test_who_logs_in_may_be_in_it() -> None:
    url = Url.parse("http://me:p%40ss@server:81/")
    assert (url.user, url.password, url.authority) == ("me", "p@ss", "server:81")
    assert Url.parse("http://server/").user is None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("gopher://server/", Status.UNSUPPORTED_PROTOCOL),
        ("http://", Status.MALFORMED_URL),
        ("http:///path", Status.MALFORMED_URL),
        ("http://server:port/", Status.MALFORMED_URL),
        ("http://server:0/", Status.MALFORMED_URL),
        ("http://server:65536/", Status.MALFORMED_URL),
        ("http://ser ver/", Status.MALFORMED_URL),
        ("http://server/\r\nX: y", Status.MALFORMED_URL),
        ("http://[::1/", Status.MALFORMED_URL),
        ("", Status.MALFORMED_URL),
    ],
)
def test_what_is_no_url_has_curls_status(text: str, status: Status) -> None:
    with pytest.raises(ClientError) as caught:
        Url.parse(text)
    assert caught.value.status is status


def test_an_ip6_address_without_brackets_is_told_so() -> None:
    for text in ("http://fd00::2/a", "fd00::2/a"):
        with pytest.raises(ClientError, match=r"needs brackets, as in http://\[fd00::2\]/a"):
            Url.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_clean_error(text: str) -> None:
    try:
        url = Url.parse(text)
    except ClientError:
        return
    assert url.scheme in PORTS
    assert url.host.isascii()
    assert url.target.isascii()
    assert not any(ord(letter) <= 0x20 for letter in url.target + url.authority)


def made() -> Transfer:
    transfer = Transfer("http://server/x", 1.0)
    transfer.begin_request(1.0)
    for what, at in (("namelookup", 1.01), ("connect", 1.09), ("starttransfer", 1.5)):
        transfer.mark(what, at)
    transfer.begin_request(2.0)
    transfer.mark("starttransfer", 2.25)
    transfer.ended_at, transfer.http_code, transfer.size_download = 3.0, 7, 1001
    transfer.headers = {"x-a": ["1", "2"]}
    return transfer


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"a\tb\n%%{x}", "a\tb\n%{x}"),
        ("%{time_namelookup} %{time_starttransfer}", "0.010000 0.750000"),
        ("%{http_code} %{size_download} %{speed_download}", "007 1001 500"),
        ("%header{X-A}|%header{none}", "1, 2|"),
        ("%{nothing}.", "."),
        ("50%", "50%"),
        ("%{unclosed", "%{unclosed"),
    ],
)
def test_a_format_is_filled_in(text: str, shown: str) -> None:
    unknown: list[str] = []
    parts = written_out(text, made(), unknown.append)
    assert "".join(part for _, part in parts) == shown
    assert unknown == (["unknown --write-out variable: 'nothing'"] if "nothing" in text else [])


def test_a_format_can_change_the_stream() -> None:
    parts = written_out("a%{stderr}b%{stdout}c", made(), print)
    assert parts == [("stdout", "a"), ("stderr", "b"), ("stdout", "c")]


def test_json_has_all_of_it() -> None:
    [(_, text)] = written_out("%{json}", made(), print)
    assert json.loads(text) == as_dict(made())
    assert as_dict(made()).keys() == VARIABLES.keys()


@given(st.binary(max_size=3000), st.integers(1, 64), st.sampled_from(["gzip", "deflate", "raw"]))
def test_a_coding_is_undone_however_it_is_cut(data: bytes, step: int, coding: str) -> None:
    packed = gzip.compress(data) if coding == "gzip" else zlib.compress(data)
    decoder = Decoder("gzip" if coding == "gzip" else "deflate")
    if coding == "raw":
        packed, step = packed[2:-4], len(packed)  # what it is has to be seen in the first piece
    parts = [
        part for at in range(0, len(packed), step) for part in decoder.feed(packed[at : at + step])
    ]
    decoder.finish()
    assert b"".join(parts) == data


def test_a_bomb_comes_in_pieces() -> None:
    decoder = Decoder("gzip")
    total = 0
    for part in decoder.feed(gzip.compress(bytes(50_000_000))):
        assert len(part) <= PIECE_BYTES
        total += len(part)
    assert total == 50_000_000


@given(st.binary(max_size=200))
def test_what_is_no_coding_is_a_clean_error(data: bytes) -> None:
    decoder = Decoder("deflate")
    statuses = set()
    try:
        for _ in decoder.feed(data):
            pass
        decoder.finish()
    except ClientError as error:
        statuses.add(error.status)
    assert statuses <= {Status.BAD_ENCODING}

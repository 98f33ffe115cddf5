"""The page about the request, and the same as data."""

import json
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser

import pytest
import trio
import trio.testing
from http_talk import Answer, answers, ask, get, read_to_end
from telling import HANDSHAKE, INFO, IRS, ISS, TellingStream

from pystack.apps.http import Request, Response, serve_connection
from pystack.apps.http.page import page
from pystack.apps.http.site import Site
from pystack.apps.http.story import Story, story_of
from pystack.apps.http.wording import count, counted, duration, short
from pystack.apps.tls_stream import TlsInfo
from pystack.core.addresses import host_port
from pystack.runtime.streams import LinkInfo

VOID = {"meta", "link", "br", "input"}


class Checker(HTMLParser):
    """Holds that every element is closed, and collects what a page asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.resources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        resource = dict(attrs).get("src") or (dict(attrs).get("href") if tag == "link" else None)
        if resource:
            self.resources.append(resource)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


async def ask_telling(raw: bytes, link: LinkInfo | None = None, requests: int = 1) -> list[Answer]:
    client, inner = trio.testing.memory_stream_pair()
    server = TellingStream(inner)
    if link is not None:
        server.link = link
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, Site()))
        await client.send_all(raw * requests)
        await client.send_eof()
        return answers(await read_to_end(client), *["GET"] * requests)


@pytest.mark.trio
async def test_the_page_tells_every_layer() -> None:
    (answer,) = await ask_telling(get("/", "User-Agent: me", "X-Twice: a", "X-Twice: b"))
    page = checked(answer.body.decode())
    for value in (
        *("tap0", "02:00:00:00:00:02", "5e:a1:08:3c:77:10", "1\u202f500", "10.77.0.1"),
        *("10.77.0.2:80", "10.77.0.1:43210", f"SYN, seq {IRS}", f"seq {ISS}, ack {IRS + 1}"),
        *("mss 1460, sackOK, nop, wscale 7", "309 µs", "200.0 ms", "14\u202f600 bytes", "newreno"),
        *("GET / HTTP/1.1", "User-Agent: me", "X-Twice: a", "X-Twice: b", "ESTABLISHED"),
    ):
        assert value in page.text, value
    assert {"svg", "table", "pre"} <= page.tags


@pytest.mark.trio
async def test_the_page_needs_nothing_from_elsewhere_and_may_run_nothing() -> None:
    (answer,) = await ask_telling(get())
    page = checked(answer.body.decode())
    assert all(resource.startswith("data:") for resource in page.resources)
    assert not {"script", "img", "iframe"} & page.tags
    assert "url(" not in answer.body.decode()
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.trio
@pytest.mark.parametrize("telling", [True, False])
async def test_what_the_client_wrote_is_escaped(telling: bool) -> None:
    evil = '<script>alert("1")</script>'
    raw = get(f"/?{evil}", f"X: {evil}", "Y: \x01\x1b[31m\u202e".encode().decode("latin-1"))
    answer = (await ask_telling(raw))[0] if telling else await ask(raw, Site())
    page = answer.body.decode()
    assert "script" not in checked(page).tags
    assert evil not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "\\x1b[31m\\u202e" in page


@pytest.mark.trio
async def test_behind_a_gateway_the_mac_address_is_said_to_be_the_gateways() -> None:
    link = LinkInfo("eth1", "02:00:00:00:00:02", None, 9000, "10.77.0.254")
    (answer,) = await ask_telling(get(), link)
    assert "the gateway 10.77.0.254" in checked(answer.body.decode()).text
    assert "not known" in answer.body.decode()


@pytest.mark.trio
async def test_a_later_request_on_the_connection_says_so() -> None:
    first, second = await ask_telling(get(), requests=2)
    assert "first request on its connection" in first.body.decode()
    assert "request number 2 on its connection" in second.body.decode()


@pytest.mark.trio
async def test_over_any_other_stream_the_page_says_that_it_cannot_know() -> None:
    page = checked((await ask(get("/", "X: y"), Site())).body.decode())
    assert "does not tell what it did" in page.text
    assert "X: y" in page.text
    data = json.loads((await ask(get("/connection.json"), Site())).body)
    assert (data["link"], data["network"], data["transport"]) == (None, None, None)


@pytest.mark.trio
async def test_connection_json_has_the_same_as_data(
    autojump_clock: trio.testing.MockClock,
) -> None:
    await trio.sleep(12)
    (answer,) = await ask_telling(get("/connection.json", "X: y"))
    data = json.loads(answer.body)
    assert data["world_time_s"] == 12
    assert data["link"]["interface"] == "tap0"
    assert data["network"]["remote_address"] == "10.77.0.1"
    transport = data["transport"]
    assert (transport["local_port"], transport["remote_port"]) == (80, 43210)
    assert [s["flags"] for s in transport["handshake"]] == ["SYN", "SYN ACK", "ACK"]
    assert transport["handshake"][0]["at"] == HANDSHAKE[0].at
    assert transport["info"]["state"] == "ESTABLISHED"
    assert transport["info"]["iss"] == INFO.iss
    assert data["application"]["target"] == "/connection.json"
    assert data["application"]["headers"] == [["Host", "test"], ["X", "y"]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 µs"),
        (0.000132, "132 µs"),
        (0.0015, "1.50 ms"),
        (0.05, "50.0 ms"),
        (1.234, "1.23 s"),
        (90, "1.5 min"),
        (9000, "2.5 h"),
    ],
)
def test_a_duration_is_given_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_words() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert (counted(1, "segment"), counted(0, "segment")) == ("1 segment", "0 segments")
    assert host_port("10.0.0.1", 80) == "10.0.0.1:80"
    assert host_port("fe80::1", 80) == "[fe80::1]:80"
    assert (short("x" * 60), short("x" * 61)) == ("x" * 60, "x" * 59 + "\u2026")


@pytest.mark.trio
@pytest.mark.parametrize("resumed", [False, True])
async def test_the_page_tells_of_tls_and_of_http_2(resumed: bool) -> None:
    client, inner = trio.testing.memory_stream_pair()
    await client.send_all(get("/", "X: y"))
    await client.send_eof()
    stories: list[Story] = []

    async def tell(request: Request) -> Response:
        stories.append(story_of(request))
        return Response()

    await serve_connection(TellingStream(inner), tell)
    tls = TlsInfo("TLSv1.2", "ECDHE-<x>", "h2", resumed, "a.test")
    shown = checked(page(replace(stories[0], tls=tls, version="2")))
    for words in ("TLS record", "TLSv1.2", "ECDHE-<x>", "a.test", "h2", "numbered stream"):
        assert words in shown.text
    assert ("You have been here before" in shown.text) is resumed
    assert ("showed its certificate" in shown.text) is not resumed
    assert "TLS record" not in checked(page(stories[0])).text

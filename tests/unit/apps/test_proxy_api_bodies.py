"""Bodies of requests to the API of proxies: links, which Toxiproxy has not, and bad ones."""

import json

import pytest
from api_talk import LATENCY, REDIS, SHOWN, ask, is_refusal
from http_talk import answers, exchange

from pystack.apps.proxy.api.routes import Api
from pystack.apps.proxy.api.server import LIMITS

pytestmark = pytest.mark.trio

SLOW = {"delay": "50ms", "loss": 0.01, "to_client": {"rate": "1mbit"}}


async def test_a_proxy_may_have_words_for_its_link(api: Api) -> None:
    told = await ask(api, "POST", "/proxies", {**REDIS, "link": SLOW})
    assert told.status == 201
    assert told.body == SHOWN.replace(
        "[]}", '[],"link":{"delay":"50ms","loss":0.01,"to_client":{"rate":"1mbit"}}}'
    )
    told = await ask(api, "PATCH", "/proxies/redis", {"link": {"preset": "lte"}})
    assert told.json["link"] == {"preset": "lte"}  # type: ignore[index]
    told = await ask(api, "PATCH", "/proxies/redis", {"upstream": "localhost:6380"})
    assert told.json["link"] == {"preset": "lte"}  # type: ignore[index]
    told = await ask(api, "PATCH", "/proxies/redis", {"link": {}})
    assert told.body == SHOWN.replace("6379", "6380")


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ({"delayy": "50ms"}, "link: there is no word 'delayy'; did you mean 'delay'"),
        ({"delay": "soon"}, "soon"),
        ({"delay": True}, "delay"),
        ({"delay": [1]}, "link: delay is a text, a number, or true or false"),
        ({"loss": 2}, "loss"),
        ({"preset": "carrier pigeon"}, "carrier pigeon"),
        ({"to_client": "1mbit"}, "to_client is an object, not a string"),
        ("lte", "link is an object, not a string"),
        ({"trace": "/etc/passwd"}, "link: trace may name files of this machine"),
        ({"delay_trace": "/etc/passwd"}, "link: delay_trace may name files of this machine"),
        ({"distribution": "/etc/passwd"}, "link: distribution may name files of this machine"),
        ({"slot": "distribution /etc/passwd 1ms 1ms"}, "link: slot may name files"),
    ],
)
async def test_words_must_be_known_and_name_no_files(
    redis: Api, link: object, sentence: str
) -> None:
    for path, body in (("/proxies", {**REDIS, "name": "b"}), ("/proxies/redis", {})):
        told = await ask(redis, "POST", path, {**body, "link": link})
        assert told.status == 400
        assert sentence in told.json["error"]  # type: ignore[index]
    assert (await ask(redis, "GET", "/proxies")).body == f'{{"redis":{SHOWN}}}'


async def test_a_shape_of_the_jitter_is_no_file(redis: Api) -> None:
    link = {"delay": "50ms 5ms", "distribution": "pareto"}
    told = await ask(redis, "PATCH", "/proxies/redis", {"link": link})
    assert told.json["link"] == link  # type: ignore[index]


# bad bodies


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "EOF"),
        (b" \r\n\t", "EOF"),
        (b"{", "expecting property name enclosed in double quotes: line 1, column 2"),
        (b'{"name": "a"} {}', "extra data: line 1, column 15"),
        (b'{"name": NaN}', "NaN is not JSON"),
        (b'{"name": "\xff"}', "byte 10 is not UTF-8"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"toxicity": ' + b"9" * 5000 + b"}", "a number is too long"),
        (b'{"toxicity": ' + b"9" * 400 + b"}", "toxicity is out of range"),
        (b'{"toxicity": true}', "toxicity is a number, not a bool"),
        (b'{"toxicity": "1"}', "toxicity is a number, not a string"),
        (b'{"name": 1}', "name is a string, not a number"),
        (b'{"stream": ["upstream"]}', "stream is a string, not an array"),
        (b'{"attributes": [1]}', "attributes is an object, not an array"),
        (b"[]", "the body is an object, not an array"),
        (b'"latency"', "the body is an object, not a string"),
    ],
)
async def test_a_body_must_be_what_it_should_be(redis: Api, raw: bytes, sentence: str) -> None:
    told = await ask(redis, "POST", "/proxies/redis/toxics", raw=raw)
    assert is_refusal(told, 400, f"bad request body: {sentence}")
    assert (await ask(redis, "GET", "/proxies/redis/toxics")).body == "[]"


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/proxies", {"name": "a", "upstream": 1}, "upstream is a string, not a number"),
        ("/proxies", {**REDIS, "enabled": 1}, "enabled is true or false, not a number"),
        ("/proxies", {**REDIS, "toxics": {}}, "toxics is an array, not an object"),
        ("/proxies/redis", {"enabled": "no"}, "enabled is true or false, not a string"),
    ],
)
async def test_fields_of_a_proxy_must_be_of_their_kind(
    redis: Api, path: str, body: object, sentence: str
) -> None:
    assert is_refusal(await ask(redis, "POST", path, body), 400, f"bad request body: {sentence}")


async def test_populate_takes_a_list(api: Api) -> None:
    told = await ask(api, "POST", "/populate", REDIS)
    assert told.status == 400
    assert told.json == {
        "error": "bad request body: the body is an array, not an object",
        "status": 400,
        "proxies": [],
    }


async def test_null_is_as_if_it_were_not_there(redis: Api) -> None:
    body = {**LATENCY, "name": None, "stream": None, "toxicity": None}
    told = await ask(redis, "POST", "/proxies/redis/toxics", body)
    assert told.status == 200
    assert told.json["name"] == "latency_downstream"  # type: ignore[index]


async def test_a_body_that_is_too_long_is_refused(redis: Api) -> None:
    told = await ask(redis, "POST", "/proxies", raw=b" " * ((1 << 20) + 1))
    assert told.status == 413
    told = await ask(redis, "POST", "/proxies", raw=b" " * (1 << 20))
    assert is_refusal(told, 400, "bad request body: EOF")


async def test_a_body_that_does_not_end_is_refused(redis: Api) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    request = (
        b"POST /proxies HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + 17 * chunk
    )
    (answer,) = answers(await exchange(request, redis, limits=LIMITS), "POST")
    assert answer.status == 413
    assert json.loads(answer.body) == {"error": "The limit is 1048576 bytes.", "status": 413}


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
async def test_the_type_of_a_body_does_not_matter(redis: Api, kind: str) -> None:
    """curl -d says that it sends a form."""
    raw = json.dumps(LATENCY).encode()
    told = await ask(redis, "POST", "/proxies/redis/toxics", None, f"Content-Type: {kind}", raw=raw)
    assert told.status == 200


async def test_texts_come_back_as_they_were(api: Api) -> None:
    name = 'ü<&>"\\ \u2028 😀'
    told = await ask(api, "POST", "/proxies", {**REDIS, "name": name})
    assert json.loads(told.body)["name"] == name
    assert r"\u003c\u0026\u003e\"\\ \u2028 😀" in told.body

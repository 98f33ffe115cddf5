"""The API of proxies: what Toxiproxy answers, word for word where it is documented."""

import pytest
import trio
from api_talk import LATENCY, REDIS, SHOWN, ask, is_refusal

from pystack.apps.proxy.api.routes import Api

pytestmark = pytest.mark.trio

# proxies


async def test_a_proxy_is_made_and_shown_with_its_fields_in_order(api: Api) -> None:
    told = await ask(api, "POST", "/proxies", REDIS)
    assert (told.status, told.body, told.kind) == (201, SHOWN, "application/json")
    told = await ask(api, "GET", "/proxies/redis")
    assert (told.status, told.body, told.kind) == (200, SHOWN, "application/json")


async def test_all_proxies_are_an_object_by_name(redis: Api) -> None:
    await ask(redis, "POST", "/proxies", {**REDIS, "name": "api"})
    told = await ask(redis, "GET", "/proxies")
    assert told.status == 200
    assert list(told.json) == ["api", "redis"]  # type: ignore[call-overload]
    assert told.body.endswith(f'"redis":{SHOWN}}}')


async def test_there_may_be_none(api: Api) -> None:
    assert (await ask(api, "GET", "/proxies")).body == "{}"


async def test_a_proxy_is_enabled_unless_it_is_said_otherwise(api: Api) -> None:
    body = {"name": "redis", "upstream": "localhost:6379"}
    told = await ask(api, "POST", "/proxies", body)
    assert told.status == 201
    assert told.json["enabled"] is True  # type: ignore[index]
    assert told.json["listen"].startswith("127.0.0.1:")  # type: ignore[index]
    assert told.json["listen"] != "127.0.0.1:0"  # type: ignore[index]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_proxy_is_updated_in_what_is_given(redis: Api, method: str) -> None:
    told = await ask(redis, method, "/proxies/redis", {"upstream": "localhost:6380"})
    assert (told.status, told.body) == (200, SHOWN.replace("6379", "6380"))
    # Its name stays, whatever is said: for another it is made anew.
    told = await ask(redis, method, "/proxies/redis", {"name": "other", "enabled": False})
    assert (told.status, told.body) == (200, SHOWN.replace("6379", "6380"))


async def test_a_proxy_is_deleted(redis: Api) -> None:
    told = await ask(redis, "DELETE", "/proxies/redis")
    assert (told.status, told.body) == (204, "")
    assert is_refusal(await ask(redis, "GET", "/proxies/redis"), 404, "proxy not found")


async def test_two_proxies_cannot_have_one_name(redis: Api) -> None:
    assert is_refusal(await ask(redis, "POST", "/proxies", REDIS), 409, "proxy already exists")


async def test_of_many_at_once_one_makes_a_proxy(api: Api) -> None:
    statuses: list[int] = []

    async def create() -> None:
        statuses.append((await ask(api, "POST", "/proxies", {**REDIS, "enabled": True})).status)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(create)
    assert sorted(statuses) == [201] + [409] * 19


@pytest.mark.parametrize("field", ["name", "upstream"])
async def test_name_and_upstream_must_be_given(api: Api, field: str) -> None:
    sentence = f"missing required field: {field}"
    for body in ({**REDIS, field: ""}, {k: v for k, v in REDIS.items() if k != field}):
        assert is_refusal(await ask(api, "POST", "/proxies", body), 400, sentence)
    told = await ask(api, "GET", "/proxies")
    assert told.body == "{}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/proxies/none"),
        ("POST", "/proxies/none"),
        ("PATCH", "/proxies/none"),
        ("DELETE", "/proxies/none"),
        ("GET", "/proxies/none/toxics"),
        ("POST", "/proxies/none/toxics"),
        ("GET", "/proxies/none/toxics/latency_downstream"),
        ("POST", "/proxies/none/toxics/latency_downstream"),
        ("PATCH", "/proxies/none/toxics/latency_downstream"),
        ("DELETE", "/proxies/none/toxics/latency_downstream"),
    ],
)
async def test_an_unknown_proxy_is_not_found(redis: Api, method: str, path: str) -> None:
    assert is_refusal(await ask(redis, method, path, {}), 404, "proxy not found")


async def test_names_are_percent_encoded_in_paths(api: Api) -> None:
    await ask(api, "POST", "/proxies", {**REDIS, "name": "a b?ü"})
    told = await ask(api, "GET", "/proxies/a%20b%3F%C3%BC")
    assert told.status == 200
    assert told.json["name"] == "a b?ü"  # type: ignore[index]


async def test_a_new_proxy_may_have_toxics_and_be_for_udp(api: Api) -> None:
    body = {**REDIS, "protocol": "udp", "toxics": [LATENCY]}
    told = await ask(api, "POST", "/proxies", body)
    assert told.status == 201
    assert told.json["protocol"] == "udp"  # type: ignore[index]
    assert [toxic["name"] for toxic in told.json["toxics"]] == ["latency_downstream"]  # type: ignore[index]
    told = await ask(api, "POST", "/proxies", {**REDIS, "name": "b", "protocol": "sctp"})
    assert is_refusal(told, 400, "bad request body: protocol is tcp or udp, not sctp")


# toxics


async def test_a_toxic_is_made_and_shown_with_its_fields_in_order(redis: Api) -> None:
    shown = (
        '{"attributes":{"latency":1000,"jitter":0},"name":"latency_downstream","type":"latency",'
        '"stream":"downstream","toxicity":1}'
    )
    told = await ask(redis, "POST", "/proxies/redis/toxics", LATENCY)
    assert (told.status, told.body, told.kind) == (200, shown, "application/json")
    told = await ask(redis, "GET", "/proxies/redis/toxics/latency_downstream")
    assert (told.status, told.body) == (200, shown)
    told = await ask(redis, "GET", "/proxies/redis/toxics")
    assert (told.status, told.body) == (200, f"[{shown}]")
    told = await ask(redis, "GET", "/proxies/redis")
    assert told.body == SHOWN.replace("[]", f"[{shown}]")


async def test_a_toxic_has_the_name_stream_and_toxicity_that_are_given(redis: Api) -> None:
    body = {**LATENCY, "name": "slow", "stream": "Upstream", "toxicity": 0.5}
    told = await ask(redis, "POST", "/proxies/redis/toxics", body)
    assert told.body == (
        '{"attributes":{"latency":1000,"jitter":0},"name":"slow","type":"latency",'
        '"stream":"upstream","toxicity":0.5}'
    )


async def test_toxics_are_listed_upstream_first(redis: Api) -> None:
    for name, stream in (("a", "downstream"), ("b", "upstream"), ("c", "downstream")):
        await ask(
            redis, "POST", "/proxies/redis/toxics", {**LATENCY, "name": name, "stream": stream}
        )
    told = await ask(redis, "GET", "/proxies/redis/toxics")
    assert [toxic["name"] for toxic in told.json] == ["b", "a", "c"]  # type: ignore[attr-defined]


async def test_fields_may_be_in_any_case_of_letters(redis: Api) -> None:
    body = {"Name": "slow", "Type": "bandwidth", "Stream": "upstream", "Attributes": {"Rate": 100}}
    told = await ask(redis, "POST", "/proxies/redis/toxics", body)
    assert told.status == 200
    assert told.json["attributes"] == {"rate": 100}  # type: ignore[index]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_toxic_is_updated_in_what_is_given(redis: Api, method: str) -> None:
    await ask(redis, "POST", "/proxies/redis/toxics", LATENCY)
    path = "/proxies/redis/toxics/latency_downstream"
    told = await ask(redis, method, path, {"attributes": {"jitter": 10}})
    assert told.status == 200
    assert told.json["attributes"] == {"latency": 1000, "jitter": 10}  # type: ignore[index]
    told = await ask(redis, method, path, {"toxicity": 0})
    assert told.body == (
        '{"attributes":{"latency":1000,"jitter":10},"name":"latency_downstream","type":"latency",'
        '"stream":"downstream","toxicity":0}'
    )


async def test_type_stream_and_name_of_a_toxic_stay(redis: Api) -> None:
    await ask(redis, "POST", "/proxies/redis/toxics", LATENCY)
    path = "/proxies/redis/toxics/latency_downstream"
    other = {"type": "timeout", "stream": "upstream", "name": "x", "toxicity": 0.25}
    told = await ask(redis, "PATCH", path, other)
    assert told.body == (
        '{"attributes":{"latency":1000,"jitter":0},"name":"latency_downstream","type":"latency",'
        '"stream":"downstream","toxicity":0.25}'
    )


async def test_a_toxic_is_removed(redis: Api) -> None:
    await ask(redis, "POST", "/proxies/redis/toxics", LATENCY)
    path = "/proxies/redis/toxics/latency_downstream"
    told = await ask(redis, "DELETE", path)
    assert (told.status, told.body) == (204, "")
    for method in ("GET", "POST", "PATCH", "DELETE"):
        assert is_refusal(await ask(redis, method, path, {}), 404, "toxic not found")


async def test_two_toxics_of_a_proxy_cannot_have_one_name(redis: Api) -> None:
    await ask(redis, "POST", "/proxies/redis/toxics", LATENCY)
    told = await ask(redis, "POST", "/proxies/redis/toxics", LATENCY)
    assert is_refusal(told, 409, "toxic already exists")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"type": "sugar"}, "invalid toxic type"),
        ({}, "invalid toxic type"),
        (
            {"type": "sugar", "stream": "sideways"},
            "stream was invalid, can be either upstream or downstream",
        ),
    ],
)
async def test_type_and_stream_must_be_known(redis: Api, body: object, sentence: str) -> None:
    told = await ask(redis, "POST", "/proxies/redis/toxics", body)
    assert is_refusal(told, 400, sentence)
    assert (await ask(redis, "GET", "/proxies/redis/toxics")).body == "[]"


# all of them


async def test_reset_enables_all_proxies_and_removes_all_toxics(redis: Api) -> None:
    await ask(redis, "POST", "/proxies/redis/toxics", LATENCY)
    told = await ask(redis, "POST", "/reset")
    assert (told.status, told.body) == (204, "")
    told = await ask(redis, "GET", "/proxies/redis")
    assert told.json["enabled"] is True  # type: ignore[index]
    assert not told.json["listen"].endswith(":0")  # type: ignore[index]
    assert told.json["toxics"] == []  # type: ignore[index]


async def test_populate_makes_many(api: Api) -> None:
    told = await ask(api, "POST", "/populate", [REDIS, {**REDIS, "name": "b"}])
    assert told.status == 201
    assert told.kind == "application/json"
    assert told.body.startswith(f'{{"proxies":[{SHOWN},')
    assert list((await ask(api, "GET", "/proxies")).json) == ["b", "redis"]  # type: ignore[call-overload]


async def test_populate_leaves_alone_what_is_there_just_so(redis: Api) -> None:
    await ask(redis, "POST", "/proxies/redis/toxics", LATENCY)
    told = await ask(redis, "POST", "/populate", [{**REDIS, "enabled": True}])
    assert told.status == 201
    (shown,) = told.json["proxies"]  # type: ignore[index]
    assert shown["enabled"] is False
    assert len(shown["toxics"]) == 1


async def test_populate_replaces_what_leads_elsewhere(redis: Api) -> None:
    await ask(redis, "POST", "/proxies/redis/toxics", LATENCY)
    told = await ask(redis, "POST", "/populate", [{**REDIS, "upstream": "localhost:6380"}])
    assert told.status == 201
    assert told.body == f'{{"proxies":[{SHOWN.replace("6379", "6380")}]}}'


async def test_populate_deletes_none(redis: Api) -> None:
    told = await ask(redis, "POST", "/populate", [])
    assert (told.status, told.body) == (201, '{"proxies":[]}')
    assert (await ask(redis, "GET", "/proxies/redis")).status == 200


@pytest.mark.parametrize("field", ["name", "upstream"])
async def test_populate_makes_none_where_a_field_is_missing(api: Api, field: str) -> None:
    told = await ask(api, "POST", "/populate", [REDIS, {**REDIS, "name": "b", field: ""}])
    assert told.status == 400
    assert told.kind == "application/json"
    assert told.body == (
        f'{{"error":"missing required field: {field} at proxy 2","status":400,"proxies":[]}}'
    )
    assert (await ask(api, "GET", "/proxies")).body == "{}"


# the server


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_version(api: Api, method: str) -> None:
    told = await ask(api, method, "/version")
    assert (told.status, told.kind) == (200, "application/json;charset=utf-8")
    assert told.body == ('{"version": "2.12.0"}\n' if method == "GET" else "")


@pytest.mark.parametrize("path", ["/", "/proxy", "/proxies/", "/toxics", "/proxies/a/b", "*"])
async def test_other_paths_are_not_found(redis: Api, path: str) -> None:
    told = await ask(redis, "OPTIONS" if path == "*" else "GET", path)
    assert (told.status, told.body) == (404, "404 page not found\n")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/proxies", "GET, POST"),
        ("PUT", "/proxies/redis", "GET, POST, PATCH, DELETE"),
        ("PATCH", "/proxies/redis/toxics", "GET, POST"),
        ("GET", "/reset", "POST"),
        ("GET", "/populate", "POST"),
        ("OPTIONS", "/populate", "POST"),
        ("POST", "/version", "GET"),
        ("POST", "/metrics", "GET"),
    ],
)
async def test_other_methods_are_refused(redis: Api, method: str, path: str, allowed: str) -> None:
    told = await ask(redis, method, path)
    assert (told.status, told.body) == (405, "")
    assert told.headers["allow"] == allowed


@pytest.mark.parametrize(
    "header",
    [
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
        "Origin: https://example.com",
        "Origin: null",
    ],
)
async def test_browsers_are_refused(redis: Api, header: str) -> None:
    for method, path in (("GET", "/version"), ("POST", "/reset"), ("DELETE", "/proxies/redis")):
        told = await ask(redis, method, path, None, header)
        assert told.status == 403
    told = await ask(redis, "GET", "/proxies/redis")
    assert told.body == SHOWN


@pytest.mark.parametrize(
    "agent", ["curl/8.5.0", "toxiproxy-cli/2.12.0 linux/amd64", "node", "Ruby", "Apache Mozilla/5"]
)
async def test_programs_are_served(redis: Api, agent: str) -> None:
    assert (await ask(redis, "GET", "/version", None, f"User-Agent: {agent}")).status == 200

"""Whatever is sent to the API of proxies, it answers in its own words, and stays what it was."""

import json

import pytest
from api_talk import ask
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.apps.proxy.api.routes import Api
from pystack.apps.proxy.proxies import Proxies
from pystack.apps.proxy.toxics.registry import TOXICS
from pystack.link.words import WORDS

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()  # NaN and Infinity are what Python's json writes, and no JSON
    | st.text(max_size=8)
    | st.sampled_from(
        ["50ms", "1%", "10mbit", "lte", "upstream", "127.0.0.1:0", "[::1]:0", "a:b:c"]
    )
)
_ATTRIBUTES = sorted({each.name for toxic in TOXICS.values() for each in toxic.attributes})


def mostly(good: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Return values that are good, but for one in six."""
    return st.sampled_from([good] * 5 + [_SCALARS]).flatmap(lambda strategy: strategy)


def objects(names: list[str], inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.dictionaries(st.sampled_from(names), inner, max_size=4)


_WORDS = ["delay", "jitter", "loss", "rate", "limit", "qdisc", "mtu", "seed", "ecn"]
_ONE_WAY = objects(_WORDS, st.sampled_from(["5ms", "1%", "1mbit", "fq_codel", 1, 0.5]))
_LINK = st.one_of(
    _ONE_WAY,
    st.fixed_dictionaries({}, optional={"to_client": _ONE_WAY, "to_upstream": _ONE_WAY}),
    objects([*WORDS, "preset", "to_client", "delayy"], _SCALARS | _ONE_WAY),
)
_TOXIC = st.fixed_dictionaries(
    {"type": st.sampled_from([*TOXICS, "sugar"])},
    optional={
        "name": _SCALARS,
        "stream": mostly(st.sampled_from(["upstream", "DOWNSTREAM", "sideways"])),
        "toxicity": mostly(st.floats(0, 1)),
        "attributes": mostly(objects(_ATTRIBUTES, mostly(st.integers(0, 9)))),
    },
)
_PROXY = st.fixed_dictionaries(
    {
        "name": mostly(st.text(min_size=1, max_size=4)),
        "upstream": mostly(st.sampled_from(["localhost:80", "[::1]:0", "a:b:c", "ü"])),
    },
    optional={
        "enabled": st.just(False) | st.text(),  # no ports of this machine are taken
        "protocol": mostly(st.sampled_from(["tcp", "udp"])),
        "toxics": mostly(st.lists(_TOXIC, max_size=2)),
        "link": mostly(_LINK),
    },
).map(lambda fields: {"enabled": False, **fields})
_REQUESTS = st.one_of(
    st.tuples(st.just("POST /proxies"), _PROXY),
    st.tuples(st.just("POST /populate"), st.lists(_PROXY, max_size=2)),
    st.tuples(st.sampled_from(["PATCH /proxies/a", "POST /proxies/a"]), _PROXY),
    st.tuples(st.just("POST /proxies/a/toxics"), _TOXIC),
    st.tuples(st.just("PATCH /proxies/a/toxics/t"), _TOXIC),
    st.tuples(st.sampled_from(["POST /proxies", "POST /populate", "PATCH /proxies/a"]), _SCALARS),
)


@pytest.mark.trio
@settings(max_examples=40)
@given(st.lists(_REQUESTS, min_size=1, max_size=3))
async def test_no_body_is_too_odd(requests: list[tuple[str, object]]) -> None:
    async with Proxies() as proxies:
        api = Api(proxies)
        first = {"name": "a", "upstream": "localhost:80", "enabled": False}
        toxic = {"name": "t", "type": "latency"}
        await ask(api, "POST", "/proxies", {**first, "toxics": [toxic]})
        for request, body in requests:
            method, path = request.split()
            before = (await ask(api, "GET", "/proxies")).body
            told = await ask(api, method, path, raw=json.dumps(body).encode())
            assert told.status in (200, 201, 400, 404, 409), told.body
            shown = await ask(api, "GET", "/proxies")
            if told.status >= 400:
                error = json.loads(told.body)
                assert error["status"] == told.status
                assert error["error"]
                assert shown.body == before
        # What is shown can be said again, and makes the same.
        for proxy in proxies:
            await proxies.delete(proxy.name)
        again = await ask(api, "POST", "/populate", list(json.loads(shown.body).values()))
        assert again.status == 201
        assert (await ask(api, "GET", "/proxies")).body == shown.body
        assert (await ask(api, "GET", "/metrics")).status == 200

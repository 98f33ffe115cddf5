"""Parts of proxies: places as text, the words of a link, and what is left to chance."""

from random import Random

import pytest

from pystack.apps.proxy.draws import Draws
from pystack.apps.proxy.endpoints import Endpoint
from pystack.apps.proxy.model import LinkWords
from pystack.apps.proxy.toxics.spec import ToxicSpec
from pystack.apps.proxy.words import read_directions
from pystack.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:65535", "::1", 65535),
        ("db.test:5432", "db.test", 5432),
        (":0", "", 0),
    ],
)
def test_a_place_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert Endpoint.parse(text) == Endpoint(host, port)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no port"),
        ("host", "has no port"),
        ("[::1]", "has no port"),
        ("::1:80", "stands in brackets"),
        ("host:", "is not a port"),
        ("host:http", "is not a port"),
        ("host:65536", "is not a port"),
        ("host:-1", "is not a port"),
        ("host:٣", "is not a port"),
        ("host:000080", "is not a port"),
    ],
)
def test_what_is_no_place_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Endpoint.parse(text)


def test_own_words_of_a_direction_go_before_those_of_both_and_of_the_preset() -> None:
    words = LinkWords(
        both={"delay": "1ms", "loss": "1%"}, downstream={"delay": "2ms"}, preset="dsl"
    )
    upstream, downstream = read_directions(words)
    assert upstream == {"rate": "1mbit", "limit": 50, "delay": "1ms", "jitter": "1ms", "loss": "1%"}
    assert downstream == {
        "rate": "8mbit",
        "limit": 150,
        "delay": "2ms",
        "jitter": "1ms",
        "loss": "1%",
    }


def test_a_queue_of_its_own_takes_the_place_of_the_presets_limit() -> None:
    upstream, _ = read_directions(LinkWords(both={"qdisc": "fq_codel"}, preset="dsl"))
    assert "limit" not in upstream


def hits(draws: Draws, rng: Random, *toxics: ToxicSpec) -> set[str]:
    draws.follow(toxics, rng)
    return set(draws.hits)


def test_a_draw_holds_until_the_toxicity_is_another() -> None:
    rng = Random(1)  # whose first numbers are 0.13, 0.85, 0.76, 0.26
    draws = Draws((), rng)
    half = ToxicSpec("a", "latency", toxicity=0.5)
    assert hits(draws, rng, half) == {"a"}
    for _ in range(20):
        assert hits(draws, rng, half) == {"a"}
    assert hits(draws, rng, ToxicSpec("a", "latency", toxicity=0.6)) == set()
    assert hits(draws, rng, half) == set()
    assert hits(draws, rng, half, ToxicSpec("b", "timeout", toxicity=0.3)) == {"b"}


def test_the_certain_and_the_impossible_are_not_left_to_chance() -> None:
    rng = Random(1)
    draws = Draws((), rng)
    state = rng.getstate()
    assert hits(draws, rng, ToxicSpec("a", "latency")) == {"a"}
    assert rng.getstate() == state
    for _ in range(100):
        assert hits(Draws((), rng), rng, ToxicSpec("a", "latency", toxicity=0)) == set()


def test_a_toxic_that_is_gone_is_forgotten() -> None:
    rng = Random(1)
    draws = Draws((), rng)
    toxic = ToxicSpec("a", "latency")
    assert hits(draws, rng, toxic) == {"a"}
    assert hits(draws, rng) == set()

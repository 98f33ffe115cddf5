"""Toxics on packets as netem's words, alone, together, and on top of a link's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.proxy.toxics.flaps import Flaps
from pystack.apps.proxy.toxics.packets import _RULES, words_for
from pystack.apps.proxy.toxics.registry import TOXICS, checked
from pystack.apps.proxy.toxics.spec import Stream, ToxicSpec
from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.link.words import NetemWords


def toxic(
    type_name: str, stream: Stream = "downstream", name: str = "", **attributes: object
) -> ToxicSpec:
    protocol = "tcp" if TOXICS[type_name].packets else "udp"
    return checked(ToxicSpec(name, type_name, stream, attributes=attributes), protocol)


def down(*toxics: ToxicSpec, **base: object) -> dict[str, object]:
    """Return the words downstream, which a link must take."""
    words: NetemWords = {**base}  # type: ignore[typeddict-item]
    upstream, downstream = words_for((words, words), toxics)
    assert upstream == base
    link = Link(Scheduler(), 7, "l")
    link.set(b_to_a=downstream)
    return dict(downstream)


def test_each_type_of_the_registry_that_works_on_packets_has_a_rule() -> None:
    assert {name for name, each in TOXICS.items() if each.packets or each.udp} == _RULES.keys()


@pytest.mark.parametrize("type_name", _RULES)
def test_a_toxic_is_in_the_words_of_its_stream_alone(type_name: str) -> None:
    attributes: dict[str, dict[str, object]] = {
        "loss": {"probability": 0.01},
        "corrupt": {"probability": 0.01},
        "duplicate": {"probability": 0.01},
        "reorder": {"probability": 0.01},
        "delay": {"delay": 5},
        "jitter": {"jitter": 5},
        "rate": {"rate": 1e6},
        "queue": {"rate": 1e6},
        "latency": {"latency": 5},
    }
    upstream, downstream = words_for(
        ({}, {}), [toxic(type_name, "upstream", **attributes.get(type_name, {}))]
    )
    assert downstream == {}
    assert bool(upstream) == (type_name != "flap")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (toxic("loss", probability=0.01), {"loss": "random 1% 0%"}),
        (toxic("loss", probability="1%", correlation="25%"), {"loss": "random 1% 25%"}),
        (toxic("loss", model="gemodel 1% 10%"), {"loss": "gemodel 1% 10%"}),
        (toxic("loss"), {}),
        (toxic("corrupt", probability=0.5), {"corrupt": 0.5}),
        (
            toxic("duplicate", probability=0.5, correlation=0.25),
            {"duplicate": 0.5, "duplicate_correlation": 0.25},
        ),
        (toxic("reorder", probability=0.5, delay=20), {"delay": 0.02, "reorder": 0.5}),
        (
            toxic("reorder", probability=0.5, gap=5, correlation=0.5),
            {"delay": 0.01, "reorder": 0.5, "reorder_correlation": 0.5, "gap": 5},
        ),
        (toxic("reorder", gap=5), {}),
        (toxic("delay", delay=50), {"delay": 0.05}),
        (toxic("delay", delay=50, distribution="normal"), {"delay": 0.05}),
        (
            toxic("delay", delay=50, jitter=5, distribution="normal", correlation=0.25),
            {"delay": 0.05, "jitter": 0.005, "correlation": 0.25, "distribution": "normal"},
        ),
        (toxic("delay", jitter=5), {"delay": 0.005, "jitter": 0.005}),
        (
            toxic("jitter", jitter=5, reorder_by_jitter=True),
            {"delay": 0.005, "jitter": 0.005, "reorder_by_jitter": True},
        ),
        (toxic("jitter"), {}),
        (toxic("rate", rate="10mbit"), {"rate": 10_000_000}),
        (
            toxic("rate", rate=1000, limit=5, overhead=20),
            {"rate": 1000, "limit": 5, "overhead": 20},
        ),
        (toxic("rate", limit=5), {}),
        (toxic("queue", rate=1000), {"rate": 1000, "qdisc": "fq_codel"}),
        (toxic("queue"), {}),
        (toxic("mtu_blackhole"), {"mtu": 1280}),
        (toxic("flap"), {}),
        (toxic("latency", latency=100, jitter=20), {"delay": 0.1, "jitter": 0.02}),
        (toxic("bandwidth", rate=10), {"rate": 80_000}),
    ],
)
def test_a_toxic_is_said_in_words_that_do_something(
    spec: ToxicSpec, words: dict[str, object]
) -> None:
    assert down(spec) == pytest.approx(words)


def test_delays_and_jitters_add_up_with_the_links_own() -> None:
    words = down(
        toxic("delay", delay=50, jitter=5),
        toxic("jitter", name="more", jitter=10, distribution="pareto"),
        delay="20ms 2ms 25%",
        distribution="normal",
    )
    assert words == pytest.approx({"delay": 0.08, "jitter": 0.017, "distribution": "pareto"})


def test_words_that_no_toxic_touches_stay_as_they_were_said() -> None:
    base = {"delay": "20ms 2ms 25%", "distribution": "normal", "rate": "10mbit 20", "limit": 50}
    words = down(toxic("loss", probability=0.01), **base)
    assert words == {**base, "loss": "random 1% 0%"}
    assert list(words) == [*base, "loss"]


def test_losses_follow_one_another() -> None:
    words = down(
        toxic("loss", probability=0.1),
        toxic("loss", name="bursts", model="gemodel 1% 10%"),
        loss="1%",
        impairments="corrupt probability 1%",
    )
    assert words == {
        "loss": "1%",
        "impairments": [
            "corrupt probability 1%",
            {"name": "loss", "model": "random 10% 0%"},
            {"name": "loss", "model": "gemodel 1% 10%"},
        ],
    }


def test_chances_combine() -> None:
    words = down(
        toxic("corrupt", probability=0.1),
        toxic("corrupt", name="2", probability=0.5),
        corrupt="20%",
    )
    assert words == pytest.approx({"corrupt": 1 - 0.9 * 0.5 * 0.8})


def test_the_lowest_rate_and_the_smallest_mtu_hold() -> None:
    fast, slow = toxic("rate", rate="10mbit", limit=9), toxic("rate", name="2", rate="1mbit")
    assert down(fast, slow) == {"rate": 1e6}
    assert down(slow, fast) == {"rate": 1e6}
    assert down(fast, rate="2mbit", limit=7) == {"rate": "2mbit", "limit": 7}
    assert down(fast, rate="20mbit 20 48 5", limit=7) == {
        "rate": 1e7,
        "cell_size": 48,
        "cell_overhead": 5,
        "limit": 9,
    }
    assert down(toxic("mtu_blackhole", mtu=1400), mtu=1300) == {"mtu": 1300}
    assert down(toxic("mtu_blackhole", mtu=1200), mtu=1300) == {"mtu": 1200}


def test_a_queue_works_with_whatever_rate_there_is_in_place_of_its_limit() -> None:
    queue, rate = toxic("queue", qdisc="codel target 5ms"), toxic("rate", rate="1mbit", limit=5)
    codel = {"qdisc": "codel target 5ms"}
    assert down(queue, rate) == down(rate, queue) == {"rate": 1e6, **codel}
    assert down(queue, rate="2mbit", limit=5) == {"rate": "2mbit", **codel}
    assert down(queue, slot="2ms 5ms") == {"slot": "2ms 5ms", **codel}
    assert down(queue, toxic("queue", name="2", qdisc="pfifo"), rate="2mbit")["qdisc"] == "pfifo"


def test_a_queue_that_holds_packets_back_by_itself_needs_no_rate() -> None:
    tbf = "tbf rate 1mbit burst 2kb limit 50kb"
    assert down(toxic("queue", qdisc=tbf)) == {"qdisc": tbf}


def test_what_does_not_go_together_is_refused() -> None:
    trace: NetemWords = {"trace": [1, 2, 3]}
    with pytest.raises(ConfigError, match="leave out rate"):
        words_for((trace, trace), [toxic("rate", rate="1mbit")])


@pytest.mark.parametrize("spec", [toxic("half_open"), toxic("timeout"), toxic("bandwidth")])
def test_the_same_toxics_make_the_same_words(spec: ToxicSpec) -> None:
    assert down(spec) == down(spec)
    config = PipeConfig.parse(**words_for(({}, {}), [spec])[1])
    assert config.drop is not None


PART = st.sampled_from([0, 0.25, 1])
TIME = st.sampled_from([0, 0.5, 20])
JITTERY = {
    "delay": TIME,
    "jitter": TIME,
    "correlation": PART,
    "distribution": st.sampled_from(["uniform", "normal", "pareto", "paretonormal"]),
    "reorder_by_jitter": st.booleans(),
}
CHANCE = {"probability": PART, "correlation": PART}
ATTRIBUTES = {
    "loss": {**CHANCE, "model": st.sampled_from(["", "gemodel 1%", "state 1% 10%", "random 2%"])},
    "corrupt": CHANCE,
    "duplicate": CHANCE,
    "reorder": {**CHANCE, "gap": st.integers(1, 3), "delay": st.sampled_from([0.5, 20])},
    "delay": JITTERY,
    "jitter": JITTERY,
    "rate": {"rate": st.sampled_from([0, 1000, 1e9]), "limit": st.integers(1, 5)},
    "queue": {
        "rate": st.sampled_from([0, 1000]),
        "qdisc": st.sampled_from(["codel", "pfifo limit 5", "tbf rate 1mbit burst 2kb limit 5kb"]),
    },
    "mtu_blackhole": {"mtu": st.integers(68, 1600)},
    "half_open": {"handshake": st.booleans()},
    "flap": {},
    "latency": {"latency": st.integers(0, 5), "jitter": st.integers(0, 5)},
    "bandwidth": {"rate": st.integers(0, 5)},
    "timeout": {},
}
SOME = st.one_of(
    [
        st.fixed_dictionaries({}, optional=attributes).map(
            lambda given, name=name: toxic(name, **given)
        )
        for name, attributes in ATTRIBUTES.items()
    ]
)
BASES: list[dict[str, object]] = [
    {},
    {"delay": "20ms 5ms 25%", "distribution": "normal", "reorder": "10% 50%", "gap": 2},
    {"rate": "2mbit 20 48 5", "limit": 7, "loss": "1%", "impairments": ["loss model 1%"]},
    {"slot": "2ms 5ms", "qdisc": "fq_codel limit 9", "mtu": 1000, "drop": "3,5"},
]


@given(st.lists(SOME, max_size=5), st.sampled_from(BASES))
def test_a_link_takes_the_words_of_whatever_toxics_there_are(
    toxics: list[ToxicSpec], base: dict[str, object]
) -> None:
    assert down(**base) == base
    words = down(*toxics, **base)
    assert down(*toxics, **base) == words
    delay = sum(
        float(str(its["delay"])) or float(str(its.get("jitter", 0)))
        for each in toxics
        if "delay" in (its := each.attributes) and its.get("probability", 1)
    )
    if delay:
        own = PipeConfig.parse(**base).delay_s  # type: ignore[arg-type]
        assert float(str(words["delay"])) >= own + delay / 1000 - 1e-9


# flaps


class Log:
    """A link that is cut and mended."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.flaps = Flaps(self, self.scheduler)
        self.told: list[tuple[float, str]] = []

    def down(self, direction: str | None = None) -> None:
        self.told.append((round(self.scheduler.now, 6), f"down {direction}"))

    def up(self, direction: str | None = None) -> None:
        self.told.append((round(self.scheduler.now, 6), f"up {direction}"))

    def update(self, *toxics: ToxicSpec) -> None:
        self.flaps.update(toxics, self.scheduler.now)

    def run(self, until: float) -> list[tuple[float, str]]:
        self.scheduler.run_due(until)
        told, self.told = self.told, []
        return told


def test_a_flap_begins_up_and_goes_on_in_its_periods() -> None:
    link = Log()
    link.update(toxic("flap", up=300, down=100), toxic("loss", probability=1))
    assert link.run(1.1) == [
        (0.3, "down b_to_a"),
        (0.4, "up b_to_a"),
        (0.7, "down b_to_a"),
        (0.8, "up b_to_a"),
        (1.1, "down b_to_a"),
    ]


def test_a_flap_that_changes_goes_on_with_the_time_that_it_is_in() -> None:
    link = Log()
    link.update(toxic("flap", "upstream", up=300, down=100))
    assert link.run(0.35) == [(0.3, "down a_to_b")]
    link.update(toxic("flap", "upstream", up=300, down=200))
    assert link.run(0.6) == [(0.5, "up a_to_b")]
    link.update(toxic("flap", "upstream", up=50, down=200))
    assert link.run(0.7) == [(0.6, "down a_to_b")]


def test_what_is_cut_is_mended_when_the_toxic_goes() -> None:
    link = Log()
    link.update(toxic("flap", up=300, down=100), toxic("flap", "upstream", up=300, down=100))
    assert link.run(0.3) == [(0.3, "down b_to_a"), (0.3, "down a_to_b")]
    link.update()
    assert link.run(9.0) == [(0.3, "up a_to_b"), (0.3, "up b_to_a")]
    assert len(link.scheduler) == 0
    link.update(toxic("flap", up=300, down=100))
    link.run(9.3)
    link.flaps.close()
    assert link.run(20.0) == [(9.3, "up b_to_a")]


def test_a_direction_is_cut_while_one_of_its_flaps_has_it_cut() -> None:
    link = Log()
    link.update(toxic("flap", up=300, down=200), toxic("flap", name="2", up=400, down=300))
    assert link.run(0.75) == [(0.3, "down b_to_a"), (0.7, "up b_to_a")]

"""Queues from tc's words: text and mappings, flags, lists, and what is said about mistakes."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.link.qdisc.codel import Codel
from pystack.link.qdisc.fifo import Fifo
from pystack.link.qdisc.fq_codel import FqCodel
from pystack.link.qdisc.prio import Prio
from pystack.link.qdisc.registry import BUILT_IN, parse_qdisc


def lifo(_: Random, *, limit: float = 5, fast: bool = False) -> Fifo:
    """A third party's queue."""
    return Fifo(limit_packets=float(limit) * (2 if fast else 1))


@pytest.mark.parametrize(
    "text",
    [
        "pfifo",
        "pfifo_head_drop limit 10",
        "bfifo limit 64kb head_drop",
        "tbf rate 1mbit burst 5kb latency 70ms peakrate 2mbit mtu 1540",
        "red limit 400kb min 30kb max 90kb avpkt 1000 burst 55 probability 0.02 ecn",
        "codel limit 100 target 4ms interval 30ms ecn",
        "fq_codel limit 2000 target 3ms interval 40ms noecn",
        "pie limit 100 target 20ms tupdate 30ms ecn nobytemode",
        "dualpi2 any_ect step_thresh 2ms",
        "prio bands 2 priomap 1 1 1 1 1 1 0 0 1 1 1 1 1 1 1 1",
    ],
)
def test_the_examples_of_the_man_pages_are_understood(text: str) -> None:
    queue = parse_qdisc(text)(Random(1))
    assert len(queue) == 0


def test_every_built_in_queue_is_there_without_words_that_it_does_not_need() -> None:
    needed = {"tbf": " rate 1mbit burst 2kb limit 10kb", "red": " limit 100kb"}
    for name in BUILT_IN:
        assert parse_qdisc(name + needed.get(name, ""))(Random(1)).backlog_bytes == 0


def test_each_call_makes_another_queue() -> None:
    factory = parse_qdisc("pfifo limit 3")
    assert factory(Random(1)) is not factory(Random(1))


def test_a_mapping_says_the_same_as_text() -> None:
    queue = parse_qdisc({"kind": "fq_codel", "limit": 1000, "target": "7ms", "ecn": False})(
        Random(1)
    )
    assert isinstance(queue, FqCodel)
    assert queue.limit_packets == 1000
    assert queue._control.target_s == 0.007
    assert not queue._control.ecn


def test_no_in_front_switches_a_flag_off_and_the_last_word_counts_once() -> None:
    queue = parse_qdisc("codel noecn")(Random(1))
    assert isinstance(queue, Codel)
    assert not queue.queue.control.ecn


def test_queues_go_into_bands_from_text_and_from_mappings() -> None:
    for value in (
        'prio qdiscs "codel target 1ms" pfifo',
        {"kind": "prio", "qdiscs": [{"kind": "codel", "target": 0.001}, "pfifo"]},
    ):
        queue = parse_qdisc(value)(Random(1))
        assert isinstance(queue, Prio)
        assert isinstance(queue.bands[0], Codel)
        assert queue.bands[0].queue.control.target_s == 0.001


def test_a_factory_is_taken_as_it_is() -> None:
    assert parse_qdisc(lifo).factory is lifo


def test_a_third_partys_queue_is_found_and_its_words_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = EntryPoint("lifo", f"{__name__}:lifo", "pystack.qdisc")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: EntryPoints([entry]))
    queue = parse_qdisc("lifo limit 7 fast")(Random(1))
    assert isinstance(queue, Fifo)
    assert queue.limit_packets == 14
    with pytest.raises(ConfigError, match="did you mean 'limit'"):
        parse_qdisc("lifo limmit 7")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "a qdisc needs a name"),
        ("codl", "did you mean 'codel'"),
        ("codel targt 5ms", "qdisc codel has no word 'targt'; did you mean 'target'?"),
        ("codel target", "qdisc codel: 'target' needs a value"),
        ("codel target interval 5ms", "qdisc codel: 'target' needs a value"),
        ("codel limit 5 limit 6", "qdisc codel: 'limit' is there twice"),
        ("codel ecn noecn", "qdisc codel: 'ecn' is there twice"),
        ("codel target 0", "qdisc codel: target '0' is not possible"),
        ("codel target soon", "qdisc codel: 'soon' is not a time"),
        ("codel notarget 5ms", "has no word 'notarget'"),
        ("pfifo limit 0", "a whole number from 1 on"),
        ("pfifo limit 1.5", "a whole number from 1 on"),
        ("pie alpha 33", "alpha '33' is not possible: a number above 0 and up to 32"),
        ("pie alpha x", "alpha 'x' is not possible"),
        ("red limit 100kb probability 0", "probability '0' is not possible"),
        ("tbf rate 1mbit limit 5kb", "qdisc tbf needs the word 'burst'"),
        ('prio qdiscs "codel', "can't be read"),
        ("prio qdiscs codl", "there is no qdisc 'codl'"),
        ({"limit": 5}, "a qdisc needs its 'kind'"),
        ({"kind": "codel", "ecn": 1}, "'ecn' is true or false, not 1"),
        ({"kind": "codel", "limit": True}, "'limit' can't be True"),
        ({"kind": "codel", "limit": [5]}, "'limit' can't be"),
        ({"kind": "codel", "limt": 5}, "did you mean 'limit'"),
        ({"kind": "prio", "priomap": "1 2"}, "'priomap' is a list"),
        ({"kind": "pfifo", "limit": 2.5}, "a whole number from 1 on"),
        ({"kind": "pfifo", "limit": float("nan")}, "a whole number from 1 on"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(value: str | dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_qdisc(value)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)

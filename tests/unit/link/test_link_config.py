"""The words of a link: what they mean, and what is refused, in a sentence that helps."""

from pathlib import Path

import pytest
from pipe_bench import Bench

from pystack import ConfigError
from pystack.core.rng import Random
from pystack.link.config import PipeConfig, update_both
from pystack.link.impair.loss import FourState, GilbertElliott, RandomLoss
from pystack.link.qdisc.fifo import Fifo
from pystack.link.words import WORDS


class Mine(Fifo):
    """A third party's queue."""

    def __init__(self, _rng: Random) -> None:
        super().__init__()


def test_no_words_are_a_perfect_wire() -> None:
    assert PipeConfig.parse() == PipeConfig()


def test_words_take_text_or_numbers_in_the_unit_of_the_result() -> None:
    as_text = PipeConfig.parse(
        delay="20ms", jitter="2ms", loss="1%", rate="10mbit", overhead="20", limit="100", mtu="1400"
    )
    as_numbers = PipeConfig.parse(
        delay=0.02, jitter=0.002, loss=0.01, rate=10e6, overhead=20, limit=100, mtu=1400
    )
    assert as_text == as_numbers
    assert as_text.loss == RandomLoss(0.01)


def test_values_may_stand_behind_each_other_as_in_tc() -> None:
    config = PipeConfig.parse(
        delay="20ms 5ms 25%",
        reorder="5% 50%",
        duplicate="1% 10%",
        corrupt="2% 20%",
        rate="1mbit 14 48 5",
        loss="random 3% 30%",
    )
    assert config == PipeConfig(
        delay_s=0.02,
        jitter_s=0.005,
        correlation=0.25,
        reorder=0.05,
        reorder_correlation=0.5,
        duplicate=0.01,
        duplicate_correlation=0.1,
        corrupt=0.02,
        corrupt_correlation=0.2,
        rate_bps=1e6,
        overhead_bytes=14,
        cell_bytes=48,
        cell_overhead_bytes=5,
        loss=RandomLoss(0.03, 0.3),
        loss_correlation=0.3,
    )


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("gemodel 1%", GilbertElliott(0.01, 0.99, 1.0, 0.0)),
        ("gemodel 1% 10%", GilbertElliott(0.01, 0.1, 1.0, 0.0)),
        ("gemodel 1% 10% 75% 0.5%", GilbertElliott(0.01, 0.1, 0.75, 0.005)),
        ("state 1%", FourState(0.01, 0.99)),
        ("state 1% 20% 30% 40% 0.5%", FourState(0.01, 0.2, 0.3, 0.4, 0.005)),
        ("0%", None),
    ],
)
def test_the_models_of_loss_and_what_tc_takes_for_what_is_left_out(
    text: str, model: object
) -> None:
    assert PipeConfig.parse(loss=text).loss == model


def test_an_update_changes_its_words_alone_and_none_takes_one_back() -> None:
    config = PipeConfig.parse(delay="20ms", jitter="2ms", rate="1mbit")
    assert config.updated(loss="30%") == PipeConfig.parse(
        delay="20ms", jitter="2ms", rate="1mbit", loss="30%"
    )
    assert config.updated(rate=None, jitter=None) == PipeConfig.parse(delay="20ms")


def test_another_loss_forgets_the_correlation_of_the_old_one() -> None:
    config = PipeConfig.parse(loss="1%", loss_correlation="25%")
    assert config.updated(loss="gemodel 1% 10%").loss_correlation == 0.0


def test_a_queue_is_asked_for_in_tc_s_words_or_as_a_mapping() -> None:
    assert PipeConfig.parse(rate="1mbit", qdisc="fq_codel limit 100").qdisc is not None
    assert (
        PipeConfig.parse(rate="1mbit", qdisc={"kind": "codel", "target": "5ms"}).qdisc is not None
    )


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"latency": "20ms"}, "does not know the word 'latency'"),
        ({"dely": "20ms"}, "did you mean 'delay'"),
        ({"delay": "20 parsecs"}, "delay = '20 parsecs' is not possible"),
        ({"delay": "-1ms"}, "delay"),
        ({"delay": True}, "delay = True is not possible: it takes a text or a number"),
        ({"delay": "1ms 2ms 3% 4%"}, "1 to 3 values"),
        ({"loss": "101%"}, "above 1"),
        ({"loss": 1.5}, "percentage needs its % sign"),
        ({"loss": "gemodel"}, "is not a loss"),
        ({"loss": "1% 2% 3%"}, "is not a loss"),
        ({"loss": "state 60% 50% 0% 0% 50%"}, "p13 and p14 are together 1.1"),
        ({"loss": "state 10% 60% 60%"}, "p31, p32 are together 1.2"),
        ({"loss": "gemodel 1%", "loss_correlation": "5%"}, "loss_correlation is a word of loss ra"),
        ({"rate": 0}, "lets nothing through"),
        ({"reorder": "5%"}, "give a delay"),
        ({"delay": "1ms", "gap": 5}, "give reorder"),
        ({"delay": "1ms", "reorder": "5%", "gap": 0}, "gap"),
        ({"limit": 0}, "lets nothing wait"),
        ({"limit": "1.5"}, "limit = '1.5'"),
        ({"limit": 1.5}, "whole number"),
        ({"mtu": 20}, "below IPv4's minimum"),
        ({"trace": [1], "rate": "1mbit"}, "leave out rate and slot"),
        ({"trace": [1], "slot": "1ms"}, "leave out rate and slot"),
        ({"cell_overhead": 5}, "give cell_size"),
        ({"distribution": "norml"}, "neither a distribution"),
        ({"drop": "abc"}, "drop 'abc' is not possible"),
        ({"drop": [0]}, "count from 1"),
        ({"drop": True}, "drop True is not possible"),
        ({"reorder_by_jitter": "yes"}, "True or False"),
        ({"qdisc": "fq_cdel"}, "fq_codel"),
        ({"qdisc": 5}, "qdisc = 5"),
        ({"impairments": ["nosuch"]}, "no impairment 'nosuch'"),
        ({"impairments": ["loss modl 1%"]}, "did you mean 'model'"),
        ({"impairments": ["loss"]}, "impairment loss needs the word 'model'"),
        ({"impairments": 5}, "5 is no impairment: it takes a name with its words"),
        ({"impairments": [{"probability": 1}]}, "needs its 'name'"),
    ],
)
def test_what_cannot_be_is_refused_at_once(words: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        PipeConfig.parse(**words)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"limit": 10}, "limit would have no effect: frames wait for a rate"),
        ({"limit": 10, "rate": "1mbit", "qdisc": "codel"}, "a qdisc has a limit of its own"),
        ({"qdisc": "fq_codel"}, "qdisc would have no effect: frames wait for a rate"),
        ({"qdisc": "prio qdiscs codel"}, "qdisc would have no effect"),
        ({"jitter": "5ms"}, "jitter is around a delay: give a delay"),
        ({"delay": "0 5ms"}, "jitter is around a delay"),
        ({"delay": "5ms", "distribution": "normal"}, "give a jitter"),
        ({"delay": "5ms", "correlation": "5%"}, "give a jitter"),
        ({"delay": "5ms", "reorder_by_jitter": True}, "give a jitter"),
        ({"delay": "5ms", "reorder_correlation": "5%"}, "give reorder"),
        ({"loss_correlation": "5%"}, "give a loss"),
        ({"duplicate_correlation": "5%"}, "give duplicate"),
        ({"corrupt_correlation": "5%"}, "give corrupt"),
        ({"overhead": 18}, "give a rate"),
        ({"cell_size": 48}, "give a rate"),
    ],
)
def test_a_word_that_would_do_nothing_is_refused(words: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        PipeConfig.parse(**words)


@pytest.mark.parametrize(
    "words",
    [
        {"limit": 10, "slot": "1ms"},
        {"limit": 10, "trace": [1]},
        {"qdisc": "tbf rate 1mbit burst 2kb limit 9kb"},
        {"qdisc": 'prio qdiscs "tbf rate 1mbit burst 2kb limit 9kb"'},
        {"qdisc": Mine},  # of a plug-in nobody knows whether it shapes
        {"jitter": 0, "loss_correlation": 0, "limit": 1000, "distribution": "uniform"},
    ],
)
def test_what_may_do_something_is_taken_and_so_is_what_says_the_default(
    words: dict[str, object],
) -> None:
    PipeConfig.parse(**words)


def test_a_word_for_both_directions_may_work_in_one_of_them() -> None:
    perfect = PipeConfig(), PipeConfig()
    forth, back = update_both(perfect, {"limit": 10}, {"rate": "1mbit"}, None)
    assert (forth.limit_packets, back.limit_packets) == (10, 10)
    with pytest.raises(ConfigError, match="limit would have no effect"):
        update_both(perfect, {}, {"rate": "1mbit"}, {"limit": 10})


def test_a_word_that_loses_its_partner_stays_for_when_it_comes_back() -> None:
    shaped = PipeConfig.parse(rate="1mbit", limit=10)
    both = update_both((shaped, shaped), {"rate": None}, None, None)
    assert [config.limit_packets for config in both] == [10, 10]


def test_every_word_can_be_taken_back() -> None:
    assert PipeConfig.parse(**dict.fromkeys(WORDS)) == PipeConfig()


def test_a_distribution_may_be_a_table_file_of_netem(tmp_path: Path) -> None:
    file = tmp_path / "measured.dist"
    file.write_text("# two values\n -8192 0\n4096\n")
    assert PipeConfig.parse(delay="20ms 5ms", distribution=file).distribution == (-1.0, 0.0, 0.5)
    assert PipeConfig.parse(delay="20ms 5ms", distribution=str(file)).distribution == (
        -1.0,
        0.0,
        0.5,
    )


@pytest.mark.parametrize(
    ("text", "match"),
    [("", "0 entries"), ("1 x", "damaged"), ("40000", "16 bits"), ("1 " * 16385, "16385 entries")],
)
def test_a_damaged_table_file_is_refused(tmp_path: Path, text: str, match: str) -> None:
    file = tmp_path / "table"
    file.write_text(text)
    with pytest.raises(ConfigError, match=match):
        PipeConfig.parse(delay="20ms 5ms", distribution=file)


def test_the_built_in_tables_have_netem_s_size_and_bounds() -> None:
    for name in ("normal", "pareto", "paretonormal"):
        table = PipeConfig.parse(delay="20ms 5ms", distribution=name).distribution
        assert table is not None
        assert len(table) == 4096
        assert list(table) == sorted(table)
        assert table[-1] <= 4.0
    assert PipeConfig.parse(delay="20ms 5ms", distribution="uniform").distribution is None


def test_the_built_in_tables_agree_with_netem_s_own_at_known_places() -> None:
    # netem's pareto table begins at (1 - 1.5) * 4/3 and has (2**(1/3) - 1.5) * 4/3 in its middle
    pareto = PipeConfig.parse(delay="20ms 5ms", distribution="pareto").distribution
    normal = PipeConfig.parse(delay="20ms 5ms", distribution="normal").distribution
    both = PipeConfig.parse(delay="20ms 5ms", distribution="paretonormal").distribution
    assert pareto is not None
    assert normal is not None
    assert both is not None
    assert pareto[0] == pytest.approx(-2 / 3, abs=1e-3)
    assert pareto[2048] == pytest.approx((2 ** (1 / 3) - 1.5) * 4 / 3, abs=1e-3)
    assert normal[2048] == pytest.approx(0.0, abs=1e-3)
    assert normal[3446] == pytest.approx(1.0, abs=2e-3)  # 84.13 % of the way
    assert both[1000] == pytest.approx((normal[1000] + 3 * pareto[1000]) / 4)


PLUG_IN = """
class Every:
    name = "every"

    def __init__(self, rng, *, nth=2):
        self.nth, self.count = int(nth), 0

    def apply(self, frame, now):
        self.count += 1
        return () if self.count % self.nth == 0 else ((now, frame),)
"""


def test_an_impairment_of_a_third_party_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "every_plug_in.py").write_text(PLUG_IN)
    info = tmp_path / "every_plug_in-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: every-plug-in\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pystack.impairment]\nevery = every_plug_in:Every\n")
    monkeypatch.syspath_prepend(tmp_path)
    bench = Bench(impairments=["every nth 3"])
    bench.send(6)
    bench.run()
    assert bench.numbers == [0, 1, 3, 4]
    assert bench.pipe.counters == {"every": 2}
    with pytest.raises(ConfigError, match="did you mean 'nth'"):
        PipeConfig.parse(impairments=["every nht 3"])

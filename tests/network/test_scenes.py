"""The scenes of experiments, held against what theory says of them."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import trio

import pystack
from pystack.core.errors import ConfigError
from pystack.experiments import Meter
from pystack.experiments.scenes import dumbbell, request_response
from pystack.plugins import AckSample, ControlDefaults, LossSample
from pystack.runtime.current import seed_of_run

FULL = 1514  # bytes of a full frame
TEXT = {"4": 1448, "6": 1428}  # bytes of text in it, with timestamps


def run(**words: object) -> dict[str, float]:
    return pystack.run(partial(dumbbell, **words))  # type: ignore[arg-type]


@pytest.mark.parametrize("ip", ["4", "6"])
def test_a_cubic_flow_fills_a_line_with_a_queue_of_one_bdp(ip: str) -> None:
    found = run(rate="5mbit", delay="20ms", duration="12s", warmup="4s", ip=ip)
    assert found["goodput_1_bps"] == pytest.approx(5e6 * TEXT[ip] / FULL, rel=0.005)


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (dumbbell, {"rate": "2mbit", "loss": "2%", "duration": "2s"}),
        (request_response, {"loss": "2%", "requests": 5}),
    ],
)
def test_below_another_function_a_scene_has_the_seed_of_the_run(
    scene: Callable[..., Awaitable[object]], words: Mapping[str, object]
) -> None:
    def found(seed: int) -> object:
        token = seed_of_run.set(seed)  # as a point of an experiment does
        try:
            return pystack.run(partial(scene, **words))
        finally:
            seed_of_run.reset(token)

    assert found(1) == pystack.run(partial(scene, **words, seed=1))
    assert found(2) == pystack.run(partial(scene, **words, seed=2)) != found(1)
    assert pystack.run(partial(scene, **words)) == found(1)  # alone it is the same each time


def test_several_scenes_of_a_run_have_its_seed_in_tasks_and_in_threads_of_trio() -> None:
    scene = partial(dumbbell, rate="2mbit", loss="2%", duration="1s")

    async def several() -> list[object]:
        found: list[object] = [await trio.to_thread.run_sync(pystack.run, scene)]

        async def one() -> None:
            found.append(await scene())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        return found

    token = seed_of_run.set(2)
    try:
        found = pystack.run(several)
    finally:
        seed_of_run.reset(token)
    assert found == [pystack.run(partial(scene, seed=2))] * 3
    assert found[0] != pystack.run(scene)


@pytest.mark.parametrize(
    ("scene", "words"), [(dumbbell, {"duration": "200ms"}), (request_response, {"requests": 1})]
)
def test_a_scene_is_captured_where_that_is_asked_for(
    scene: Callable[..., Awaitable[object]], words: Mapping[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "one.pcapng"
    alike = pystack.run(partial(scene, **words, seed=3))
    assert pystack.run(partial(scene, **words, seed=3, pcap=str(path))) == alike
    assert path.stat().st_size > 5_000
    with pytest.raises(ConfigError, match=r"pcap is 'one.pcapng': say its whole path"):
        pystack.run(partial(scene, **words, pcap="one.pcapng"))


def test_a_newreno_flow_with_a_short_queue_leaves_a_part_of_the_line() -> None:
    # 33 packets are on the way and 5 wait: its window goes from 19 to 38, in equal steps. That is
    # 26 on average until it is 33, and then the line is full: (14 x 26 + 5 x 33) / 19 / 33 = 0.84.
    found = run(control="newreno", limit=5, rate="5mbit", delay="40ms", duration="24s", warmup=6)
    assert found["goodput_1_bps"] / (5e6 * TEXT["4"] / FULL) == pytest.approx(0.84, abs=0.06)


def test_flows_of_equal_round_trips_get_equal_shares_and_others_do_not() -> None:
    words = {"flows": 2, "rate": "2mbit", "control": "newreno", "duration": "30s", "warmup": "6s"}
    equal = run(**words)
    assert 0.8 < equal["goodput_1_bps"] / equal["goodput_2_bps"] < 1.25
    apart = run(**words, access_delay="0ms 100ms")
    assert apart["goodput_1_bps"] > 1.5 * apart["goodput_2_bps"]


def test_a_control_may_be_a_class() -> None:
    class Three(ControlDefaults):
        name = "three"

        def __init__(self, smss_bytes: int) -> None:
            self.cwnd_bytes = 3 * smss_bytes

        def on_ack(self, sample: AckSample) -> None:
            """Stay."""

        def on_loss(self, sample: LossSample) -> None:
            """Stay."""

        def on_rto(self, now: float, flight_size_bytes: int) -> None:
            """Stay."""

    got = run(controls=[Three, "fixed:3"], rate="20mbit", spread=0, duration="4s", limit=100)
    assert got["goodput_1_bps"] == pytest.approx(got["goodput_2_bps"], rel=0.02)
    assert got["goodput_1_bps"] < 3 * 1448 * 8 / 0.04  # a window in each round trip at most


def test_a_flow_has_what_a_constant_rate_leaves() -> None:
    found = run(rate="4mbit", cross="2mbit", duration="12s", warmup="4s")
    # Datagrams come evenly, so that few of them meet a full queue
    assert found["goodput_1_bps"] == pytest.approx(2e6 * TEXT["4"] / FULL, rel=0.05)


def test_flows_of_a_size_end_before_the_duration() -> None:
    found = run(size="100kb 50kb", rate="4mbit", spread=0, duration="60s")
    # Over the same time, which ends when the longer one has ended
    assert found["goodput_1_bps"] == pytest.approx(2 * found["goodput_2_bps"])


def test_flows_go_the_other_way_too() -> None:
    alone = run(rate="2mbit", duration="8s", warmup="2s")
    beside = run(rate="2mbit", duration="8s", warmup="2s", reverse=1)
    assert 0.3 < beside["goodput_1_bps"] / alone["goodput_1_bps"] < 1.0


def test_a_narrow_way_back_lets_through_so_many_acks_and_each_lets_go_two_segments() -> None:
    words = {"control": "fixed:20", "rate": "5mbit", "limit": 100, "duration": "8s", "warmup": "4s"}
    assert run(**words)["goodput_1_bps"] == pytest.approx(5e6 * TEXT["4"] / FULL, rel=0.005)
    found = run(**words, back_rate="50kbit")
    assert found["goodput_1_bps"] == pytest.approx(50e3 / 66 * 2 * TEXT["4"], rel=0.005)


def test_flows_the_other_way_have_the_rate_of_the_way_back() -> None:
    words = {"control": "newreno", "rate": "5mbit", "limit": 20, "duration": "8s", "reverse": 1}
    meter = Meter(["goodput"], flows="back*", after_s=2.0)
    with meter:
        run(**words, back_rate="1mbit")
    found, _ = meter.result()
    # ACKs of the other flow take a part of it
    assert 0.85e6 < float(found["goodput_bps"] or 0) < 1e6 * TEXT["4"] / FULL


def test_a_seed_is_a_run_and_another_seed_another_run() -> None:
    words = {"rate": "2mbit", "loss": "1%", "duration": "4s"}
    assert run(**words, seed=3) == run(**words, seed=3) != run(**words, seed=4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"limit": "2 bdps"}, "a limit is a number of packets or of products of rate and delay"),
        ({"limit": 0}, "limit is 0: it must be a whole number, 1 or more"),
        ({"flows": 0}, "flows is 0: it must be a whole number, 1 or more"),
        (
            {"flows": 3, "starts": "0s 1s"},
            "2 values of starts are not for 3 flows: give one for all, or one for each",
        ),
        ({"control": "cubik"}, "did you mean 'cubic'?"),
        ({"controls": ""}, "controls is empty: leave it out"),
        ({"rate": "10"}, "'10' has no unit"),
        ({"qdisc": "fq_codl"}, "did you mean 'fq_codel'?"),
        ({"duration": "1s", "warmup": "1s"}, "a warm-up of '1s' leaves nothing of a duration"),
        ({"ecn": "sometimes"}, "sometimes"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(words: dict[str, object], sentence: str) -> None:
    with pytest.raises(pystack.ConfigError) as error:
        run(**words)
    assert sentence in str(error.value)


def ask(**words: object) -> dict[str, float]:
    return pystack.run(partial(request_response, **words))  # type: ignore[arg-type]


def test_an_answer_takes_a_round_trip_and_its_bits() -> None:
    found = ask(requests=20, delay="25ms", rate="10mbit", response="1000b", request="100b")
    # Frames of 100 and 1000 bytes of text and 66 of headers
    bits_s = (166 + 1066) * 8 / 10e6
    assert found["latency_p50_s"] == pytest.approx(0.05 + bits_s, abs=1e-6)
    assert found["answered"] == 20
    assert found["failed"] == 0
    # The first one opens the connection, too
    assert found["latency_max_s"] == pytest.approx(0.1 + bits_s, abs=1e-3)


def test_a_new_connection_for_each_request_takes_another_round_trip() -> None:
    found = ask(requests=20, delay="25ms", response="1000b", request="100b", reuse=False)
    assert found["latency_p50_s"] == pytest.approx(0.1, abs=2e-3)


def test_requests_that_take_too_long_have_failed() -> None:
    found = ask(requests=40, loss="20%", timeout="200ms", seed=2)
    assert found["answered"] + found["failed"] == 40
    assert found["failed"] > 5
    assert found["latency_max_s"] <= 0.2

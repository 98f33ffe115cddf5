"""Presets: words that a link understands, up and down apart, and what a packet meets there."""

import pytest

import pystack
from pystack import ConfigError, Network
from pystack.link.config import PipeConfig
from pystack.topology.presets import PRESETS, words_of


@pytest.mark.parametrize("name", PRESETS)
def test_a_link_understands_the_words_of_each_preset(name: str) -> None:
    up, down = (PipeConfig.parse(**words) for words in words_of(name))
    assert up.rate_bps is not None
    assert down.rate_bps is not None
    assert up.rate_bps <= down.rate_bps
    # A full queue is worth no more than 1.5 s of the line.
    for pipe in (up, down):
        assert pipe.rate_bps is not None
        assert pipe.limit_packets * 1514 * 8 / pipe.rate_bps < 1.5


def test_no_preset_has_no_words() -> None:
    assert words_of(None) == ({}, {})


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'satellite-geo'"):
        words_of("satelite-geo")


def test_the_first_node_of_a_link_is_the_subscriber_and_words_go_before_the_preset() -> None:
    async def main() -> None:
        async with Network(seed=1) as net:
            home, isp = net.host("home"), net.host("isp")
            link = net.link(home, isp, preset="dsl", jitter=0, b_to_a={"rate": "16mbit"})
            assert link.a_to_b.config.rate_bps == 1e6
            assert link.b_to_a.config.rate_bps == 16e6
            await home.ping("isp")
            # 98 bytes at 1 and at 16 Mbit/s, and 20 ms each way.
            expected = 0.020 + 98 * 8 / 1e6 + 0.020 + 98 * 8 / 16e6
            assert await home.ping("isp") == pytest.approx(expected)

    pystack.run(main)


@pytest.mark.parametrize(
    ("name", "least_s", "most_s"),
    [
        ("dsl", 0.038, 0.045),
        ("cable", 0.016, 0.025),
        ("3g", 0.045, 0.085),
        ("lte", 0.040, 0.065),
        ("5g", 0.010, 0.027),
        ("wifi", 0.002, 0.030),
        ("satellite-geo", 0.610, 0.680),
        ("satellite-leo", 0.030, 0.060),
        ("dc", 0.00018, 0.00023),
    ],
)
def test_the_median_round_trip_is_what_the_documentation_says(
    name: str, least_s: float, most_s: float
) -> None:
    async def main() -> None:
        async with Network(seed=1) as net:
            home, isp = net.host("home"), net.host("isp")
            net.link(home, isp, preset=name)
            times: list[float] = []
            while len(times) < 51:
                try:
                    times.append(await home.ping("isp", timeout_s=5))
                except TimeoutError:
                    continue  # lost: that is in some presets
            assert least_s < sorted(times)[25] < most_s

    pystack.run(main)

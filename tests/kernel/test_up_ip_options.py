"""IP options as a real ping asks for them, and multicast as a real sender sends it."""

import re

import pytest
from netns import NetworkNamespace
from up import StackUp

pytestmark = pytest.mark.kernel


def ping(netns: NetworkNamespace, *words: str) -> str:
    return netns.run(["ping", "-n", "-c", "1", *words, "10.77.0.2"]).stdout.decode()


@pytest.mark.rfc("1122", "3.2.2.6")
def test_a_route_that_ping_has_recorded_goes_there_and_back(
    netns: NetworkNamespace, stack_up: StackUp, offload: str
) -> None:
    stack_up(offload)
    said = ping(netns, "-R")
    route = re.findall(r"10\.77\.0\.\d+", said.partition("RR:")[2])
    assert route[:2] == ["10.77.0.1", "10.77.0.2"]


@pytest.mark.rfc("1122", "3.2.2.6")
def test_times_that_ping_has_recorded_are_there_for_both_stations(
    netns: NetworkNamespace, stack_up: StackUp, offload: str
) -> None:
    stack_up(offload)
    said = ping(netns, "-T", "tsandaddr").partition("TS:")[2]
    assert re.search(r"10\.77\.0\.1\s+\d+ absolute", said), said
    assert re.search(r"10\.77\.0\.2\s+-?\d+ (absolute )?not-standard", said), said


def test_a_large_ping_with_options_comes_back_in_fragments(
    netns: NetworkNamespace, stack_up: StackUp, offload: str
) -> None:
    stack_up(offload)
    said = ping(netns, "-R", "-s", "4000")
    assert "1 received" in said
    assert "10.77.0.2" in said.partition("RR:")[2]

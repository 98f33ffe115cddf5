"""A story is made of its run: change the line, the version, the way, and it says something else."""

from functools import cache

import pytest

from pystack.apps.explain.record import record
from pystack.observe.explain.compare import compare
from pystack.observe.explain.story import Span, Step, Story
from pystack.observe.explain.telling import tell

VERSIONS = pytest.mark.parametrize("version", [4, 6])


@cache
def story(url: str = "http://server/", line: str = "", **words: str | int) -> Story:
    """Return the story of a run; `line` in netem's words: "loss=5%,delay=10ms"."""
    pairs = dict(word.split("=", 1) for word in line.split(",") if word)
    recording = record(url, pairs, **words)
    return tell(recording.items, recording)


def kinds(told: Story) -> list[str]:
    return [step.kind for step in told.steps]


def step(told: Story, kind: str) -> Step:
    return next(each for each in told.steps if each.kind == kind)


def detail(told: Step, name: str) -> str:
    return next(value for each, value, _ in told.details if each == name)


def ns(span: Span) -> int:
    return round(span.seconds * 1e9)


@VERSIONS
def test_a_clean_run_is_told_from_the_name_to_time_wait(version: int) -> None:
    told = story(version=version)
    neighbor = "neighbor" if version == 4 else "neighbor6"
    wanted = ["resolve", "route", neighbor, "syn", "hop", "syn_ack", "handshake", "request"]
    wanted += ["answer", "close", "time_wait"]
    found = kinds(told)
    places = [found.index(kind) for kind in wanted]
    assert places == sorted(places)
    assert not [each.title for each in told.steps if each.is_trouble]
    assert told.facts["sent again"] == "0"


def test_ipv6_asks_by_neighbor_discovery_and_ipv4_by_arp() -> None:
    assert "neighbor6" not in kinds(story(version=4))
    assert "neighbor" not in kinds(story(version=6))


@pytest.mark.parametrize(("delay", "handshake"), [("10ms", "20.8 ms"), ("50ms", "100.8 ms")])
def test_the_handshake_takes_the_round_trip_of_this_line(delay: str, handshake: str) -> None:
    told = step(story(line=f"delay={delay}"), "handshake")
    assert told.title == f"ACK: the connection is established after {handshake}"


def test_an_address_needs_no_name_server() -> None:
    assert "resolve" not in kinds(story("http://198.51.100.10/"))


@VERSIONS
@pytest.mark.parametrize("line", ["", "loss=5%", "loss=20%,delay=3ms", "rate=1mbit,limit=5"])
def test_the_waterfall_adds_up_to_the_nanosecond(version: int, line: str) -> None:
    told = story(line=line, version=version)
    total = round((told.ended_at - told.began_at) * 1e9)
    assert sum(ns(span) for span in told.waterfall) == total
    for span in told.waterfall:
        assert sum(ns(part) for part in span.parts) == ns(span)
    for before, after in zip(told.waterfall, told.waterfall[1:], strict=False):
        assert before.end == after.begin


# comparing


def test_a_story_compared_with_itself_does_not_differ() -> None:
    comparison = compare(story(), story(), ("one", "other"))
    assert comparison.differences == []
    assert comparison.pairs == [(number, number) for number in range(len(story().steps))]
    assert comparison.text == "one and other are the same, step by step and to the nanosecond."


def test_what_a_loss_changes_is_the_repair_and_its_wait() -> None:
    left, right = story(version=6), story(line="loss=5%", version=6)
    comparison = compare(left, right, ("loss=0", "loss=5%"))
    told = {each.name: (each.left, each.right) for each in comparison.differences}
    assert told["frames lost"] == ("0", right.facts["frames lost"])
    assert told["total"] == (left.facts["total"], right.facts["total"])
    lone = [right.steps[other].kind for one, other in comparison.pairs if one is None]
    assert "loss" in lone
    assert "repair_rto" in lone
    assert "loss=5% alone has this step: Lost on home to provider" in comparison.text

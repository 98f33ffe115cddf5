"""What somebody who reads a story for the first time would stumble over."""

import pytest
from stories import VERSIONS, step, story

from pystack.observe.explain.story import Step, Story
from pystack.observe.explain.text import as_text
from pystack.observe.explain.wording import duration


def steps(told: Story, kind: str) -> list[Step]:
    return [each for each in told.steps if each.kind == kind]


def test_what_tls_says_for_itself_has_the_rfcs_of_tls() -> None:
    """HTTP/2's settings are no frames of a WebSocket."""
    told = story("https://server/")
    assert steps(told, "message")
    for each in steps(told, "message"):
        assert not [source for source in each.sources if source.startswith("RFC 6455")]
        assert "RFC 8446 section 5.2" in each.sources


def test_fins_of_which_one_was_lost_cross_too() -> None:
    """The states tell: neither end went to CLOSE-WAIT, so neither knew of the other's FIN."""
    told = story("https://server/", "loss=3%", seed=5)
    assert step(told, "close").title.startswith("FIN: client and server close at the same time")
    remember = steps(told, "time_wait")
    assert [each.actors for each in remember] == [("server",), ("client",)]
    for each in remember:
        assert "closed without knowing that the other did" in each.text


def test_fins_that_cross_are_told_as_such() -> None:
    """TLS says goodbye first, and the server answers that: each FIN is sent before the other."""
    told = story("https://server/")
    assert step(told, "close").title.startswith("FIN: client and server close at the same time")
    remember = steps(told, "time_wait")
    assert [each.actors for each in remember] == [("client",), ("server",)]
    for each in remember:
        assert "closed first" not in each.text
        assert "crossed" in each.text


def test_who_closes_first_waits_alone() -> None:
    told = story("http://server/")
    assert step(told, "close").title.startswith("FIN: client closes first, server follows")
    assert [each.actors for each in steps(told, "time_wait")] == [("client",)]
    assert "client closed first" in step(told, "time_wait").text


@VERSIONS
def test_a_frame_is_that_of_its_version(version: int) -> None:
    wanted = {4: "RFC 894", 6: "RFC 2464 section 3"}
    assert step(story(version=version), "hop").sources[0] == wanted[version]


def test_a_look_up_that_took_longer_than_a_round_trip_says_why() -> None:
    """The router at home has to ask on the line, and that takes the line's round trip."""
    assert "MAC address first (home 20 ms)" in step(story(), "resolve").text
    assert "MAC address first (home 100 ms)" in step(story(line="delay=50ms"), "resolve").text


def test_a_name_server_that_does_not_answer_has_not_said_that_there_is_no_such_name() -> None:
    told = step(story(line="loss=100%"), "resolve")
    assert told.title.startswith("server stays unknown: resolver (198.51.100.53) does not answer")
    assert "2 questions, 0 answers" in told.text
    assert "1 question, 1 answer" in step(story(), "resolve").text
    assert step(story("http://x.invalid/"), "resolve").title == "x.invalid is not known: NXDOMAIN"


def test_a_story_is_not_over_before_the_program_gives_up() -> None:
    """One answer has come as far as the line, and the second question brought none either."""
    told = story("udp://server/hello", "loss=40%", seed=3)
    asked = step(told, "resolve")
    assert asked.until == pytest.approx(10.0, abs=0.01)
    assert told.ended_at >= asked.until
    assert told.facts["total"] == duration(asked.until - asked.at)


def test_what_to_type_can_be_copied_with_what_it_shows() -> None:
    """To a shell, a sentence behind a command is more arguments of it."""
    told = story()
    text = " ".join(as_text(told, depth="fields").replace("┃", " ").split())
    for each in told.steps[:3]:
        for command, shows in each.commands:
            assert f"$ {command} # {shows}" in text


def test_several_losses_are_counted_in_english() -> None:
    told = story(line="loss=5%", size_bytes=100_000)
    several = [each for each in steps(told, "loss") if "the same way" in each.text]
    assert several
    assert not [each.text for each in several if "mores" in each.text]

"""Stories as JSON: nothing is lost on the way there and back, and what is no story is refused."""

import json
from dataclasses import fields
from pathlib import Path

import explained
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pystack.core.errors import ConfigError
from pystack.observe.explain.json_form import as_json, from_json
from pystack.observe.explain.story import (
    Box,
    Comparison,
    Difference,
    Header,
    Shown,
    Span,
    Step,
    Story,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def test_a_story_and_a_comparison_come_back_as_they_were() -> None:
    for told in (explained.story(), explained.comparison()):
        assert from_json(as_json(told)) == told


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=30)
@given(st.from_type(Story))
def test_any_story_comes_back(story: Story) -> None:
    text = as_json(story)
    assert all(character.isprintable() or character == "\n" for character in text)
    # NaN is not itself, so texts are compared
    assert as_json(from_json(text)) == text


def test_the_keys_are_the_fields_and_bytes_are_hexadecimal() -> None:
    found = json.loads(as_json(explained.story()))
    assert found["format"] == "pystack-story"
    assert found["version"] == 1
    assert list(found)[2:] == [field.name for field in fields(Story)]
    frame = found["steps"][1]["frames"][0]
    assert bytes.fromhex(frame["data"]) == explained.request_frame()
    assert frame["boxes"][1]["headers"][7] == {
        "name": "time to live",
        "value": "64",
        "meaning": "hops left",
        "start_bit": 176,
        "bits": 8,
    }


@pytest.mark.parametrize("kind", [Story, Step, Shown, Box, Header, Span, Comparison, Difference])
def test_every_key_is_documented(kind: type) -> None:
    page = (Path(__file__).parents[3] / "docs" / "explain.md").read_text("utf-8")
    schema = page.partition("## JSON")[2]
    assert [field.name for field in fields(kind) if f"`{field.name}`" not in schema] == []


def test_keys_that_came_later_are_skipped_and_what_has_a_default_may_lack() -> None:
    told = from_json('{"format": "pystack-story", "version": 1, "title": "x", "mood": "good"}')
    assert told == Story("x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is no JSON: "),
        ("[" * 100_000, "this is no JSON: "),
        ("[]", "this is no story: "),
        ('{"format": "pystack-story", "version": 2}', "version 2 of a story; known is 1"),
        ('{"format": "pystack-story", "version": 1}', "Story of a story has no title"),
        (
            '{"format": "pystack-story", "version": 1, "title": 7}',
            "Story.title of a story cannot be 7",
        ),
        (
            '{"format": "pystack-story", "version": 1, "title": "", "links": [["a", "b"]]}',
            'Story.links[0] of a story cannot be ["a", "b"]',
        ),
        (
            '{"format": "pystack-story", "version": 1, "title": "", "steps": [{}]}',
            "Story.steps[0] of a story has no kind",
        ),
    ],
)
def test_what_is_no_story_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        from_json(text)
    assert str(error.value).startswith(said)


def test_a_comparison_may_be_without_steps_of_one_side() -> None:
    told = Comparison(Story("a"), Story("b"), ("l", "r"), [Difference("x", "1", "2")], [(None, 0)])
    assert from_json(as_json(told)) == told

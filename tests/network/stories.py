"""Stories of runs in the small laboratory, and what is looked for in them."""

from functools import cache

import pytest

from pystack.apps.explain.record import record
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

"""Whatever the line, the protocol and the chance: a story's spans add up to its total, exactly."""

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pystack.apps.explain.record import record
from pystack.observe.explain.compare import compare
from pystack.observe.explain.story import Story
from pystack.observe.explain.telling import tell

URLS = ["http://server/", "https://server/", "ws://server/", "smtp://server/", "ftp://server/x"]
URLS += ["dns://resolver/server", "udp://server:7", "tcp://server:7"]

LINES = st.fixed_dictionaries(
    {
        "delay": st.sampled_from(["1ms", "40ms", "250ms"]),
        "rate": st.sampled_from(["300kbit", "2mbit", "50mbit"]),
        "loss": st.sampled_from(["0%", "2%", "10%"]),
        "limit": st.sampled_from(["4", "100"]),
    },
    optional={
        "jitter": st.sampled_from(["1ms", "10ms"]),
        "duplicate": st.just("5%"),
        "corrupt": st.just("3%"),
        "reorder": st.just("5%"),
    },
)


def told(url: str, line: dict[str, str], version: int, seed: int, size: int) -> Story:
    recording = record(url, line, version=version, seed=seed, size_bytes=size)
    return tell(recording.items, recording)


def ns(seconds: float) -> int:
    return round(seconds * 1e9)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(URLS),
    LINES,
    st.sampled_from([4, 6]),
    st.integers(1, 50),
    st.sampled_from([0, 10_000, 70_000]),
)
def test_spans_and_their_parts_add_up(
    url: str, line: dict[str, str], version: int, seed: int, size: int
) -> None:
    story = told(url, line, version, seed, size)
    total = ns(story.ended_at - story.began_at)
    assert sum(ns(span.seconds) for span in story.waterfall) == total
    for span in story.waterfall:
        assert sum(ns(part.seconds) for part in span.parts) == ns(span.seconds)
        assert all(part.seconds > 0 for part in span.parts)
    for before, after in pairwise(story.waterfall):
        assert before.end == after.begin
    assert [step for step in story.steps if step.until < step.at or not step.title] == []
    assert compare(story, story).differences == []

"""A capture of a stranger's may hold anything: it is told as far as it goes, nothing raises."""

from functools import cache
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pystack.apps.explain.record import record
from pystack.observe.explain.telling import tell
from pystack.observe.passage import SEEN, Passage
from pystack.observe.recording import Recording
from pystack.wire.frame import Frame

URLS = ["http://server/", "https://server/", "ws://server/", "smtp://server/", "udp://server:7"]


@cache
def frames(url: str, version: int) -> list[tuple[float, bytes]]:
    recording = record(url, {"loss": "3%"}, version=version, size_bytes=20_000)
    return [(each.entered_at, each.frame.data) for each in recording.passages()]


def spoiled(data: bytes, rng: Random) -> bytes:
    """Return a frame with bytes changed, cut short, or something else altogether."""
    lot = rng.random()
    if lot < 0.3:
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if lot < 0.36:
        return data[: rng.randrange(len(data) + 1)]
    return rng.randbytes(rng.randrange(100)) if lot < 0.4 else data


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(st.sampled_from(URLS), st.sampled_from([4, 6]), st.integers(0, 2**32), st.booleans())
def test_whatever_is_in_a_capture_is_told(
    url: str, version: int, seed: int, in_disorder: bool
) -> None:
    rng = Random(seed)
    kept = [each for each in frames(url, version) if rng.random() > 0.05]
    kept = kept[rng.randrange(len(kept)) :] if rng.random() < 0.4 else kept
    passages = [
        Passage("file", "", "", Frame(spoiled(data, rng)), at, number, end=SEEN)
        for number, (at, data) in enumerate(kept, 1)
    ]
    if in_disorder:
        rng.shuffle(passages)
    story = tell(passages, Recording(knows_inside=False))
    total = round((story.ended_at - story.began_at) * 1e9)
    assert sum(round(span.seconds * 1e9) for span in story.waterfall) == total
    assert [step for step in story.steps if step.until < step.at] == []
    assert len(story.steps) < 2_000

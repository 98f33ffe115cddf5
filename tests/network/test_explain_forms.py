"""Stories of real runs in all their forms: whatever is in them fits, and comes back."""

from pathlib import Path

import chromium
import pytest

from pystack.apps.explain.record import record
from pystack.observe.explain.compare import compare
from pystack.observe.explain.json_form import as_json, from_json
from pystack.observe.explain.markdown import as_markdown
from pystack.observe.explain.page import as_html
from pystack.observe.explain.story import Depth, Story
from pystack.observe.explain.telling import tell
from pystack.observe.explain.text import as_text
from pystack.observe.explain.wording import cells
from pystack.observe.ladder import Ladder

DEPTHS: list[Depth] = ["story", "fields", "bytes"]


def told(url: str, version: int, **line: str) -> tuple[Story, Ladder]:
    recording = record(url, line, version=version, seed=13)
    story = tell(recording.items, recording)
    return story, Ladder.of(recording, until=story.ended_at)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "url", ["https://server/", "ws://server/", "ftp://server/", "udp://server/"]
)
def test_every_form_holds_the_whole_story(url: str, version: int) -> None:
    story, ladder = told(url, version, loss="5%")
    for depth in DEPTHS:
        text = as_text(story, depth=depth)
        assert max(map(cells, text.splitlines())) <= 80
        markdown = as_markdown(story, depth=depth, ladders=[ladder])
        for one in (text, markdown):
            assert all(character.isprintable() or character == "\n" for character in one)
        assert f"{len(story.steps)}. " in text
        assert f"### {len(story.steps)}\\. " in markdown
    assert from_json(as_json(story)) == story
    page = as_html(story, ladders=[ladder])
    assert page.count('<li class="step') == len(story.steps)


def test_every_byte_of_a_frame_is_listed_once() -> None:
    story, _ = told("http://server/", 4)
    step = next(step for step in story.steps if step.kind == "request")
    listing = as_text(story, depth="bytes", only=["request"])
    rows = [line.partition("┃ ")[2] for line in listing.splitlines()]
    at = [int(row[:4], 16) for row in rows if row[4:6] == "  " and row[:2] == "00"]
    assert at == sorted(at)
    whole = b"".join(
        bytes.fromhex(row[6:30]) for row in rows if row[:2] == "00" and "." not in row[6:30]
    )
    # but for those of which a field has only some bits
    assert set(step.frames[0].data) >= set(whole)
    assert len(whole) > 100


def test_a_phone_shows_a_lossy_story_and_a_comparison(tmp_path: Path) -> None:
    if chromium.find() is None:
        pytest.skip("no chromium here: the pages of real runs are not tried by a browser")
    (left, one), (right, other) = told("http://server/", 4), told("http://server/", 4, loss="5%")
    pages = [
        as_html(right, depth="bytes", ladders=[other]),
        as_html(compare(left, right, names=("loss=0", "loss=5%")), ladders=[one, other]),
    ]
    with chromium.Chromium(tmp_path / "chromium") as browser:
        browser.look(380, 800, still=True)
        for number, page in enumerate(pages):
            file = tmp_path / f"{number}.html"
            file.write_text(page, "utf-8")
            browser.open(file.as_uri())
            assert browser.run("document.documentElement.scrollWidth") == 380
            assert browser.run("document.querySelectorAll('.pystack-ladder').length") == number + 1
        assert browser.complaints == []

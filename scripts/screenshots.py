"""Takes the pictures of pages that stand in README and docs: `scripts/docs --screenshots`.

They are looked at, not compared: another Chromium draws them in another way.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pystack.apps.explain.record import record
from pystack.observe.explain.compare import compare
from pystack.observe.explain.page import as_html
from pystack.observe.explain.story import Story
from pystack.observe.explain.telling import tell
from pystack.observe.ladder import Ladder

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from chromium import Chromium  # noqa: E402 - it is beside the tests that need it

IMAGES: Final = ROOT / "docs" / "images"
_WIDTH: Final = 1200
_OPEN_THE_REQUEST: Final = """(() => {
  const step = [...document.querySelectorAll('.step')].find(
    (one) => one.querySelector('h3').textContent.includes('GET /'));
  step.querySelector('.closer').open = true;
  step.querySelector('.frame').open = true;
  step.querySelectorAll('.env').forEach((one) => { one.open = true; });
  step.querySelector('.env.transport .field:nth-child(3)').focus({ preventScroll: true });
  step.scrollIntoView();
})()"""


def explain(browser: Chromium, folder: Path) -> None:
    """Picture the page of an explanation: its beginning, a frame opened, two side by side."""
    words = ({"loss": "0"}, {"loss": "5%"})
    recordings = [record("http://server/", one, seed=13) for one in words]
    stories = [tell(recording.items, recording) for recording in recordings]
    ladder = Ladder.of(recordings[0], until=stories[0].ended_at)
    page = folder / "story.html"
    page.write_text(as_html(stories[0], depth="story", ladders=[ladder]), "utf-8")
    browser.look(_WIDTH, 1000, still=True)
    browser.open(page.as_uri())
    browser.picture(IMAGES / "explain-page.png")
    browser.look(_WIDTH, 1180, still=True, dark=True)
    browser.run("document.querySelector('[data-depth=bytes]').click()")
    browser.run("document.querySelectorAll('.closer, .frame').forEach((one) => {one.open = false})")
    browser.run(_OPEN_THE_REQUEST)
    browser.picture(IMAGES / "explain-bytes.png")
    browser.look(_WIDTH, 1000, still=True)
    browser.run("document.querySelector('.scroll').scrollIntoView()")
    browser.picture(IMAGES / "explain-ladder.png")
    _compared(browser, folder, stories)


def _compared(browser: Chromium, folder: Path, stories: list[Story]) -> None:
    page = folder / "comparison.html"
    told = compare(stories[0], stories[1], names=("loss=0", "loss=5%"))
    page.write_text(as_html(told), "utf-8")
    browser.open(page.as_uri())
    browser.run("document.querySelector('.pairs .trouble').scrollIntoView({block: 'center'})")
    browser.picture(IMAGES / "explain-compare.png")


def main() -> None:
    """Take all of them."""
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as name, Chromium(Path(name) / "chromium") as browser:
        explain(browser, Path(name))


if __name__ == "__main__":
    main()

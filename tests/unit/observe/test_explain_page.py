"""Stories as one HTML page: it is whole, needs nothing beside itself, and can be read by all."""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import chromium
import explained
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.core.errors import ConfigError
from pystack.core.extras import how_to_get
from pystack.core.texts import harmless
from pystack.observe.explain import page
from pystack.observe.explain.page import as_html
from pystack.observe.explain.story import Comparison, Header, Story
from pystack.observe.palette import COLOURS

CSS = (Path(page.__file__).with_name("pages") / "page.css").read_text("utf-8")
HOSTILE = (
    "\"'><script>alert(1)</script></style><img src=x onerror=alert(1)>{{ 7*7 }}\x00\u202e&amp;"
)


class Ladder:
    """A picture that says so."""

    def lines(self, *, width: int, ascii_only: bool, window: bool) -> list[str]:
        return ["rung"]

    def svg(self, *, fragment: bool) -> str:
        return '<svg><g data-number="7"><text>rung</text></g></svg>'


class Outline(HTMLParser):
    """The elements of a page and the names of their attributes, and what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def with_words(words: str) -> Story:
    """Return a story in which a stranger has said `words` wherever one can."""
    story = explained.story()
    story.title = story.outcome = words
    story.places, story.links = [words], [(words, words, words)]
    story.facts, story.unknown = {words: words}, [words]
    story.waterfall[0].name = story.waterfall[0].text = story.waterfall[0].parts[0].text = words
    step = story.steps[1]
    step.title = step.text = step.owner = step.in_node = step.in_python = words
    step.actors, step.sources = (words,), [words]
    step.details, step.states = [(words, words, words)], [(words, words)]
    step.commands = [(words, words)]
    shown = step.frames[0]
    shown.sender = shown.receiver = shown.summary = shown.fate = words
    shown.boxes[3].title = words
    shown.boxes[3].headers = [Header(words, words, words, 432, 8)]
    return story


def test_all_that_is_told_is_on_the_page() -> None:
    said = " ".join(Outline(as_html(explained.story(), ladders=[Ladder()])).words)
    for words in (
        "GET http://server/ over HTTP/1.1", "200, 14,023 bytes", "20 ms each way, 1 % lost",
        "client asks resolver for the address of server: 10.0.1.2", "RFC 1035 section 4",
        "dig +noall +answer server", "the record, and how long it may be kept",
        "dns.lookup runs getaddrinfo in a thread", "ESTABLISHED, 33 bytes in flight",
        "IPv4 packet", "20 + 52 bytes", "time to live", "hops left", "lost: loss", "rung",
        "What the server did between two frames.", "400 ms", "retransmission 200 ms",
    ):  # fmt: skip
        assert words in said


def test_nothing_is_fetched_and_only_our_own_script_and_style_are_allowed() -> None:
    text = as_html(explained.story(), ladders=[Ladder()])
    elements = Outline(text).elements
    tags = {tag for tag, _ in elements}
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form"}
    names = {name for _, names in elements for name in names}
    assert not {name for name in names if name.startswith("on") or name in {"src", "style", "href"}}
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy[1]


@settings(max_examples=15)
@given(st.text(max_size=40) | st.just(HOSTILE))
def test_words_of_strangers_add_no_element(words: str) -> None:
    # what is empty is left out, and what is long may stand elsewhere: so both have as many
    found = as_html(with_words(f"w{words}"))
    plain = as_html(with_words("w" * len(harmless(f"w{words}"))))
    assert Outline(found).elements == Outline(plain).elements
    assert all(c.isprintable() or c == "\n" for c in found)


def test_words_of_strangers_add_nothing_to_a_comparison() -> None:
    def told(words: str) -> Comparison:
        found = explained.comparison()
        found.left, found.names, found.text = with_words(words), (words, words), words
        found.differences[0].name = found.differences[0].text = words
        return found

    plain = told("w" * len(HOSTILE))
    assert Outline(as_html(told(HOSTILE))).elements == Outline(as_html(plain)).elements


def test_without_jinja2_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    how = re.escape(how_to_get("http"))
    with pytest.raises(ConfigError, match=f"an explanation as HTML needs jinja2: {how}"):
        as_html(explained.story())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    if chromium.find() is None:
        pytest.skip("no chromium here: the page of an explanation is not tried by a browser")
    with chromium.Chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


def _open(browser: chromium.Chromium, tmp_path: Path, told: Story | Comparison) -> None:
    file = tmp_path / "page.html"
    file.write_text(as_html(told, ladders=[Ladder()]), "utf-8")
    browser.open(file.as_uri())


def test_a_browser_opens_a_step_layer_by_layer(browser: chromium.Chromium, tmp_path: Path) -> None:
    browser.look(1280, 900)
    _open(browser, tmp_path, explained.story())
    assert browser.run("document.querySelectorAll('.closer[open]').length") == 0
    for key in "jj":
        browser.press(key)
    assert browser.run("document.querySelector('.here').id") == "step-2"
    opened = "[...document.querySelectorAll('.here .env[open]')].map(one => one.checkVisibility())"
    counts = []
    for _ in range(5):
        browser.press("o")
        counts.append(browser.run(f"{opened}.filter(Boolean).length"))
    assert counts == [0, 1, 2, 3, 4]
    assert browser.complaints == []


def test_a_field_lights_its_bytes_and_a_byte_its_field(
    browser: chromium.Chromium, tmp_path: Path
) -> None:
    browser.look(1280, 900)
    _open(browser, tmp_path, explained.story())
    browser.press("3")
    browser.run("document.querySelector('#step-2 .env.network .field').focus()")
    lit = "[...document.querySelectorAll('#step-2 .dump i.lit')].map(one => one.textContent)"
    assert browser.run(lit) == ["45", "E"]
    for _ in range(4):
        browser.press("ArrowDown")
    assert browser.run(lit) == ["00", "07", "·", "·"]
    browser.run(
        "document.querySelector('#step-2 .dump [data-at=\"22\"]')"
        ".dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"
    )
    field = "document.querySelector('#step-2 .field.lit span').textContent"
    assert browser.run(field) == "time to live"
    assert browser.complaints == []


def test_words_and_layers_choose_steps(browser: chromium.Chromium, tmp_path: Path) -> None:
    browser.look(1280, 900)
    _open(browser, tmp_path, explained.story())
    shown = "[...document.querySelectorAll('.step')].filter(one => !one.hidden).map(one => one.id)"
    browser.press("/")
    for key in "time":
        browser.press(key)
    browser.run("document.getElementById('search').value")
    assert browser.run(shown) == ["step-1", "step-2", "step-3"]
    for key in "r r":
        browser.press(key)
    assert browser.run(shown) == ["step-3"]
    assert browser.run("document.querySelector('.found').textContent") == "1 of 3 steps"
    browser.press("Escape")
    browser.run("document.querySelector('.layer.transport').click()")
    assert browser.run(shown) == ["step-1"]


def test_an_arrow_of_the_ladder_leads_to_its_step(
    browser: chromium.Chromium, tmp_path: Path
) -> None:
    _open(browser, tmp_path, explained.story())
    browser.run(
        "document.querySelector('.scroll [data-number]')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert browser.run("document.querySelector('.here').id") == "step-2"
    assert browser.run("document.querySelector('#step-2 .frame').open") is True


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("told", [explained.story(), explained.comparison()], ids=["one", "two"])
def test_a_phone_scrolls_downwards_alone(
    browser: chromium.Chromium, tmp_path: Path, told: Story | Comparison, dark: bool
) -> None:
    browser.look(380, 800, dark=dark, still=True)
    _open(browser, tmp_path, told)
    browser.press("3")
    browser.run("document.querySelectorAll('.frame').forEach(one => { one.open = true })")
    assert browser.run("document.documentElement.scrollWidth") == 380
    assert browser.complaints == []


def test_what_the_system_likes_is_followed(browser: chromium.Chromium, tmp_path: Path) -> None:
    _open(browser, tmp_path, explained.story())
    light, dark = COLOURS["paper"]
    for is_dark, is_still in ((False, True), (True, False)):
        browser.look(1280, 900, dark=is_dark, still=is_still)
        found = browser.run("getComputedStyle(document.body).backgroundColor")
        paper = dark if is_dark else light
        assert found == f"rgb({', '.join(str(int(paper[at : at + 2], 16)) for at in (1, 3, 5))})"
        moves = browser.run("getComputedStyle(document.documentElement).scrollBehavior")
        assert moves == ("auto" if is_still else "smooth")


def test_it_can_be_read_without_scripts(browser: chromium.Chromium, tmp_path: Path) -> None:
    browser.look(1280, 900)
    browser.ask("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        _open(browser, tmp_path, explained.story())
        seen = "one => one.checkVisibility()"
        assert browser.run(f"[document.querySelector('.tools')].map({seen})") == [False]
        assert browser.run(f"[...document.querySelectorAll('.step')].every({seen})") is True
        dump = browser.run("document.querySelector('.dump').textContent")
        assert dump.startswith("0000  02 00 00 00 00 fe 02 00 00 00 00 01 08 00 45 00\n0010  00 ")
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_ladder_has_its_style(browser: chromium.Chromium, tmp_path: Path) -> None:
    """The policy of the page would keep out a style sheet of its own."""
    from pystack.observe.ladder import Ladder as Real
    from pystack.observe.passage import ARRIVED, Passage
    from pystack.wire.frame import Frame

    frame = Frame(explained.request_frame())
    sent = Passage("a-b", "client", HOSTILE, frame, 1.0, 7, 1.0, 1.0, 1.02, ARRIVED, 1.02)
    file = tmp_path / "page.html"
    file.write_text(as_html(explained.story(), ladders=[Real.of([sent])]), "utf-8")
    browser.open(file.as_uri())
    line = "getComputedStyle(document.querySelector('.scroll .l-arrow line')).stroke"
    assert browser.run(line) not in {"none", ""}
    assert browser.complaints == []


def test_hostile_words_run_nowhere(browser: chromium.Chromium, tmp_path: Path) -> None:
    _open(browser, tmp_path, with_words(HOSTILE))
    assert browser.run("document.title").startswith("\"'><script>alert(1)</script>")
    assert browser.complaints == []

"""Stories as text: what is shown at which depth, and that nothing in them reaches the terminal."""

import io
import sys

import explained
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.cli import explain_text
from pystack.core.errors import ConfigError
from pystack.observe.explain.pieces import Paper
from pystack.observe.explain.story import Depth, Header
from pystack.observe.explain.text import as_text
from pystack.observe.explain.wording import cells, chains

HOSTILE = "\x1b]0;owned\x07 \x9b31m \u202egnp.exe \r\n\t\x00 wide\u4e2d\u6587 \u200b<b>"


class FakeLadder:
    """One that is longer than an excerpt."""

    def lines(self, *, width: int, ascii_only: bool, window: bool) -> list[str]:
        return [f"rung {number}" for number in range(50)]

    def svg(self, *, fragment: bool) -> str:
        return "<svg></svg>"


class Terminal(io.StringIO):
    """A terminal that keeps what it is told."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_story_has_a_head_steps_and_where_the_time_went() -> None:
    lines = as_text(explained.story(), width=84).splitlines()
    assert lines[:8] == [
        "GET http://server/ over HTTP/1.1",
        "200, 14,023 bytes, after 400 ms",
        "",
        "client ── router ── server",
        "  client ── router  a wire",
        "  router ── server  20 ms each way, 1 % lost",
        "",
        "round trips 4 · frames lost 1",
    ]
    assert lines[16:20] == [
        "  100.0 ms ┃ 2. client sends the request: 33 bytes in one segment",
        "    +40 ms ┃ client → server                                     transport · OSI 4+5",
        "           ┃ GET / with one header field goes out as one TCP segment of 33 bytes.",
        "           ┃ the kernel · RFC 9293 section 3.8 · $ ss -tin",
    ]
    bar = next(line for line in lines if line.startswith("  connect"))
    assert bar == "  connect       ████████" + " " * 46 + "60 ms   15 %"
    assert lines[-1] == "  - What the server did between two frames."


def test_bars_lie_one_behind_the_other_and_fill_the_width() -> None:
    text = as_text(explained.story(), width=84)
    names = ("  dns", "  connect", "  waiting")
    rows = [line for line in text.splitlines() if line.startswith(names)]
    places = [(row.index("█"), row.rindex("█") + 1) for row in rows]
    assert places[0][1] == places[1][0]
    assert places[1][1] == places[2][0]
    assert places[2][1] - places[0][0] == 84 - len("waiting") - 24


def test_fields_are_drawn_as_nested_boxes() -> None:
    text = as_text(explained.story(), depth="fields", width=84)
    assert "┌─ Ethernet frame ──────────────── data link · OSI 2 · 14 + 72 bytes ─┐" in text
    assert "│ │ time to live         64        hops left " in text
    assert "│ │ │ ┌─ HTTP/1.1 request ─ application · OSI 7" in text
    assert "Python      writer.write copies to the socket's buffer" in text


def test_every_byte_stands_beside_its_field_once() -> None:
    text = as_text(explained.story(), depth="bytes", width=84)
    assert "┃ 000e  0100....                 version  4" in text
    assert "┃ 0014  ...00000 00000000        fragment offset  0" in text
    assert "┃ 001e  0a 00 01 02              destination address  10.0.1.2  server" in text
    assert "0a 48 6f 73 74 3a 20 73 65 72 76 65 72 0d 0a ..Host: server.." in text
    frame = explained.request_frame()
    # whole bytes: all but the two fields of 4 bits in IP, of flags and offset, and two in TCP
    step = text[text.index("frame 7") : text.index("140.0 ms")]
    shown = [line.partition("┃ ")[2] for line in step.splitlines()]
    places = [int(line[:4], 16) for line in shown if line[:2] == "00"]
    assert places == sorted(places)
    assert places[-1] + 2 == len(frame)


@pytest.mark.parametrize("depth", ["story", "fields", "bytes"])
@pytest.mark.parametrize("width", [20, 60, 61, 80, 200])
def test_no_line_is_wider_than_the_paper(depth: Depth, width: int) -> None:
    for told in (explained.story(), explained.comparison()):
        text = as_text(told, depth=depth, width=width)
        assert max(map(cells, text.splitlines())) <= Paper(width).columns


@settings(max_examples=40)
@given(st.text(max_size=60) | st.just(HOSTILE), st.binary(max_size=80))
def test_words_of_strangers_stay_words(words: str, payload: bytes) -> None:
    story = explained.story()
    story.title = story.outcome = story.steps[0].title = story.steps[0].text = words
    story.steps[1] = explained.request_step(payload)
    story.steps[1].frames[0].boxes[3].title = words
    story.steps[1].frames[0].boxes[3].headers = [Header(words, words, words, 432, 3)]
    story.steps[1].details = [(words, words, words)]
    story.places = [words, words]
    story.links = [(words, words, words)]
    story.facts = {words: words}
    story.waterfall[0].name = words
    story.unknown = [words]
    depths: list[Depth] = ["story", "fields", "bytes"]
    for depth in depths:
        for ascii_only in (False, True):
            text = as_text(story, depth=depth, ascii_only=ascii_only)
            assert all(character.isprintable() or character == "\n" for character in text)
            assert text.isascii() or not ascii_only
            assert depth == "story" or max(map(cells, text.splitlines())) <= 80


def test_a_comparison_sets_steps_side_by_side() -> None:
    lines = as_text(explained.comparison(), width=84).splitlines()
    assert lines[:6] == [
        "loss=0 and loss=1%",
        "One lost frame doubles the time.",
        "",
        "             loss=0  loss=1%",
        "total        200 ms  400 ms   one time-out of 200 ms",
        "frames lost  0       1",
    ]
    assert "┃ nothing of the kind                      ┃ 140.0 ms, +200 ms" in "\n".join(lines)
    assert "┃ both: client sends the request: 33 bytes in one segment" in lines
    # bars of both have one scale
    longest = [max(line.count("█") for line in part) for part in _halves(lines)]
    assert longest[1] > 1.4 * longest[0]


def _halves(lines: list[str]) -> tuple[list[str], list[str]]:
    begin = len(lines) - 1 - lines[::-1].index("loss=1%")
    return lines[:begin], lines[begin:]


def test_a_long_ladder_is_cut() -> None:
    text = as_text(explained.story(), ladders=[FakeLadder()])
    assert "rung 39\n… and 10 lines more\n" in text


def test_colours_only_on_a_terminal_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "84")
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = as_text(explained.story(), width=84)
    assert _printed(monkeypatch, Terminal()) != plain
    assert "\x1b[38;5;168m" in _printed(monkeypatch, Terminal())
    assert _printed(monkeypatch, io.StringIO()) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert _printed(monkeypatch, Terminal()) == plain


def _printed(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stdout", stream)
    if stream.encoding is None:
        monkeypatch.setattr(explain_text, "can_show", lambda _stream, _characters: True)
    explain_text.show(explained.story())
    return stream.getvalue()


def test_what_cannot_be_encoded_is_written_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    explain_text.show(explained.story(), depth="bytes")
    stream.flush()
    assert stream.buffer.getvalue().isascii()


def test_parts_may_be_chosen() -> None:
    lines = as_text(explained.story(), width=84, only=["repair", "time"]).splitlines()
    assert lines[0] == "  140.0 ms ┃ 3. The answer is lost, and sent again after 200 ms"
    assert lines[4:6] == ["", f"Where the time went{'400 ms':>65}"]
    story = explained.story()
    story.steps += [explained.request_step(b"second")]
    assert as_text(story, only=["request:2"]).splitlines()[0].startswith("  100.0 ms ┃ 4. client")
    only = as_text(explained.comparison(), only=["differences"]).splitlines()
    assert only[1].split() == [
        "total",
        "200",
        "ms",
        "400",
        "ms",
        "one",
        "time-out",
        "of",
        "200",
        "ms",
    ]
    with pytest.raises(ConfigError, match=r"this story has no 'reqest'; did you mean 'request'\?"):
        as_text(explained.story(), only=["reqest"])


def test_places_are_the_way_and_what_branches_off() -> None:
    story = explained.story()
    story.places = ["client", "router", "server", "resolver", "other"]
    story.links = [("client", "router", ""), ("router", "server", ""), ("resolver", "router", "")]
    assert chains(story) == [["client", "router", "server"], ["router", "resolver"], ["other"]]
    story.links = []
    assert chains(story) == [["client"], ["router"], ["server"], ["resolver"], ["other"]]
    story.places = []
    assert chains(story) == []


def test_what_a_kind_of_step_is_about_is_told_once() -> None:
    story = explained.story()
    story.steps += [explained.request_step(), *(explained.loss_step() for _ in range(3))]
    text = as_text(story, width=84)
    lines = text.splitlines()
    second = next(number for number, line in enumerate(lines) if "┃ 4. client sends" in line)
    assert lines[second + 1].startswith("    +40 ms ┃ client → server (as in step 2)  ")
    assert lines[second + 2] == ""
    # what went wrong is told some times more
    assert text.count("No acknowledgment came; the retransmission timer ran out.") == 3
    assert text.count("(as in step 3)") == 1
    assert "as in step" not in as_text(story, depth="fields")
    assert "as in step" not in as_text(story, only=["request", "repair"])

"""Stories as Markdown: a reader of Markdown finds the words, and nothing else in them."""

import explained
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_explain_page import with_words

from pystack.observe.explain.markdown import as_markdown, code, words
from pystack.observe.explain.story import Depth

markdown_it = pytest.importorskip("markdown_it")  # comes with rich

HOSTILE = "# *a* _b_ `c` [d](http://e) ![f](g) <b>h</b> | i | ``` ~~~ &lt; \\ https://j 1. k - l"


def outline(text: str) -> list[str]:
    """Return what a text consists of: blocks and what is within them, without the words."""
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    found = []
    for token in parser.parse(text):
        found.append(token.type)
        found += [one.type for one in token.children or () if one.type != "text"]
    return found


def test_a_story_is_a_document_of_headings_and_tables() -> None:
    lines = as_markdown(explained.story()).splitlines()
    assert lines[0] == "# GET http:\\//server/ over HTTP/1.1"
    assert "### 2\\. client sends the request: 33 bytes in one segment" in lines
    assert "**100.0 ms**, +40 ms · client → server · **transport · OSI 4+5**" in lines
    assert "| connect | `··████` | 60 ms | 15 % | propagation 60 ms |" in lines


def test_fields_stand_in_a_block_of_code() -> None:
    text = as_markdown(explained.story(), depth="fields")
    assert "| in flight | `33 bytes` | of a window of 64,240 |" in text
    assert "\n```text\nframe 7: client → router" in text
    assert "┌─ Ethernet frame ─" in text


def test_a_comparison_has_what_differs_first() -> None:
    lines = as_markdown(explained.comparison()).splitlines()
    assert lines[:9] == [
        "# loss=0 and loss=1%",
        "",
        "One lost frame doubles the time.",
        "",
        "## What differs",
        "",
        "|  | loss=0 | loss=1% | why |",
        "| --- | --- | --- | --- |",
        "| total | 200 ms | 400 ms | one time-out of 200 ms |",
    ]


@settings(max_examples=40)
@given(st.text(max_size=40) | st.text("`|\\<>[]()*_#-+=1. \n", max_size=40) | st.just(HOSTILE))
def test_words_of_strangers_stay_words(said: str) -> None:
    depths: list[Depth] = ["story", "fields", "bytes"]
    for depth in depths:
        plain = as_markdown(with_words("words"), depth=depth)
        found = as_markdown(with_words(f"{said}w"), depth=depth)
        # code with a pipe is written in another way
        same = [one for one in outline(found) if one not in {"code_inline", "html_inline"}]
        assert same == [one for one in outline(plain) if one not in {"code_inline", "html_inline"}]


@given(st.text(min_size=1, max_size=40) | st.text("`|\\<> ab", min_size=1, max_size=40))
def test_code_and_words_say_what_they_were_given(said: str) -> None:
    said = "".join(c for c in said if c.isprintable())
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    for write in (code, words):
        inline = parser.parse(f"x {write(said)} y")[1].children or []
        assert {one.type for one in inline} <= {"text", "code_inline", "html_inline"}
        tags = ("<code>", "</code>")
        text = "".join(one.content for one in inline if one.content not in tags or write is words)
        assert " ".join(text.split()) == " ".join(f"x {said} y".split())

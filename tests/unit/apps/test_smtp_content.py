"""The text of a message: dots, its one true end, and all the false ones (SMTP smuggling)."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pystack.apps.smtp.content import MAX_TEXT_LINE_BYTES, ContentReader, Flaw

MAX_BYTES = 100_000
# Where a reader may go wrong: all that ends lines and texts, and little else.
pieces = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\r\n.", b"a", b"QUIT"])


def stuffed(text: bytes) -> bytes:
    """Return what a client sends for the text: written after RFC 5321 (4.5.2), line by line."""
    lines = text.split(b"\r\n")
    assert lines[-1] == b""
    sent = [b"." + line if line.startswith(b".") else line for line in lines[:-1]]
    return b"".join(line + b"\r\n" for line in [*sent, b"."])


def read(raw: bytes, *cuts: int, max_bytes: int = MAX_BYTES) -> tuple[ContentReader, bytes | None]:
    """Feed it in pieces; return the reader and what is left behind the end, None: no end."""
    reader = ContentReader(max_bytes)
    begin = 0
    for cut in [*sorted(cuts), len(raw)]:
        consumed = reader.feed(raw[begin:cut])
        if consumed is not None:
            return reader, raw[begin + consumed :]
        begin = cut
    return reader, None


texts = st.lists(
    st.lists(st.sampled_from([b".", b"..", b"a", b" ", b"\xff", b"\t"]), max_size=5).map(b"".join),
    max_size=8,
).map(lambda lines: b"".join(line + b"\r\n" for line in lines))


@given(texts)
@example(b"")
@example(b".\r\n")
@example(b"..\r\n.\r\n")
def test_any_text_arrives_as_it_was_sent_wherever_it_is_cut(text: bytes) -> None:
    raw = stuffed(text) + b"QUIT\r\n"
    for cut in range(len(raw) + 1):
        reader, rest = read(raw, cut)
        assert (reader.flaw, reader.take_text(), rest) == (None, text, b"QUIT\r\n")


@given(texts)
def test_any_text_arrives_byte_by_byte(text: bytes) -> None:
    raw = stuffed(text)
    reader, rest = read(raw, *range(1, len(raw)))
    assert (reader.flaw, reader.take_text(), rest) == (None, text, b"")


@given(st.lists(pieces, max_size=12).map(b"".join), st.data())
def test_a_text_ends_nowhere_but_at_its_end(raw: bytes, data: st.DataObject) -> None:
    """A bare CR or LF in front of the end, and the text is not taken; nor is it ended by one."""
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=4))
    reader, rest = read(raw, *cuts)
    end = (b"\r\n" + raw).find(b"\r\n.\r\n")
    if end < 0:
        assert rest is None
        return
    assert rest is not None
    text = raw[:end]
    is_clean = b"\r" not in (plain := text.replace(b"\r\n", b"")) and b"\n" not in plain
    assert reader.flaw is (None if is_clean else Flaw.BARE_NEWLINE)
    if is_clean:
        # Also of a dot that its sender has not doubled: RFC 5321 (4.5.2) takes away the first.
        lines = [line.removeprefix(b".") + b"\r\n" for line in text.split(b"\r\n")[:-1]]
        assert reader.take_text() == b"".join(lines)


# CVE-2023-51764 (Postfix), -51765 (Sendmail), -51766 (Exim) and what else was found then.
SMUGGLED = b"MAIL FROM:<admin@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: forged\r\n\r\n"
FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\n\n.\n",
    b"\r\r\n.\r\n"[:2] + b".\r\n",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\r\r\n",
]


@pytest.mark.parametrize("false_end", FALSE_ENDS)
def test_nothing_is_smuggled_behind_a_false_end(false_end: bytes) -> None:
    raw = b"Subject: x\r\n\r\ntext" + false_end + SMUGGLED + b"\r\n.\r\nNEXT"
    for cut in range(len(raw) - len(b"\r\n.\r\nNEXT")):
        reader, rest = read(raw, cut)
        assert rest == b"NEXT"
        assert reader.flaw in (Flaw.BARE_NEWLINE, Flaw.NUL)
        assert reader.take_text() == b""


@pytest.mark.parametrize(
    ("length", "flaw"), [(MAX_TEXT_LINE_BYTES - 2, None), (MAX_TEXT_LINE_BYTES - 1, Flaw.LONG_LINE)]
)
@pytest.mark.parametrize("before", [b"", b"\r\n", b"a\r\n" * 700])
@pytest.mark.parametrize("after", [b"", b"b\r\n", b"b" * 1990 + b"\r\n"])
def test_the_length_of_a_line_is_bounded(
    length: int, flaw: Flaw | None, before: bytes, after: bytes
) -> None:
    raw = before + b"x" * length + b"\r\n" + after + b".\r\n"
    middle = len(before) + length
    for cuts in [(), (1,), (middle - 1,), (middle,), (middle + 1,), (middle - 700, middle - 3)]:
        reader, rest = read(raw, *cuts)
        assert (reader.flaw, rest) == (flaw, b"")


def test_a_line_that_never_ends_is_one_too_long() -> None:
    reader, rest = read(b"x" * 10_000, *range(100, 10_000, 100))
    assert (reader.flaw, rest) == (Flaw.LONG_LINE, None)


@pytest.mark.parametrize(("size", "flaw"), [(998, None), (999, Flaw.TOO_BIG)])
def test_of_a_text_that_is_too_big_nothing_is_kept(size: int, flaw: Flaw | None) -> None:
    reader, rest = read(b"x" * size + b"\r\n.\r\nQUIT", 500, max_bytes=1000)
    assert (reader.flaw, rest) == (flaw, b"QUIT")
    assert reader.size_bytes == (0 if flaw else 1000)


def test_a_refused_text_is_read_to_its_end() -> None:
    reader = ContentReader(MAX_BYTES)
    assert reader.feed(b"abc\r\n") is None
    reader.refuse(Flaw.NO_ROOM)
    assert reader.feed(b"more\r\n.\r\n") == 9
    assert (reader.take_text(), reader.flaw) == (b"", Flaw.NO_ROOM)


def test_a_text_that_was_taken_is_not_kept() -> None:
    """Else a message is there twice for as long as the disk takes, and the bound is for once."""
    reader = ContentReader(1000)
    reader.feed(b"text\r\n.\r\n")
    assert (reader.take_text(), reader.size_bytes) == (b"text\r\n", 0)

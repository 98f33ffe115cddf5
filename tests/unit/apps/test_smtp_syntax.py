"""Paths and parameters of SMTP commands, RFC 5321 section 4.1.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.apps.smtp.syntax import (
    NULL_SENDER,
    Mailbox,
    SyntaxTroubleError,
    canonical_literal,
    is_helo_name,
    literal_of,
    parse_parameters,
    parse_path,
    parse_recipient,
    parse_sender,
)


@pytest.mark.parametrize(
    ("path", "mailbox"),
    [
        ("<a@b>", Mailbox("a", "b", "a@b")),
        ("<a.b+c@Example.COM>", Mailbox("a.b+c", "example.com", "a.b+c@Example.COM")),
        ("<!#$%&'*+-/=?^_`{|}~@b>", Mailbox("!#$%&'*+-/=?^_`{|}~", "b", "!#$%&'*+-/=?^_`{|}~@b")),
        ('<"a b"@c>', Mailbox("a b", "c", '"a b"@c')),
        ('<"a\\"b\\\\"@c>', Mailbox('a"b\\', "c", '"a\\"b\\\\"@c')),
        ('<"a@b>"@c>', Mailbox("a@b>", "c", '"a@b>"@c')),
        ('<""@c>', Mailbox("", "c", '""@c')),
        ("<a@[10.77.0.2]>", Mailbox("a", "[10.77.0.2]", "a@[10.77.0.2]")),
        ("<a@[IPv6:FD00:0::2]>", Mailbox("a", "[ipv6:fd00::2]", "a@[IPv6:FD00:0::2]")),
        ("<@x,@y.z:a@b>", Mailbox("a", "b", "a@b")),
        ("<@[1.2.3.4]:a@b>", Mailbox("a", "b", "a@b")),
        ("<müller@bücher.example>", Mailbox("müller", "bücher.example", "müller@bücher.example")),
        (f"<{'a' * 64}@b>", Mailbox("a" * 64, "b", "a" * 64 + "@b")),
        (f"<a@{'b' * 63}.c>", Mailbox("a", "b" * 63 + ".c", f"a@{'b' * 63}.c")),
    ],
)
def test_paths(path: str, mailbox: Mailbox) -> None:
    assert parse_path(path) == (mailbox, "")
    assert parse_path(path + " SIZE=1") == (mailbox, " SIZE=1")
    assert parse_recipient(path) == parse_sender(path) == (mailbox, "")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "<",
        "a@b",
        "<a>",
        "<a@>",
        "<@b>",
        "<a@b",
        "a@b>",
        "<a b@c>",
        "<.a@b>",
        "<a.@b>",
        "<a..b@c>",
        "<a@b.>",
        "<a@.b>",
        "<a@b..c>",
        "<a@-b>",
        "<a@b->",
        "<a@b_c>",
        '<"a"b@c>',
        '<"a@b>',
        '<"a\\"@b>',
        "<a@b@c>",
        "<a@[10.77.0.256]>",
        "<a@[10.77.0]>",
        "<a@[fd00::2]>",
        "<a@[IPv6:10.77.0.2]>",
        "<a@[IPv6:fe80::1%eth0]>",
        "<a@[x-thing:hello]>",
        "<@x:a>",
        "<@x,y:a@b>",
        "<a@b\u2028>",
        "<a\x7f@b>",
        "<a\u0085@b>",
        "<a\xa0@b>",
        "< a@b>",
        "<a@b >",
        f"<{'a' * 65}@b>",
        f"<{'ü' * 33}@b>",
        f"<a@{'b' * 64}.c>",
        f"<a@{'.'.join(['b' * 50] * 5)}.c>",
    ],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(SyntaxTroubleError):
        parse_path(path)


def test_who_has_no_domain_or_no_name_at_all() -> None:
    assert parse_sender("<> SIZE=1") == (NULL_SENDER, " SIZE=1")
    assert parse_recipient("<PostMaster> X") == (Mailbox("PostMaster", "", "PostMaster"), " X")
    for text in ("<>", "<postmasters>", "<postmaster"):
        with pytest.raises(SyntaxTroubleError):
            parse_recipient(text)
    with pytest.raises(SyntaxTroubleError):
        parse_sender("<postmaster>")


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", {}),
        (" SIZE=10 body=8BITMIME SMTPUTF8", {"SIZE": "10", "BODY": "8BITMIME", "SMTPUTF8": None}),
        (" X-a1=!<>~", {"X-A1": "!<>~"}),
    ],
)
def test_parameters(text: str, parameters: dict[str, str | None]) -> None:
    assert parse_parameters(text) == parameters


@pytest.mark.parametrize(
    "text",
    ["SIZE=1", " ", " SIZE=", " =1", " A=b=c", " SIZE=1  BODY=7BIT", " SIZE=1 size=2", " -A"],
)
def test_what_are_no_parameters(text: str) -> None:
    with pytest.raises(SyntaxTroubleError):
        parse_parameters(text)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("client", True),
        ("my_host.example.com.", True),
        ("[10.0.0.1]", True),
        ("[IPv6:::1]", True),
        ("", False),
        ("[::1]", False),
        ("a b", False),
        ("a(b)", False),
        ("a\tb", False),
        ("-a", False),
        ("ü", False),
        ("a" * 256, False),
    ],
)
def test_who_says_hello(name: str, is_one: bool) -> None:
    assert is_helo_name(name) is is_one


def test_equal_literals_are_equal() -> None:
    assert literal_of("10.0.0.1") == canonical_literal("[10.0.0.1]")
    assert literal_of("fd00::1") == canonical_literal("[IPV6:FD00:0:0::0001]")


@given(st.text(max_size=40).map(lambda text: f"<{text}>"))
def test_whatever_comes_is_a_path_or_is_none_and_never_breaks_a_header(text: str) -> None:
    for parse in (parse_path, parse_sender, parse_recipient):
        try:
            mailbox, _ = parse(text)
        except SyntaxTroubleError:
            continue
        assert len(mailbox.text.splitlines()) <= 1
        assert mailbox.text in text


@pytest.mark.parametrize(
    "text",
    [
        "<" + "a" * 2000,
        "<" + "a." * 1000,
        "<@" + "a-" * 1000,
        "<" + "@a," * 700,
        '<"' + "\\a" * 1000,
        "<a@" + "b-" * 900 + ">",
        "<@" + "a.a" * 600 + ":",
    ],
)
def test_no_path_takes_long_to_be_seen_through(text: str) -> None:
    """A line has 2 KB at most: of work that doubles with each byte, nobody would see the end."""
    with pytest.raises(SyntaxTroubleError):
        parse_path(text)

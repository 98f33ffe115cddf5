"""Names in other alphabets: all that reads one makes the same of it."""

import pytest

from pystack.apps.clients.url import Url
from pystack.core.idna import from_ascii, to_ascii
from pystack.dns.config import plain
from pystack.wire import dns

NAMES = [
    ("größe.test", "xn--gre-6ka8i.test"),
    ("Straße", "xn--strae-oqa"),
    ("σας", "xn--mxa8ab"),
    ("BÜRO。test", "xn--bro-hoa.test"),
    ("_sip._tcp.büro", "_sip._tcp.xn--bro-hoa"),
]


@pytest.mark.parametrize(("name", "in_ascii"), NAMES)
def test_a_name_is_the_same_to_all(name: str, in_ascii: str) -> None:
    """Records, look-ups and URLs; Python's own codec makes "grösse" of the first, and so on."""
    assert to_ascii(name) == plain(name) == dns.canonical(name) == in_ascii
    if "_" not in name:
        assert Url.parse(f"http://{name}/").host == in_ascii


@pytest.mark.parametrize("name", ["👍", "a\u200db", "ü" * 64])
def test_what_cannot_be_a_name_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        to_ascii(name)
    assert plain(name) is None


def test_and_back() -> None:
    assert from_ascii("xn--gre-6ka8i.test") == "größe.test"
    with pytest.raises(ValueError):  # noqa: PT011
        from_ascii("xn--\x7f")

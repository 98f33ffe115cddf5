"""Where the page of a lab is served: on this machine's loopback, and nowhere else."""

import pytest

from pystack.apps.live.web import parse_address
from pystack.cli.main import with_values
from pystack.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("127.0.0.1", 8077)),
        ("9000", ("127.0.0.1", 9000)),
        ("0", ("127.0.0.1", 0)),
        (":9000", ("127.0.0.1", 9000)),
        ("127.0.0.1", ("127.0.0.1", 8077)),
        ("127.9.9.9:80", ("127.9.9.9", 80)),
        ("localhost:9000", ("127.0.0.1", 9000)),
        ("[::1]", ("::1", 8077)),
        ("[::1]:9000", ("::1", 9000)),
    ],
)
def test_an_address_or_a_part_of_one(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0.0.0.0:80", "this machine alone"),
        ("10.77.0.2", "this machine alone"),
        ("example.com:80", "this machine alone"),
        ("[::]:80", "this machine alone"),
        ("lab.toml", "this machine alone"),
        ("127.0.0.1:65536", "up to 65535"),
        ("127.0.0.1:http", "up to 65535"),
        ("99999999", "up to 65535"),
        ("127.0.0.1:-1", "up to 65535"),
    ],
)
def test_others_are_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_address(text)


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("lab run x.toml --web", "lab run x.toml --web="),
        ("lab run x.toml --web --for 1s", "lab run x.toml --web= --for 1s"),
        ("lab run x.toml --web 9000 --for 1s", "lab run x.toml --web 9000 --for 1s"),
        ("lab run x.toml --web=9000", "lab run x.toml --web=9000"),
        ("run program.py -- --web", "run program.py -- --web"),
    ],
)
def test_the_address_may_be_left_out(words: str, read: str) -> None:
    assert with_values(words.split()) == read.split()

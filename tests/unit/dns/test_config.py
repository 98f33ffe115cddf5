"""The words of a host's resolver, and what a name becomes by the search list."""

import pytest

from pystack.core.errors import ConfigError
from pystack.dns.config import (
    ResolverConfig,
    candidates,
    parse_resolver,
    plain,
    resolv_conf,
    split_server,
)


def test_the_defaults_are_those_of_resolv_conf() -> None:
    config = parse_resolver("ns1")
    assert config.servers == ("ns1",)
    assert (config.timeout_s, config.attempts, config.ndots) == (5.0, 2, 1)
    assert not config.rotate
    assert config.search == ()


def test_a_table_says_all_of_it() -> None:
    config = parse_resolver(
        {
            "servers": ["ns1", "10.0.0.9:5353"],
            "search": "example.test",
            "ndots": 2,
            "timeout": "500ms",
            "attempts": 3,
            "rotate": True,
            "use_tcp": True,
            "edns": False,
            "cache": 0,
        }
    )
    assert config == ResolverConfig(
        servers=("ns1", "10.0.0.9:5353"),
        search=("example.test",),
        ndots=2,
        timeout_s=0.5,
        attempts=3,
        rotate=True,
        use_tcp=True,
        edns_bytes=None,
        cache_entries=0,
    )
    assert parse_resolver(["ns1", "ns2"]).servers == ("ns1", "ns2")
    assert parse_resolver(config) is config


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (7, "a name server, several, or a table"),
        ([], "1 to 16 servers"),
        (["ns1", 7], "a list of texts"),
        ("", "not a name server"),
        ("ns1:dns", "not a port"),
        ("ns1:0", "not a port"),
        ({"servers": {"servers": "ns1"}}, "names and addresses"),
        ({"servers": "ns1", "serch": []}, "did you mean 'search'"),
        ({"search": ["a"]}, "needs its servers"),
        ({"servers": "ns1", "timeout": "soon"}, "time"),
        ({"servers": "ns1", "timeout": 0}, "more than 0"),
        ({"servers": "ns1", "timeout": True}, "timeout is a time"),
        ({"servers": "ns1", "attempts": 0}, "attempts"),
        ({"servers": "ns1", "attempts": "2"}, "whole number"),
        ({"servers": "ns1", "ndots": 16}, "ndots"),
        ({"servers": "ns1", "rotate": 1}, "true or false"),
        ({"servers": "ns1", "edns": 100}, "edns"),
        ({"servers": "ns1", "cache": -1}, "cache"),
        ({"servers": "ns1", "search": ["a..b"]}, "not a domain"),
        ({"servers": "ns1", "search": ["a"] * 33}, "32"),
    ],
)
def test_what_cannot_be_is_a_sentence(words: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_resolver(words)


def test_a_server_may_have_a_port() -> None:
    assert split_server("ns1") == ("ns1", 53)
    assert split_server("10.0.0.9:5353") == ("10.0.0.9", 5353)
    assert split_server("fd00::53") == ("fd00::53", 53)
    assert split_server("fe80::53%eth0") == ("fe80::53%eth0", 53)
    assert split_server("[fd00::53]") == ("fd00::53", 53)
    assert split_server("[fd00::53]:5353") == ("fd00::53", 5353)
    for text in ("", "[fd00::53", "[]", "[fd00::53]5353", "[fd00::53]:0"):
        with pytest.raises(ConfigError):
            split_server(text)
    for port in ("", "0", "65536", "-1", "\u0661", "9" * 5000):
        with pytest.raises(ConfigError, match="is not a port; a port is 1 to 65535"):
            split_server(f"ns1:{port}")


@pytest.mark.parametrize(
    ("name", "ndots", "asked"),
    [
        ("www", 1, ["www.a.test", "www.b.test", "www"]),
        ("www.", 1, ["www"]),
        ("www.example", 1, ["www.example", "www.example.a.test", "www.example.b.test"]),
        ("www.example", 2, ["www.example.a.test", "www.example.b.test", "www.example"]),
        ("www", 0, ["www", "www.a.test", "www.b.test"]),
        ("Büro", 1, ["xn--bro-hoa.a.test", "xn--bro-hoa.b.test", "xn--bro-hoa"]),
        ("WWW.", 1, ["www"]),
        ("", 1, []),
        ("a..b", 1, []),
        ("x" * 64, 1, []),
        ("a b", 1, []),
        ("2001:db8::1", 1, []),
        (".".join(["x" * 49] * 5), 9, [".".join(["x" * 49] * 5)]),  # too long with more behind
    ],
)
def test_search_and_ndots_say_what_is_asked_in_which_order(
    name: str, ndots: int, asked: list[str]
) -> None:
    config = ResolverConfig(servers=("ns1",), search=("a.test", "B.test."), ndots=ndots)
    assert candidates(name, config) == asked


def test_a_name_is_253_letters_at_most() -> None:
    longest = ".".join(["x" * 62] * 4) + ".y"
    assert len(longest) == 253
    assert plain(longest) == longest
    assert plain(longest + "y") is None


def test_the_same_in_a_file_for_a_c_library() -> None:
    config = parse_resolver(
        {"servers": ["ns1", "ns2"], "search": ["a.test", "b.test"], "timeout": "300ms"}
    )
    assert resolv_conf(config, ["10.0.0.1", "10.0.0.2"]).splitlines() == [
        "nameserver 10.0.0.1",
        "nameserver 10.0.0.2",
        "search a.test b.test",
        "options ndots:1 timeout:1 attempts:2 edns0",
    ]
    config = parse_resolver({"servers": "ns1", "rotate": True, "use_tcp": True, "edns": False})
    assert resolv_conf(config, ["10.0.0.1"]).splitlines()[1:] == [
        "search .",
        "options ndots:1 timeout:5 attempts:2 rotate use-vc",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"), [("ns1:5353", "at port 53 alone"), (["a", "b", "c", "d"], "3 name serv")]
)
def test_what_a_c_library_cannot_do_is_a_sentence(words: object, sentence: str) -> None:
    config = parse_resolver(words)
    with pytest.raises(ConfigError, match=sentence):
        resolv_conf(config, config.servers)

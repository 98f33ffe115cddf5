"""`pystack counters`: what the names of counters mean."""

import pytest

from pystack.cli.counters import counters_command, explained
from pystack.core.counters import explanations
from pystack.core.errors import ConfigError


def test_a_counter_is_explained_with_its_source() -> None:
    assert explained(["tcp_paws"]) == [
        "tcp_paws (RFC 7323 5.3)",
        "    The timestamp is older than the last one: a segment from the past.",
    ]


def test_the_beginning_of_a_name_stands_for_all_that_begin_so() -> None:
    names = [line.partition(" ")[0] for line in explained(["tcp_syn_cookies"])[::2]]
    assert names == ["tcp_syn_cookies_sent", "tcp_syn_cookies_received", "tcp_syn_cookies_failed"]


def test_all_are_explained_where_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    counters_command()
    printed = capsys.readouterr().out.splitlines()
    assert sum(not line.startswith(" ") for line in printed) == len(explanations())


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="'tcp_pasw'; did you mean 'tcp_paws'"):
        explained(["tcp_pasw"])
    with pytest.raises(ConfigError, match="`pystack counters` lists them"):
        explained(["?"])

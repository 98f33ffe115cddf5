"""The faults of a DNS server in words."""

from pathlib import Path

import pytest

from pystack.core.errors import ConfigError
from pystack.dns.faults import WORDS, Fault, Faults, fault_of, parse_fault


@pytest.mark.parametrize(
    ("text", "name", "fault"),
    [
        ("www late 2s", "www", Fault(late_s=2.0)),
        ("WWW.example.test. lost", "www.example.test", Fault(lost=1.0)),
        ("* lost 30% late 200ms", "*", Fault(lost=0.3, late_s=0.2)),
        ("*.example.test servfail nxdomain 5%", "*.example.test", Fault(servfail=1, nxdomain=0.05)),
        ("www wrong 10.0.0.9 dead 10.0.0.8", "www", Fault(wrong="10.0.0.9", dead="10.0.0.8")),
        ("www stale dead 2001:DB8::1", "www", Fault(stale=1.0, dead="2001:db8::1")),
    ],
)
def test_a_fault_is_a_name_and_words(text: str, name: str, fault: Fault) -> None:
    assert parse_fault(text) == (name, fault)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it needs a name and words"),
        ("www", "it needs a name and words"),
        ("late 2s", "it begins with a name; '* late' is for all"),
        ("www slow 2s", "there is no fault 'slow'"),
        ("www lates 2s", "did you mean 'late'"),
        ("www late", "'late' needs its TIME"),
        ("www late lost", "'late' needs its TIME"),
        ("www late 2", "2 s"),
        ("www late 2h", "an answer is at most 60 s late"),
        ("www lost 130%", "above 1"),
        ("www lost 1% 2%", "there is no fault '2%'"),
        ("www lost lost", "'lost' is said twice"),
        ("www wrong web", "'web' is not an address"),
        ("www wrong fe80::1%eth0", "a record's address has no zone"),
        ("www dead", "'dead' needs its ADDRESS"),
        ("a..b lost", "'a..b' is not a name"),
    ],
)
def test_a_bad_fault_is_told_with_how_it_should_be(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_fault(text)
    assert words in str(caught.value)
    assert "is not a fault such as 'www.example.test late 2s'" in str(caught.value)


def test_values_of_programs_are_checked_too() -> None:
    assert fault_of({"late": 0.5, "lost": False, "stale": True}) == Fault(late_s=0.5, stale=1.0)
    for words in ({"late": True}, {"wrong": 5}, {"lost": None}, {"lost": "often"}, {"wrong": True}):
        with pytest.raises(ConfigError):
            fault_of(words)


def test_a_name_has_one_fault() -> None:
    with pytest.raises(ConfigError, match="there is a fault of that name already"):
        Faults(("www lost", "WWW. late 1s"))


def test_each_word_makes_a_field_of_its_own() -> None:
    assert sorted(word.field for word in WORDS.values()) == sorted(Fault.__dataclass_fields__)


def test_the_manual_has_the_table_of_the_words() -> None:
    page = (Path(__file__).parents[3] / "docs/services.md").read_text()
    lines = ["| Word | |", "|---|---|"]
    lines += [f"| `{name} {word.value}` | {word.help} |" for name, word in WORDS.items()]
    assert "\n".join(lines) in page

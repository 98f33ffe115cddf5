"""RFC 6724: in which order addresses are tried; most cases are those of its section 10."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.address_policy import (
    GLOBAL,
    LINK_LOCAL,
    SITE_LOCAL,
    Source,
    best_source,
    common_bits,
    in_order,
    number,
    scope,
    why_order,
    why_source,
)
from pystack.core.addresses import parse_ip
from pystack.core.errors import ConfigError


def number_of(text: str) -> int:
    return number(parse_ip(text))


def source(text: str, **words: object) -> Source:
    """Return "192.0.2.1/24" or "2001:db8::1/64" as a source."""
    address, _, length = text.partition("/")
    bits = int(length or (24 if "." in address else 64)) + (96 if ":" not in address else 0)
    return Source(number_of(address), bits, **words)  # type: ignore[arg-type]


def ordered(destinations: list[str], *sources: Source) -> list[str]:
    """Return destinations in order, each with the best of the sources."""
    texts = {number_of(text): text for text in destinations}
    found = in_order(map(number_of, destinations), lambda it: best_source(it, sources))
    return [texts[number] for number in found]


@pytest.mark.parametrize(
    ("destinations", "sources"),
    [
        # RFC 6724 section 10.2, in its order: the first is preferred
        (["2001:db8:1::1", "198.51.100.121"], ["2001:db8:1::2", "fe80::1", "169.254.13.78"]),
        (["198.51.100.121", "2001:db8:1::1"], ["fe80::1", "198.51.100.117"]),
        (["2001:db8:1::1", "10.1.2.3"], ["2001:db8:1::2", "fe80::1", "10.1.2.4"]),
        (["fe80::1", "2001:db8:1::1"], ["2001:db8:1::2", "fe80::2"]),
        # and with the same rules: matching scope, label, precedence, prefix
        (["192.0.2.1", "169.254.9.9"], ["192.0.2.7"]),
        (["fd00::1", "2001:db8::1"], ["fd00::2"]),
        (["2001:db8::1", "2002:c633:6401::1"], ["2001:db8::2", "2002:c633:6401::2"]),
        (["2001:db8:0:1::1", "2001:db8:8000::1"], ["2001:db8:0:1::2"]),
        (["10.0.0.9", "203.0.113.9"], ["10.0.0.1"]),
        (["10.0.0.9", "2001:db8::1"], ["10.0.0.1"]),  # no way to one of them
    ],
)
def test_the_better_destination_comes_first(destinations: list[str], sources: list[str]) -> None:
    own = [source(text) for text in sources]
    assert ordered(destinations, *own) == destinations
    assert ordered(destinations[::-1], *own) == destinations


@pytest.mark.parametrize(
    "destinations",
    [
        # 192 has five bits in common with 198 and four with 203, which says nothing
        pytest.param(["203.0.113.9", "198.51.100.9"], id="both far away"),
        pytest.param(["192.0.2.9", "192.0.2.6"], id="both of the own network"),
    ],
)
def test_equals_stay_as_they_came_so_that_a_rotation_is_one(destinations: list[str]) -> None:
    assert ordered(destinations, source("192.0.2.7")) == destinations
    assert ordered(destinations[::-1], source("192.0.2.7")) == destinations[::-1]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, {"deprecated": True}),
        ({"is_home": True}, {"is_care_of": True}),
        ({"is_home": True, "is_care_of": True}, {"is_home": True}),
        ({}, {"encapsulated": True}),
    ],
)
def test_rules_3_4_and_7_look_at_the_source(
    better: dict[str, bool], worse: dict[str, bool]
) -> None:
    one, other = number_of("2001:db8:0:1::1"), number_of("2001:db8:0:1::2")
    sources = {
        one: source("2001:db8:0:1::8", **better),
        other: source("2001:db8:0:1::9", **worse),
    }
    assert in_order([other, one], sources.get) == [one, other]


def test_with_no_way_to_any_they_are_still_all_there() -> None:
    texts = ["203.0.113.9", "10.0.0.1", "2001:db8::1"]
    found = in_order(map(number_of, texts), lambda _: None)
    assert sorted(found) == sorted(map(number_of, texts))


@pytest.mark.parametrize(
    ("destination", "sources", "chosen"),
    [
        # RFC 6724 section 10.1
        ("2001:db8:1::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),
        ("ff05::1", ["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),
        ("2001:db8:1::1", ["2001:db8:1::1", "2001:db8:2::1"], "2001:db8:1::1"),
        ("fe80::1", ["fe80::2", "2001:db8:1::1"], "fe80::2"),
        ("2001:db8:1::1", ["2001:db8:1::2", "2001:db8:3::2"], "2001:db8:1::2"),
        ("2002:c633:6401::1", ["2002:c633:6401::d5e3:7953:13eb:22e8", "2001:db8:1::2"], None),
        ("192.0.2.1", ["2001:db8::1", "192.0.2.9"], "192.0.2.9"),
    ],
)
def test_the_source_that_section_5_chooses(
    destination: str, sources: list[str], chosen: str | None
) -> None:
    for some in (sources, sources[::-1]):
        found = best_source(number_of(destination), [source(text) for text in some])
        assert found is not None
        assert found.address == number_of(chosen or sources[0])


def test_a_source_that_is_not_temporary_or_of_another_interface_comes_second() -> None:
    there = number_of("2001:db8:1::1")
    plain = source("2001:db8:1::2", interface="eth0")
    temporary = source("2001:db8:1::d5e3", temporary=True, interface="eth0")
    other = source("2001:db8:1::3", temporary=True, interface="eth1")
    assert best_source(there, [plain, temporary]) is temporary
    assert best_source(there, [other, plain], "eth0") is plain
    assert best_source(there, [source("10.0.0.1")]) is None


@pytest.mark.parametrize(
    ("destination", "sources", "rule"),
    [
        ("2001:db8:1::1", ["2001:db8:1::1", "2001:db8:2::1"], "5 rule 1: it is the destination"),
        ("2001:db8:1::1", ["2001:db8:3::1", "fe80::1"], "5 rule 2: it reaches as far"),
        ("fe80::1", ["fe80::2", "2001:db8:1::1"], "5 rule 2: it reaches as far"),
        ("2002:c633:6401::1", ["2002:c633:6401::d5e3", "2001:db8:1::2"], "5 rule 6: its label"),
        ("2001:db8:1::1", ["2001:db8:1::2", "2001:db8:3::2"], "5 rule 8: it has the longest"),
        ("2001:db8:1::1", ["2001:db8:1::2"], None),
        ("2001:db8:1::1", ["2001:db8:1::2", "10.0.0.1"], None),  # of the other version
        ("2001:db8:1::1", [], None),
    ],
)
def test_the_rule_that_chose_the_source(
    destination: str, sources: list[str], rule: str | None
) -> None:
    own = [source(text) for text in sources]
    for some in (own, own[::-1]):
        said = why_source(number_of(destination), some)
        assert said.startswith(f"RFC 6724 section {rule}") if rule else said == ""


def test_the_rules_that_need_more_than_addresses() -> None:
    there, plain = number_of("2001:db8:1::1"), source("2001:db8:1::2", interface="eth0")
    old = source("2001:db8:1::3", deprecated=True, interface="eth0")
    private = source("2001:db8:1::4", temporary=True, interface="eth0")
    elsewhere = source("2001:db8:1::5", interface="eth1")
    assert "rule 3: it is not deprecated" in why_source(there, [plain, old])
    assert "rule 7: it is temporary" in why_source(there, [plain, private])
    assert "rule 5: it is of the interface" in why_source(there, [plain, elsewhere], "eth0")


@pytest.mark.parametrize(
    ("destinations", "sources", "rule"),
    [
        (["10.0.0.9", "2001:db8::1"], ["10.0.0.1"], "6 rule 1: there is a way to it"),
        (["2001:db8:1::1", "198.51.100.121"], ["2001:db8:1::2", "169.254.13.78"], "6 rule 2"),
        (["fd00::1", "2001:db8::1"], ["fd00::2"], "6 rule 5: its label is that of the source"),
        (["2001:db8:1::1", "10.1.2.3"], ["2001:db8:1::2", "10.1.2.4"], "6 rule 6: it has the high"),
        (["fe80::1", "2001:db8:1::1"], ["2001:db8:1::2", "fe80::2"], "6 rule 8: its scope is"),
        (["2001:db8:0:1::1", "2001:db8:8000::1"], ["2001:db8:0:1::2"], "6 rule 9: it has the long"),
        (["203.0.113.1", "203.0.113.2"], ["10.0.0.1"], None),  # equal
        (["203.0.113.1"], ["10.0.0.1"], None),
    ],
)
def test_the_rule_that_put_one_destination_first(
    destinations: list[str], sources: list[str], rule: str | None
) -> None:
    own = [source(text) for text in sources]
    numbers = [*map(number_of, destinations)]
    said = why_order(numbers, lambda it: best_source(it, own))
    assert said.startswith(f"RFC 6724 section {rule}") if rule else said == ""


@given(
    st.lists(st.integers(0, 2**128 - 1), min_size=1, max_size=4, unique=True),
    st.integers(0, 2**128 - 1),
)
def test_there_is_a_rule_exactly_where_the_order_of_sources_does_not_matter(
    addresses: list[int], destination: int
) -> None:
    own = [Source(address, 64) for address in addresses]
    said = why_source(destination, own)
    chosen = {
        id(found)
        for some in (own, own[::-1])
        if (found := best_source(destination, some)) is not None
    }
    if said:
        assert len(chosen) == 1
    else:  # nobody, one alone, or equals
        of_version = [one for one in own if best_source(destination, [one]) is not None]
        assert len(of_version) < 2 or len(chosen) == 2


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("127.0.0.1", LINK_LOCAL),
        ("169.254.1.1", LINK_LOCAL),
        ("10.0.0.1", GLOBAL),
        ("::1", LINK_LOCAL),
        ("fe80::1", LINK_LOCAL),
        ("fec0::1", SITE_LOCAL),
        ("fd00::1", GLOBAL),
        ("ff02::1", LINK_LOCAL),
        ("ff0e::1", GLOBAL),
    ],
)
def test_scopes(text: str, reach: int) -> None:
    assert scope(number_of(text)) == reach


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="not an IP address"):
        number_of("www")


addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda low: 0xFFFF << 32 | low), st.integers(0, 2**128 - 1)
)


def by_number(sources: list[int]) -> Callable[[int], Source | None]:
    """Return a choice among sources of /24 and /64."""
    made = [Source(it, 120 if it >> 32 == 0xFFFF else 64) for it in sources]
    return lambda it: best_source(it, made)


@given(st.lists(addresses, unique=True), st.lists(addresses, max_size=4))
def test_sorting_keeps_all_and_a_second_time_changes_nothing(
    destinations: list[int], sources: list[int]
) -> None:
    source_of = by_number(sources)
    once = in_order(destinations, source_of)
    assert sorted(once) == sorted(destinations)
    assert in_order(once, source_of) == once
    reachable = [source_of(it) is not None for it in once]
    assert reachable == sorted(reachable, reverse=True)


@given(addresses, addresses)
def test_common_bits_is_what_both_begin_with(a: int, b: int) -> None:
    bits = common_bits(a, b)
    assert a >> (128 - bits) == b >> (128 - bits)
    assert bits == 128 or a >> (127 - bits) != b >> (127 - bits)

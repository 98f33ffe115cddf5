"""Addresses and blocks of them, from text and back."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import (
    Prefix,
    format_ip4,
    format_mac,
    is_loopback,
    is_multicast,
    is_usable_source,
    parse_host_address,
    parse_interface_address,
    parse_ip4,
    parse_mac,
    parse_prefix,
)
from pystack.core.errors import ConfigError

any_ip4 = st.integers(0, 2**32 - 1)


@given(any_ip4)
def test_ip4_text_and_value_are_each_other(value: int) -> None:
    text = str(ipaddress.IPv4Address(value))
    assert format_ip4(value) == text
    assert parse_ip4(text) == value


@given(st.text(alphabet="0123456789. x-:²", max_size=16))
def test_ip4_takes_exactly_the_text_that_python_takes(text: str) -> None:
    try:
        expected: int | None = int(ipaddress.IPv4Address(text))
    except ValueError:
        expected = None
    try:
        found: int | None = parse_ip4(text)
    except ConfigError:
        found = None
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0",
        "10.0.0.1.2",
        "10.0.0.256",
        "010.0.0.1",
        "10.0.0.-1",
        " 10.0.0.1",
        "10..0.1",
        "0x0a.0.0.1",
        "10.0.0.1/24",
        "host",
        "10.0.0.٣",
        "1_0.0.0.1",
    ],
)
def test_what_is_no_ip4_address_is_refused_and_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an IPv4 address") as caught:
        parse_ip4(text)
    assert repr(text) in str(caught.value)


@given(st.binary(min_size=6, max_size=6).filter(lambda mac: not mac[0] & 1))
def test_mac_text_and_value_are_each_other(mac: bytes) -> None:
    assert parse_mac(format_mac(mac)) == mac
    assert parse_mac(format_mac(mac).upper().replace(":", "-")) == mac


@pytest.mark.parametrize(
    "text",
    [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:00:01",
        "02:00:00:00:00:0g",
        "0200.0000.0001",
        "02:00:00:00:00:001",
        "+2:00:00:00:00:01",
        "0_2:00:00:00:00:01",
        "02: 1:00:00:00:01",
    ],
)
def test_what_is_no_mac_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a MAC address"):
        parse_mac(text)


@pytest.mark.parametrize("text", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"])
def test_a_group_address_is_not_that_of_a_station(text: str) -> None:
    with pytest.raises(ConfigError, match="group address"):
        parse_mac(text)


@given(any_ip4)
def test_kinds_of_addresses_are_those_of_python(value: int) -> None:
    address = ipaddress.IPv4Address(value)
    assert is_multicast(value) == address.is_multicast
    assert is_loopback(value) == address.is_loopback
    unusable = address.is_multicast or value >> 28 == 0xF or value >> 24 == 0
    assert is_usable_source(value) is not unusable


@given(any_ip4, st.integers(0, 32), any_ip4)
def test_a_block_is_that_of_python(address: int, length: int, other: int) -> None:
    prefix = Prefix.of(address, length)
    network = ipaddress.ip_network((address, length), strict=False)
    assert str(prefix) == str(network)
    assert prefix.network == int(network.network_address)
    assert prefix.broadcast == int(network.broadcast_address)
    assert (other in prefix) == (ipaddress.IPv4Address(other) in network)
    assert address in prefix
    assert parse_prefix(str(prefix)) == prefix


@pytest.mark.parametrize(
    ("text", "has_broadcast"),
    [("10.0.0.0/30", True), ("10.0.0.0/31", False), ("10.0.0.0/32", False), ("0.0.0.0/0", True)],
)
def test_blocks_of_one_or_two_addresses_have_no_broadcast(text: str, has_broadcast: bool) -> None:
    assert parse_prefix(text).has_broadcast is has_broadcast


@pytest.mark.parametrize("length", [-1, 33])
def test_a_block_of_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match=r"0\.\.32"):
        Prefix.of(0, length)


def test_a_block_with_bits_below_its_mask_is_refused_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match=r"10\.0\.0\.0/24"):
        parse_prefix("10.0.0.9/24")


def test_an_interface_address_keeps_its_own_bits() -> None:
    address, prefix = parse_interface_address("10.0.0.9/24")
    assert (format_ip4(address), str(prefix)) == ("10.0.0.9", "10.0.0.0/24")


@pytest.mark.parametrize("text", ["10.0.0.9", "10.0.0.9/", "10.0.0.9/33", "10.0.0.9/-1", "x/24"])
def test_an_interface_address_needs_a_prefix_length(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_interface_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/24",
        "10.0.0.255/24",
        "127.0.0.1/8",
        "224.0.0.1/24",
        "0.0.0.1/8",
        "255.255.255.255/32",
        "240.0.0.1/8",
    ],
)
def test_an_address_that_no_host_can_have_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_host_address(text)


@pytest.mark.parametrize("text", ["10.0.0.0/31", "10.0.0.1/31", "10.0.0.255/16", "192.0.2.7/32"])
def test_an_address_that_looks_special_but_is_not_is_taken(text: str) -> None:
    address, prefix = parse_host_address(text)
    assert f"{format_ip4(address)}/{prefix.length}" == text

"""Addresses and blocks of them, from text and back."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import (
    ALL_NODES6,
    V6,
    Ip,
    Prefix,
    eui64,
    format_ip,
    format_ip4,
    format_ip6,
    format_mac,
    has_zone,
    is_link_local,
    is_loopback,
    is_mapped,
    is_multicast,
    is_usable_source,
    is_v6,
    link_local,
    mapped,
    multicast_mac,
    pack_ip6,
    parse_host_address,
    parse_interface_address,
    parse_ip,
    parse_ip4,
    parse_ip6,
    parse_mac,
    parse_prefix,
    solicited_node,
    unmapped,
    unpack_ip6,
    with_zone,
    without_zone,
    zone_of,
)
from pystack.core.errors import ConfigError

any_ip4 = st.integers(0, 2**32 - 1)
# Half of them with long runs of zeros, as people's addresses have
any_ip6 = st.integers(0, 2**128 - 1) | st.lists(
    st.sampled_from([0, 0, 0, 1, 0xFE80, 0xFFFF, 0xFD00]), min_size=8, max_size=8
).map(lambda groups: int.from_bytes(b"".join(group.to_bytes(2, "big") for group in groups), "big"))


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


@pytest.mark.parametrize(
    "text",
    [
        *("10.0.0.9", "10.0.0.9/", "10.0.0.9/33", "10.0.0.9/-1", "x/24"),
        *("fd00::9", "fd00::9/129", "fd00::9/0064", "fe80::1%1"),
    ],
)
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
        *("::/64", "::1/128", "ff02::1/64", "::ffff:10.0.0.1/96"),
    ],
)
def test_an_address_that_no_host_can_have_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_host_address(text)


@pytest.mark.parametrize("text", ["10.0.0.0/31", "10.0.0.1/31", "10.0.0.255/16", "192.0.2.7/32"])
def test_an_address_that_looks_special_but_is_not_is_taken(text: str) -> None:
    address, prefix = parse_host_address(text)
    assert f"{format_ip4(address)}/{prefix.length}" == text


def _rfc5952(value: int) -> str:
    address = ipaddress.IPv6Address(value)
    # Python before 3.13 shows a mapped address as hexadecimal numbers.
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


@given(any_ip6)
def test_ip6_text_and_value_are_each_other(value: int) -> None:
    address = Ip(V6 | value)
    assert format_ip6(address) == format_ip(address) == _rfc5952(value)
    assert parse_ip6(format_ip6(address)) == parse_ip(_rfc5952(value)) == address
    assert parse_ip6(ipaddress.IPv6Address(value).exploded.upper()) == address
    assert unpack_ip6(pack_ip6(address)) == address
    assert pack_ip6(address) == value.to_bytes(16, "big")
    assert is_v6(address)


@given(st.text(alphabet="0123abfF::::. /-g", max_size=20))
def test_ip6_takes_exactly_the_text_that_python_takes(text: str) -> None:
    try:
        expected: int | None = V6 | int(ipaddress.IPv6Address(text))
    except ValueError:
        expected = None
    try:
        found: int | None = parse_ip6(text)
    except ConfigError:
        found = None
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::12345",
        "::+1",
        "::1_0",
        "::1.2.3",
        "1.2.3.4::",
        "::1%",
        "fe80::1%eth0",
        "fe80::1%-1",
        "fd00::1%2",
        "::1%1",
        "fd00::1/64",
        "10.0.0.1",
    ],
)
def test_what_is_no_ip6_address_is_refused_and_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ip6(text)
    assert repr(text) in str(caught.value)


def test_a_zone_is_part_of_a_link_local_address() -> None:
    address = parse_ip("fe80::1%7")
    assert (zone_of(address), without_zone(address)) == (7, parse_ip("fe80::1"))
    assert format_ip(address) == "fe80::1%7"
    assert address == with_zone(parse_ip("fe80::1"), 7) != parse_ip("fe80::1%8")
    assert is_v6(address)
    assert is_link_local(address)
    assert has_zone(address)
    assert address in parse_prefix("fe80::/64")
    assert pack_ip6(address) == pack_ip6(parse_ip("fe80::1"))
    assert format_ip(with_zone(address, 0)) == "fe80::1"
    group = parse_ip("ff02::1%3")
    assert is_multicast(group)
    assert has_zone(group)
    assert without_zone(group) == ALL_NODES6
    assert not has_zone(parse_ip("ff05::1"))
    assert not has_zone(parse_ip("169.254.0.1"))


@given(any_ip6, st.integers(0, 5))
def test_kinds_of_ip6_addresses_are_those_of_python(value: int, zone: int) -> None:
    python = ipaddress.IPv6Address(value)
    address = Ip(V6 | value)
    if zone and has_zone(address):
        address = with_zone(address, zone)
    if not python.ipv4_mapped:  # newer Pythons then tell of what it stands for
        assert is_multicast(address) == python.is_multicast
        assert is_loopback(address) == python.is_loopback
        assert is_link_local(address) == python.is_link_local
    assert is_mapped(address) == (python.ipv4_mapped is not None)
    unusable = python.is_multicast or python.is_unspecified or python.ipv4_mapped
    assert is_usable_source(address) is not bool(unusable)


@given(any_ip4)
def test_no_ip4_address_is_of_a_kind_of_ip6(value: int) -> None:
    assert not is_v6(value)
    assert not is_mapped(value)
    assert not has_zone(value)
    assert is_link_local(value) == ipaddress.IPv4Address(value).is_link_local


@given(any_ip6, st.integers(0, 128), any_ip6, any_ip4)
def test_a_block_of_ip6_is_that_of_python(address: int, length: int, other: int, ip4: int) -> None:
    prefix = Prefix.of(V6 | address, length)
    network = ipaddress.IPv6Network((address, length), strict=False)
    assert prefix.network == V6 | int(network.network_address)
    assert (V6 | other in prefix) == (ipaddress.IPv6Address(other) in network)
    assert V6 | address in prefix
    assert ip4 not in prefix
    assert not prefix.has_broadcast
    assert prefix.is_v6
    assert parse_prefix(str(prefix)) == prefix


@given(any_ip4, st.integers(0, 32), any_ip6)
def test_no_block_of_ip4_holds_an_ip6_address(address: int, length: int, other: int) -> None:
    prefix = Prefix.of(address, length)
    assert V6 | other not in prefix
    assert prefix.mask & 0xFFFFFFFF == int(
        ipaddress.ip_network((address, length), strict=False).netmask
    )


def test_addresses_that_are_made_of_others() -> None:
    mac = bytes.fromhex("0200000a0b0c")
    assert format_ip(link_local(eui64(mac))) == "fe80::ff:fe0a:b0c"
    assert format_ip(solicited_node(parse_ip("fd00::12:3456"))) == "ff02::1:ff12:3456"
    assert multicast_mac(parse_ip("ff02::1:ff12:3456")).hex(":") == "33:33:ff:12:34:56"
    assert multicast_mac(parse_ip("239.129.2.3")).hex(":") == "01:00:5e:01:02:03"
    assert format_ip(mapped(parse_ip4("10.0.0.1"))) == "::ffff:10.0.0.1"
    assert unmapped(parse_ip("::ffff:10.0.0.1")) == parse_ip4("10.0.0.1")
    assert unmapped(parse_ip("fd00::1")) == parse_ip("fd00::1")

"""Neighbor Discovery's messages: as packed, as dpkt's checksum has them, and what is not valid."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets6 import ALL_NODES, GLOBAL, NOBODY, A, B, Header, destination, fragment, message

from pystack.core.addresses import Mac, Prefix, pack_ip6, parse_ip6, solicited_node, with_zone
from pystack.core.errors import WireError
from pystack.wire import icmpv6, nd
from pystack.wire.icmp import IcmpMessage
from pystack.wire.packet import Packet

MAC = Mac(bytes.fromhex("020000000001"))
SERVERS = (parse_ip6("2001:db8::53"), parse_ip6("fe80::53"))

Parse = Callable[[Packet, IcmpMessage], object]

SOLICITATION = nd.pack_neighbor_solicitation(A, B, B, source_mac=MAC, nonce=b"123456")
ADVERTISEMENT = nd.pack_neighbor_advertisement(
    A, B, A, mac=MAC, router=True, solicited=True, override=False
)
ROUTER_SOLICITATION = nd.pack_router_solicitation(A, B, source_mac=MAC)
SAID = nd.RouterAdvertisement(
    64,
    True,
    False,
    -1,
    1800,
    30_000,
    1000,
    nd.NdOptions(
        source_mac=MAC,
        mtu_bytes=1400,
        prefixes=[
            nd.PrefixInformation(
                Prefix.of(GLOBAL, 64), True, False, nd.FOR_EVER, 600, pack_ip6(GLOBAL - 1)
            )
        ],
        routes=[
            nd.RouteInformation(Prefix.of(GLOBAL, length), preference, 30)
            for length, preference in ((0, 1), (48, 0), (64, -1), (128, 0))
        ],
        rdnss=[nd.Rdnss(900, SERVERS), nd.Rdnss(0, SERVERS[:1])],
        dnssl=[nd.Dnssl(900, ("example.org", "lab"))],
    ),
)
ROUTER_ADVERTISEMENT = nd.pack_router_advertisement(A, B, SAID)
REDIRECT = nd.pack_redirect(
    A, B, nd.Redirect(A, GLOBAL, nd.NdOptions(target_mac=MAC, redirected=b"12345678"))
)
ALL: list[tuple[Parse, bytes]] = [
    (nd.parse_neighbor_solicitation, SOLICITATION),
    (nd.parse_neighbor_advertisement, ADVERTISEMENT),
    (nd.parse_router_solicitation, ROUTER_SOLICITATION),
    (nd.parse_router_advertisement, ROUTER_ADVERTISEMENT),
    (nd.parse_redirect, REDIRECT),
]
each_message = pytest.mark.parametrize(("parse", "data"), ALL)


def spoiled(data: bytes, *, src: int = A, dst: int = B, code: int = 0, rest: bytes = b"") -> bytes:
    """Return a message with its checksum right, and something else wrong."""
    body = rest or data[8:]
    return icmpv6.pack(src, dst, data[0], code, int.from_bytes(data[4:8], "big"), body)


def refused(
    parse: Parse,
    data: bytes,
    reason: str,
    *,
    src: int = A,
    dst: int = B,
    ttl: int = 255,
    headers: list[Header] | None = None,
) -> None:
    with pytest.raises(WireError, match=f"^{reason}$"):
        parse(*message(data, src=src, dst=dst, ttl=ttl, headers=headers))


def test_messages_read_as_they_were_packed() -> None:
    asked = nd.parse_neighbor_solicitation(*message(SOLICITATION))
    assert (asked.target, asked.options) == (B, nd.NdOptions(source_mac=MAC, nonce=b"123456"))
    answer = nd.parse_neighbor_advertisement(*message(ADVERTISEMENT))
    assert (answer.target, answer.options.target_mac) == (A, MAC)
    assert (answer.router, answer.solicited, answer.override) == (True, True, False)
    assert nd.parse_router_solicitation(*message(ROUTER_SOLICITATION)).source_mac == MAC
    redirect = nd.parse_redirect(*message(REDIRECT))
    assert (redirect.target, redirect.destination) == (A, GLOBAL)
    assert redirect.options == nd.NdOptions(target_mac=MAC, redirected=b"12345678")


def test_a_router_advertisement_reads_as_it_was_packed_with_all_options() -> None:
    read = nd.parse_router_advertisement(*message(ROUTER_ADVERTISEMENT))
    assert read == SAID


@pytest.mark.rfc("4861", "7.1")
@each_message
def test_what_rfc_4861_calls_invalid_is_refused_by_name(parse: Parse, data: bytes) -> None:
    refused(parse, data, "nd_bad_hop_limit", ttl=254)
    refused(parse, spoiled(data, code=1), "nd_bad_code")
    refused(parse, data, "nd_fragment", headers=[fragment(0, more=False)])
    assert parse(*message(data, headers=[destination()]))
    if parse is not nd.parse_router_solicitation:
        refused(parse, icmpv6.pack(A, B, data[0], 0, 0, bytes(4)), "nd_truncated")
    refused(parse, spoiled(data, rest=data[8:] + bytes((200, 0))), "nd_option_without_length")
    refused(parse, spoiled(data, rest=data[8:] + bytes((200,))), "nd_option_without_length")
    refused(parse, spoiled(data, rest=data[8:] + bytes((200, 1))), "nd_option_truncated")
    unknown = spoiled(data, rest=data[8:] + bytes((200, 1)) + bytes(6))
    assert parse(*message(unknown)) == parse(*message(data))


@pytest.mark.rfc("4861", "6.1.2")
@pytest.mark.parametrize(("parse", "data"), ALL[3:])
def test_routers_speak_from_link_local_addresses(parse: Parse, data: bytes) -> None:
    refused(parse, spoiled(data, src=GLOBAL), "nd_not_link_local", src=GLOBAL)


@pytest.mark.rfc("4861", "7.1.1")
def test_who_tries_out_an_address_asks_its_group_and_names_no_station() -> None:
    group = solicited_node(B)
    probe = nd.pack_neighbor_solicitation(NOBODY, group, B, source_mac=None)
    read = nd.parse_neighbor_solicitation(*message(probe, src=NOBODY, dst=group))
    assert (read.target, read.options.source_mac) == (B, None)
    named = nd.pack_neighbor_solicitation(NOBODY, group, B, source_mac=MAC)
    refused(nd.parse_neighbor_solicitation, named, "nd_source_option", src=NOBODY, dst=group)
    direct = nd.pack_neighbor_solicitation(NOBODY, B, B, source_mac=None)
    refused(nd.parse_neighbor_solicitation, direct, "nd_probe_destination", src=NOBODY)
    many = nd.pack_neighbor_solicitation(A, B, ALL_NODES, source_mac=MAC)
    refused(nd.parse_neighbor_solicitation, many, "nd_target_is_many")
    router = nd.pack_router_solicitation(NOBODY, B, source_mac=MAC)
    refused(nd.parse_router_solicitation, router, "nd_source_option", src=NOBODY)


def test_an_answer_to_all_is_none_to_one() -> None:
    to_all = spoiled(ADVERTISEMENT, dst=ALL_NODES)
    refused(nd.parse_neighbor_advertisement, to_all, "nd_solicited_to_many", dst=ALL_NODES)


def test_a_redirect_leads_to_a_router_or_to_the_destination_itself() -> None:
    to_itself = nd.pack_redirect(A, B, nd.Redirect(GLOBAL, GLOBAL, nd.NdOptions()))
    assert nd.parse_redirect(*message(to_itself)).target == GLOBAL
    elsewhere = nd.pack_redirect(A, B, nd.Redirect(GLOBAL, GLOBAL + 1, nd.NdOptions()))
    refused(nd.parse_redirect, elsewhere, "nd_redirect_target")
    for_many = nd.pack_redirect(A, B, nd.Redirect(A, ALL_NODES, nd.NdOptions()))
    refused(nd.parse_redirect, for_many, "nd_redirect_destination")


@pytest.mark.parametrize("mac", [bytes(6), b"\x01\x00\x5e\x00\x00\x01", b"\xff" * 6, bytes(14)])
def test_nobody_has_the_link_address_of_many(mac: bytes) -> None:
    asked = nd.pack_neighbor_solicitation(A, B, B, source_mac=Mac(mac))
    refused(nd.parse_neighbor_solicitation, asked, "nd_bad_link_address")


@pytest.mark.parametrize(
    "option",
    [
        "1f02 0000 00000001 0773706f6f6f6f6f",  # DNSSL: a name without an end
        "1f02 0000 00000001 0a73706f6f6f6f6f",  # cut within a label
        "1f02 0000 00000001 026f2f00 00000000",  # a character that no name has
        "1f02 0000 00000001 c000 000000000000",  # a pointer
        "1902 0000 00000001 0000000000000000",  # RDNSS: half an address
        "0302 4040 00000001 0000000000000000",  # a prefix that is not whole
        "0304 8140 00000001 00000001 00000000" + "20" * 16,  # of 129 bits
        "1801 4000 00000001",  # a route whose prefix is missing
        "1802 0010 00000001 0000000000000000",  # and one whose preference is none
        "0502 0000 00000500 0000000000000000",  # an MTU too long
    ],
)
def test_an_option_that_is_not_as_it_should_be_is_passed_over(option: str) -> None:
    data = nd.pack_router_advertisement(A, B, nd.RouterAdvertisement())
    with_option = spoiled(data, rest=data[8:] + bytes.fromhex(option))
    assert nd.parse_router_advertisement(*message(with_option)).options == nd.NdOptions()


def test_addresses_go_without_their_zone() -> None:
    packed = nd.pack_neighbor_solicitation(
        with_zone(A, 2), with_zone(B, 2), with_zone(B, 2), source_mac=MAC, nonce=b"123456"
    )
    assert packed == SOLICITATION


@given(st.sampled_from(ALL), st.binary(max_size=120), st.integers(0, 2**32 - 1))
def test_hostile_bytes_raise_nothing_but_wire_errors(
    each: tuple[Parse, bytes], body: bytes, rest: int
) -> None:
    parse, data = each
    for payload in (body, data[8:40] + body):
        try:
            parse(*message(icmpv6.pack(A, B, data[0], 0, rest, payload)))
        except WireError as error:
            assert error.reason.startswith("nd_")  # noqa: PT017 - most of them are refused

"""Whatever a link says of neighbours and routers: nothing raises, all stays bounded and ours."""

from dataclasses import replace

import pytest
from discovery_bench import (
    HERE6,
    HERE_LINK,
    NET6,
    ROUTER,
    DiscoveryBench,
    frame6,
    mld_frame,
    prefix_said,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from stack_bench import HERE_MAC, OTHER_MAC, PEER_MAC

from pystack.core.addresses import (
    ALL_NODES6,
    ALL_ROUTERS6,
    LINK_LOCAL6,
    UNSPECIFIED6,
    V6,
    Ip,
    Mac,
    parse_ip6,
    solicited_node,
)
from pystack.stack.autoconf import NAMES, ROUTES
from pystack.stack.neighbors import TABLE_ENTRIES
from pystack.stack.own_addresses import ADDRESSES
from pystack.wire import icmpv6, mld, nd

GIVEN = (HERE_LINK, HERE6)
addresses = st.one_of(
    st.sampled_from(
        (
            HERE_LINK,
            HERE6,
            ROUTER,
            UNSPECIFIED6,
            ALL_NODES6,
            ALL_ROUTERS6,
            solicited_node(HERE6),
            Ip(V6 | 1),
            parse_ip6("::ffff:10.0.0.1"),
            parse_ip6("ff02::1:ff00:2"),
        )
    ),
    st.integers(0, 300).map(lambda number: Ip(HERE6 + number)),
    st.integers(0, 300).map(lambda number: Ip(HERE_LINK + number)),
    st.integers(0, 2**128 - 1).map(lambda bits: Ip(V6 | bits)),
)
macs = st.sampled_from((HERE_MAC, PEER_MAC, OTHER_MAC)) | st.integers(0, 2**40).map(
    lambda bits: Mac((0x02 << 40 | bits).to_bytes(6, "big"))
)
seconds = st.sampled_from((0, 1, 60, 7200, 7201, nd.FOR_EVER)) | st.integers(0, nd.FOR_EVER)
prefixes = st.builds(
    lambda text, on_link, autonomous, valid_s, preferred_s: prefix_said(
        text, on_link=on_link, autonomous=autonomous, valid_s=valid_s, preferred_s=preferred_s
    ),
    st.sampled_from(("fd00::/64", "fe80::/64", "::/0", "2001:db8::/48", "ff00::/8"))
    | st.integers(1, 400).map(lambda number: f"2001:db8:{number:x}::/64"),
    st.booleans(),
    st.booleans(),
    seconds,
    seconds,
)
options = st.builds(
    nd.NdOptions,
    source_mac=st.none() | macs,
    target_mac=st.none() | macs,
    mtu_bytes=st.sampled_from((0, 1, 1280, 1400, 1500, 2**32 - 1)),
    nonce=st.sampled_from((b"", b"sixbyt")),
    prefixes=st.lists(prefixes, max_size=4),
    routes=st.lists(
        st.builds(
            nd.RouteInformation,
            prefixes.map(lambda said: said.prefix),
            st.sampled_from((-1, 0, 1)),
            seconds,
        ),
        max_size=2,
    ),
    rdnss=st.lists(st.builds(nd.Rdnss, seconds, st.tuples(addresses, addresses)), max_size=2),
    dnssl=st.lists(st.builds(nd.Dnssl, seconds, st.just(("a.example", "b.example"))), max_size=1),
)


def asking(src: Ip, dst: Ip, target: Ip, said: nd.NdOptions, flags: int) -> bytes:
    return nd.pack_neighbor_solicitation(
        src, dst, target, source_mac=said.source_mac, nonce=said.nonce
    )


def answering(src: Ip, dst: Ip, target: Ip, said: nd.NdOptions, flags: int) -> bytes:
    return nd.pack_neighbor_advertisement(
        src,
        dst,
        target,
        mac=said.target_mac,
        router=bool(flags & 1),
        solicited=bool(flags & 2),
        override=bool(flags & 4),
    )


def looking(src: Ip, dst: Ip, target: Ip, said: nd.NdOptions, flags: int) -> bytes:
    return nd.pack_router_solicitation(src, dst, source_mac=said.source_mac)


def routing(src: Ip, dst: Ip, target: Ip, said: nd.NdOptions, flags: int) -> bytes:
    times = flags * 1_000_000
    return nd.pack_router_advertisement(
        src,
        dst,
        nd.RouterAdvertisement(flags, False, False, flags % 3 - 1, flags * 9, times, times, said),
    )


def redirecting(src: Ip, dst: Ip, target: Ip, said: nd.NdOptions, flags: int) -> bytes:
    return nd.pack_redirect(src, dst, nd.Redirect(target, Ip(target ^ flags), said))


messages = st.tuples(
    st.sampled_from((asking, answering, looking, routing, redirecting)),
    addresses,
    addresses,
    addresses,
    options,
    st.integers(0, 7),
    st.sampled_from((255, 255, 255, 255, 64)),
    st.sampled_from((0.0, 0.1, 1.0, 5.0, 7200.0)),
)


def busy(began_s: float = 2.0) -> DiscoveryBench:
    """Return a host that listens to everything, so long after it began to configure itself."""
    given = ((HERE_LINK, LINK_LOCAL6), (HERE6, NET6)) if began_s else ()
    bench = DiscoveryBench(given, accept_ra=True, accept_redirects=True, use_tempaddr=True)
    bench.discovery.start(0.0)
    bench.run(began_s)
    return bench


def check(bench: DiscoveryBench) -> None:
    """Hold the host against what nobody on a link may change."""
    host, interface = bench.host, bench.interface
    own = [each for each in interface.addresses if not each.is_automatic]
    usable = [each for each in own if each.prefix.is_v6 and each.is_usable]
    for address in GIVEN if len(own) > 2 else ():
        assert any(each.address & (1 << 129) - 1 == address for each in usable)
    automatic = [each for each in interface.addresses if each.is_automatic]
    assert sum(not each.is_temporary for each in automatic) <= ADDRESSES
    assert len(automatic) <= 5 * ADDRESSES
    assert len(bench.neighbors.entries(bench.scheduler.now)) <= TABLE_ENTRIES
    # Of each address one, of each of the offers one, of redirects so many, and those of IPv4
    assert len(host.routes) <= len(interface.addresses) + ROUTES + 256 + 10
    assert len(bench.discovery.name_servers()) <= NAMES
    assert 1280 <= interface.mtu6_bytes <= interface.mtu_bytes
    assert 0.01 <= bench.neighbors.timing6.retrans_s <= 60.0
    assert len(bench.scheduler) <= TABLE_ENTRIES + 6 * ADDRESSES + 100
    for address, at in host.addresses.items():
        assert at.find(address) is not None


@settings(max_examples=150, deadline=None)
@given(st.lists(messages, min_size=1, max_size=40), st.sampled_from((0.0, 2.0)))
def test_no_message_breaks_or_fills_a_host(
    said: list[tuple[object, Ip, Ip, Ip, nd.NdOptions, int, int, float]], began_s: float
) -> None:
    bench = busy(began_s)
    for make, src, dst, target, words, flags, ttl, wait_s in said:
        message = make(src, dst, target, words, flags)  # type: ignore[operator]
        bench.run(bench.scheduler.now + wait_s)
        bench.arrive(frame6(src, dst, message, ttl=ttl))
        bench.port.sent.clear()
    check(bench)
    bench.run(bench.scheduler.now + 10.0)
    check(bench)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from((*range(130, 138), 143)),
    st.integers(0, 255),
    st.binary(max_size=200),
    addresses,
    addresses,
    st.booleans(),
)
def test_no_bytes_break_a_host(
    kind: int, code: int, body: bytes, src: Ip, dst: Ip, alert: bool
) -> None:
    bench = busy()
    rest = int.from_bytes(body[:4].ljust(4, b"\0"), "big")
    message = icmpv6.pack(src, dst, kind, code, rest, body[4:])
    bench.arrive(mld_frame(src, dst, message) if alert else frame6(src, dst, message))
    bench.run(20.0)
    check(bench)


@pytest.mark.rfc("6583", "4.2")
def test_a_flood_of_routers_with_ever_other_prefixes_stays_bounded() -> None:
    """What `flood_router26` does: ten thousand advertisements, each from another router."""
    bench = busy()
    for number in range(10_000):
        router = Ip(V6 | 0xFE80 << 112 | 0x10000 + number)
        said = prefix_said(f"2001:db8:{number:x}::/64")
        message = nd.pack_router_advertisement(
            router,
            ALL_NODES6,
            nd.RouterAdvertisement(
                lifetime_s=1800,
                options=nd.NdOptions(source_mac=PEER_MAC, prefixes=[said, replace(said)]),
            ),
        )
        bench.arrive(frame6(router, ALL_NODES6, message))
        bench.port.sent.clear()
    check(bench)
    bench.run(10.0)
    check(bench)


def test_a_flood_of_queries_is_answered_once() -> None:
    bench = busy()
    bench.said()
    query = mld.pack_query(ROUTER, ALL_NODES6, mld.MldQuery(10.0, UNSPECIFIED6))
    for _ in range(5000):
        bench.arrive(mld_frame(ROUTER, ALL_NODES6, query))
    bench.run(30.0)
    assert len(bench.said(icmpv6.MLD_REPORT_2)) == 1
    check(bench)

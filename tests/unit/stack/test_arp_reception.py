"""ARP as RFC 826 has a host receive it, and what it does not believe (RFC 5227)."""

import pytest
from stack_bench import FAR, GROUP, HERE, HERE_MAC, OTHER_MAC, PEER, PEER_MAC, Bench, arp_frame

from pystack.core.addresses import (
    BROADCAST_MAC,
    LIMITED_BROADCAST,
    LOOPBACK,
    ZERO_MAC,
    parse_ip4,
    parse_prefix,
)
from pystack.wire import arp

SECOND = parse_ip4("10.1.0.1")
SECOND_PEER = parse_ip4("10.1.0.2")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def known(bench: Bench) -> dict[int, tuple[str, bytes | None]]:
    assert bench.interface.neighbors is not None
    entries = bench.interface.neighbors.entries(bench.scheduler.now)
    return {entry.address: (entry.state.value, entry.mac) for entry in entries}


def test_a_request_for_our_address_is_answered_to_who_asked_and_remembered(bench: Bench) -> None:
    bench.arrive(arp_frame(arp.REQUEST, PEER_MAC, PEER, HERE))
    (frame,) = bench.taken()
    assert frame.data[:14] == PEER_MAC + HERE_MAC + b"\x08\x06"
    reply = arp.parse(frame.data[14:])
    assert reply == arp.ArpPacket(arp.REPLY, HERE_MAC, HERE, PEER_MAC, PEER)
    assert known(bench) == {PEER: ("STALE", PEER_MAC)}
    assert bench.drops() == []


@pytest.mark.parametrize("target", [PEER, parse_ip4("10.0.0.3"), FAR, LOOPBACK, 0])
def test_a_request_for_another_address_is_not_answered(bench: Bench, target: int) -> None:
    bench.arrive(arp_frame(arp.REQUEST, OTHER_MAC, parse_ip4("10.0.0.9"), target))
    assert bench.taken() == []
    assert known(bench) == {}
    assert bench.counters["arp_for_others"] == 1


def test_every_address_of_the_interface_is_answered_for(bench: Bench) -> None:
    bench.host.add_address(bench.interface, SECOND, parse_prefix("10.1.0.0/24"))
    bench.arrive(arp_frame(arp.REQUEST, PEER_MAC, SECOND_PEER, SECOND))
    ((_, reply),) = bench.taken_arp()
    assert (reply.spa, reply.tpa) == (SECOND, SECOND_PEER)


def test_an_address_of_another_interface_is_not_answered_for(bench: Bench) -> None:
    other = Bench("10.9.0.1/24")
    bench.host.add_interface(
        "eth1", other.port, parse_ip4("10.9.0.1"), parse_prefix("10.9.0.0/24"), OTHER_MAC
    )
    bench.arrive(arp_frame(arp.REQUEST, PEER_MAC, PEER, parse_ip4("10.9.0.1")))
    assert bench.taken() == []


@pytest.mark.rfc("826", "Packet Reception")
def test_an_entry_that_exists_is_updated_by_any_packet_and_no_new_one_is_made(
    bench: Bench,
) -> None:
    bench.know_peer()
    for op in (arp.REQUEST, arp.REPLY):
        mac = OTHER_MAC if op == arp.REQUEST else PEER_MAC
        bench.arrive(arp_frame(op, mac, PEER, parse_ip4("10.0.0.77")))
        assert known(bench) == {PEER: ("STALE", mac)}
        bench.arrive(arp_frame(op, mac, parse_ip4("10.0.0.9"), parse_ip4("10.0.0.77")))
        assert len(known(bench)) == 1


def test_a_reply_that_nobody_asked_for_makes_no_entry(bench: Bench) -> None:
    bench.arrive(arp_frame(arp.REPLY, PEER_MAC, PEER, HERE, HERE_MAC))
    assert known(bench) == {}
    assert bench.taken() == []


def test_a_gratuitous_announcement_updates_and_makes_no_entry(bench: Bench) -> None:
    bench.arrive(arp_frame(arp.REQUEST, PEER_MAC, PEER, PEER))
    assert known(bench) == {}
    bench.know_peer()
    bench.arrive(arp_frame(arp.REQUEST, OTHER_MAC, PEER, PEER))
    assert known(bench) == {PEER: ("STALE", OTHER_MAC)}
    assert bench.taken() == []


@pytest.mark.rfc("5227", "section 2.1.1")
def test_a_probe_for_our_address_is_answered_and_teaches_nothing(bench: Bench) -> None:
    bench.arrive(arp_frame(arp.REQUEST, PEER_MAC, 0, HERE))
    ((_, reply),) = bench.taken_arp()
    assert (reply.op, reply.sha, reply.spa, reply.tpa) == (arp.REPLY, HERE_MAC, HERE, 0)
    assert known(bench) == {}


@pytest.mark.rfc("5227", "section 2.4")
def test_another_station_with_our_address_is_a_conflict_and_we_keep_it(bench: Bench) -> None:
    bench.arrive(arp_frame(arp.REQUEST, OTHER_MAC, HERE, PEER))
    bench.arrive(arp_frame(arp.REPLY, OTHER_MAC, HERE, HERE, HERE_MAC))
    assert bench.drops() == ["arp_address_conflict"] * 2
    assert known(bench) == {}
    bench.arrive(arp_frame(arp.REQUEST, PEER_MAC, PEER, HERE))
    assert len(bench.taken_arp()) == 1


@pytest.mark.parametrize(
    ("sha", "spa", "reason"),
    [
        (ZERO_MAC, PEER, "arp_bad_sender"),
        (BROADCAST_MAC, PEER, "arp_bad_sender"),
        (HERE_MAC, PEER, "arp_bad_sender"),
        (bytes.fromhex("01005e000001"), PEER, "arp_bad_sender"),
        (PEER_MAC, LIMITED_BROADCAST, "arp_bad_sender"),
        (PEER_MAC, parse_ip4("10.0.0.255"), "arp_bad_sender"),
        (PEER_MAC, GROUP, "arp_bad_sender"),
        (PEER_MAC, parse_ip4("0.0.0.5"), "arp_bad_sender"),
        (PEER_MAC, LOOPBACK, "arp_other_network"),
        (PEER_MAC, FAR, "arp_other_network"),
    ],
)
def test_a_hostile_sender_is_not_believed_and_not_answered(
    bench: Bench, sha: bytes, spa: int, reason: str
) -> None:
    frame = bytearray(arp_frame(arp.REQUEST, sha, spa, HERE))
    frame[6:12] = PEER_MAC
    bench.arrive(bytes(frame))
    assert bench.drops() == [reason]
    assert bench.taken() == []
    assert known(bench) == {}


def test_a_dropped_arp_packet_is_shown_whole(bench: Bench) -> None:
    frame = arp_frame(arp.REQUEST, OTHER_MAC, HERE, PEER)
    bench.arrive(frame)
    (drop,) = [event for event in bench.events if hasattr(event, "reason")]
    assert drop.data == frame


@pytest.mark.rfc("5227", "section 2.3")
def test_a_host_announces_each_address_twice_two_seconds_apart(bench: Bench) -> None:
    bench.host.add_address(bench.interface, SECOND, parse_prefix("10.1.0.0/24"))
    bench.host.announce(1.0)
    bench.run(100.0)
    sent = bench.taken_arp()
    assert [(at, packet.spa) for at, packet in sent] == [
        (1.0, HERE),
        (1.0, SECOND),
        (3.0, HERE),
        (3.0, SECOND),
    ]
    for _, packet in sent:
        assert (packet.op, packet.sha, packet.tpa) == (arp.REQUEST, HERE_MAC, packet.spa)


def test_an_announcement_goes_to_all(bench: Bench) -> None:
    bench.host.announce(0.0)
    (frame,) = bench.taken()
    assert frame.data[:12] == BROADCAST_MAC + HERE_MAC

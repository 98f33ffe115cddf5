"""Which frames are one flow, and how flows spread over the slots."""

from collections import Counter

from queue_frames import frame

from pystack.core.rng import Random, component_rng
from pystack.link.qdisc.fq_codel import FlowHash
from pystack.wire import ethernet, ipv4
from pystack.wire.flow import flow_key
from pystack.wire.frame import Frame

MACS = b"\x02" * 6 + b"\x04" * 6


def test_the_ports_and_the_protocol_tell_flows_apart() -> None:
    keys = {flow_key(frame(port=port, proto=proto)) for port in (1, 2) for proto in (6, 17)}
    assert len(keys) == 4


def test_size_tos_and_contents_do_not() -> None:
    assert flow_key(frame(100, tos=3)) == flow_key(frame(1514, tos=0xB8))


def test_without_ports_the_addresses_and_the_protocol_are_the_flow() -> None:
    assert flow_key(frame(port=1, proto=1)) == flow_key(frame(port=2, proto=1))


def test_all_fragments_of_a_datagram_are_in_one_flow() -> None:
    keys = set()
    for offset in (ipv4.MORE_FRAGMENTS, 185 | ipv4.MORE_FRAGMENTS, 370):
        header = ipv4.pack_header(1, 2, ipv4.UDP, 100, flags_offset=offset)
        keys.add(flow_key(Frame(MACS + b"\x08\x00" + header + bytes([offset & 0xFF]) * 100)))
    assert len(keys) == 1


def test_ipv6_flows_are_told_apart_by_their_ports() -> None:
    def packet(port: int) -> Frame:
        header = b"\x60\0\0\0\0\x08\x11\x40" + b"\x20" * 16 + b"\x21" * 16
        kind = ethernet.IPV6.to_bytes(2, "big")
        return Frame(MACS + kind + header + port.to_bytes(2, "big") + bytes(6))

    assert flow_key(packet(1)) != flow_key(packet(2))
    assert flow_key(packet(1)) == flow_key(packet(1))


def test_what_is_not_ip_or_cut_short_still_has_a_flow() -> None:
    for data in (b"", MACS + b"\x08\x06" + bytes(28), MACS + b"\x08\x00\x45"):
        assert flow_key(Frame(data)) == data[:14]


def test_the_same_seed_gives_the_same_slots_in_every_process() -> None:
    spread = FlowHash(component_rng(7, "test"), 1024)
    assert [spread.slot(frame(port=port)) for port in (1, 2, 3)] == [500, 477, 453]


def test_no_two_flows_of_ipv6_meet_under_every_seed() -> None:
    def packet(src: int, dst: int) -> Frame:
        header = b"\x60\0\0\0\0\x08\x11\x40" + src.to_bytes(16, "big") + dst.to_bytes(16, "big")
        return Frame(MACS + ethernet.IPV6.to_bytes(2, "big") + header + bytes(8))

    # One is as much more as the other is less, where 2**127 counts as 1.
    one = packet(0xFD << 120 | 5, 0xFD << 120 | 9)
    other = packet(0xFD << 120 | 6, 0xFD << 120 | 7)
    hashes = [FlowHash(Random(seed), 64) for seed in range(100)]
    assert sum(spread.slot(one) == spread.slot(other) for spread in hashes) < 10


def test_flows_spread_evenly_and_differently_for_each_seed() -> None:
    frames = [frame(100, port=port) for port in range(4096)]
    seen = []
    for seed in (1, 2):
        spread = FlowHash(Random(seed), 64)
        counts = Counter(spread.slot(item) for item in frames)
        assert len(counts) == 64
        assert max(counts.values()) < 2 * 64
        seen.append([spread.slot(item) for item in frames])
    assert seen[0] != seen[1]

"""Fragments as a host cuts and takes them, and IPv6's with the headers behind theirs."""

import pytest
from assembling import MORE, Assembler
from packets6 import destination, fragment, hop_by_hop, packet6
from stack_bench import HERE, PEER, Bench, frame_of, ip_packet

from pystack.wire import icmp, ipv4, ipv6, ipv6_ext, udp
from pystack.wire.ip import cut


@pytest.mark.rfc("8200", "4.5")
def test_an_ipv6_packet_is_whole_with_the_headers_that_were_cut_with_it() -> None:
    whole = packet6([hop_by_hop(), destination(), destination()], ipv4.UDP, bytes(range(40)))
    cut_off = whole[56:]  # hop-by-hop and the first destination options are in every fragment
    pieces = [
        packet6([hop_by_hop(), destination(), fragment(at // 8, more=at < 24)], proto, text)
        for at, proto, text in ((24, 99, cut_off[24:]), (0, 60, cut_off[:24]))
    ]
    assembler = Assembler(6)
    assert assembler.table.add(ipv6.parse(memoryview(pieces[0])), 0.0) is None
    packet = assembler.table.add(ipv6.parse(memoryview(pieces[1])), 0.0)
    assert packet is not None
    assert packet.raw == whole  # the next header is what the first fragment says
    assert (packet.proto, packet.payload) == (ipv4.UDP, bytes(range(40)))
    assert packet.is_fragment is False
    assert packet.chain is not None
    assert (packet.chain.fault, packet.chain.fragmented) == (None, True)


def test_what_is_wrong_behind_the_fragment_header_is_found_in_the_whole() -> None:
    assembler = Assembler(6)
    routing_header = bytes((59, 0, 0, 1, 0, 0, 0, 0))
    for at, text in ((0, routing_header), (1, b"rest")):
        data = packet6([fragment(at, more=at == 0)], ipv6_ext.ROUTING, text)
        packet = assembler.table.add(ipv6.parse(memoryview(data)), 0.0)
    assert packet is not None
    assert packet.chain is not None
    assert packet.chain.fault == ipv6_ext.HeaderFault("ip6_routing_header", 0, 42)


def test_fragments_of_fragments_are_refused() -> None:
    assembler = Assembler(6)
    inner = packet6([fragment(0, more=True)], ipv4.UDP, bytes(16))[40:]
    for at, text in ((0, inner[:16]), (2, inner[16:])):
        data = packet6([fragment(at, more=at == 0)], ipv6_ext.FRAGMENT, text)
        packet = assembler.table.add(ipv6.parse(memoryview(data)), 0.0)
    assert packet is not None
    assert packet.is_fragment is False
    assert packet.chain is not None
    assert packet.chain.fault == ipv6_ext.HeaderFault("ip6_fragment_twice")


def test_a_host_answers_an_unfinished_datagram_with_time_exceeded() -> None:
    bench = Bench()
    bench.know_peer()
    first = ip_packet(b"first...", flags_offset=MORE)
    bench.arrive(frame_of(first), at=1.0)
    bench.arrive(frame_of(ip_packet(bytes(8), ident=8, flags_offset=MORE | 3)), at=1.0)
    bench.run(61.0)
    (packet,) = bench.taken_ip()
    message = icmp.parse(memoryview(bytes(packet.data)))
    assert (message.kind, message.code) == (icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED)
    assert message.payload == first
    assert bench.drops() == ["frag_timeout"] * 2


@pytest.mark.parametrize("mtu", [68, 576, 1500])
def test_a_host_cuts_what_is_too_large_for_the_link_and_others_can_read_it(mtu: int) -> None:
    bench = Bench(mtu_bytes=mtu)
    bench.know_peer()
    payload = bytes(at * 7 & 0xFF for at in range(3000))
    socket = bench.host.udp.bind(HERE, 9)
    socket.send_to(payload, PEER, 7, 0.0)
    assembler, whole = Assembler(4), None
    frames = bench.taken()
    for frame in reversed(frames):
        packet = ipv4.parse(memoryview(frame.data)[14:])
        assert len(packet.raw) <= mtu
        whole = assembler.table.add(packet, 0.0) or whole
    assert whole is not None
    assert udp.parse(whole).payload == payload
    assert bench.counters["ip_fragments_out"] == len(frames)


def test_a_checksum_over_the_whole_is_verified() -> None:
    bench = Bench()
    bench.know_peer()
    socket = bench.host.udp.bind(HERE, 7)
    data = bytearray(udp.pack(PEER, HERE, 5, 7, bytes(2000)))
    for wrong in (1, 0):
        data[1999] ^= wrong
        for flags_offset, piece, _ in cut(bytes(data), 1500, 0):
            bench.arrive(frame_of(ip_packet(piece, flags_offset=flags_offset)))
        data[1999] ^= wrong
    assert bench.drops() == ["udp_bad_checksum"]
    datagram = socket.receive()
    assert datagram is not None
    assert len(datagram[0]) == 2000

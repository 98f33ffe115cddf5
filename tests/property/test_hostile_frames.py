"""A host that is given anything at all: it never raises, it counts all, and it stays small."""

from random import Random
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from stack_bench import (
    FAR,
    GATEWAY,
    GROUP,
    HERE,
    HERE_MAC,
    OTHER_MAC,
    PEER,
    PEER_MAC,
    Bench,
    arp_frame,
    echo_frame,
    frame_of,
    icmp_frame,
    ip_packet,
    udp_frame,
)
from storm import ACCEPTED, PEER_ISS, Stormed

from pystack.core.addresses import BROADCAST_MAC
from pystack.core.rng import component_rng
from pystack.wire import arp, icmp, ipv4, tcp, tcp_options, udp
from pystack.wire.checksum import checksum, pseudo_header_sum


def segment_frame(
    flags: int, *, seq: int = 0, ack: int = 0, port: int = 5000, payload: bytes = b""
) -> bytes:
    options = tcp_options.pack(
        tcp_options.TcpOptions(1460, 7, True, (1, 0) if flags & tcp.SYN else (2, 3), ((5, 9),))
    )
    segment = tcp.Segment(port, 80, seq, ack, flags, 1000, options, payload)
    data = tcp.pack_header(segment, PEER, HERE) + payload
    return frame_of(ip_packet(data, ipv4.TCP))


class Target(Stormed):
    """The host at IPv4 addresses."""

    def __init__(self) -> None:
        super().__init__("10.0.0.1/16")
        self.host.set_gateway(GATEWAY)
        for station in (PEER, GATEWAY):
            self.know_peer(station)
        self.serve()

    def greet(self) -> None:
        self.give(arp_frame(arp.REQUEST, PEER_MAC, PEER, HERE))

    def segment(self, flags: int, seq: int, ack: int = 0) -> bytes:
        return segment_frame(flags, seq=seq, ack=ack, port=self.port_number)

    def answered(self) -> int:
        (reply,) = self.taken_ip()
        seq: int = reply.data.seq
        return seq


def corpus() -> list[bytes]:
    """Return good frames of every kind, to be spoiled."""
    datagram = udp.pack(PEER, HERE, 5000, 7, bytes(range(64)))
    quoted_udp = ip_packet(udp.pack(HERE, PEER, 7, 5000, b"abc"), src=HERE, dst=PEER)
    quoted_tcp = ip_packet(bytes.fromhex("0050138800000001"), ipv4.TCP, src=HERE, dst=PEER)
    more = ipv4.MORE_FRAGMENTS
    return [
        arp_frame(arp.REQUEST, PEER_MAC, PEER, HERE),
        arp_frame(arp.REQUEST, PEER_MAC, PEER, PEER),
        arp_frame(arp.REPLY, OTHER_MAC, PEER + 5, HERE, HERE_MAC, dst=HERE_MAC),
        echo_frame(bytes(56)),
        echo_frame(dst=GROUP, mac=BROADCAST_MAC),
        icmp_frame(icmp.pack(icmp.ECHO_REPLY, 0, 1, b"pong")),
        icmp_frame(icmp.pack(icmp.DESTINATION_UNREACHABLE, 3, 0, quoted_udp)),
        icmp_frame(icmp.pack(icmp.DESTINATION_UNREACHABLE, 4, 576, quoted_tcp), src=GATEWAY),
        icmp_frame(icmp.pack(icmp.TIME_EXCEEDED, 0, 0, quoted_tcp)),
        udp_frame(b"hello"),
        udp_frame(b"far", src=FAR),
        udp_frame(b"no port", dst_port=9),
        frame_of(ip_packet(datagram[:40], flags_offset=more)),
        frame_of(ip_packet(datagram[40:], flags_offset=5)),
        frame_of(ip_packet(bytes(24), ipv4.TCP, flags_offset=more)),
        frame_of(ip_packet(b"data", 132)),
        segment_frame(tcp.SYN, seq=7, port=6000),
        segment_frame(tcp.SYN | tcp.ACK, seq=7, ack=9),
        segment_frame(tcp.ACK | tcp.PSH, seq=PEER_ISS + 1, payload=b"GET / HTTP/1.1"),
        segment_frame(tcp.ACK | tcp.FIN, seq=PEER_ISS + 1),
        segment_frame(tcp.ACK, seq=PEER_ISS + 1),
        segment_frame(tcp.RST, seq=PEER_ISS + 1),
        frame_of(bytes(60), ethertype=0x86DD),
    ]


CORPUS: Final = corpus()
# Where a change means most: types, lengths, flags, offsets, ports, sequence numbers.
HOT_BYTES: Final = (12, 13, 14, 16, 17, 20, 21, 22, 23, 26, 30, *range(34, 56))


def checksums_mended(data: bytearray) -> bytes:
    """Put the checksums right, so that what is wrong is found further up."""
    if len(data) >= 34 and data[12:14] == b"\x08\x00":
        header_bytes = (data[14] & 0xF) * 4
        data[24:26] = b"\0\0"
        data[24:26] = checksum(data[14 : 14 + header_bytes]).to_bytes(2, "big")
        total = min(int.from_bytes(data[16:18], "big"), len(data) - 14)
        body = memoryview(data)[14 + header_bytes : 14 + total]
        proto = data[23]
        at = {ipv4.TCP: 16, ipv4.UDP: 6, ipv4.ICMP: 2}.get(proto, 0)
        if at and len(body) >= at + 2:
            src, dst = int.from_bytes(data[26:30], "big"), int.from_bytes(data[30:34], "big")
            pseudo = pseudo_header_sum(src, dst, proto, len(body)) if proto != ipv4.ICMP else 0
            body[at : at + 2] = b"\0\0"
            body[at : at + 2] = checksum(body, pseudo).to_bytes(2, "big")
    return bytes(data)


def spoiled(frame: bytes, rng: Random) -> bytes:
    data = bytearray(frame)
    for _ in range(rng.randrange(4)):
        at = rng.choice(HOT_BYTES) if rng.random() < 0.6 else rng.randrange(len(data))
        if at < len(data):
            data[at] = rng.choice((0, 1, 255, data[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    kind = rng.random()
    if kind < 0.1:
        del data[rng.randrange(len(data)) :]
    elif kind < 0.2:
        data += rng.randbytes(rng.randrange(40))
    return checksums_mended(data) if rng.random() < 0.8 else bytes(data)


def aimed(frame: bytes, target: Target, rng: Random) -> bytes:
    """Let a segment hit the open connection: near its window, with an ACK that means something."""
    if len(frame) < 54 or frame[23] != ipv4.TCP or rng.random() < 0.3:
        return frame
    return checksums_mended(target.aimed(frame, 34, rng))


def test_twenty_thousand_spoiled_frames_raise_nothing_and_leave_the_host_small() -> None:
    rng = component_rng(2024, "hostile frames")
    target = Target()
    for number in range(20_000):
        frame = aimed(spoiled(rng.choice(CORPUS), rng), target, rng)
        target.give(frame, after_s=rng.choice((0.0, 0.0, 0.001, 0.1)))
        if number % 20 == 0:
            target.use_connection(rng)
        if number % 1000 == 0:
            target.check_bounds()
            while target.socket.receive() is not None:
                pass
    target.check_bounds()
    assert target.port_number > 5020  # connections that a spoiled segment, or we, ended
    reached = {name for name, count in target.counters.items() if count}
    # The spoiling is worth something only if it gets far.
    assert {"ip_bad_checksum", "frag_overlap", "udp_bad_length", "tcp_bad_offset"} <= reached
    assert {"icmp_echoes", "udp_datagrams_in", "tcp_no_connection", "frag_timeout"} <= reached
    target.host.close()
    assert target.scheduler.next_at() == float("inf")


def test_after_the_storm_the_host_answers_as_before() -> None:
    rng = component_rng(7, "storm")
    target = Target()
    for _ in range(2000):
        target.give(spoiled(rng.choice(CORPUS), rng), after_s=0.001)
    target.give(arp_frame(arp.REQUEST, PEER_MAC, PEER, HERE), after_s=100.0)
    target.taken()
    target.give(echo_frame(b"still there?"))
    (reply,) = target.taken_ip()
    assert reply.data.data.data == b"still there?"


def test_a_flood_of_syns_and_of_datagrams_from_everywhere_stays_within_bounds() -> None:
    rng = component_rng(11, "flood")
    target = Target()
    for _ in range(3000):
        for template in (CORPUS[9], CORPUS[16], CORPUS[12], CORPUS[0]):
            data = bytearray(template)
            at = 28 if template is CORPUS[0] else 26
            data[at : at + 4] = bytes((10, 0)) + rng.randbytes(2)
            target.give(checksums_mended(data), after_s=0.001)
        if target.frames % 1000 < 4:
            target.check_bounds()
    target.check_bounds()


@given(st.lists(st.binary(max_size=120), max_size=20))
def test_any_bytes_at_all_are_taken_and_counted(frames: list[bytes]) -> None:
    target = Bench()
    for number, data in enumerate(frames, 1):
        target.arrive(data)
        target.arrive(HERE_MAC + PEER_MAC + b"\x08\x00" + data)
        target.arrive(HERE_MAC + PEER_MAC + b"\x08\x06" + data)
        assert target.counters["frames_in"] == 3 * number
        assert len(target.drops()) + sum(target.counters[name] for name in ACCEPTED) >= 3 * number


@given(
    st.lists(
        st.tuples(
            st.sampled_from(CORPUS),
            st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=4),
            st.booleans(),
            st.sampled_from([0.0, 0.5, 61.0]),
        ),
        max_size=12,
    )
)
def test_good_frames_with_some_bytes_changed_raise_nothing(
    frames: list[tuple[bytes, list[tuple[int, int]], bool, float]],
) -> None:
    target = Target()
    for frame, changes, mended, after_s in frames:
        data = bytearray(frame)
        for at, value in changes:
            data[at % len(data)] = value
        target.give(checksums_mended(data) if mended else bytes(data), after_s=after_s)
    target.check_bounds()

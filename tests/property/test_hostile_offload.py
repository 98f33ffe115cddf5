"""Frames whose offload state is a lie, as only a plug-in's port makes them: WireError at most.

A host, a forwarding host, links with every stage, captures, doors, switches and devices get frames
and super-frames with heads that are too short or too long, pieces of any size, checksums that
nobody filled in. Nothing raises; what ends is counted.
"""

import io
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
from hostile6 import CORPUS6, mended6, spoiled6
from packets6 import destination, fragment, hop_by_hop, packet6, routing
from stack_bench import HERE, HERE_MAC, OTHER_MAC, PEER, PEER_MAC, Bench, FakePort, frame_of
from stack_bench6 import HERE as HERE6
from stack_bench6 import message6
from test_hostile_frames import CORPUS, Target, checksums_mended, segment_frame, spoiled
from test_hostile_frames6 import Target6

from pystack.core.addresses import Mac, Prefix, parse_interface_address, parse_ip4, parse_ip6
from pystack.core.errors import WireError
from pystack.core.rng import component_rng
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.link.patch import Patch, SideDoor
from pystack.observe.captures.capture import Capture
from pystack.observe.captures.pcap import PcapWriter
from pystack.observe.ladder import Ladder
from pystack.observe.log import LogObserver
from pystack.observe.lookout import Lookout
from pystack.observe.recording import Recorder
from pystack.observe.summary import summarize
from pystack.runtime.device import virtio_net
from pystack.stack.host import Host
from pystack.topology.doors import Guard, Wall
from pystack.topology.switch import Switch
from pystack.wire import arp, ethernet, ip, ipv4, nd, tcp, udp
from pystack.wire.frame import (
    CHECKSUM_PARTIAL,
    Frame,
    SuperFrame,
    completed,
    cut_down,
    split,
)

FAR = parse_ip4("10.1.0.2")
FAR6 = parse_ip6("2001:db8::9")
FAR_MAC = Mac(bytes.fromhex("020000000909"))
SIZES = (-1, 0, 1, 7, 8, 536, 1448, 9000, 65_495, 65_535, 1 << 20)


def ip_of(body: bytes, proto: int, dst: int, options: bytes = b"", flags: int = 0) -> bytes:
    header = ipv4.pack_header(
        PEER, dst, proto, len(body), options=options, flags_offset=flags, ident=9
    )
    return header + body


def good(rng: Random, dst: int) -> bytes:
    """Return a frame with a packet to `dst`, most of them large."""
    text = rng.randbytes(rng.choice((0, 1, 5, 100, 3000, 20_000, 60_000)))
    options = rng.choice((b"", b"", b"\1\1\1\1"))
    if rng.random() < 0.5:
        segment = tcp.Segment(5000, 80, 7, 9, tcp.ACK | tcp.PSH, 1000, b"\1" * 12, text)
        body = tcp.pack_header(segment, PEER, dst) + text
        proto = ipv4.TCP
    else:
        body, proto = udp.pack(PEER, dst, 5000, 7, text), ipv4.UDP
    if rng.random() < 0.3:
        body = body[: rng.randrange(30)]
    flags = rng.choice((0, 0, 0, 0, ipv4.DONT_FRAGMENT, ipv4.MORE_FRAGMENTS, 5))
    proto = rng.choice((proto, proto, proto, proto, ipv4.ICMP, 132))
    return frame_of(ip_of(body, proto, dst, options, flags))


def good6(rng: Random, dst: int) -> bytes:
    """Return an IPv6 frame with a packet to `dst`, most of them large."""
    src = parse_ip6("fd00::2")
    text = rng.randbytes(rng.choice((0, 1, 5, 100, 3000, 20_000, 60_000)))
    if rng.random() < 0.5:
        segment = tcp.Segment(5000, 80, 7, 9, tcp.ACK | tcp.PSH, 1000, b"\1" * 12, text)
        body, proto = tcp.pack_header(segment, src, dst) + text, ipv4.TCP
    else:
        body, proto = udp.pack(src, dst, 5000, 7, text), ipv4.UDP
    if rng.random() < 0.3:
        body = body[: rng.randrange(30)]
    chains = (
        [],
        [],
        [],
        [hop_by_hop()],
        [destination()],
        [fragment(0, more=True)],
        [routing(0, 1)],
    )
    proto = rng.choice((proto, proto, proto, proto, 58, 59, 132))
    packet = packet6(rng.choice(chains), proto, body, src=src, dst=dst)
    return frame_of(packet, ethertype=ethernet.IPV6)


def lied_about(data: bytes, rng: Random) -> Frame:
    """Return a frame with these bytes and any offload state."""
    checksum, size = rng.randrange(3), rng.choice(SIZES)
    if len(data) > 4000 and rng.random() < 0.98:
        size = max(size, 536)  # tens of thousands of pieces only now and then
    kind = rng.random()
    if kind < 0.4:
        return Frame(data, checksum, size)
    cuts = (0, 5, 13, 14, 20, 33, 34, 38, 46, 47, 54, 66, 74, 90, len(data))
    at = min(rng.choice(cuts), len(data))
    if kind < 0.8:
        return SuperFrame(data[:at], memoryview(data)[at:], checksum, size)
    more = [rng.randbytes(rng.choice((0, 1, 1000, 30_000))) for _ in range(rng.randrange(4))]
    return SuperFrame(data[:at], memoryview(data)[at:], checksum, size, more)


def frames(seed: str, count: int, dst: int = HERE, dst6: int = HERE6) -> Iterator[Frame]:
    """Yield frames of both versions."""
    rng = component_rng(11, seed)
    for _ in range(count):
        if rng.random() < 0.5:
            data = good(rng, dst) if rng.random() < 0.6 else spoiled(rng.choice(CORPUS), rng)
        else:
            data = good6(rng, dst6) if rng.random() < 0.6 else spoiled6(rng.choice(CORPUS6), rng)
        if rng.random() < 0.2:
            wrong = bytearray(data)
            for at in rng.sample(range(12, 80), 3):
                if at < len(wrong):
                    wrong[at] = rng.randrange(256)
            data = mended6(bytearray(checksums_mended(wrong)))
        yield lied_about(data, rng)


def test_cutting_and_completing_raise_wire_error_at_most() -> None:
    cut = whole = 0
    for frame in frames("functions", 4000):
        with suppress(WireError):
            completed(frame)
            whole += 1
        with suppress(WireError):
            pieces = split(frame)
            cut += len(pieces) > 1
            assert all(not piece.gso_bytes for piece in pieces)
            for piece in pieces if frame.gso_bytes else ():
                ip.packet_of(piece.data)
        if isinstance(frame, SuperFrame):
            with suppress(WireError):
                cut_down(frame, 65_455)
        virtio_net.header_of(frame)
        assert summarize(frame)
    assert cut > 100
    assert whole > 1000


@pytest.mark.parametrize("version", [4, 6])
def test_a_super_frame_without_a_length_is_cut_into_some_that_have_one(version: int) -> None:
    src, dst = (PEER, HERE) if version == 4 else (parse_ip6("fd00::2"), HERE6)
    text = component_rng(1, "text").randbytes(150_000)
    flags = tcp.ACK | tcp.PSH | tcp.CWR
    segment = tcp.Segment(5000, 80, 2**32 - 9, 9, flags, 1000, b"\1" * 40, text)
    header = tcp.pack_header(segment, src, dst)
    if version == 4:
        packet = ipv4.pack_header(src, dst, 6, 0, ident=9) + header
    else:
        packet = packet6([], 6, header, src=src, dst=dst)
    kind = ethernet.IPV4 if version == 4 else ethernet.IPV6
    head = frame_of(packet, ethertype=kind)
    found = b""
    pieces = cut_down(SuperFrame(head, text, CHECKSUM_PARTIAL, 1448), 65_455)
    for piece in pieces:
        read = ip.packet_of(completed(Frame(piece.data, CHECKSUM_PARTIAL)).data)
        part = tcp.parse(read)
        assert read.total_length == len(read.raw) <= 65_535 + 40
        assert part.seq == (2**32 - 9 + len(found)) % 2**32
        assert bool(part.flags & tcp.CWR) is (not found)
        found += bytes(part.payload)
        assert bool(part.flags & tcp.PSH) is (len(found) == len(text))
    assert (len(pieces), found) == (3, text)
    assert summarize(pieces[0])


def test_a_cut_frame_keeps_the_options_of_its_packet() -> None:
    body = udp.pack(PEER, HERE, 5000, 7, bytes(300))
    frame = Frame(frame_of(ip_of(body, ipv4.UDP, HERE, b"\1\1\1\0")), CHECKSUM_PARTIAL, 100)
    assert [piece.data[14] for piece in split(frame)] == [0x46] * 3


@pytest.mark.parametrize("kind", [Target, Target6])
@pytest.mark.parametrize("watched", [False, True])
def test_a_host_takes_them_all(watched: bool, kind: type[Target | Target6]) -> None:
    target = kind()
    lines: list[str] = []
    target.host.observers.clear()
    recorder, capture = Recorder(), Capture(PcapWriter(io.BytesIO()))
    if watched:
        target.host.observers += [
            LogObserver(lines.append, packets=True),
            recorder,
            Lookout(lambda host: (recorder, capture)),
        ]
    for number, frame in enumerate(frames("host", 3000)):
        now = 0.001 * number
        target.scheduler.run_due(now)
        target.port.sink(frame, now)
        target.scheduler.run_due(now)
        if number % 500 == 0:
            target.check_bounds()
    assert target.counters["frame_bad_gso"] > 10
    if watched:
        assert lines
        ladder = Ladder.of(recorder.items())
        assert ladder.lines()
        assert "</svg>" in ladder.svg()
        assert sum(arrow.count for arrow in ladder.arrows) + ladder.left_out > 3000


@pytest.mark.parametrize("watched", [False, True])
def test_trains_take_no_frame_that_is_none_of_theirs(watched: bool) -> None:
    rng = component_rng(3, "trains")
    target = Target()
    if not watched:
        target.host.observers.clear()
    for number in range(1500):
        tcb = target.connection.connection.tcb
        now = target.scheduler.now
        for _ in range(rng.randrange(1, 4)):
            seq = tcb.rcv_nxt & 0xFFFFFFFF
            text = rng.randbytes(rng.choice((1, 500, 3000)))
            data = segment_frame(
                tcp.ACK,
                seq=seq,
                ack=tcb.snd_una & 0xFFFFFFFF,
                port=target.port_number,
                payload=text,
            )
            head = len(data) - len(text) + rng.choice((0, 0, 0, -4, 1, 4, -40))
            more = (b"xyz",) if rng.random() < 0.1 else ()
            frame = SuperFrame(
                data[:head], memoryview(data)[head:], rng.randrange(3), rng.choice(SIZES), more
            )
            target.port.sink(frame, now)
        target.scheduler.run_due(now)
        target.host.tcp.read(target.connection, 1 << 20, now)
        if number % 50 == 0:
            target.use_connection(rng)


class Offload(FakePort):
    """A port that takes super-frames of both kinds."""

    def __init__(self, gso_max_bytes: int) -> None:
        super().__init__(1500)
        self.gso_max_bytes = gso_max_bytes
        self.fills_checksums = gso_max_bytes > 0
        self.uso_max_bytes = gso_max_bytes


@pytest.mark.parametrize(("near", "far"), [(65_000, 65_000), (65_000, 0), (0, 0)])
def test_a_router_passes_them_on_or_counts_them(near: int, far: int) -> None:
    scheduler = Scheduler(0.0)
    host = Host("router", scheduler, seed=1)
    host.forwarding = True
    ports = Offload(near), Offload(far)
    for number, port in enumerate(ports):
        address = parse_interface_address(f"10.{number}.0.1/16")
        mac = HERE_MAC if number == 0 else OTHER_MAC
        host.add_interface(f"eth{number}", port, *address, mac)
    for interface, text in zip(host.interfaces, ("fd00::1", "2001:db8::1"), strict=True):
        address = parse_ip6(text)
        host.add_address(interface, address, Prefix.of(address, 64))
    asked = nd.pack_neighbor_solicitation(FAR6, FAR6, parse_ip6("2001:db8::1"), source_mac=FAR_MAC)
    request = arp.pack(arp.REQUEST, FAR_MAC, FAR, parse_ip4("10.1.0.1"))
    ports[1].sink(Frame(OTHER_MAC + FAR_MAC + b"\x08\x06" + request), 0.0)
    question = message6(asked, FAR6, parse_ip6("2001:db8::1"))
    ports[1].sink(Frame(OTHER_MAC + FAR_MAC + b"\x86\xdd" + question), 0.0)
    for number, frame in enumerate(frames("router", 3000, FAR, FAR6)):
        ports[0].sink(frame, 0.001 * number)
        scheduler.run_due(0.001 * number)
        ports[0].sent.clear()
    assert host.counters["ip_forwarded"] > 300
    assert host.counters["frame_bad_gso"] > 10


def test_a_link_with_every_stage_carries_them_or_counts_them() -> None:
    scheduler = Scheduler(0.0)
    config = PipeConfig.parse(
        delay="1ms 1ms",
        loss="1%",
        duplicate="5%",
        corrupt="20%",
        rate="1gbit",
        qdisc="fq_codel",
    )
    link = Link(scheduler, 1, "link", config, config)
    arrived: list[Frame] = []
    link.b.attach(lambda frame, _now: arrived.append(frame))
    link.observers.append(LogObserver(lambda _line: None, packets=True))
    for number, frame in enumerate(frames("link", 3000)):
        scheduler.run_due(0.001 * number)
        link.a.send(frame, 0.001 * number)
    scheduler.run_due(100.0)
    assert len(arrived) > 500
    assert all(not frame.gso_bytes for frame in arrived)


def test_what_stands_between_ports_passes_them_on_or_counts_them() -> None:
    scheduler = Scheduler(0.0)
    outside, inside = Offload(0), Offload(65_000)
    patch = Patch(outside, inside)
    link, shaped = Link(scheduler, 1, "shaped"), Offload(0)
    Patch(shaped, link.b)
    link.a.attach(lambda _frame, _now: None)
    door = SideDoor(Offload(0), PEER_MAC)
    guard = Guard(Offload(0), [Wall(frozenset({PEER}))], lambda _frame, _now: None)
    guard.attach(lambda _frame, _now: None)
    switch = Switch("switch")
    filling = Offload(65_000), Offload(0), Offload(0)
    for port in filling:
        switch.plug(port)
    for number, frame in enumerate(frames("doors", 3000)):
        now = 0.001 * number
        inside.sink(frame, now)
        outside.sink(frame, now)
        link.a.send(frame, now)
        shaped.sink(frame, now)
        door.send(frame, now)
        guard.send(frame, now)
        guard.deliver(frame, now)
        filling[number % 3].sink(frame, now)
        scheduler.run_due(now)
    assert patch.counters["frame_bad_gso"] > 10
    assert switch.counters["frame_bad_gso"] > 10


def test_a_device_with_a_lying_header_raises_wire_error_at_most() -> None:
    rng = component_rng(5, "virtio")
    bench = Bench()
    for _ in range(4000):
        data = good(rng, HERE) if rng.random() < 0.7 else spoiled(rng.choice(CORPUS), rng)
        if rng.random() < 0.5:
            data = good6(rng, HERE6) if rng.random() < 0.7 else spoiled6(rng.choice(CORPUS6), rng)
        header = virtio_net._HEADER.pack(
            rng.choice((0, 1, 2, 3)),
            rng.choice((0, 1, 3, 4, 5, 0x81, 0x84, 0x85)),
            rng.choice((0, 34, 54, 66, 65_535)),
            rng.choice((0, 1, 536, 1448, 65_535)),
            rng.choice((0, 14, 33, 34, 38, 54, 60, 65_535)),
            rng.choice((0, 6, 16, 65_535)),
        )
        raw = header + data
        frame: Frame | None = None
        if len(raw) > 2048:
            frame = virtio_net.super_frame_of(raw)
        if frame is None:
            with suppress(WireError):
                frame = virtio_net.frame_of(header, data)
        if frame is not None:
            bench.port.sink(frame, 0.0)

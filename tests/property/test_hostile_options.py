"""Any bytes as IP options, to a host and through a router: counted or carried, never raised."""

from hypothesis import given
from hypothesis import strategies as st
from stack_bench import HERE, HERE_MAC, OTHER_MAC, PEER, PEER_MAC, Bench, FakePort, frame_of

from pystack.core.addresses import Mac, parse_interface_address, parse_ip4
from pystack.wire import arp, icmp, ipv4
from pystack.wire.frame import Frame

FAR = parse_ip4("10.1.0.2")
FAR_MAC = Mac(bytes.fromhex("020000000909"))

# What looks like an option, with any length, pointer and flags; and what looks like nothing
some_option = st.builds(
    lambda kind, length, rest: bytes((kind, length)) + rest,
    st.sampled_from([7, 68, 131, 137, 148, 130, 0, 1]),
    st.integers(0, 41),
    st.builds(
        lambda pointer, flags, body: bytes((pointer, flags)) + body,
        st.integers(0, 45),
        st.sampled_from([0, 1, 2, 3, 0xF0, 0xF1, 0xE3]),
        st.binary(max_size=20),
    ),
)
options = st.lists(st.one_of(some_option, st.binary(max_size=8)), max_size=4).map(
    lambda parts: (b"".join(parts)[:40] + bytes(3))[: -(-min(len(b"".join(parts)), 40) // 4) * 4]
)


def request(dst: int, with_options: bytes, size: int, flags_offset: int = 0) -> bytes:
    message = icmp.pack(icmp.ECHO, 0, 1, bytes(size))
    header = ipv4.pack_header(
        PEER,
        dst,
        ipv4.ICMP,
        len(message),
        options=with_options,
        flags_offset=flags_offset,
    )
    return frame_of(header + message)


@given(options, st.sampled_from([0, 56, 1400, 3000]), st.booleans())
def test_a_host_answers_or_says_why_not(found: bytes, size: int, accepts: bool) -> None:
    bench = Bench()
    bench.host.accepts_source_routes = accepts
    bench.host.set_gateway(PEER)
    bench.know_peer()
    bench.events.clear()
    bench.arrive(request(HERE, found, size))
    sent = [
        ipv4.parse(memoryview(frame.data)[14:]) for frame in bench.taken() if frame.data[13] == 0
    ]
    assert all(len(packet.raw) <= 1500 for packet in sent)
    assert bench.counters["icmp_echoes"] + len(bench.drops()) == 1


@given(options, st.sampled_from([0, 56, 1400]), st.sampled_from([0, 0x2000, 0x4000]))
def test_a_router_passes_it_on_or_says_why_not(found: bytes, size: int, flags: int) -> None:
    bench = Bench()
    bench.host.forwarding = True
    bench.know_peer()
    port = FakePort(576)
    bench.host.add_interface("eth1", port, *parse_interface_address("10.1.0.1/24"), Mac(OTHER_MAC))
    answer = arp.pack(arp.REQUEST, FAR_MAC, FAR, parse_ip4("10.1.0.1"))
    port.sink(Frame(OTHER_MAC + FAR_MAC + b"\x08\x06" + answer), 0.0)
    port.sent.clear()
    bench.events.clear()
    assert request(FAR, found, size)[:12] == HERE_MAC + PEER_MAC
    bench.arrive(request(FAR, found, size, flags))
    pieces = [ipv4.parse(memoryview(frame.data)[14:]) for _, frame in port.sent]
    assert bool(pieces) != bool(bench.drops())
    assert all(len(packet.raw) <= 576 for packet in pieces)
    if pieces:
        whole = b"".join(bytes(packet.payload) for packet in pieces)
        assert whole == icmp.pack(icmp.ECHO, 0, 1, bytes(size))
        assert len(pieces[0].options) == len(found)

"""By the short cut or through the layers: a host answers every echo request the same."""

from hypothesis import given
from hypothesis import strategies as st
from stack_bench import FAR, GROUP, HERE, HERE_MAC, PEER, SUBNET_BROADCAST, Bench, frame_of

from pystack.core.addresses import BROADCAST_MAC, LIMITED_BROADCAST, LOOPBACK, UNSPECIFIED, Ip4
from pystack.stack.icmp import Icmp
from pystack.stack.icmp_core import Allowance
from pystack.stack.interface import Interface
from pystack.wire import icmp, ipv4
from pystack.wire.frame import Frame
from pystack.wire.packet import Packet

addresses = st.sampled_from(
    [HERE, PEER, FAR, GROUP, SUBNET_BROADCAST, LIMITED_BROADCAST, LOOPBACK, UNSPECIFIED]
)


class Layers(Icmp):
    """ICMP without the short cut."""

    def frame_arrived(self, interface: Interface, frame: Frame, now: float) -> bool:
        return False


def outcome(frame: Frame, *, through: bool, routed: bool) -> tuple[list[bytes], list[str], object]:
    """Return what is sent, what is dropped, and what is counted."""
    bench = Bench()
    bench.know_peer()
    if routed:
        bench.host.set_gateway(PEER)
    if through:
        bench.host.icmp = Layers(bench.host, Allowance(bench.host.rng))
    bench.port.sink(frame, 1.0)
    bench.run(1.0)
    return [sent.data for sent in bench.taken()], bench.drops(), dict(bench.counters)


@given(
    src=addresses,
    dst=addresses,
    mac=st.sampled_from([HERE_MAC, BROADCAST_MAC]),
    kind=st.sampled_from([icmp.ECHO, icmp.ECHO, icmp.ECHO_REPLY]),
    rest=st.sampled_from([0, 0x00010002]) | st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=60) | st.sampled_from([bytes(56), bytes(1472), bytes(1473)]),
    tos=st.sampled_from([0, 0xB8]),
    trailer=st.sampled_from([b"", bytes(20)]),
    damage=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=2),
    routed=st.booleans(),
)
def test_both_ways_do_the_same(
    src: Ip4,
    dst: Ip4,
    mac: bytes,
    kind: int,
    rest: int,
    payload: bytes,
    tos: int,
    trailer: bytes,
    damage: list[tuple[int, int]],
    routed: bool,
) -> None:
    message = icmp.pack(kind, 0, rest, payload)
    packet = ipv4.pack_header(src, dst, ipv4.ICMP, len(message), ident=7, tos=tos) + message
    data = bytearray(frame_of(packet + trailer, dst=mac))
    for at, value in damage:
        data[at % len(data)] = value
    frame = Frame(bytes(data))
    short, through = (outcome(frame, through=through, routed=routed) for through in (False, True))
    assert short == through


def test_the_usual_request_takes_the_short_cut() -> None:
    class Cut(Icmp):
        def packet_arrived(self, packet: Packet, now: float) -> None:
            raise AssertionError("went through the layers")

    bench = Bench()
    bench.know_peer()
    bench.host.icmp = Cut(bench.host, Allowance(bench.host.rng))
    message = icmp.pack(icmp.ECHO, 0, 0x00010002, bytes(range(56)))
    packet = ipv4.pack_header(PEER, HERE, ipv4.ICMP, len(message)) + message
    bench.port.sink(Frame(frame_of(packet)), 1.0)
    (reply,) = bench.taken()
    whole = ipv4.parse(memoryview(reply.data)[14:])
    assert icmp.parse(whole.payload).kind == icmp.ECHO_REPLY

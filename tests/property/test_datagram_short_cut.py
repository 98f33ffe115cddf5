"""By the short cut or through the layers: a host does the same with every datagram."""

from hypothesis import given
from hypothesis import strategies as st
from stack_bench import FAR, GROUP, HERE, HERE_MAC, PEER, SUBNET_BROADCAST, Bench, udp_frame

from pystack.core.addresses import BROADCAST_MAC, LIMITED_BROADCAST, LOOPBACK, UNSPECIFIED, Ip4
from pystack.stack.udp_socket import UdpSocket
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_UNKNOWN, Frame

addresses = st.sampled_from(
    [HERE, PEER, FAR, GROUP, SUBNET_BROADCAST, LIMITED_BROADCAST, LOOPBACK, UNSPECIFIED]
)
Received = list[tuple[bytes, Ip4, int]]


def outcome(
    frame: Frame, local: Ip4, remote: tuple[Ip4, int] | None, room_bytes: int, *, through: bool
) -> tuple[Received, list[str], dict[str, int]]:
    """Return what the socket gets, what is dropped, and what is counted.

    `through`: a second socket on the port, which nothing reaches, closes the short cut.
    """
    bench = Bench()
    bench.know_peer()
    socket = bench.host.udp.bind(local, 7)
    socket.remote = remote
    socket.receive_buffer_bytes = room_bytes
    if through:
        bench.host.udp.sockets[7].append(UdpSocket(bench.host, bench.host.udp, Ip4(1), 7))
    bench.port.sink(frame, 1.0)
    bench.run(1.0)
    received: Received = []
    while (datagram := socket.receive()) is not None:
        received.append(datagram)
    return received, bench.drops(), dict(bench.host.counters)


@given(
    addresses,
    addresses,
    st.sampled_from([UNSPECIFIED, HERE]),
    st.sampled_from([None, (PEER, 5000), (PEER, 5001), (FAR, 5000)]),
    st.sampled_from([HERE_MAC, BROADCAST_MAC]),
    st.sampled_from([7, 8]),
    st.sampled_from([CHECKSUM_GOOD, CHECKSUM_UNKNOWN]),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=2),
    st.sampled_from([0, 1000]),
)
def test_both_ways_do_the_same(
    src: Ip4,
    dst: Ip4,
    local: Ip4,
    remote: tuple[Ip4, int] | None,
    mac: bytes,
    port: int,
    checksum: int,
    damage: list[tuple[int, int]],
    room_bytes: int,
) -> None:
    data = bytearray(udp_frame(b"payload", src=src, dst=dst, dst_port=port, dst_mac=mac))
    for at, value in damage:
        data[at % len(data)] = value
    frame = Frame(bytes(data), checksum)
    short, through = (
        outcome(frame, local, remote, room_bytes, through=through) for through in (False, True)
    )
    assert short == through

"""Super-frames of one batch that continue one another reach their connection as one segment."""

import pytest
import stack_bench6
from stack_bench import HERE, HERE_MAC, PEER, PEER_MAC, Bench
from tcp_frames import segment_in

from pystack.core.addresses import Ip
from pystack.observe.observer import FrameSeen
from pystack.stack.tcp_socket import TcpSocket
from pystack.wire import headers, ipv4, tcp
from pystack.wire.frame import CHECKSUM_PARTIAL, CHECKSUM_UNKNOWN, SuperFrame

PORT, PEER_PORT = 80, 5000
PEER_ISS = 2**32 - 3000  # so that the text wraps in the second frame
MSS = 1000


class Peer:
    """Who sends super-frames to a connection of the bench."""

    def __init__(self, bench: Bench, here: Ip, peer: Ip) -> None:
        self.bench = bench
        self.here, self.peer = here, peer
        self.template = headers.template(PEER_MAC, peer, here)
        self.listener = bench.host.tcp.listen(here, PORT)
        self._arrive(tcp.SYN, PEER_ISS, 0)
        answer = segment_in(bench.taken()[-1])
        self.ack = answer.seq + 1
        self._arrive(tcp.ACK, PEER_ISS + 1, self.ack)
        self.socket: TcpSocket = self.listener.ready[0]

    def _arrive(self, flags: int, seq: int, ack: int, payload: bytes = b"") -> None:
        segment = tcp.Segment(PEER_PORT, PORT, seq & 0xFFFFFFFF, ack, flags, 0xFFFF, b"", payload)
        self.bench.arrive(self._headers(segment) + payload)

    def _headers(self, segment: tcp.Segment, *, tos: int = 0, partial: bool = False) -> bytes:
        header = tcp.pack_header(segment, self.peer, self.here, partial=partial)
        size = len(header) + len(segment.payload)
        return HERE_MAC + self.template.pack(ipv4.TCP, size, tos, 64) + header

    def frame(
        self,
        at: int,
        payload: bytes,
        *,
        flags: int = tcp.ACK,
        ack: int = 0,
        wnd: int = 0xFFFF,
        options: bytes = b"",
        tos: int = 0,
    ) -> SuperFrame:
        """Return a super-frame whose text is the peer's from byte `at` on."""
        seq = (PEER_ISS + 1 + at) & 0xFFFFFFFF
        segment = tcp.Segment(PEER_PORT, PORT, seq, self.ack + ack, flags, wnd, options, payload)
        head = self._headers(segment, tos=tos, partial=True)
        return SuperFrame(head, memoryview(payload), CHECKSUM_PARTIAL, MSS)

    def batch(self, *frames: SuperFrame) -> int:
        """Let frames arrive in one batch; return how many trains they were."""
        trains = []
        for frame in frames:
            self.bench.port.sink(frame, 1.0)
            if self.socket.train is not None and self.socket.train not in trains:
                trains.append(self.socket.train)
        self.bench.run(1.0)
        assert self.socket.train is None
        return len(trains)

    def read(self) -> bytes:
        return self.bench.host.tcp.read(self.socket, 1 << 20, 1.0)


@pytest.fixture(params=["IPv4", "IPv6"])
def peer(request: pytest.FixtureRequest) -> Peer:
    if request.param == "IPv4":
        bench = Bench()
        bench.know_peer()
        return Peer(bench, HERE, PEER)
    bench6 = stack_bench6.Bench6()
    bench6.know()
    return Peer(bench6, stack_bench6.HERE, stack_bench6.PEER)


def test_frames_that_continue_one_another_are_one_segment(peer: Peer) -> None:
    texts = [bytes([65 + n]) * 2500 for n in range(3)]
    before = dict(peer.bench.counters)
    assert peer.batch(*(peer.frame(2500 * n, text) for n, text in enumerate(texts))) == 1
    assert peer.read() == b"".join(texts)
    for name in ("frames_in", "ip_packets_in", "tcp_segments_in"):
        assert peer.bench.counters[name] - before[name] == 3, name
    info = peer.socket.connection.info()
    assert info.bytes_received == 7500
    seen = [e for e in peer.bench.events if isinstance(e, FrameSeen) and not e.sent]
    size = len(peer.frame(0, b"").head) + 2500
    assert [len(e.frame) for e in seen[-3:]] == [size] * 3  # observers see what was on the wire


def test_one_ack_for_all_of_them(peer: Peer) -> None:
    peer.bench.taken()
    peer.batch(*(peer.frame(2000 * n, bytes(2000)) for n in range(4)))
    (frame,) = peer.bench.taken()
    answer = segment_in(frame)
    assert answer.ack == (PEER_ISS + 1 + 8000) & 0xFFFFFFFF


def test_a_frame_whose_checksum_nobody_vouches_for_is_verified_and_joins_no_train(
    peer: Peer,
) -> None:
    doubtful = peer.frame(2000, bytes(2000))
    doubtful.checksum = CHECKSUM_UNKNOWN  # it is still to be filled in, so it is wrong
    peer.batch(peer.frame(0, bytes(2000)), doubtful)
    assert len(peer.read()) == 2000
    assert peer.bench.counters["tcp_bad_checksum"] == 1


@pytest.mark.parametrize(
    ("change", "trains"),
    [
        ({}, 1),
        ({"flags": tcp.ACK | tcp.PSH}, 1),
        ({"wnd": 500}, 2),
        ({"options": b"\1\1\1\0"}, 2),
        ({"tos": 3}, 2),
        ({"flags": tcp.ACK | tcp.FIN}, 1),  # that one is not even the first of a train
        ({"flags": tcp.ACK | tcp.ECE}, 1),
    ],
)
def test_what_differs_in_anything_else_is_a_segment_of_its_own(
    peer: Peer, change: dict[str, int], trains: int
) -> None:
    other = peer.frame(2000, b"x" * 2000, **change)  # type: ignore[arg-type]
    assert peer.batch(peer.frame(0, bytes(2000)), other) == trains
    assert peer.socket.connection.segments_received == 4  # of the handshake two
    assert peer.read() == bytes(2000) + b"x" * 2000


def test_a_gap_and_what_comes_twice_go_the_long_way(peer: Peer) -> None:
    first, second, third = (bytes([65 + n]) * 2000 for n in range(3))
    trains = peer.batch(
        peer.frame(0, first),
        peer.frame(4000, third),
        peer.frame(0, first),
        peer.frame(2000, second),  # continues the one before, which had come already
    )
    assert trains == 3
    assert peer.read() == first + second + third


def test_what_does_not_fit_its_length_is_no_part_of_a_train(peer: Peer) -> None:
    good, bad = peer.frame(0, bytes(2000)), peer.frame(2000, b"x" * 2000)
    peer.batch(good, SuperFrame(bad.head, bad.payload[:500], CHECKSUM_PARTIAL, MSS))
    assert peer.read() == bytes(2000)
    (reason,) = peer.bench.drops()
    assert reason in ("ip_bad_total_length", "ip6_bad_payload_length")


def test_text_beyond_the_window_is_cut_off_a_train_too(peer: Peer) -> None:
    room = peer.socket.connection.tcb.rcv_wnd
    half = room // 2 + 1000
    assert peer.batch(peer.frame(0, bytes(half)), peer.frame(half, bytes(half))) == 1
    assert len(peer.read()) == room
    assert peer.bench.drops() == ["tcp_beyond_window"]

"""Path MTU: RFC 1191, the checks of RFC 5927, black holes and probes of RFC 4821 and 8899."""

from heapq import heappop, heappush

import pytest
from stack_bench import FAR, PEER
from tcp_bench import PEER_ISS, TcpBench

from pystack.stack.path_mtus import MAX_PATHS, PathMtus
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.config import TcpConfig
from pystack.tcp.connection import Connection
from pystack.tcp.path_mtu import BASE_MSS_BYTES, RAISE_AFTER_S
from pystack.wire import icmp, ipv4
from pystack.wire.frame import split
from pystack.wire.tcp import ACK, SYN, Segment

DELAY_S = 0.01


@pytest.fixture
def bench() -> TcpBench:
    return TcpBench()


def sending(bench: TcpBench, size: int, *, port: int = 4000) -> tuple[TcpSocket, list[Segment]]:
    """Connect to the peer, and send; return what went out."""
    now = bench.scheduler.now
    socket = bench.table.connect(PEER, 80, now, local_port=port)
    bench.table.pump(socket, now)
    (syn,) = bench.sent()
    bench.segment(SYN | ACK, ports=(80, port), ack=syn.seq + 1, mss=1460)
    bench.sent()
    bench.table.write(socket, memoryview(bytes(size)), now)
    return socket, bench.sent()


def acknowledge(bench: TcpBench, segment: Segment, port: int = 4000) -> None:
    ack = segment.seq + len(segment.payload)
    bench.segment(ACK, ports=(80, port), seq=PEER_ISS + 1, ack=ack)


def sizes(segments: list[Segment]) -> list[int]:
    return [len(segment.payload) for segment in segments]


@pytest.mark.rfc("5927", "7.2")
def test_a_claim_is_doubted_where_full_segments_have_got_through(bench: TcpBench) -> None:
    socket, segments = sending(bench, 2 * 1460)
    acknowledge(bench, segments[0])
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[1], rest=1000)
    assert bench.sent() == []
    assert bench.counters["tcp_mtu_doubted"] == 1
    acknowledge(bench, segments[1])
    assert socket.connection.tcb.path is None  # the claim was false
    bench.table.write(socket, memoryview(bytes(1460)), 0.0)
    assert sizes(bench.sent()) == [1460]


@pytest.mark.rfc("5927", "7.2")
def test_a_doubted_claim_is_believed_when_its_segment_is_lost(bench: TcpBench) -> None:
    socket, segments = sending(bench, 2 * 1460)
    acknowledge(bench, segments[0])
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[1], rest=1000)
    bench.run(0.199)
    assert bench.sent() == []
    bench.run(0.2)
    assert socket.connection.tcb.snd_mss == 960
    assert sizes(bench.sent()) == [960, 500]


@pytest.mark.rfc("5927", "7.1")
@pytest.mark.parametrize("claimed", [1500, 1501, 9000])
def test_a_claim_that_the_segment_fits_is_false(claimed: int, bench: TcpBench) -> None:
    _, segments = sending(bench, 1460)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=claimed)
    assert bench.sent() == []
    assert bench.counters["tcp_mtu_not_smaller"] == 1


@pytest.mark.rfc("1191", "5")
def test_a_router_that_tells_no_mtu_means_the_next_that_is_usual(bench: TcpBench) -> None:
    _, segments = sending(bench, 1460)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=0)
    assert sizes(bench.sent()) == [1452, 8]


@pytest.mark.rfc("1191", "6.3")
def test_new_connections_begin_with_what_others_have_found_for_ten_minutes(
    bench: TcpBench,
) -> None:
    socket, segments = sending(bench, 1460)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=1240)
    bench.sent()
    other, segments = sending(bench, 3000, port=4001)
    assert sizes(segments) == [1200, 1200, 600]
    assert other.connection.tcb.mtu_mss == 1460  # and takes as much as ever
    for one in (socket, other):
        bench.table.abort(one, 0.0)
    bench.run(RAISE_AFTER_S)
    bench.know_peer()
    _, segments = sending(bench, 3000, port=4002)
    assert sizes(segments) == [1460, 1460, 80]


def test_what_is_doubted_is_not_remembered_for_others(bench: TcpBench) -> None:
    _, segments = sending(bench, 2 * 1460)
    acknowledge(bench, segments[0])
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[1], rest=1000)
    assert len(bench.table.path_mtus) == 0


def test_the_number_of_paths_that_are_remembered_is_bounded() -> None:
    paths = PathMtus()
    for number in range(2 * MAX_PATHS):
        paths.learn(FAR + number, 1000, 0.0)  # type: ignore[arg-type]
    assert len(paths) == MAX_PATHS
    assert paths.mss_to(FAR, 0.0) is None
    assert paths.mss_to(FAR + 2 * MAX_PATHS - 1, 599.9) == 960  # type: ignore[arg-type]
    assert paths.mss_to(FAR + 2 * MAX_PATHS - 1, 600.0) is None  # type: ignore[arg-type]


def packets(bench: TcpBench) -> list[tuple[int, bool]]:
    """Return what was sent: each packet's size, and whether routers may cut it."""
    found = []
    for frame in bench.taken():
        packet = ipv4.parse(memoryview(frame.data)[14:])
        cut_allowed = not packet.flags_offset & ipv4.DONT_FRAGMENT
        assert cut_allowed == bool(packet.ident)  # RFC 6864: else it could not be put together
        found.append((len(packet.raw), cut_allowed))
    return found


@pytest.mark.rfc("1191", "3")
@pytest.mark.parametrize(
    ("claimed", "sent"),
    [(553, (553, False)), (552, (552, False)), (551, (552, True)), (296, (552, True))],
)
def test_the_floor_is_one_of_packets_and_below_it_routers_cut(
    claimed: int, sent: tuple[int, bool], bench: TcpBench
) -> None:
    socket, segments = sending(bench, 3 * 1460)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=claimed)
    first, *_ = packets(bench)
    assert first == sent
    acknowledge(bench, segments[-1])
    bench.taken()
    bench.table.write(socket, memoryview(bytes(1460)), bench.scheduler.now)
    assert packets(bench)[0] == sent
    bench.run(bench.scheduler.now + 0.2)  # and what is sent again
    assert {cut for _, cut in packets(bench)} == {sent[1]}


@pytest.mark.rfc("1191", "6.3")
def test_ten_minutes_later_they_may_not_cut_any_more(bench: TcpBench) -> None:
    socket, segments = sending(bench, 1460)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=128)
    acknowledge(bench, segments[0])
    bench.taken()
    other, _ = sending(bench, 10, port=4001)
    assert other.connection.tcb.path is not None
    assert other.connection.tcb.path.cut_on_the_way  # what one has found, new ones begin with
    bench.table.abort(other, 0.0)
    bench.taken()
    bench.run(RAISE_AFTER_S)
    bench.know_peer()
    bench.table.write(socket, memoryview(bytes(1460)), bench.scheduler.now)
    assert packets(bench) == [(1500, False)]


def test_a_claim_below_the_floor_counts_once(bench: TcpBench) -> None:
    _, segments = sending(bench, 1460)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=296)
    assert [size for size, _ in packets(bench)] == [552, 552, 476]
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=128)
    assert packets(bench) == []
    assert bench.counters["tcp_mtu_not_smaller"] == 1


@pytest.mark.parametrize("largest", [1460, 300])
def test_super_frames_that_may_be_cut_have_as_many_identifications(largest: int) -> None:
    bench = TcpBench(mtu_bytes=largest + 40)
    bench.port.gso_max_bytes = 65536
    _, segments = sending(bench, 2 * largest)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=128)
    again = [piece for frame in bench.taken() for piece in split(frame)]
    heads = [ipv4.parse(memoryview(piece.data)[14:]) for piece in again]
    assert all(not head.flags_offset & ipv4.DONT_FRAGMENT for head in heads)
    assert len({head.ident for head in heads}) == len(heads) >= 2


class BlackHole:
    """Two connections, and between them a path that swallows large segments without a word."""

    def __init__(self, config: TcpConfig, largest: int) -> None:
        self.largest = largest
        self.now = 1000.0
        self.sender = Connection(config, 4000, 80, iss=2**32 - 100, mtu_mss=1460)
        self.receiver = Connection(config, 80, 4000, iss=2**32 - 50, mtu_mss=1460)
        self.flying: list[tuple[float, int, Connection, Segment]] = []
        self.count = 0
        self.seen: list[int] = []
        self.sender.open_active(self.now)
        self.pump()

    def pump(self) -> None:
        for end, other in ((self.sender, self.receiver), (self.receiver, self.sender)):
            while (segment := end.poll_transmit(self.now)) is not None:
                if end is self.sender and len(segment.payload) > BASE_MSS_BYTES:
                    self.seen.append(len(segment.payload))
                segment.seq &= 0xFFFFFFFF
                segment.ack &= 0xFFFFFFFF
                segment.payload = memoryview(bytes(segment.payload))
                if len(segment.payload) <= self.largest:
                    self.count += 1
                    heappush(self.flying, (self.now + DELAY_S, self.count, other, segment))
            end.drops.clear()
            end.events.clear()
            end.read(1 << 20, self.now)

    def step(self) -> None:
        """Go to the next thing that happens."""
        timeout = min(self.sender.next_timeout(), self.receiver.next_timeout())
        if self.flying and self.flying[0][0] <= timeout:
            self.now, _, end, segment = heappop(self.flying)
            if end is self.receiver and segment.flags & SYN:
                end.open_passive(segment, self.now)
            else:
                end.segment_arrived(segment, self.now)
        elif timeout < float("inf"):
            self.now = timeout
            for end in (self.sender, self.receiver):
                end.timeout(self.now)
        self.pump()

    def send(self, size: int) -> float:
        """Send so much; return how long it takes until all is acknowledged."""
        began_at, sender = self.now, self.sender
        left = size
        for _ in range(20_000):
            if left:
                left -= sender.write(memoryview(bytes(left)), self.now)
                self.pump()
            if not left and sender.tcb.snd_una == sender.send_buffer.end:
                return self.now - began_at
            self.step()
        raise AssertionError("it does not end")


def path(largest: int, *, mtu_probing: int = 1, retries: int = 15) -> BlackHole:
    config = TcpConfig(congestion="newreno", mtu_probing=mtu_probing, retries=retries)
    hole = BlackHole(config, largest)
    while hole.sender.established_at is None:
        hole.step()
    return hole


@pytest.mark.rfc("4821", "7.7")
def test_a_black_hole_is_found_and_then_the_largest_that_gets_through() -> None:
    hole = path(1300)
    took_s = hole.send(500_000)
    assert took_s < 10  # three time-outs, and then it runs
    assert 1300 - 8 < hole.sender.tcb.snd_mss <= 1300
    counters = hole.sender.shared.counters
    assert counters["tcp_mtu_black_hole"] == 1
    assert counters["tcp_mtu_probes"] <= 8


@pytest.mark.rfc("4821", "7.7")
def test_where_even_the_base_is_too_large_it_goes_down_to_the_floor() -> None:
    hole = path(600)
    hole.send(100_000)
    assert hole.sender.tcb.snd_mss <= 600
    assert hole.sender.shared.counters["tcp_mtu_black_hole"] == 2


@pytest.mark.rfc("4821", "7.6.1")
def test_a_lost_probe_is_not_congestion() -> None:
    hole = path(1300)
    hole.send(20_000)
    before = hole.sender.congestion.ssthresh_bytes
    failures = hole.sender.shared.counters["tcp_mtu_probe_failure"]
    hole.send(500_000)
    assert hole.sender.shared.counters["tcp_mtu_probe_failure"] > failures
    assert hole.sender.congestion.ssthresh_bytes == before


def test_switched_off_as_it_is_in_linux_nothing_helps() -> None:
    assert TcpConfig().mtu_probing == 0
    hole = path(1300, mtu_probing=0, retries=5)
    with pytest.raises((AssertionError, BrokenPipeError)):
        hole.send(100_000)
    assert set(hole.seen) == {1448}


@pytest.mark.rfc("8899", "5.2")
def test_always_probing_begins_small_and_ends_at_what_the_handshake_allows() -> None:
    hole = path(1460, mtu_probing=2)
    assert hole.sender.tcb.snd_mss == BASE_MSS_BYTES
    hole.send(4_000_000)
    assert hole.sender.tcb.snd_mss == 1448
    assert hole.sender.tcb.path is None
    assert hole.sender.shared.counters["tcp_mtu_probe_failure"] == 0
    assert hole.seen[0] == (1024 + 1448) // 2


@pytest.mark.rfc("8899", "4.3")
def test_ten_minutes_later_a_path_that_takes_more_is_found_out() -> None:
    hole = path(1300)
    hole.send(500_000)
    hole.largest = 1460
    hole.send(100_000)
    assert hole.sender.tcb.snd_mss <= 1300  # not yet
    hole.now += RAISE_AFTER_S
    hole.send(800_000)
    assert hole.sender.tcb.snd_mss == 1448
    assert hole.sender.tcb.path is None


@pytest.mark.rfc("1191", "6.3")
def test_switched_off_segments_are_as_large_as_ever_after_ten_minutes(bench: TcpBench) -> None:
    socket, segments = sending(bench, 1460)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=1240)
    for segment in bench.sent():
        acknowledge(bench, segment)
    bench.run(RAISE_AFTER_S - 1)
    bench.table.write(socket, memoryview(bytes(1460)), bench.scheduler.now)
    bench.know_peer()
    bench.segment(ACK, ports=(80, 4000), seq=PEER_ISS + 1, ack=socket.connection.tcb.snd_nxt)
    bench.run(RAISE_AFTER_S)
    bench.sent()
    bench.table.write(socket, memoryview(bytes(1460)), bench.scheduler.now)
    assert sizes(bench.sent()) == [1460]
    assert socket.connection.tcb.path is None


def test_loss_that_has_nothing_to_do_with_sizes_does_not_make_small_writes_smaller() -> None:
    hole = path(1460)
    hole.largest = -1  # all is lost
    hole.sender.write(memoryview(bytes(100)), hole.now)
    hole.pump()
    for _ in range(5):
        hole.step()
    assert hole.sender.tcb.retries >= 3
    assert hole.sender.tcb.snd_mss == 1448

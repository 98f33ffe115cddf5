"""Prague: what it makes of marks, and where it is NewReno (draft-briscoe-iccrg-prague-...)."""

from math import inf

import pytest
from accurate import FULL, PLAIN
from controls import ISS, MSS, sample
from script import Script

from pystack.tcp.config import TcpConfig
from pystack.tcp.congestion.base import LossSample, MarkSample, Opening
from pystack.tcp.congestion.prague import DEPENDENT_ROUNDS, PACING_GAIN, Prague


class Flow:
    """A control, its round trip, and time."""

    def __init__(self, rtt_s: float, *, accurate: bool = True, segments: int = 20) -> None:
        self.control = Prague(MSS)
        self.control.on_established(
            Opening(1.0, rtt_s, False, True, 1, segments * MSS, 1 << 30, accurate_ecn=accurate)
        )
        self.rtt_s, self.now, self.una = rtt_s, 1.0, ISS

    def mark(self, segments: int = 1) -> None:
        self.control.on_marks(MarkSample(self.now, segments, segments * MSS))

    def ack(self, segments: int = 1, *, ece: bool = False) -> None:
        self.una += segments * MSS
        nxt = self.una + 20 * MSS
        self.control.on_ack(
            sample(
                self.now,
                segments * MSS,
                rtt_s=self.rtt_s,
                ece=ece,
                snd_una=self.una,
                snd_nxt=nxt,
            )
        )

    def independent(self) -> "Flow":
        """Have it old enough to be independent of its round trip."""
        self.mark()
        for _ in range(DEPENDENT_ROUNDS + 1):
            self.ack(21)  # all that was in flight at the last one
        self.now += 1.0  # the last reduction is long ago
        self.control.cwnd_bytes = 20 * MSS
        self.control.ssthresh_bytes = 20 * MSS
        return self

    @property
    def paced_segments(self) -> float:
        """Return the window that the pacer goes by."""
        assert self.control.pacing_bps is not None
        return self.control.pacing_bps * self.rtt_s / 8 / PACING_GAIN / MSS

    def window(self, marked: int = 0) -> None:
        """Have a window acknowledged within a round trip, `marked` segments of it marked."""
        segments = self.control.cwnd_bytes // MSS
        for number in range(segments):
            self.now += self.rtt_s / segments
            if number < marked:
                self.mark()
            self.ack(ece=number < marked)


def test_the_first_mark_ends_slow_start_and_halves() -> None:
    flow = Flow(0.02)
    flow.ack(2)
    assert flow.control.cwnd_bytes == 22 * MSS
    flow.mark()
    assert flow.control.cwnd_bytes == flow.control.ssthresh_bytes == 11 * MSS


@pytest.mark.parametrize(("rtt_s", "virtual_s"), [(0.005, 0.025), (0.025, 0.025), (0.08, 0.08)])
def test_it_backs_off_once_in_a_virtual_round_trip(rtt_s: float, virtual_s: float) -> None:
    flow = Flow(rtt_s).independent()
    flow.mark()
    reduced = flow.control.cwnd_bytes
    flow.now += virtual_s * 0.99
    flow.mark()
    assert flow.control.cwnd_bytes == reduced
    flow.now += virtual_s * 0.02
    flow.mark()
    assert flow.control.cwnd_bytes < reduced


def test_alpha_is_a_moving_average_of_the_part_that_is_marked() -> None:
    flow = Flow(0.025, segments=10)
    flow.mark()  # from here on
    flow.ack(10, ece=True)
    flow.now += 0.026
    flow.ack(10)
    assert flow.control.alpha == pytest.approx(15 / 16 + 1 / 16 * 1 / 20)
    for _ in range(100):
        flow.now += 0.026
        flow.ack(10)
    assert flow.control.alpha < 0.01


@pytest.mark.parametrize(("rtt_s", "grown"), [(0.005, 0.04), (0.0125, 0.25), (0.025, 1), (0.1, 1)])
def test_growth_in_a_round_trip_is_the_square_of_its_part_of_the_reference(
    rtt_s: float, grown: float
) -> None:
    flow = Flow(rtt_s).independent()
    flow.mark()
    flow.control.cwnd_bytes = 50 * MSS
    flow.ack(0)
    before = flow.paced_segments
    for _ in range(50):
        flow.window()
    assert flow.paced_segments - before == pytest.approx(50 * grown, rel=0.05)


def test_the_first_rounds_after_slow_start_go_by_the_round_trip_itself() -> None:
    flow = Flow(0.005)
    flow.mark()
    before = flow.paced_segments
    for _ in range(10):
        flow.window()
    assert flow.paced_segments - before == pytest.approx(10, rel=0.05)
    reduced = flow.control.cwnd_bytes
    flow.now += 0.005
    flow.mark()
    assert flow.control.cwnd_bytes < reduced


def test_a_window_with_a_fraction_is_rounded_up_and_the_pacer_goes_by_it() -> None:
    flow = Flow(0.05, segments=10)
    flow.mark()
    assert flow.control.cwnd_bytes == 5 * MSS
    assert flow.paced_segments == pytest.approx(5)
    flow.ack(1, ece=True)
    flow.ack(1)
    assert flow.control.cwnd_bytes == 6 * MSS
    assert flow.paced_segments == pytest.approx(5.2)
    flow.control.on_loss(LossSample(flow.now, 6 * MSS))  # what others set is whole
    assert flow.control.cwnd_bytes == 3 * MSS
    assert flow.paced_segments == pytest.approx(3)


def test_what_was_marked_does_not_make_it_grow() -> None:
    flow = Flow(0.1)
    flow.mark()
    flow.ack(1, ece=True)
    before = flow.control.cwnd_bytes
    flow.mark(3)
    flow.ack(3, ece=True)
    assert flow.control.cwnd_bytes == before
    flow.ack(3)
    assert flow.control.cwnd_bytes > before


def test_a_loss_halves_and_marks_of_the_same_round_trip_cost_nothing_more() -> None:
    flow = Flow(0.05)
    flow.control.on_loss(LossSample(flow.now, 20 * MSS))
    assert flow.control.cwnd_bytes == 10 * MSS
    flow.now += 0.01
    flow.mark()
    assert flow.control.cwnd_bytes == 10 * MSS


def test_below_two_segments_the_pacer_alone_goes_slower_and_it_still_grows() -> None:
    flow = Flow(0.025, segments=3)
    for _ in range(3):
        flow.mark()
        flow.now += 0.03
    assert flow.control.cwnd_bytes == 2 * MSS
    assert flow.paced_segments == pytest.approx(3 / 2)
    flow.ack(1, ece=True)
    flow.una += MSS
    alone = sample(flow.now, MSS, rtt_s=0.025, snd_una=flow.una, snd_nxt=flow.una)
    alone.cwnd_limited, alone.flight_size_bytes = False, MSS  # the pacer holds the rest
    flow.control.on_ack(alone)
    assert flow.paced_segments == pytest.approx(3 / 2 + 2 / 3)
    for _ in range(50):
        flow.mark()
        flow.now += 0.03
    assert flow.paced_segments == pytest.approx(1.5)


def test_without_accurate_ecn_it_is_newreno() -> None:
    flow = Flow(0.005, accurate=False, segments=10)
    assert not flow.control.wants_ecn
    flow.control.on_loss(LossSample(flow.now, 20 * MSS, ecn=True))
    assert flow.control.cwnd_bytes == 16 * MSS  # RFC 8511
    flow.window()
    assert flow.control.cwnd_bytes == 17 * MSS


def test_it_is_paced_by_its_window_in_short_bursts() -> None:
    control = Prague(MSS)
    assert control.pacing_bps == inf  # nothing was measured
    flow = Flow(0.01, segments=20)
    assert flow.control.pacing_bps == pytest.approx(2 * 20 * MSS * 8 / 0.01)
    flow.mark()
    assert flow.control.pacing_bps == pytest.approx(PACING_GAIN * 10 * MSS * 8 / 0.01)
    assert flow.control.send_quantum_bytes == MSS  # the pacer hands down no less
    fast = Flow(0.01, segments=2000)
    assert fast.control.pacing_bps is not None
    assert fast.control.send_quantum_bytes == int(fast.control.pacing_bps / 8 * 0.00025)


# on a connection

CONFIG = TcpConfig(**{**PLAIN, "congestion": "prague", "sack": True, "ecn": "off"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "mark", "again", "ack"),
    [
        ("SW.", "ect1", "ect1", "ect1"),
        ("SE.", "ect0", "noecn", "noecn"),  # RFC 3168: never ECT(1)
        ("S.", "noecn", "noecn", "noecn"),
    ],
)
def test_what_goes_out_is_ect1_only_where_the_peer_counts_marks(
    answer: str, mark: str, again: str, ack: str
) -> None:
    tcp = Script(CONFIG)
    tcp.connect()
    tcp.expect("+0 > [noecn] SEWA 0:0(0)")  # whatever `ecn` says, as DCTCP
    tcp.inject(f"+0.1 < {answer} 0:0(0) ack 1 win 65535 <{FULL},sackOK>")
    (first,) = tcp.drain()
    assert first.ecn == {"ect1": 1}.get(ack, 0)
    tcp.conn.tcb.no_delay = True
    accurate = "PEA." if answer == "SW." else "P."
    tcp.write(10)
    tcp.expect(f"+0 > [{mark}] {accurate} 1:11(10) ack 1")
    tcp.expect(f"+0.3 > [{again}] {accurate} 1:11(10) ack 1")

"""Pacing: quanta of a millisecond at the control's rate, or at the window's."""

import pytest
from script import START, Script

from pystack.tcp.config import TcpConfig
from pystack.tcp.congestion.newreno import NewReno
from pystack.tcp.pacing import Pacer
from pystack.tcp.seq import MASK
from pystack.tcp.tcb import NEVER, Timer

MSS = 1000


class Paced(NewReno):
    """A control that names a rate: 1000 bytes in a millisecond."""

    __slots__ = ("send_quantum_bytes",)
    name = "paced"
    pacing_bps = 8e6


def opened(*, gso_max_bytes: int = 0, quantum_bytes: int | None = None) -> Script:
    config = TcpConfig(congestion="newreno", timestamps=False, sack=False)
    tcp = Script(config, mtu_mss=MSS, gso_max_bytes=gso_max_bytes)
    tcp.established(options="mss 1000", win=65535)
    control = Paced(MSS)
    control.send_quantum_bytes = quantum_bytes
    tcp.conn.congestion = control
    tcp.conn.pacer = Pacer()
    return tcp


def instants(tcp: Script) -> list[tuple[float, int]]:
    """Return when how much was sent, in milliseconds from now on."""
    return [(round((at - START - 0.1) * 1000, 6), len(sent.payload)) for at, sent in tcp.sent]


def test_segments_go_out_at_the_rate_after_the_credit_of_half_a_segment() -> None:
    tcp = opened()
    tcp.write(6 * MSS)
    tcp.advance("+0.02")
    assert instants(tcp) == [
        (0, 1000),
        (0.5, 1000),
        (1.5, 1000),
        (2.5, 1000),
        (3.5, 1000),
        (4.5, 1000),
    ]
    tcp.sent.clear()
    assert tcp.conn.tcb.timers[Timer.PACING] == NEVER


def test_where_the_port_can_cut_a_quantum_is_a_super_frame() -> None:
    tcp = opened(gso_max_bytes=65535, quantum_bytes=4500)
    tcp.write(10 * MSS)
    tcp.advance("+0.02")
    assert instants(tcp) == [(0, 4000), (2, 4000), (6, 2000)]
    tcp.sent.clear()


def test_silence_is_no_licence_for_a_burst() -> None:
    tcp = opened()
    tcp.write(MSS)
    tcp.advance("+0.1")
    tcp.inject("+0 < . 1:1(0) ack 1001 win 65535") if not tcp.drain() else None
    tcp.conn.tcb.no_delay = True
    tcp.write(3 * MSS)
    assert len(tcp.sent) == 1
    tcp.advance("+0.0016")
    assert len(tcp.drain()) == 3


def test_a_retransmission_forced_by_loss_recovery_does_not_wait_but_counts() -> None:
    tcp = opened()
    tcp.write(8 * MSS)
    tcp.advance("+0.01")
    assert len(tcp.drain()) == 8
    for _ in range(3):
        tcp.inject("+0 < . 1:1(0) ack 1 win 65535")
    (again,) = tcp.drain()
    assert (again.seq - tcp.conn.tcb.iss, len(again.payload)) == (1, MSS)


@pytest.mark.parametrize(("ssthresh", "gain"), [(10**9, 2.0), (0, 1.2)])
def test_a_window_is_spread_over_the_round_trip_if_asked_for(ssthresh: int, gain: float) -> None:
    config = TcpConfig(congestion="newreno", timestamps=False, sack=False, pacing=True)
    tcp = Script(config, mtu_mss=MSS)
    tcp.established(options="mss 1000", win=65535)
    tcp.conn.congestion.ssthresh_bytes = ssthresh  # type: ignore[misc]
    tcp.write(10 * MSS)
    tcp.advance("+0.09")
    at = [at - START - 0.1 for at, _ in tcp.sent]
    assert len(at) == 10
    between_s = 0.1 / 10 / gain
    assert at[5] - at[4] == pytest.approx(between_s)
    assert at[-1] == pytest.approx(8.5 * between_s)
    tcp.sent.clear()


def test_however_slow_the_rate_is_something_goes_each_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Paced, "pacing_bps", 8.0)
    tcp = opened()
    tcp.write(3 * MSS)
    for number in (1, 2, 3):
        assert tcp.drain()[-1].seq - tcp.conn.tcb.iss & MASK == 1 + (number - 1) * MSS
        tcp.inject(f"+0.1 < . 1:1(0) ack {1 + number * MSS} win 65535")
        tcp.advance("+0.95")


def test_without_a_rate_there_is_no_pacer() -> None:
    tcp = Script()
    tcp.established()
    assert tcp.conn.pacer is None


@pytest.mark.parametrize("congestion", ["bbr"])
def test_a_control_that_names_a_rate_is_paced(congestion: str) -> None:
    tcp = Script(TcpConfig(congestion=congestion))
    tcp.established()
    assert tcp.conn.pacer is not None
    assert tcp.conn.rates is not None

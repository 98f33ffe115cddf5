"""RFC 6298 section 4 and RFC 7323 section 5.4: how finely time is told."""

import pytest
from script import Script

from pystack.tcp.config import TcpConfig
from pystack.wire import tcp_options


@pytest.mark.rfc("6298", "4")
@pytest.mark.parametrize("rtt_s", [0.0001, 0.0123, 0.25])
def test_round_trips_are_measured_to_less_than_a_millisecond(rtt_s: float, tcp: Script) -> None:
    tcp.established(rtt=f"{rtt_s:f}")
    assert tcp.conn.info().srtt_s == pytest.approx(rtt_s, abs=1e-6)


@pytest.mark.rfc("7323", "5.4")
def test_the_clock_of_timestamps_ticks_once_a_millisecond() -> None:
    """A tick is 1 ms to 1 s: half of the numbers then last for longer than a segment lives."""
    tcp = Script(TcpConfig(congestion="newreno", recovery="newreno", quick_acks=0))
    tcp.established(options="mss 1460,sackOK,TS val 1000 ecr 1000")
    told = []
    for _ in range(3):
        tcp.write(10)
        (segment,) = tcp.drain()
        options = tcp_options.parse(segment.options)
        assert options.timestamps is not None
        told.append(options.timestamps[0])
        end = tcp.conn.tcb.snd_nxt - tcp.conn.tcb.iss
        tcp.inject(f"+0.1 < . 1:1(0) ack {end} win 65535 <TS val 1000 ecr 1000>")
        tcp.expect_nothing("+0.9")
    assert [(later - told[0]) & 0xFFFFFFFF for later in told] == [0, 1000, 2000]

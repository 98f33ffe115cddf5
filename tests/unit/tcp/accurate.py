"""Connections that have agreed on accurate ECN, for the tests of it."""

from script import Script

from pystack.tcp.accurate_ecn import AccurateEcn
from pystack.tcp.config import TcpConfig
from pystack.wire import tcp

PLAIN = {
    "congestion": "newreno",
    "quick_acks": 0,
    "timestamps": False,
    "sack": False,
    "window_scaling": False,
}
ASK = TcpConfig(ecn="accurate", **PLAIN)  # type: ignore[arg-type]
ACCEPT = TcpConfig(**PLAIN)  # type: ignore[arg-type]
FULL = "mss 1000,ECN e0b 1 ceb 0 e1b 1"


def accurate(tcp_: Script) -> AccurateEcn:
    found = tcp_.conn.tcb.accurate
    assert found is not None
    return found


def opened(config: TcpConfig = ASK, options: str = FULL) -> Script:
    """Return a client that has agreed on accurate ECN, and sent the first ACK."""
    tcp_ = Script(config)
    tcp_.connect()
    tcp_.expect("+0 > [noecn] SEWA 0:0(0)")
    tcp_.inject(f"+0.1 < SW. 0:0(0) ack 1 win 65535 <{options}>")
    tcp_.expect("+0 > [noecn] W. 1:1(0) ack 1")
    tcp_.conn.tcb.no_delay = True
    return tcp_


def served(config: TcpConfig = ACCEPT) -> Script:
    """Return a server that has, with the ACK of its SYN-ACK."""
    tcp_ = Script(config)
    tcp_.listen("+0 < SEWA 0:0(0) win 65535 <mss 1000>")
    tcp_.expect("+0 > [noecn] SW. 0:0(0) ack 1 <mss 1460, ECN e0b 1 ceb 0 e1b 1>")
    tcp_.inject("+0.1 < W. 1:1(0) ack 1 win 65535 <ECN e0b 1 ceb 0 e1b 1>")
    tcp_.conn.tcb.no_delay = True
    return tcp_


def later(tcp_: Script) -> list[tcp.Segment]:
    """Return what is sent within the delay of an ACK."""
    tcp_.advance("+0.05")
    return tcp_.drain()

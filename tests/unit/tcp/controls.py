"""Synthetic samples for congestion controls: what a sender would tell, with literal numbers."""

from pystack.tcp.congestion.base import AckSample, CongestionControl

MSS = 1460
ISS = 2**32 - 100  # sequence numbers wrap on the wire; samples carry them unwrapped


def sample(
    now: float,
    acked_bytes: int,
    *,
    rtt_s: float | None = 0.1,
    limited: bool = True,
    flight_size_bytes: int = 100 * MSS,
    in_recovery: bool = False,
    ece: bool = False,
    snd_una: int = 0,
    snd_nxt: int = 0,
) -> AckSample:
    """Return an acknowledgement of new data; SRTT is what was measured."""
    return AckSample(
        now,
        acked_bytes,
        flight_size_bytes,
        rtt_s,
        rtt_s,
        limited,
        in_recovery,
        snd_una,
        snd_nxt,
        ece,
    )


def one_window(control: CongestionControl, now: float, rtt_s: float = 0.1) -> None:
    """Acknowledge a whole window, a segment at a time, spread over one round trip."""
    segments = control.cwnd_bytes // MSS
    for number in range(segments):
        control.on_ack(sample(now + rtt_s * number / segments, MSS, rtt_s=rtt_s))


def grown(control: CongestionControl, segments: int, now: float = 0.0) -> None:
    """Let slow start reach a window, all at one instant."""
    while control.cwnd_bytes < segments * MSS:
        control.on_ack(sample(now, MSS))

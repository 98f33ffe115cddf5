"""Whatever a control is told, in whatever order: its window is a window, and its rate a rate."""

from collections.abc import Callable
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.tcp.congestion.base import (
    AckSample,
    CongestionControl,
    LossSample,
    LostSegment,
    Opening,
    RateSample,
)
from pystack.tcp.congestion.registry import BUILT_IN, CONTROLS

MSS = 1460
Event = tuple[str, float, int, bool]  # what, how long after the last, how many segments, a flag

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ack", "loss", "ecn", "lost", "rto", "undo", "exit", "idle", "sent"]),
        st.sampled_from([0.0, 1e-6, 0.001, 0.05, 0.3, 6.0, 400.0]),
        st.sampled_from([0, 1, 2, 45, 1000, 10**6]),
        st.booleans(),
    ),
    max_size=60,
)


class Teller:
    """Tells a control of events that need not fit together."""

    def __init__(self, control: CongestionControl) -> None:
        self.control = control
        self.now = 1000.0
        self.delivered_bytes = 0
        self.seq = 2**32 - 100

    def tell(self, event: Event) -> None:
        what, after_s, segments, flag = event
        self.now += after_s
        size, control, now = segments * MSS, self.control, self.now
        told: dict[str, Callable[[], None]] = {
            "ack": lambda: self._ack(size, after_s, flag=flag),
            "loss": lambda: control.on_loss(LossSample(now, size)),
            "ecn": lambda: control.on_loss(LossSample(now, size, ecn=True)),
            "lost": lambda: control.on_segment_lost(
                LostSegment(now, self.seq, MSS, self.delivered_bytes, size, size, flag)
            ),
            "rto": lambda: control.on_rto(now, size),
            "undo": lambda: control.on_undo(now),
            "exit": lambda: control.on_recovery_exit(now),
            "idle": lambda: control.on_idle(now, after_s, 0.2),
            "sent": lambda: control.on_sent(size, now),
        }
        told[what]()

    def _ack(self, size: int, after_s: float, *, flag: bool) -> None:
        prior_bytes = max(0, self.delivered_bytes - size)
        self.delivered_bytes += size
        self.seq += size
        rate = RateSample(
            size * 8 / after_s if after_s else None,
            self.delivered_bytes,
            prior_bytes,
            size,
            0,
            size // 50,
            size,
            size,
            app_limited=flag,
        )
        rtt_s = after_s if flag else None
        self.control.on_ack(
            AckSample(
                self.now,
                size,
                size,
                rtt_s,
                rtt_s,
                cwnd_limited=not flag,
                in_recovery=False,
                snd_una=self.seq,
                snd_nxt=self.seq + size,
                ece=flag,
                rate=rate,
            )
        )


@pytest.mark.parametrize("name", BUILT_IN)
@given(events=EVENTS, srtt_s=st.sampled_from([None, 1e-6, 0.1, 60.0]), syn_lost=st.booleans())
def test_a_window_is_a_window_whatever_is_told(
    name: str, events: list[Event], srtt_s: float | None, syn_lost: bool
) -> None:
    control = CONTROLS.recall(name)(MSS)
    control.on_established(Opening(1000.0, srtt_s, syn_lost, sack=not syn_lost, seed=1))
    # Prague paces single segments on slow lines; the others send no fewer than two at once.
    least_quantum_bytes = MSS if name == "prague" else 2 * MSS
    teller = Teller(control)
    for event in events:
        teller.tell(event)
        assert isinstance(control.cwnd_bytes, int)
        assert control.cwnd_bytes >= MSS
        assert control.ssthresh_bytes >= 2 * MSS
        pacing_bps = control.pacing_bps
        assert pacing_bps is None or (isfinite(pacing_bps) and pacing_bps > 0)
        quantum_bytes = control.send_quantum_bytes
        assert quantum_bytes is None or quantum_bytes >= least_quantum_bytes


@given(events=EVENTS)
def test_the_same_events_make_the_same_windows(events: list[Event]) -> None:
    found = []
    for _ in range(2):
        control = CONTROLS.recall("bbr")(MSS)
        control.on_established(Opening(1000.0, 0.1, syn_lost=False, sack=True, seed=7))
        teller = Teller(control)
        windows = []
        for event in events:
            teller.tell(event)
            windows.append((control.cwnd_bytes, control.pacing_bps))
        found.append(windows)
    assert found[0] == found[1]

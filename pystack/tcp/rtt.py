"""Round-trip time and retransmission timeout (RFC 6298).

One estimator per connection. It reads no clock: the caller measures, and calls `sample`.
Karn's rule (no sample from a retransmitted segment) is kept by the caller, in `acks.py`.
"""

from dataclasses import dataclass
from typing import Final

INITIAL_RTO_S: Final = 1.0  # RFC 6298 (2.1)
MIN_RTO_S: Final = 0.2  # RFC 6298 (2.4) says 1 s; we follow Linux, TCP_RTO_MIN
MAX_RTO_S: Final = 60.0  # RFC 6298 (2.5), where the configuration says nothing else
_SYN_LOST_RTO_S: Final = 3.0  # RFC 6298 (5.7)


@dataclass(slots=True)
class RttEstimator:
    """Smoothed round-trip time of one path."""

    srtt_s: float | None = None  # None until the first sample
    rttvar_s: float = 0.0
    min_rtt_s: float | None = None  # None until the first sample
    max_rto_s: float = MAX_RTO_S
    rto_s: float = INITIAL_RTO_S  # backed off until the next sample
    ran_out_s: float = 0.0  # the last timeout that ran out, before it was doubled
    probe_slack_s: float = 0.0  # what a tail loss probe waits longer: TcpConfig.probe_slack_s

    def sample(self, rtt_s: float, each_round_trip: int = 1) -> None:
        """Take one measurement, (2.2) or (2.3). Only this ends a back-off (section 5).

        Where as many as `each_round_trip` are expected in one, each weighs the less, so that the
        memory is as long as with one (RFC 7323 appendix G).
        """
        if self.srtt_s is None:
            self.srtt_s, self.rttvar_s = rtt_s, rtt_s / 2
            self.min_rtt_s = rtt_s
        else:
            # RTTVAR first: it needs the SRTT from before this sample.
            self.rttvar_s += (abs(self.srtt_s - rtt_s) - self.rttvar_s) / (4 * each_round_trip)
            self.srtt_s += (rtt_s - self.srtt_s) / (8 * each_round_trip)
            if self.min_rtt_s is None or rtt_s < self.min_rtt_s:
                self.min_rtt_s = rtt_s
        self._compute()

    def back_off(self) -> None:
        """Double the timeout, (5.5)."""
        self.ran_out_s = self.rto_s
        self.rto_s = min(self.rto_s * 2, self.max_rto_s)

    def syn_was_lost(self) -> None:
        """The SYN had to be sent again: start the data phase carefully, (5.7)."""
        if self.srtt_s is None:
            self.rto_s = min(_SYN_LOST_RTO_S, self.max_rto_s)

    def _compute(self) -> None:
        assert self.srtt_s is not None
        # Linux keeps the variance's part at TCP_RTO_MIN or more, so that an even path whose
        # peer delays its ACKs does not time out; so do we, instead of a floor under the sum.
        rto_s = self.srtt_s + max(4 * self.rttvar_s, MIN_RTO_S)
        self.rto_s = min(rto_s, self.max_rto_s)

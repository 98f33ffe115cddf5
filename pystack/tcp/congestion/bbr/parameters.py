"""The constants of the draft, and the names of its states (draft-ietf-ccwg-bbr-06, section 2)."""

from enum import Enum
from typing import Final

STARTUP_PACING_GAIN: Final = 2.77  # section 5.3.1.1
DEFAULT_CWND_GAIN: Final = 2.0
DRAIN_PACING_GAIN: Final = 0.5  # section 5.3.2
DOWN_PACING_GAIN: Final = 0.9  # section 5.6.1, as what follows
CRUISE_PACING_GAIN: Final = 1.0
UP_PACING_GAIN: Final = 1.25
UP_CWND_GAIN: Final = 2.25
PROBE_RTT_CWND_GAIN: Final = 0.5

FULL_BW_GROWTH: Final = 1.25  # section 5.3.1.2: less than that is no growth
FULL_BW_ROUNDS: Final = 3
STARTUP_FULL_LOSS_COUNT: Final = 6  # section 5.3.1.3, ranges lost in a round
DRAIN_ROUNDS: Final = 3  # section 5.3.2

LOSS_THRESH: Final = 0.02  # section 3.2: more than that, in a round trip, is too much
BETA: Final = 0.7  # section 5.5.10.2
HEADROOM: Final = 0.15  # section 5.6.1: what is left to others while cruising
MIN_PIPE_CWND_SEGMENTS: Final = 4  # section 5.6.4.3

PACING_MARGIN: Final = 0.01  # section 5.6.2: below the bandwidth, so that queues drain
MAX_QUANTUM_BYTES: Final = 64 * 1024  # section 5.6.3
QUANTUM_S: Final = 0.001

PROBE_WAIT_S: Final = 2.0  # section 5.3.3.8.3, and up to a second more by chance
MAX_RENO_ROUNDS: Final = 63
MAX_PROBE_UP_ROUNDS: Final = 30

MIN_RTT_FILTER_S: Final = 10.0  # section 5.5.7.2
PROBE_RTT_INTERVAL_S: Final = 5.0  # section 5.3.4.2
PROBE_RTT_DURATION_S: Final = 0.2
EXTRA_ACKED_FILTER_ROUNDS: Final = 10  # section 5.5.9


class Mode(Enum):
    """The states of section 5.1.1; BBR.state."""

    STARTUP = "Startup"
    DRAIN = "Drain"
    PROBE_BW_DOWN = "ProbeBW_DOWN"
    PROBE_BW_CRUISE = "ProbeBW_CRUISE"
    PROBE_BW_REFILL = "ProbeBW_REFILL"
    PROBE_BW_UP = "ProbeBW_UP"
    PROBE_RTT = "ProbeRTT"


PROBE_BW: Final = frozenset(
    {Mode.PROBE_BW_DOWN, Mode.PROBE_BW_CRUISE, Mode.PROBE_BW_REFILL, Mode.PROBE_BW_UP}
)
# IsProbingBW(), section 5.3.3.9: losses say something of the path, not of others
PROBING: Final = frozenset({Mode.STARTUP, Mode.PROBE_BW_REFILL, Mode.PROBE_BW_UP})


class AckPhase(Enum):
    """What the ACKs that come in tell of the bandwidth probe (section 2.14)."""

    INIT = "not probing"
    REFILLING = "sending at the estimated bandwidth"
    PROBE_STARTING = "sending faster, no answer yet"
    PROBE_FEEDBACK = "getting answers"
    PROBE_STOPPING = "sending slower, still getting answers"

"""The transmission control block: the variables of RFC 9293 section 3.3.1, by their names there.

Sequence numbers are unwrapped (`seq.py`): they compare with plain `<`. Windows are in bytes, after
scaling.
"""

import math
from typing import Final, NamedTuple

from pystack.tcp.accurate_ecn import AccurateEcn
from pystack.tcp.ecn_path import EcnPath
from pystack.tcp.path_mtu import PathMtu
from pystack.wire.tcp import PSH

DEFAULT_SEND_MSS_BYTES: Final = 536  # RFC 9293 section 3.7.1, MUST-15
MAX_WINDOW_SHIFT: Final = 14  # RFC 7323 section 2.3


class Timer:
    """The timers of a connection: indices into `Tcb.timers`.

    Plain numbers: a list with an `IntEnum` for an index takes three times as long.
    """

    RETRANSMIT: Final = 0
    PERSIST: Final = 1
    DELAYED_ACK: Final = 2
    TIME_WAIT: Final = 3
    LOSS: Final = 4  # RFC 8985: reordering settled, or a tail loss probe due
    PACING: Final = 5  # the next quantum may go
    KEEPALIVE: Final = 6
    CORK: Final = 7  # what is held back has waited for long enough
    COUNT: Final = 8


NEVER: Final = math.inf


class IpSizes(NamedTuple):
    """What of segments' sizes is the IP version's."""

    headers_bytes: int  # IP's and TCP's, without options
    default_mss: int  # where the peer tells none: RFC 9293 section 3.7.1, MUST-15
    # No claim makes segments smaller, options included: of packets of 552 bytes (as Linux's
    # min_pmtu), and of IPv6's least MTU, which all links take (RFC 8201 section 4)
    least_mss: int


SIZES4: Final = IpSizes(40, DEFAULT_SEND_MSS_BYTES, 552 - 40)
SIZES6: Final = IpSizes(60, 1280 - 60, 1280 - 60)


class Tcb:
    """All that a connection knows."""

    __slots__ = (
        "accurate",
        "ack_mss",
        "ack_now",
        "busy_s",
        "challenged_at",
        "cork",
        "cork_over",
        "cwnd_limited_seq",
        "cwr_now",
        "cwr_seq",
        "dsack",
        "ece_now",
        "ecn",
        "ecn_path",
        "ecn_seen",
        "fast_mask",
        "fin_seq",
        "flight_at",
        "full_seq",
        "heard_at",
        "idle_at",
        "ip_option_bytes",
        "irs",
        "iss",
        "karn_seq",
        "keepalive_probes",
        "last_ack_sent",
        "max_snd_wnd",
        "more_comes",
        "mtu_mss",
        "no_delay",
        "options_bytes",
        "path",
        "path_mss",
        "persist_backoff",
        "ping_pong",
        "probe_now",
        "pushed_seq",
        "quick_acks",
        "rcv_adv",
        "rcv_buf_bytes",
        "rcv_buf_max_bytes",
        "rcv_fin_seq",
        "rcv_mss",
        "rcv_nxt",
        "rcv_rtt_at",
        "rcv_rtt_s",
        "rcv_rtt_seq",
        "rcv_tsecr",
        "rcv_up",
        "rcv_wind_shift",
        "retries",
        "rtt_at",
        "rtt_seq",
        "sack_permitted",
        "sizes",
        "snd_mss",
        "snd_nxt",
        "snd_sml",
        "snd_una",
        "snd_up",
        "snd_wind_shift",
        "snd_wl1",
        "snd_wl2",
        "snd_wnd",
        "space_at",
        "space_bytes",
        "space_read",
        "stalled_at",
        "syn_now",
        "text_at",
        "timers",
        "timestamps",
        "ts_offset",
        "ts_recent",
        "ts_recent_at",
        "unpushed",
        "waiting_at",
        "window_limited_at",
        "window_limited_s",
    )

    def __init__(self, iss: int, mtu_mss: int, ts_offset: int = 0, sizes: IpSizes = SIZES4) -> None:
        # send sequence variables
        self.iss = iss
        self.snd_una = iss
        self.snd_nxt = iss
        self.snd_wnd = 0
        self.snd_wl1 = 0
        self.snd_wl2 = 0
        self.max_snd_wnd = 0  # RFC 9293 section 3.8.6.2.1: the largest window seen so far
        self.fin_seq: int | None = None  # of our FIN; None until the user has closed
        self.snd_up = iss  # where our urgent data ends
        self.pushed_seq = iss + 1  # up to here, text was pushed
        self.snd_sml = iss  # end of the last segment that was not full (Minshall's Nagle)

        # receive sequence variables; RCV.WND is rcv_adv - rcv_nxt
        self.irs = 0
        self.rcv_nxt = 0
        self.rcv_adv = 0  # the right edge of the window that the peer was offered
        self.rcv_up = 0  # where the peer's urgent data ends; 0: there was none
        self.rcv_fin_seq: int | None = None  # of the peer's FIN; None until it was seen
        self.last_ack_sent = 0
        self.ack_mss = sizes.default_mss  # the largest segment that the peer has sent so far

        # agreed on in the handshake
        self.mtu_mss = mtu_mss  # what the interface's MTU lets us take, and send at most
        self.sizes = sizes
        self.snd_mss = sizes.default_mss
        self.rcv_mss = mtu_mss
        self.ip_option_bytes = 0  # what each of our packets has of them: less room for text
        self.snd_wind_shift: int | None = None  # None: window scaling was not agreed on
        self.rcv_wind_shift: int | None = None  # before that: what we offer; None: we do not
        self.sack_permitted = False
        self.timestamps = False

        # RFC 7323 sections 4.3 and 5: the peer's clock, and ours
        self.ts_recent = 0  # as on the wire
        self.ts_recent_at = 0.0  # when it was noted
        self.ts_offset = ts_offset  # what our clock is ahead of the world's

        # RFC 3168 section 6.1
        self.ecn = False
        self.ecn_seen = False  # a segment with ECT or CE has come
        self.ece_now = False  # our ACKs tell of congestion, until the peer says CWR
        self.cwr_now = False  # our next new text is to say CWR
        self.cwr_seq = iss  # SND.NXT when the congestion window was last made smaller
        # RFC 9768; None: not offered, and after the handshake: not agreed on
        self.accurate: AccurateEcn | None = None
        # Of an active open that asks for it; None: what others met on the way does not matter
        self.ecn_path: EcnPath | None = None
        # The flags that the fast path looks at; 0, so that it takes nothing: each segment counts
        self.fast_mask = ~PSH

        self.dsack: tuple[int, int] | None = None  # came twice (RFC 2883); None: all is told

        # acknowledging what comes
        self.quick_acks = 0  # so many more ACKs are not delayed
        self.ping_pong = False  # we answer what comes with text of ours: that takes the ACK along
        self.text_at = -math.inf  # when text last came in order

        # the receive buffer's size, and what receive_buffer.py measures for it
        self.rcv_buf_bytes = 0
        self.rcv_buf_max_bytes = 0
        self.rcv_rtt_s: float | None = None  # the round trip as we see it; None: not yet
        self.rcv_tsecr = 0  # the echo in the segment that TS.Recent is from; 0: it was used
        self.rcv_rtt_seq = 0  # without timestamps: up to here ...
        self.rcv_rtt_at = 0.0  # ... is being measured since then
        self.space_bytes = 0  # what the user read in the last round trip
        self.space_read = 0  # what he had read altogether ...
        self.space_at = 0.0  # ... when this round trip began

        # the path
        self.options_bytes = 0  # what each segment has of TCP and IP options: less room for text
        self.path_mss: int | None = None  # found by others before the handshake; None: nothing
        self.path: PathMtu | None = None  # None: segments are as large as the handshake allows
        self.full_seq: int | None = None  # end of the first full segment; None: none was sent yet

        # measurement of one segment's round trip
        self.rtt_seq: int | None = None  # its end; None: nothing is being measured
        self.rtt_at = 0.0
        self.karn_seq = iss  # SND.NXT when something was last sent again: up to here ACKs may lie

        # sending
        self.no_delay = False  # True: short segments do not wait (TCP_NODELAY)
        self.cork = False  # True: they do, for more (TCP_CORK)
        self.more_comes = False  # True: the last write said so (MSG_MORE), and no ACK came since
        self.unpushed = False  # True: the last write said so: its end is none of what is pushed
        self.cork_over = False  # True: they have waited for long enough

        # what is due, looked at by output.py
        self.syn_now = False
        self.ack_now = False
        self.probe_now = False

        self.retries = 0  # timeouts, or zero-window probes, in a row without an answer
        self.persist_backoff = 0  # zero-window probes since the window was last open
        self.challenged_at = -math.inf  # when a segment that can't be right was last answered
        self.flight_at = 0.0  # since when something is in flight, where that is so
        self.waiting_at = NEVER  # since when text or a FIN waits for its ACK
        self.busy_s = 0.0  # how long that was so altogether
        # The same for text that only the peer's window holds back
        self.window_limited_at = NEVER
        self.window_limited_s = 0.0
        self.heard_at = 0.0  # when a segment last came in
        self.stalled_at = 0.0  # since when the peer acknowledges nothing, or takes nothing
        self.keepalive_probes = 0  # in a row without an answer
        self.idle_at = 0.0  # since when nothing is in flight, where that is so
        self.cwnd_limited_seq = iss  # up to here, what was sent was all that cwnd allowed
        self.timers = [NEVER] * Timer.COUNT

    @property
    def rcv_wnd(self) -> int:
        """Return RCV.WND, what the peer may still send."""
        return self.rcv_adv - self.rcv_nxt

    @property
    def flight_size_bytes(self) -> int:
        """Return FlightSize (RFC 5681 section 2): sent, and not yet acknowledged."""
        return self.snd_nxt - self.snd_una

    def can_be_meant(self, ack: int) -> bool:
        """Tell whether the peer has had reason to acknowledge up to there, or might still have.

        After RFC 5961 section 5.2, but never before what was sent: in a young connection the
        largest window reaches further back.
        """
        return self.iss < ack <= self.snd_nxt and ack >= self.snd_una - self.max_snd_wnd

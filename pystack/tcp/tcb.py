"""The transmission control block: the variables of RFC 9293 section 3.3.1, by their names there.

Sequence numbers are unwrapped (`seq.py`): they compare with plain `<`. Windows are in bytes, after
scaling.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

from pystack.core.errors import ConfigError
from pystack.tcp.congestion.registry import congestion_control
from pystack.tcp.path_mtu import PathMtu
from pystack.tcp.recovery import names

DEFAULT_SEND_MSS_BYTES: Final = 536  # RFC 9293 section 3.7.1, MUST-15
MAX_WINDOW_SHIFT: Final = 14  # RFC 7323 section 2.3
RECEIVE_BUFFER_BYTES: Final = 1 << 17  # as Linux's tcp_rmem
RECEIVE_BUFFER_MAX_BYTES: Final = 8 << 20
MAX_ACK_DELAY_S: Final = 0.5  # RFC 9293 MUST-19
SEND_BUFFER_BYTES: Final = 1 << 20
SEND_BUFFER_MAX_BYTES: Final = 8 << 20  # as much as a receive buffer grows to
MAX_BUFFER_BYTES: Final = 1 << 30  # what a window can tell of: a quarter of the numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpConfig:
    """What a host lets all its connections do. Sizes in bytes, times in seconds."""

    send_buffer_bytes: int = SEND_BUFFER_BYTES  # at the start, see send_buffer_max_bytes
    receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES  # at the start; the window is never larger
    # How far that grows with the rate; None: to 8 MiB, or where a size was set not at all, which is
    # what SO_RCVBUF does in Linux
    receive_buffer_max_bytes: int | None = None
    congestion: str = "cubic"
    recovery: str = "auto"  # RACK-TLP, or NewReno where SACK was not agreed on
    # What a tail loss probe waits longer than RFC 8985 section 7.2 says. Where time is real, two
    # round trips may be shorter than what a peer takes to get a processor.
    probe_slack_s: float = 0.0
    pacing: bool = False  # True: paced also where the congestion control names no rate (fq)
    no_delay: bool = False  # True: TCP_NODELAY, no Nagle
    # What is offered in our SYN, and taken when the peer offers it
    timestamps: bool = True  # RFC 7323 section 3
    sack: bool = True  # RFC 2018
    window_scaling: bool = True  # RFC 7323 section 2
    ecn: Literal["off", "accept", "request"] = "accept"  # RFC 3168; as Linux's tcp_ecn 0, 2 and 1
    # RFC 7413: text in the SYN; as Linux's tcp_fastopen 0, 1, 2 and 3
    fast_open: Literal["off", "client", "server", "both"] = "off"
    # The same without a cookie, for networks where nobody forges addresses; its bits 0x4 and 0x200
    fast_open_cookieless: Literal["off", "client", "server", "both"] = "off"
    fast_open_pending: int = 64  # connections of a listener that have text, and no ACK yet
    # What lacks an agreed timestamp is dropped (RFC 7323 section 3.2); False: taken, as in Linux
    timestamps_required: bool = True
    delayed_ack_s: float = 0.04  # RFC 9293 MUST-40: less than 0.5 s
    quick_acks: int = 16  # ACKs without delay at the start, after a silence, and after duplicates
    msl_s: float = 30.0  # RFC 9293 section 3.4.2 says two minutes; 2 MSL are 60 s as in Linux
    # For connections whose user has gone, 0: a reset at once; as Linux's tcp_fin_timeout
    fin_wait_2_s: float = 60.0
    # Other sizes of segments are tried out (RFC 4821): 0: never, 1: on a path that swallows large
    # ones, 2: always; tcp_mtu_probing
    mtu_probing: int = 0
    syn_cookies: int = 1  # 0: never, 1: when the SYN queue is full, 2: always; tcp_syncookies
    # Outgoing connections take the place of one in TIME-WAIT that had timestamps: 0: never, 1: to
    # everywhere, 2: on the loopback; as Linux's tcp_tw_reuse
    time_wait_reuse: int = 2
    max_time_waits: int = 32768  # whose user has gone; as Linux's tcp_max_tw_buckets
    max_orphans: int = 8192  # connections whose user has gone; as Linux's tcp_max_orphans
    # What all connections may hold together: below the first all is free again, above the second
    # nothing grows, above the third connections are cut (`stack/tcp_memory.py`); as tcp_mem
    memory_bytes: tuple[int, int, int] = (256 << 20, 384 << 20, 512 << 20)
    challenge_acks_per_s: int = 1000  # of the whole host; about, see `ChallengeLimit`
    syn_retries: int = 7  # 183 s: three minutes at least (RFC 9293 MUST-23); Linux has 6
    syn_ack_retries: int = 5  # as Linux
    max_rto_s: float = 60.0  # 1 to 120 (RFC 6298 (2.5)); tcp_rto_max_ms, TCP_RTO_MAX_MS
    # How often a segment that can't be right is answered, at most; as tcp_invalid_ratelimit
    challenge_interval_s: float = 0.5
    retries: int = 15  # more than 100 s (RFC 9293 section 3.8.3, R2); as Linux
    orphan_retries: int = 8  # the same for connections whose user has gone; as Linux
    window_clamp_bytes: int | None = None  # no window is larger (TCP_WINDOW_CLAMP); None: as it is
    # Largest segment, offered and sent (TCP_MAXSEG); None: what the link and the peer take
    max_segment_bytes: int | None = None
    # So many SYN-ACKs long a listener's connection waits for text: a bare ACK opens none
    # (TCP_DEFER_ACCEPT). At the active side, the ACK of the SYN-ACK waits for text to go with.
    defer_accept_retries: int = 0
    ttl: int = 64  # of our packets, as long as a connection has no other (RFC 9293 MUST-49)
    # How long what was sent may go unacknowledged, or the window be closed (RFC 9293 section 3.8.3,
    # RFC 5482); None: the numbers of retries decide. As TCP_USER_TIMEOUT
    user_timeout_s: float | None = None
    keepalive: bool = False  # RFC 9293 MUST-24, MUST-25: off unless asked for
    keepalive_idle_s: float = 7200.0  # MUST-28: two hours at least by default
    keepalive_interval_s: float = 75.0  # as Linux's tcp_keepalive_intvl
    keepalive_probes: int = 9  # without an answer the peer is gone; tcp_keepalive_probes
    # How far the send buffer grows with the congestion window; None: to 8 MiB, or where a size was
    # set not at all, which is what SO_SNDBUF does in Linux
    send_buffer_max_bytes: int | None = None
    notsent_lowat_bytes: int | None = None  # TCP_NOTSENT_LOWAT; None: no limit but the buffer's
    advise_retries: int = 3  # R1: from here on IP and the user are told; as Linux's tcp_retries1
    # False: a connection that is being opened bears with ICMP's soft errors too (RFC 9293 MUST-56).
    soft_errors_end_opening: bool = True

    def __post_init__(self) -> None:
        """Refuse what no connection could work with."""
        congestion_control(self.congestion)
        names.check(self.recovery)
        for name in ("send_buffer_bytes", "receive_buffer_bytes"):
            if not 0 < getattr(self, name) <= MAX_BUFFER_BYTES:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be 1 to 2**30")
        if self.receive_limit_bytes > MAX_BUFFER_BYTES:
            most = self.receive_buffer_max_bytes
            raise ConfigError(f"receive_buffer_max_bytes is {most}: it must be at most 2**30")
        if self.delayed_ack_s > MAX_ACK_DELAY_S:
            raise ConfigError(f"delayed_ack_s is {self.delayed_ack_s}: RFC 9293 allows up to 0.5")
        self._check_times()
        if self.ecn not in ("off", "accept", "request"):
            raise ConfigError(f"ecn is {self.ecn!r}: it must be off, accept or request")
        for name in ("fast_open", "fast_open_cookieless"):
            if getattr(self, name) not in ("off", "client", "server", "both"):
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}: it must be off, client, server or both"
                )
        low, pressure, high = self.memory_bytes
        if not 0 <= low <= pressure <= high:
            raise ConfigError(f"memory_bytes is {self.memory_bytes}: it must not be descending")
        for name in ("mtu_probing", "syn_cookies", "time_wait_reuse"):
            if getattr(self, name) not in (0, 1, 2):
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be 0, 1 or 2")
        for name in (
            "quick_acks",
            "fast_open_pending",
            "syn_retries",
            "syn_ack_retries",
            "retries",
            "orphan_retries",
            "challenge_acks_per_s",
            "defer_accept_retries",
            "max_orphans",
            "max_time_waits",
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        if not 1 <= self.ttl <= 255:
            raise ConfigError(f"ttl is {self.ttl}: it must be 1 to 255")
        for name in (
            "keepalive_probes",
            "notsent_lowat_bytes",
            "max_segment_bytes",
            "window_clamp_bytes",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}: it must be 1 or more")
        if self.advise_retries < 1:
            raise ConfigError(f"advise_retries is {self.advise_retries}: it must be 1 or more")

    def _check_times(self) -> None:
        if not 1 <= self.max_rto_s <= 120:
            raise ConfigError(f"max_rto_s is {self.max_rto_s}: it must be 1 to 120")
        for name in (
            "delayed_ack_s",
            "msl_s",
            "fin_wait_2_s",
            "probe_slack_s",
            "challenge_interval_s",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be 0 or more")
        for name in ("keepalive_idle_s", "keepalive_interval_s", "user_timeout_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value}: it must be more than 0")

    @property
    def send_limit_bytes(self) -> int:
        """Return the size up to which a send buffer may grow."""
        most = self.send_buffer_max_bytes
        if most is None:
            most = 0 if self.send_buffer_bytes != SEND_BUFFER_BYTES else SEND_BUFFER_MAX_BYTES
        return max(most, self.send_buffer_bytes)

    @property
    def receive_limit_bytes(self) -> int:
        """Return the size up to which a receive buffer may grow."""
        most = self.receive_buffer_max_bytes
        if most is None:
            fixed = self.receive_buffer_bytes != RECEIVE_BUFFER_BYTES
            most = 0 if fixed else RECEIVE_BUFFER_MAX_BYTES
        limit = max(most, self.receive_buffer_bytes)
        return limit if self.window_clamp_bytes is None else min(limit, self.window_clamp_bytes)


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


class Tcb:
    """All that a connection knows."""

    __slots__ = (
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
        "ecn_seen",
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

    def __init__(self, iss: int, mtu_mss: int, ts_offset: int = 0) -> None:
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
        self.ack_mss = DEFAULT_SEND_MSS_BYTES  # the largest segment that the peer has sent so far

        # agreed on in the handshake
        self.mtu_mss = mtu_mss  # what the interface's MTU lets us take, and send at most
        self.snd_mss = DEFAULT_SEND_MSS_BYTES
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

        self.dsack: tuple[int, int] | None = None  # came twice (RFC 2883); None: all is told
        self._nothing_has_come()
        self._nothing_on_the_way(iss)
        self._nothing_known_of_the_path()

    def _nothing_has_come(self) -> None:
        self.quick_acks = 0  # so many more ACKs are not delayed
        self.ping_pong = False  # we answer what comes with text of ours: that takes the ACK along
        self.text_at = -math.inf  # when text last came in order

        # the receive buffer's size, and what receive_space.py measures for it
        self.rcv_buf_bytes = 0
        self.rcv_buf_max_bytes = 0
        self.rcv_rtt_s: float | None = None  # the round trip as we see it; None: not yet
        self.rcv_tsecr = 0  # the echo in the segment that TS.Recent is from; 0: it was used
        self.rcv_rtt_seq = 0  # without timestamps: up to here ...
        self.rcv_rtt_at = 0.0  # ... is being measured since then
        self.space_bytes = 0  # what the user read in the last round trip
        self.space_read = 0  # what he had read altogether ...
        self.space_at = 0.0  # ... when this round trip began

    def _nothing_known_of_the_path(self) -> None:
        self.options_bytes = 0  # what each segment has of TCP and IP options: less room for text
        self.path_mss: int | None = None  # found by others before the handshake; None: nothing
        self.path: PathMtu | None = None  # None: segments are as large as the handshake allows
        self.full_seq: int | None = None  # end of the first full segment; None: none was sent yet

    def _nothing_on_the_way(self, iss: int) -> None:
        # measurement of one segment's round trip
        self.rtt_seq: int | None = None  # its end; None: nothing is being measured
        self.rtt_at = 0.0
        self.karn_seq = iss  # SND.NXT when something was last sent again: up to here ACKs may lie

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
        self.flight_at = 0.0  # since when something is on the way, where that is so
        self.waiting_at = NEVER  # since when text or a FIN waits for its ACK
        self.busy_s = 0.0  # how long that was so altogether
        # The same for text that only the peer's window holds back
        self.window_limited_at = NEVER
        self.window_limited_s = 0.0
        self.heard_at = 0.0  # when a segment last came in
        self.stalled_at = 0.0  # since when the peer acknowledges nothing, or takes nothing
        self.keepalive_probes = 0  # in a row without an answer
        self.idle_at = 0.0  # since when nothing is on the way, where that is so
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

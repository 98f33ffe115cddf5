"""What TCP may be told: `TcpConfig` of a connection, `TcpLimits` of all that a host has.

Sizes are in bytes, times in seconds. What cannot be is a ConfigError, when it is made and never
later. Where Linux has a name for it, that is given: `tcp_tw_reuse` is the sysctl, TCP_MAXSEG the
option of a socket.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from pystack.core.errors import ConfigError
from pystack.core.ranges import COUNT, FROM_ONE, TTL, Range, check_switch
from pystack.tcp.congestion.registry import CONTROLS, ControlLike
from pystack.tcp.recovery.registry import AUTO, RECOVERIES, RecoveryLike

RECEIVE_BUFFER_BYTES: Final = 1 << 17  # as Linux's tcp_rmem
RECEIVE_BUFFER_MAX_BYTES: Final = 8 << 20
SEND_BUFFER_BYTES: Final = 1 << 20
SEND_BUFFER_MAX_BYTES: Final = 8 << 20  # as much as a receive buffer grows to
MAX_BUFFER_BYTES: Final = 1 << 30  # what a window can tell of: a quarter of the numbers
MAX_ACK_DELAY_S: Final = 0.5  # RFC 9293 MUST-19

EcnWord = Literal["off", "accept", "request", "accurate", "accept_accurate"]
Mode = Literal[0, 1, 2]  # mostly never, sometimes, always: as Linux's sysctls have it


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpConfig:
    """What a connection does, and what a host's new connections are given. See `TcpLimits` too.

    `net.host("a", tcp=TcpConfig(delayed_ack_s=0.2))` gives it to all connections of a host,
    `dataclasses.replace` makes another one of it. Raises ConfigError for what no connection could
    work with.
    """

    send_buffer_bytes: int = SEND_BUFFER_BYTES
    """Size of the send buffer at the start, 1 to 2**30; see `send_buffer_max_bytes`."""

    receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES
    """Size of the receive buffer at the start, 1 to 2**30; the window is never larger."""

    receive_buffer_max_bytes: int | None = None
    """How far that grows with the rate, up to 2**30. None: to 8 MiB, or where a size was set not at
    all, which is what SO_RCVBUF does in Linux."""

    congestion: ControlLike = "cubic"
    """The congestion control: a name with its words ("fixed:20"), a class, or what makes one of the
    largest segment in bytes."""

    recovery: RecoveryLike = AUTO
    """The loss recovery, in the same ways; "auto": RACK-TLP, or NewReno where SACK was not agreed
    on."""

    probe_slack_s: float = 0.0
    """What a tail loss probe waits longer than RFC 8985 section 7.2 says, in seconds, from 0 on.
    Where time is real, two round trips may be shorter than what a peer takes to get a processor."""

    pacing: bool = False
    """Pace also where the congestion control names no rate, as Linux's fq does."""

    no_delay: bool = False
    """TCP_NODELAY: short segments do not wait (no Nagle)."""

    timestamps: bool = True
    """Offered in our SYN, and taken when the peer offers it: RFC 7323 section 3."""

    sack: bool = True
    """The same for RFC 2018."""

    window_scaling: bool = True
    """The same for RFC 7323 section 2."""

    ecn: EcnWord = "accept_accurate"
    """What our SYN asks for, and what we agree to. "accept", "request": RFC 3168, as Linux's
    tcp_ecn 2 and 1. "accept_accurate", "accurate": RFC 9768 too, as 5 and 3; where the peer knows
    only the older kind, that. "off": nothing. A control may ask for more (`prague`, `dctcp`)."""

    fast_open: Literal["off", "client", "server", "both"] = "off"
    """RFC 7413: text in the SYN; as Linux's tcp_fastopen 0, 1, 2 and 3."""

    fast_open_cookieless: Literal["off", "client", "server", "both"] = "off"
    """The same without a cookie, where nobody forges addresses; its bits 0x4 and 0x200."""

    fast_open_pending: int = 64
    """How many connections of a listener may have text, and no ACK yet; from 0 on."""

    timestamps_required: bool = True
    """What lacks an agreed timestamp is dropped (RFC 7323 section 3.2). False: as in Linux."""

    delayed_ack_s: float = 0.04
    """How long an ACK may wait, in seconds: 0 to 0.5 (RFC 9293 MUST-40)."""

    quick_acks: int = 16
    """ACKs without delay at the start, after a silence, and after duplicates; from 0 on."""

    msl_s: float = 30.0
    """RFC 9293 section 3.4.2 says two minutes; 2 MSL are 60 s as in Linux. From 0 on."""

    fin_wait_2_s: float = 60.0
    """For connections whose user has gone, from 0 on. 0: a reset at once; tcp_fin_timeout."""

    mtu_probing: Mode = 0
    """Whether other sizes of segments are tried out (RFC 4821). 0: never, 1: on a path that
    swallows large ones, 2: always; tcp_mtu_probing."""

    syn_retries: int = 7
    """183 s: three minutes at least (RFC 9293 MUST-23); Linux has 6. From 0 on."""

    syn_ack_retries: int = 5
    """As Linux. From 0 on."""

    max_rto_s: float = 60.0
    """1 to 120 (RFC 6298 (2.5)); tcp_rto_max_ms, TCP_RTO_MAX_MS."""

    challenge_interval_s: float = 0.5
    """How often a segment that can't be right is answered, at most; tcp_invalid_ratelimit."""

    retries: int = 15
    """More than 100 s (RFC 9293 section 3.8.3, R2); as Linux. From 0 on."""

    orphan_retries: int = 8
    """The same for connections whose user has gone; as Linux. From 0 on."""

    window_clamp_bytes: int | None = None
    """No window is larger (TCP_WINDOW_CLAMP), from 1 on; None: as it is."""

    max_segment_bytes: int | None = None
    """Largest segment, offered and sent (TCP_MAXSEG), from 1 on; None: what the link and the peer
    take."""

    defer_accept_retries: int = 0
    """So many SYN-ACKs long a listener's connection waits for text: a bare ACK opens none
    (TCP_DEFER_ACCEPT). At the active side, the ACK of the SYN-ACK waits for text to go with."""

    ttl: int = 64
    """Of our packets, as long as a connection has no other (RFC 9293 MUST-49): 1 to 255."""

    user_timeout_s: float | None = None
    """How long what was sent may go unacknowledged, or the window be closed (RFC 9293 section
    3.8.3, RFC 5482), above 0; None: the numbers of retries decide. As TCP_USER_TIMEOUT."""

    keepalive: bool = False
    """RFC 9293 MUST-24, MUST-25: off unless asked for."""

    keepalive_idle_s: float = 7200.0
    """MUST-28: two hours at least by default. Above 0."""

    keepalive_interval_s: float = 75.0
    """As Linux's tcp_keepalive_intvl. Above 0."""

    keepalive_probes: int = 9
    """Without an answer to so many the peer is gone; tcp_keepalive_probes. From 1 on."""

    send_buffer_max_bytes: int | None = None
    """How far the send buffer grows with the congestion window. None: to 8 MiB, or where a size was
    set not at all, which is what SO_SNDBUF does in Linux."""

    notsent_lowat_bytes: int | None = None
    """TCP_NOTSENT_LOWAT, from 1 on; None: no limit but the buffer's."""

    advise_retries: int = 3
    """R1: from here on IP and the user are told; as Linux's tcp_retries1. From 1 on."""

    soft_errors_end_opening: bool = True
    """False: a connection that is being opened bears with ICMP's soft errors too (MUST-56)."""

    def __post_init__(self) -> None:
        """Refuse what no connection could work with."""
        _check(self, _RANGES, _CHOICES, _SWITCHES)
        # A frozen one is a key, which a mapping can be no part of.
        if not isinstance(self.congestion, Hashable):
            object.__setattr__(self, "congestion", CONTROLS.read(self.congestion))
        if not isinstance(self.recovery, Hashable):
            object.__setattr__(self, "recovery", RECOVERIES.read(self.recovery))
        CONTROLS.recall(self.congestion)
        RECOVERIES.recall(self.recovery)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpLimits:
    """What all connections of a host may do together: `net.host("a", tcp_limits=TcpLimits(...))`.

    Raises ConfigError for what no host could work with.
    """

    memory_bytes: tuple[int, int, int] = (256 << 20, 384 << 20, 512 << 20)
    """What all connections may hold together: below the first all is free again, above the second
    nothing grows, above the third connections are cut (`stack/tcp_memory.py`); as tcp_mem."""

    max_orphans: int = 8192
    """Connections whose user has gone, from 0 on; as Linux's tcp_max_orphans."""

    max_time_waits: int = 32768
    """Those in TIME-WAIT whose user has gone, from 0 on; as Linux's tcp_max_tw_buckets."""

    max_held_syns: int = 4096
    """For an interceptor, from 0 on: SYNs that wait for an answer, and accepted connections whose
    handshake goes on, together."""

    time_wait_reuse: Mode = 2
    """Outgoing connections take the place of one in TIME-WAIT that had timestamps. 0: never, 1: to
    everywhere, 2: on the loopback; as Linux's tcp_tw_reuse."""

    syn_cookies: Mode = 1
    """0: never, 1: when a listener's SYN queue is full, 2: always; tcp_syncookies."""

    challenge_acks_per_s: int = 1000
    """Of the whole host, from 0 on; about, see `tcp/shared.py`."""

    def __post_init__(self) -> None:
        """Refuse what no host could work with."""
        _check(self, _LIMIT_RANGES, _LIMIT_CHOICES, ())
        sizes = self.memory_bytes
        if (
            not isinstance(sizes, tuple)
            or len(sizes) != 3
            or not all(type(size) is int for size in sizes)
            or not 0 <= sizes[0] <= sizes[1] <= sizes[2]
        ):
            raise ConfigError(f"memory_bytes is {sizes!r}: three sizes, none below the one before")


_SIZE: Final = Range(1, MAX_BUFFER_BYTES)
_TIME: Final = Range(0, 1e9, whole=False)
_SOME_TIME: Final = Range(0, 1e9, whole=False, above=True)

_RANGES: Final[Mapping[str, Range]] = {
    "send_buffer_bytes": _SIZE,
    "receive_buffer_bytes": _SIZE,
    "receive_buffer_max_bytes": Range(0, MAX_BUFFER_BYTES, optional=True),
    "send_buffer_max_bytes": Range(0, MAX_BUFFER_BYTES, optional=True),
    "probe_slack_s": _TIME,
    "fast_open_pending": COUNT,
    "delayed_ack_s": Range(0, MAX_ACK_DELAY_S, whole=False),
    "quick_acks": COUNT,
    "msl_s": _TIME,
    "fin_wait_2_s": _TIME,
    "syn_retries": COUNT,
    "syn_ack_retries": COUNT,
    "max_rto_s": Range(1, 120, whole=False),
    "challenge_interval_s": _TIME,
    "retries": COUNT,
    "orphan_retries": COUNT,
    "window_clamp_bytes": Range(1, optional=True),
    "max_segment_bytes": Range(1, optional=True),
    "defer_accept_retries": COUNT,
    "ttl": TTL,
    "user_timeout_s": Range(0, 1e9, whole=False, above=True, optional=True),
    "keepalive_idle_s": _SOME_TIME,
    "keepalive_interval_s": _SOME_TIME,
    "keepalive_probes": FROM_ONE,
    "notsent_lowat_bytes": Range(1, (1 << 32) - 1, optional=True),
    "advise_retries": FROM_ONE,
}
_CHOICES: Final[Mapping[str, tuple[object, ...]]] = {
    "ecn": get_args(EcnWord),
    "fast_open": ("off", "client", "server", "both"),
    "fast_open_cookieless": ("off", "client", "server", "both"),
    "mtu_probing": (0, 1, 2),
}
_SWITCHES: Final = (
    "pacing",
    "no_delay",
    "timestamps",
    "sack",
    "window_scaling",
    "timestamps_required",
    "keepalive",
    "soft_errors_end_opening",
)
_LIMIT_RANGES: Final[Mapping[str, Range]] = {
    "max_orphans": COUNT,
    "max_time_waits": COUNT,
    "max_held_syns": COUNT,
    "challenge_acks_per_s": COUNT,
}
_LIMIT_CHOICES: Final[Mapping[str, tuple[object, ...]]] = {
    "time_wait_reuse": (0, 1, 2),
    "syn_cookies": (0, 1, 2),
}


def _check(
    config: Any,  # noqa: ANN401 - by the names of its fields
    ranges: Mapping[str, Range],
    choices: Mapping[str, tuple[object, ...]],
    switches: tuple[str, ...],
) -> None:
    for name, allowed in ranges.items():
        allowed.check(name, getattr(config, name))
    for name, known in choices.items():
        value = getattr(config, name)
        if isinstance(value, bool) or value not in known:
            raise ConfigError(f"{name} is {value!r}: it must be {_either(known)}")
    for name in switches:
        check_switch(name, getattr(config, name))


def _either(known: tuple[object, ...]) -> str:
    *first, last = map(str, known)
    return f"{', '.join(first)} or {last}"

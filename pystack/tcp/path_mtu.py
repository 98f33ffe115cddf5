"""How large segments may be on a connection's path: what ICMP claims, and what is tried out.

A claim is believed at once only while no full segment has got through (RFC 5927 section 7.2).
Where no ICMP comes and full segments get lost again and again, the path is taken for a black hole
(RFC 4821 section 7.7; RFC 8899 section 4.2): segments become small, and single larger ones are sent
as probes until the largest is found that gets through. A probe that is lost tells nothing of
congestion.

No claim makes packets smaller than 552 bytes, which few paths need and an attacker would like. On a
path that takes less, they go without DF, and its routers cut them; as Linux does. Every path of
IPv6 takes 1280. A connection
whose segments are as large as the handshake allows has no `PathMtu`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.tcb import Tcb

BASE_MSS_BYTES: Final = 1024  # what gets through nearly everywhere; as Linux's tcp_base_mss
RAISE_AFTER_S: Final = 600.0  # RFC 1191 section 6.3: ten minutes; as Linux's mtu_expires
FLOOR_MSS_BYTES: Final = 48  # how small a black hole makes them; as Linux's tcp_mtu_probe_floor
PRECISION_BYTES: Final = 8  # what is not worth another probe; as Linux's tcp_probe_threshold
WAIT: Final = -1
# How much is to follow a probe, so that its loss is seen by the acknowledgements of that; and how
# large the window must be, for one probe to be a small part of it. Both as Linux.
_FOLLOWING_SEGMENTS: Final = 4
_WINDOW_SEGMENTS: Final = 11


class PathMtu:
    """What is known of a path that takes less than the handshake allows, or may do so."""

    __slots__ = ("cut_on_the_way", "doubted", "high", "limit", "probe", "probe_at")

    def __init__(self, limit: int, high: int, probe_at: float) -> None:
        self.limit = limit  # payload bytes that the handshake and our own link allow
        self.high = high  # nothing larger gets through
        self.cut_on_the_way = False  # True: nor does that, so routers may cut it: DF is off
        self.probe_at = probe_at  # before that, nothing larger is tried
        self.probe: tuple[int, int] | None = None  # from where to where; None: none is under way
        # what ICMP claims and is not believed yet: the segment it was about, and the size
        self.doubted: tuple[int, int] | None = None


def begin(tcb: Tcb, limit: int, path_mss: int | None, mode: int, now: float) -> None:
    """Settle the size after the handshake. `path_mss`: what others have found; None: nothing."""
    tcb.snd_mss = limit
    if path_mss is not None and path_mss < limit:
        tcb.snd_mss = min(max(path_mss, _floor(tcb)), limit)
        tcb.path = PathMtu(limit, tcb.snd_mss, now + RAISE_AFTER_S)
        tcb.path.cut_on_the_way = path_mss < tcb.snd_mss
    elif mode == 2 and limit > BASE_MSS_BYTES:
        tcb.snd_mss = BASE_MSS_BYTES
        tcb.path = PathMtu(limit, limit, now)


def too_big(conn: Connection, seq: int, claimed_mss: int, now: float) -> bool:
    """ICMP says that the segment at `seq` was too large; True: that is believed at once."""
    tcb, path = conn.tcb, conn.tcb.path
    size = min(max(claimed_mss, _floor(tcb)), tcb.snd_mss)
    cut_already = path is not None and path.cut_on_the_way
    if size == tcb.snd_mss and (cut_already or claimed_mss >= size):
        conn.drops.append("tcp_mtu_not_smaller")
        return False
    if tcb.full_seq is not None and tcb.snd_una >= tcb.full_seq:
        conn.drops.append("tcp_mtu_doubted")
        path = tcb.path = path or PathMtu(tcb.snd_mss, tcb.snd_mss, now + RAISE_AFTER_S)
        path.doubted = seq, claimed_mss
        return False
    _believe(conn, claimed_mss, now)
    conn.recovery.on_too_big()  # not congestion: the control is not told (RFC 1191 section 6.5)
    return True


def link_changed(conn: Connection, mtu_mss: int, now: float) -> None:
    """Our own link takes no more than this from now on: a router says so, and it is no claim.

    What is in flight may be too large. Where the link takes more, segments stay as they are.
    """
    tcb = conn.tcb
    if mtu_mss >= tcb.mtu_mss:
        return
    tcb.mtu_mss = mtu_mss
    mss = mtu_mss - tcb.options_bytes
    if conn.state is TcpState.SYN_SENT or mss >= tcb.snd_mss:
        if tcb.path is not None:
            tcb.path.limit = min(tcb.path.limit, mss)
        return
    _lower(conn, mss, mss, now + RAISE_AFTER_S).limit = mss
    conn.recovery.on_too_big()


def timed_out(conn: Connection, now: float) -> None:
    """The retransmission timer ran out, and what is in flight will be sent again."""
    tcb, path = conn.tcb, conn.tcb.path
    if path is not None and path.doubted is not None:
        seq, claimed_mss = path.doubted
        path.doubted = None
        if tcb.snd_una <= seq:  # so it was true
            _believe(conn, claimed_mss, now)
            return
    smaller = BASE_MSS_BYTES
    if tcb.snd_mss <= BASE_MSS_BYTES:
        smaller = max(tcb.snd_mss // 2, min(FLOOR_MSS_BYTES, tcb.snd_mss))
    if (
        not conn.config.mtu_probing
        or tcb.retries < conn.config.advise_retries
        or tcb.flight_size_bytes <= smaller
        or smaller >= tcb.snd_mss
    ):
        return
    conn.shared.counters.add("tcp_mtu_black_hole")
    _lower(conn, smaller, tcb.snd_mss - 1, now)


def acknowledged(conn: Connection, now: float) -> None:
    """SND.UNA has moved on a path that is not settled."""
    tcb, path = conn.tcb, conn.tcb.path
    assert path is not None
    if path.doubted is not None and tcb.snd_una > path.doubted[0]:
        path.doubted = None  # it got through: the claim was false
    if path.probe is not None and tcb.snd_una >= path.probe[1]:
        conn.shared.counters.add("tcp_mtu_probe_success")
        _resize(conn, path.probe[1] - path.probe[0])
        tcb.full_seq = path.probe[1]
        path.probe = None
        _rest_if_found(tcb, path, now)
    if tcb.snd_mss >= path.limit and path.doubted is None and not path.cut_on_the_way:
        tcb.path = None


def next_probe(conn: Connection, unsent: int, window_room: int, cwnd_room: int, now: float) -> int:
    """Return how many bytes to send as a probe now; 0: none; WAIT: one, when there is room."""
    tcb, path = conn.tcb, conn.tcb.path
    assert path is not None
    if path.probe is not None or now < path.probe_at:
        return 0
    path.cut_on_the_way = False
    if tcb.snd_mss >= path.limit:
        return 0
    if not conn.config.mtu_probing:
        # RFC 1191 section 6.3: as large as ever, and ICMP will say where that is too large.
        _resize(conn, path.limit)
        tcb.full_seq = tcb.path = None
        return 0
    if path.high - tcb.snd_mss < PRECISION_BYTES:
        path.high = path.limit  # ten minutes later: has the path changed?
    size = (tcb.snd_mss + path.high) // 2
    if path.high - tcb.snd_mss < PRECISION_BYTES:
        size = path.limit  # nearly there: with the last few bytes all is as the handshake has it
    wanted = size + _FOLLOWING_SEGMENTS * tcb.snd_mss
    if (
        min(unsent, window_room) < wanted
        or conn.congestion.cwnd_bytes < _WINDOW_SEGMENTS * tcb.snd_mss
        or conn.prr is not None
        or conn.recovery.in_recovery
    ):
        return 0
    if cwnd_room < size:  # acknowledgements would never make so much of it at once
        return WAIT if tcb.snd_nxt > tcb.snd_una else 0
    path.probe = tcb.snd_nxt, tcb.snd_nxt + size
    conn.shared.counters.add("tcp_mtu_probes")
    return size


def is_lost_probe(tcb: Tcb) -> bool:
    """Tell whether what was just found lost begins with a probe: then it is not congestion."""
    path = tcb.path
    return path is not None and path.probe is not None and path.probe[0] == tcb.snd_una


def sent_again(conn: Connection, seq: int, now: float) -> None:
    """Something is sent again; where it is a probe, that was too large."""
    path = conn.tcb.path
    if path is None or path.probe is None or not path.probe[0] <= seq < path.probe[1]:
        return
    conn.shared.counters.add("tcp_mtu_probe_failure")
    path.high = path.probe[1] - path.probe[0] - 1
    path.probe = None
    _rest_if_found(conn.tcb, path, now)


def _rest_if_found(tcb: Tcb, path: PathMtu, now: float) -> None:
    if path.high < path.limit and path.high - tcb.snd_mss < PRECISION_BYTES:
        path.probe_at = now + RAISE_AFTER_S


def _floor(tcb: Tcb) -> int:
    """Return the text of the smallest packets that a claim can ask for."""
    return tcb.sizes.least_mss - tcb.options_bytes


def _believe(conn: Connection, claimed_mss: int, now: float) -> None:
    """Send what is claimed to get through; where that is too little, what the routers may cut."""
    size = min(max(claimed_mss, _floor(conn.tcb)), conn.tcb.snd_mss)
    path = _lower(conn, size, size, now + RAISE_AFTER_S)
    path.cut_on_the_way = claimed_mss < size


def _lower(conn: Connection, mss: int, high: int, probe_at: float) -> PathMtu:
    tcb = conn.tcb
    path = tcb.path or PathMtu(tcb.snd_mss, high, probe_at)
    path.high, path.probe_at, path.probe, path.doubted = high, probe_at, None, None
    tcb.path = path
    tcb.full_seq = None
    _resize(conn, mss)
    return path


def _resize(conn: Connection, mss: int) -> None:
    conn.tcb.snd_mss = mss
    conn.congestion.on_segment_size(mss)

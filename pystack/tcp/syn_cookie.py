"""SYN cookies (RFC 4987 section 3.6): what a half-open connection would hold, held by the peer.

Our initial sequence number says that the SYN was real, when it came, and which MSS it offered; the
low bits of our timestamp say what else it offered. The ACK of the handshake brings both back. The
numbers are laid out as Linux does, after D. J. Bernstein; a forged one passes once in 2**21.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from pystack.tcp import handshake
from pystack.tcp.config import TcpConfig
from pystack.tcp.isn import keyed_hash
from pystack.tcp.seq import MASK
from pystack.tcp.tcb import MAX_WINDOW_SHIFT
from pystack.wire import tcp_options
from pystack.wire.tcp import ACK, AE, CWR, ECE, SYN, Segment
from pystack.wire.tcp_options import TcpOptions

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

# The MSS is rounded down to one of these; as Linux, whose choice is from measured SYNs. By the
# bytes of two ends, of either version of IP; those of IPv6 are of the least MTU, a tunnel's,
# Ethernet's, and that of jumbo frames.
MSS_BYTES: Final = (536, 1300, 1440, 1460)
MSS6_BYTES: Final = (1220, 1420, 1440, 8940)
_ENDS4_BYTES: Final = 12
PERIOD_S: Final = 60.0  # the clock in a cookie
MAX_AGE: Final = 2  # periods: a cookie is good for one to two minutes
VALID_S: Final = PERIOD_S * MAX_AGE  # after the last one was sent, none can be good

_TAG_MASK: Final = 0xFFFFFF  # its low 24 bits: a keyed hash, plus the number of the MSS
_TIMESTAMP_BITS: Final = 6
_TIMESTAMP_MASK: Final = (1 << _TIMESTAMP_BITS) - 1
_NO_SCALING: Final = 0xF  # bits 0 to 3: the window shift
_SACK_BIT: Final = 1 << 4
_ECN_BIT: Final = 1 << 5
_ECN_SETUP: Final = ECE | CWR  # RFC 3168 section 6.1.1
_ACCURATE_SETUP: Final = AE | ECE | CWR  # RFC 9768 section 3.1.1


def make(key: bytes, ends: bytes, irs: int, mss: int, now: float) -> int:
    """Return the initial sequence number that answers a SYN. `ends`: both addresses and ports."""
    index = max((at for at, known in enumerate(_known(ends)) if known <= mss), default=0)
    period = int(now // PERIOD_S)
    tag = _tag(key, ends, irs, period) + index & _TAG_MASK
    # The peer's number keeps ours growing as theirs does (RFC 9293 section 3.4.1).
    return _veil(key, ends) + irs + (period << 24) + tag & MASK


def check(key: bytes, ends: bytes, irs: int, cookie: int, now: float) -> int | None:
    """Return the MSS that a cookie tells of; None: we did not make it, or too long ago."""
    rest = cookie - irs - _veil(key, ends) & MASK
    period = int(now // PERIOD_S)
    age = period - (rest >> 24) & 0xFF
    if age >= MAX_AGE:
        return None
    index = rest - _tag(key, ends, irs, period - age) & _TAG_MASK
    known = _known(ends)
    return known[index] if index < len(known) else None


def _known(ends: bytes) -> tuple[int, ...]:
    return MSS_BYTES if len(ends) == _ENDS4_BYTES else MSS6_BYTES


class Asked(NamedTuple):
    """What of a SYN, and of our own state, decides what its SYN-ACK says."""

    mtu_mss: int  # what of a segment the link takes, which is less of IPv6
    timestamps: bool
    sack: bool
    scaled: bool
    flags: int
    ecn: int  # of its IP header
    pressed: bool  # for memory: the window is small

    @classmethod
    def by(
        cls, syn: Segment, theirs: TcpOptions, config: TcpConfig, mtu_mss: int, *, pressed: bool
    ) -> Asked:
        """Return that of one SYN.

        Where the peer has no timestamps there is no place for its other options, and so they are
        not answered.
        """
        flags = syn.flags & (SYN | _ACCURATE_SETUP)
        if theirs.timestamps is None or not config.timestamps:
            # But accurate ECN: the flags of the ACK bring it back (RFC 9768 section 5.1).
            if flags & _ACCURATE_SETUP in (0, _ECN_SETUP):
                return cls(mtu_mss, False, False, False, SYN, 0, pressed)
            return cls(mtu_mss, False, False, False, flags, syn.ecn, pressed)
        scaled = theirs.wscale is not None
        return cls(mtu_mss, True, theirs.sack_permitted, scaled, flags, syn.ecn, pressed)


@dataclass(frozen=True, slots=True)
class Answer:
    """A SYN-ACK without what differs from one to the next: ports, numbers, clocks."""

    flags: int
    wnd: int
    ecn: int
    options: TcpOptions

    def segment(self, syn: Segment, theirs: TcpOptions, cookie: int, clock: int) -> Segment:
        """Return the SYN-ACK for one SYN; `clock`: what the timestamps option would say."""
        options = self.options
        if options.timestamps is not None and theirs.timestamps is not None:
            ahead = _encode(theirs, syn.flags) - clock & _TIMESTAMP_MASK
            # Never ahead of the clock, or the next segments would be older (PAWS).
            clock += ahead - (_TIMESTAMP_MASK + 1 if ahead else 0)
            options = TcpOptions(
                mss=options.mss,
                wscale=options.wscale,
                sack_permitted=options.sack_permitted,
                timestamps=(clock & MASK, theirs.timestamps[0]),
                accurate_ecn=options.accurate_ecn,
            )
        ack = syn.seq + 1 & MASK
        packed = tcp_options.pack(options)
        segment = Segment(
            syn.dst_port, syn.src_port, cookie, ack, self.flags, self.wnd, packed, b""
        )
        segment.ecn = self.ecn
        return segment


def answer(conn: Connection, syn: Segment, theirs: TcpOptions, now: float) -> Answer:
    """Let a connection that is not kept say what it answers to a SYN like this (`Asked`).

    So what is offered is decided in one place, and found out once.
    """
    asked = Asked.by(syn, theirs, conn.config, 0, pressed=False)
    offered = theirs if asked.timestamps else TcpOptions(mss=theirs.mss)
    alike = Segment(
        syn.src_port, syn.dst_port, syn.seq, 0, asked.flags, syn.wnd, tcp_options.pack(offered), b""
    )
    alike.ecn = asked.ecn
    conn.open_passive(alike, now)
    syn_ack = conn.poll_transmit(now)
    assert syn_ack is not None
    return Answer(syn_ack.flags, syn_ack.wnd, syn_ack.ecn, tcp_options.parse(syn_ack.options))


def open_by_cookie(conn: Connection, ack: Segment, mss: int, now: float) -> tuple[Segment, Segment]:
    """Bring a connection to where it would be, had it been kept; return SYN and SYN-ACK.

    `conn` has the cookie for its initial sequence number. The ACK itself is then for it to take.
    """
    theirs, flags = TcpOptions(mss=mss), SYN
    came = tcp_options.parse(ack.options).timestamps
    if came is not None and conn.config.timestamps:
        bits = came[1] & _TIMESTAMP_MASK
        theirs.timestamps = came
        theirs.sack_permitted = bool(bits & _SACK_BIT)
        shift = bits & _NO_SCALING
        theirs.wscale = None if shift == _NO_SCALING else shift
        flags |= _ECN_SETUP if bits & _ECN_BIT else 0
    if flags == SYN and ack.flags & (AE | CWR):
        # Nobody else has these flags here (RFC 9768 section 5.1): no bit is needed for it.
        flags |= _ACCURATE_SETUP
    irs = ack.seq - 1 & MASK
    syn = Segment(ack.src_port, ack.dst_port, irs, 0, flags, ack.wnd, tcp_options.pack(theirs), b"")
    handshake.open_passive(conn, syn, now)
    syn_ack = conn.poll_transmit(now)  # it went out long ago ...
    assert syn_ack is not None
    conn.tcb.rtt_seq = None  # ... and nobody knows when
    return syn, syn_ack


def _encode(theirs: TcpOptions, flags: int) -> int:
    shift = theirs.wscale
    bits = _NO_SCALING if shift is None else min(shift, MAX_WINDOW_SHIFT)
    if theirs.sack_permitted:
        bits |= _SACK_BIT
    if flags & (_ACCURATE_SETUP | ACK) == _ECN_SETUP:
        bits |= _ECN_BIT
    return bits


def _veil(key: bytes, ends: bytes) -> int:
    return _hash(key, ends, 4)


def _tag(key: bytes, ends: bytes, irs: int, period: int) -> int:
    return _hash(key, ends + irs.to_bytes(4, "big") + period.to_bytes(8, "big", signed=True), 3)


def _hash(key: bytes, data: bytes, size: int) -> int:
    return int.from_bytes(keyed_hash(key, data, size), "big")

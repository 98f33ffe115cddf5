"""Accurate ECN (RFC 9768): how many packets, and how many bytes, came with which codepoint.

Each segment has the three low bits of a count of marked packets in place of RFC 3168's flags (ACE),
and where there is room an option with three counts of bytes. One object per connection that agreed
on it; `ecn.py` decides whether, and what follows. As in the RFC, `r_` is what came in and is told
to the peer, `s_` what the peer tells of what we sent.

Nothing that a peer says counts for more than was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pystack.wire import tcp_options
from pystack.wire.ecn import CE, ECT_0, ECT_1, NOT_ECT
from pystack.wire.tcp import ACK, AE, CWR, ECE, FIN, SYN, Segment

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

FLAGS: Final = AE | CWR | ECE
OPTION_BYTES: Final = 12  # with all three counts, padded
SHORT_OPTION_BYTES: Final = 8  # with two of them

INITIAL_CEP: Final = 5  # section 3.2.1; not 0, so that a path that clears the flags shows
INITIAL_BYTES: Final = 1  # of the two kinds of ECT, for the same reason
_ACE_MASK: Final = 7
_WRAPS: Final = 8
_COUNT_MASK: Final = 0xFFFFFF
_STALE: Final = 1 << 23  # a count that went back by so much is one of an ACK that was overtaken
_OVERTAKEN: Final = -1

# What a SYN-ACK, and the ACK of it, say of the codepoint that they answer (tables 2 and 3)
_HANDSHAKE: Final = {NOT_ECT: CWR, ECT_1: CWR | ECE, ECT_0: AE, CE: AE | CWR}
_CODEPOINTS: Final = {flags: codepoint for codepoint, flags in _HANDSHAKE.items()}

# Marks that came since the last ACK, with and without text that is not acknowledged (3.2.2.5.1)
_MARKS_WITH_TEXT: Final = 2
_MARKS_ALONE: Final = 3

_MOST_CONTRADICTIONS: Final = 3
_MOST_CAME_AGAIN: Final = 3
_ROUNDS_ALL_MARKED: Final = 4  # section 3.2.2.3: "three or four"

# Bits: which counts of bytes
_E0B: Final = 1
_CEB: Final = 2
_E1B: Final = 4
_COUNTS: Final = {NOT_ECT: 0, ECT_0: _E0B, CE: _CEB, ECT_1: _E1B}
_ORDERS: Final = ((_E0B, _CEB, _E1B), (_E1B, _CEB, _E0B))


class Marks(NamedTuple):
    """What an ACK tells of packets of ours that were marked."""

    packets: int
    text_bytes: int


NO_MARKS: Final = Marks(0, 0)


class AccurateEcn:
    """The counts of one connection."""

    __slots__ = (
        "agreed",
        "all_marked",
        "asked_again",
        "came_again",
        "ce_untold",
        "contradictions",
        "deaf",
        "first",
        "handshake_ack",
        "handshake_flags",
        "handshake_marked",
        "news",
        "option_seen",
        "option_sent",
        "options_ignored",
        "options_off",
        "r_ceb",
        "r_cep",
        "r_e0b",
        "r_e1b",
        "repeated",
        "round_end",
        "s_ceb",
        "s_cep",
        "s_e0b",
        "s_e1b",
        "sacked_acks",
        "sent_bytes",
        "sent_packets",
        "silent",
        "syn_ecn",
        "told_bytes",
        "told_packets",
        "tried",
        "untold",
        "was_ce",
    )

    def __init__(self) -> None:
        self.agreed = False  # before that, we only ask for it or would take it
        # What came in (section 3.2.1)
        self.r_cep = INITIAL_CEP
        self.r_ceb = 0
        self.r_e0b = self.r_e1b = INITIAL_BYTES
        self.ce_untold = 0  # marks since our last segment
        self.was_ce = False  # the last packet was marked
        self.untold = 0  # counts of bytes that have changed since the last option
        self.repeated = 0  # those that ever have
        self.tried = 0  # options that our first segments had, to try the path
        self.syn_ecn = NOT_ECT  # the codepoint of the peer's last SYN, or SYN-ACK
        self.option_sent = False  # with our last ACK
        self.came_again = 0  # texts in a row that came again although such an ACK had gone out
        self.options_off = False  # ACKs with one do not arrive: none are sent any more
        self.asked_again = False  # our SYN-ACK has to go without the option
        # What the ACK of a SYN-ACK that is due has for flags; None: none is due
        self.handshake_flags: int | None = None

        # What the peer tells; `s_cep` modulo 8, the others modulo 2**24
        self.s_cep = INITIAL_CEP
        self.s_ceb = 0
        self.s_e0b = self.s_e1b = INITIAL_BYTES
        self.first = True  # nothing was told yet but in the handshake
        self.handshake_ack: Segment | None = None  # whose flags are no count; None: none is due
        self.option_seen = False
        self.options_ignored = False
        self.handshake_marked = False  # our SYN, or SYN-ACK, was: the first window is a small one
        self.contradictions = 0  # ACKs in a row of whose marks only the option tells
        self.sacked_acks = 0  # ACKs since SND.UNA last moved that told of what is beyond a gap
        self.sent_packets = self.sent_bytes = 0  # the most that can have been marked
        self.told_packets = self.told_bytes = 0  # of these, those that were
        self.all_marked: int | None = 0  # rounds, from the first on; None: not all is marked
        self.round_end = 0
        self.silent = ""  # why no ECT is set, as the counter has it; "": it is
        self.news = False  # the ACK that is being taken tells of marks
        self.deaf = False  # what the peer tells of marks is not believed

    def stop(self, conn: Connection, reason: str) -> None:
        """Set ECT no more, and count why; what comes in is told to the peer as ever."""
        if not self.silent:
            self.silent = reason
            conn.drops.append(reason)


# the handshake


def syn_ack_flags(acc: AccurateEcn) -> int:
    """Return what our SYN-ACK says: which codepoint the last SYN came with (table 2)."""
    return _HANDSHAKE[acc.syn_ecn]


def begin(conn: Connection, acc: AccurateEcn, seg: Segment) -> None:
    """Agree by the peer's SYN or SYN-ACK."""
    acc.agreed = True
    conn.tcb.fast_mask = 0
    acc.syn_ecn = seg.ecn
    if seg.flags & ACK:
        syn_ack_arrived(acc, seg)
        _handshake_told(conn, acc, seg)
        _take_option(conn, acc, seg, new_text=True)


def syn_ack_arrived(acc: AccurateEcn, seg: Segment) -> None:
    """The ACK of it is to tell its codepoint; a mark counts once, however often it comes."""
    acc.syn_ecn = seg.ecn
    acc.handshake_flags = _HANDSHAKE[seg.ecn]
    if seg.ecn == CE and acc.r_cep == INITIAL_CEP:
        acc.r_cep += 1


def handshake_acked(conn: Connection, acc: AccurateEcn, seg: Segment) -> None:
    """Read the ACK that ends the handshake: not a count, where it is bare (table 4)."""
    if not acc.agreed or seg.flags & SYN:
        return
    options = tcp_options.parse(seg.options)
    if seg.payload or seg.flags & FIN or options.sack_blocks:
        return
    if conn.fast_opened:  # else it is looked at here alone
        acc.handshake_ack = seg
    flags = seg.flags & FLAGS
    if not flags:
        acc.deaf = True
        acc.stop(conn, "tcp_accecn_zeroed")
        return
    acc.s_cep += _handshake_told(conn, acc, seg) == CE
    _take_option(conn, acc, seg, new_text=True)


def _handshake_told(conn: Connection, acc: AccurateEcn, seg: Segment) -> int:
    """Return with which codepoint our SYN, or SYN-ACK, arrived, as far as that is told.

    Both went without. What changed on the way is mangled (section 3.2.2.3); a mark may be that of a
    queue behind, and is answered all the same (3.2.2.2).
    """
    told = _CODEPOINTS.get(seg.flags & FLAGS, NOT_ECT)
    if told != NOT_ECT:
        acc.stop(conn, "tcp_accecn_mangled")
    acc.handshake_marked = told == CE
    return told


# what came in


def arrived(conn: Connection, acc: AccurateEcn, seg: Segment, packets: int) -> None:
    """Count an acceptable packet, and see whether it makes an ACK due (section 3.2.2.5.1).

    `packets`: how many came in one, with the same codepoint.
    """
    if not acc.agreed or seg.flags & SYN:
        return
    text_bytes = len(seg.payload)
    codepoint = seg.ecn
    marked = codepoint == CE
    tcb = conn.tcb
    if text_bytes and acc.option_sent:
        acc.came_again = 0
    if codepoint != NOT_ECT:
        tcb.ecn_seen = True
        if text_bytes:
            bit = _COUNTS[codepoint]
            acc.untold |= bit
            acc.repeated |= bit
            if marked:
                acc.r_ceb += text_bytes
            elif codepoint == ECT_0:
                acc.r_e0b += text_bytes
            else:
                acc.r_e1b += text_bytes
    if marked:
        acc.r_cep += packets
        acc.ce_untold += packets
        conn.ce_received += packets
        # A port that cuts super-frames clears CWR behind the first piece (RFC 3168): not of ours.
        conn.gso_max_bytes = 0
        waits = bool(text_bytes) or tcb.rcv_nxt > tcb.last_ack_sent
        if (text_bytes and not acc.was_ce) or acc.ce_untold >= (
            _MARKS_WITH_TEXT if waits else _MARKS_ALONE
        ):
            tcb.ack_now = True
    acc.was_ce = marked


def text_came_again(conn: Connection, acc: AccurateEcn) -> None:
    """See whether what was acknowledged with an option always comes again (3.2.3.2.2)."""
    if not acc.option_sent or acc.options_off:
        return
    acc.option_sent = False
    acc.came_again += 1
    if acc.came_again == _MOST_CAME_AGAIN:
        acc.options_off = True
        conn.drops.append("tcp_accecn_option_lost")


def goes_alone(conn: Connection) -> bool:
    """Tell whether an ACK has an option to tell for which the text that follows has no room."""
    acc = conn.tcb.accurate
    if acc is None or not acc.untold or acc.options_off:
        return False
    return conn.send_buffer.end - conn.tcb.snd_nxt > conn.tcb.snd_mss - OPTION_BYTES


def tell(
    conn: Connection, acc: AccurateEcn, segment: Segment, *, ect: int, again: bool = False
) -> None:
    """Give a segment that goes out the count of packets, and the option where one is due.

    `ect`: the codepoint that it is to have, if nothing speaks against it. `again`: it carries
    nothing new; text that was lost may have been so for its option, so it goes without.
    """
    if segment.flags & SYN:
        return
    flags = told_flags(acc)
    text_bytes = segment.text_bytes
    if (
        acc.handshake_flags is not None
        and not text_bytes
        and not segment.flags & FIN
        and conn.tcb.dsack is None
        and not conn.receive_buffer.ranges
    ):
        flags, acc.handshake_flags = acc.handshake_flags, None
    segment.flags = segment.flags & ~FLAGS | flags
    acc.ce_untold = 0
    plain = bytes(segment.options)
    if not (again and text_bytes):
        segment.options = _with_option(conn, acc, plain, text_bytes)
    acc.option_sent = len(segment.options) > len(plain)
    each_bytes = segment.gso_bytes
    acc.sent_packets += -(-text_bytes // each_bytes) if each_bytes else 1
    acc.sent_bytes += text_bytes
    if not acc.silent:
        segment.ecn = ect


def told_flags(acc: AccurateEcn) -> int:
    """Return the count of marked packets as a segment has it (section 3.2.2)."""
    return (acc.r_cep & _ACE_MASK) << 6 if acc.agreed else 0


def syn_ack_option(acc: AccurateEcn) -> bytes:
    """Return what the first SYN-ACK has, so that the path is tried (section 3.2.3.2.1)."""
    return tcp_options.pack_accurate_ecn(acc.r_e0b, acc.r_ceb, acc.r_e1b, fields=3, order=0)


def reserved_bytes(acc: AccurateEcn) -> int:
    """Return what an ACK with SACK blocks leaves free: two of them fit beside it (3.2.3.3)."""
    return SHORT_OPTION_BYTES if acc.agreed and acc.untold and not acc.options_off else 0


def _with_option(conn: Connection, acc: AccurateEcn, options: bytes, text_bytes: int) -> bytes:
    """Add the option: to the first segments, and where a count has changed since the last."""
    trying = acc.tried < 2
    if not (acc.untold or trying) or acc.options_off:
        return options
    room = tcp_options.MAX_BYTES - len(options)
    if text_bytes:
        room = min(room, conn.tcb.snd_mss - text_bytes)
    form = _form(7 if trying else acc.repeated, room) or _form(acc.untold, room)
    if form is None:
        return options
    acc.tried += trying
    acc.untold = 0
    order, fields = form
    return options + tcp_options.pack_accurate_ecn(
        acc.r_e0b, acc.r_ceb, acc.r_e1b, fields=fields, order=order
    )


def _form(wanted: int, room: int) -> tuple[int, int] | None:
    """Return the order and the number of fields of the shortest option with these; None: no room.

    What has changed must not be left out (section 3.2.3.3).
    """
    best: tuple[int, int] | None = None
    for order, bits in enumerate(_ORDERS):
        fields = max((at + 1 for at, bit in enumerate(bits) if bit & wanted), default=0)
        padded = 2 + 3 * fields + (-(2 + 3 * fields) % 4)
        if fields and padded <= room and (best is None or fields < best[1]):
            best = order, fields
    return best


# what the peer tells


def told(conn: Connection, acc: AccurateEcn, seg: Segment) -> Marks:
    """Take what an acceptable ACK tells, before what it acknowledges (3.2.2.2, 3.2.3.1)."""
    tcb = conn.tcb
    if acc.deaf or not acc.agreed or seg.flags & SYN:
        return NO_MARKS
    if seg is acc.handshake_ack:
        acc.handshake_ack = None  # it may have all of a large frame behind it
        return NO_MARKS
    new_text = seg.ack > tcb.snd_una
    if seg.ack < tcb.snd_una or not (
        new_text or seg.payload or seg.sack_blocks or conn.congestion.wants_ecn
    ):
        return NO_MARKS  # overtaken by another, or perhaps so
    ace = seg.flags >> 6 & _ACE_MASK
    if acc.first:
        acc.first = False
        if not ace:  # section 3.2.2.4
            acc.deaf = True
            acc.stop(conn, "tcp_accecn_zeroed")
            return NO_MARKS
    marked_bytes = _take_option(conn, acc, seg, new_text=new_text)
    if marked_bytes == _OVERTAKEN:
        return NO_MARKS
    least = ace - acc.s_cep & _ACE_MASK
    if marked_bytes and _contradicts(conn, acc, seg, least):
        packets = -(-marked_bytes // tcb.snd_mss)
    else:
        packets = _newly_marked(conn, acc, seg, least, marked_bytes)
    acc.s_cep = ace
    if acc.all_marked is not None and new_text:
        _look_for_the_unmarked(conn, acc, seg, packets)
        if acc.deaf:
            return NO_MARKS
    return _believed(conn, acc, seg, packets, marked_bytes)


def _look_for_the_unmarked(conn: Connection, acc: AccurateEcn, seg: Segment, packets: int) -> None:
    """Believe no path that has marked all of the first rounds (section 3.2.2.3)."""
    tcb = conn.tcb
    if packets < -(-(seg.ack - tcb.snd_una) // tcb.snd_mss):
        acc.all_marked = None
        return
    assert acc.all_marked is not None
    if seg.ack > acc.round_end:
        acc.round_end = tcb.snd_nxt
        acc.all_marked += 1
    if acc.all_marked > _ROUNDS_ALL_MARKED:
        acc.all_marked = None
        acc.deaf = True
        acc.stop(conn, "tcp_accecn_all_marked")


def _contradicts(conn: Connection, acc: AccurateEcn, seg: Segment, least: int) -> bool:
    """Tell whether an option with marked bytes comes with flags that tell of no marked packet.

    That is where too little was acknowledged for the count to have gone round (3.2.3.2.5). For one
    such ACK there is an explanation: small segments, and lost ACKs between, for a peer tells of
    seven marks at most at once. For a row of them there is none but that the flags are changed on
    the way.
    """
    if least:
        acc.contradictions = 0
        return False
    if not 0 < seg.ack - conn.tcb.snd_una < _WRAPS * conn.tcb.snd_mss:
        return False
    acc.contradictions += 1
    if acc.contradictions == _MOST_CONTRADICTIONS:
        acc.stop(conn, "tcp_accecn_inconsistent")
    return True


def _newly_marked(
    conn: Connection, acc: AccurateEcn, seg: Segment, least: int, marked_bytes: int | None
) -> int:
    """Return how many packets were marked: `least`, or eight more, and so on (3.2.2.5.2).

    The bytes of the option tell; without them as many as can be of those acknowledged, the safest
    likely case (appendix A.2).
    """
    tcb = conn.tcb
    if seg.ack > tcb.snd_una:
        packets = -(-(seg.ack - tcb.snd_una) // tcb.snd_mss) - acc.sacked_acks
        acc.sacked_acks = 0
    else:
        packets = 1
        acc.sacked_acks += bool(seg.sack_blocks)
    if marked_bytes is not None:
        full = -(-marked_bytes // tcb.snd_mss)
        return least + max(-(-(full - least) // _WRAPS), 0) * _WRAPS
    return max(packets - (packets - least) % _WRAPS, least)


def _believed(
    conn: Connection, acc: AccurateEcn, seg: Segment, packets: int, marked_bytes: int | None
) -> Marks:
    """Cut what is told to what can be: no more was marked than was sent."""
    if not packets and not marked_bytes:
        return NO_MARKS
    possible = acc.sent_packets - acc.told_packets
    if packets > possible:
        acc.stop(conn, "tcp_accecn_too_many_marks")
        packets = possible
    if marked_bytes is None:
        acked_bytes = max(seg.ack - conn.tcb.snd_una, 0)
        marked_bytes = packets * conn.tcb.snd_mss
        if acked_bytes:
            marked_bytes = min(marked_bytes, acked_bytes)
    marked_bytes = min(marked_bytes, acc.sent_bytes - acc.told_bytes)
    acc.told_packets += packets
    acc.told_bytes += marked_bytes
    return Marks(packets, marked_bytes)


def _take_option(conn: Connection, acc: AccurateEcn, seg: Segment, *, new_text: bool) -> int | None:
    """Take the counts of bytes; return by how much that of marked ones grew. None: not told.

    `_OVERTAKEN`: the counts are older than what is known.
    """
    if not seg.options or acc.options_ignored:
        return None
    option = tcp_options.parse(seg.options).accurate_ecn
    if option is None:
        return None
    if not acc.option_seen:
        acc.option_seen = True
        if option.e0b == 0 or option.e1b == 0:  # section 3.2.3.2.4
            acc.options_ignored = True
            conn.drops.append("tcp_accecn_option_zeroed")
            return None
    counts = (option.e0b, option.ceb, option.e1b)
    known = (acc.s_e0b, acc.s_ceb, acc.s_e1b)
    grown = [
        0 if count is None else count - was & _COUNT_MASK
        for count, was in zip(counts, known, strict=True)
    ]
    if max(grown) >= _STALE and not new_text:
        return _OVERTAKEN
    if grown[1] > acc.sent_bytes - acc.told_bytes:
        acc.options_ignored = True
        conn.drops.append("tcp_accecn_too_many_bytes")
        return None
    acc.s_e0b = acc.s_e0b + grown[0] & _COUNT_MASK
    acc.s_ceb = acc.s_ceb + grown[1] & _COUNT_MASK
    acc.s_e1b = acc.s_e1b + grown[2] & _COUNT_MASK
    return grown[1]

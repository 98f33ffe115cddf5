"""Conversations, from frames alone: who spoke with whom, and what each segment of TCP was.

A `FlowTable` is fed with frames in their order, of one place or of several (a frame of each is a
different flow: what befell it in between is between them). Its memory is bounded: the flows that
were quiet for longest go first, and are counted.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pystack.core.addresses import host_port
from pystack.observe.captures.link_types import ETHERNET
from pystack.observe.flows.half import Half, Reason, SegmentKind, window_of
from pystack.observe.reading import End, Read, is_by_opener, read_or_quote
from pystack.tcp.seq import unwrap
from pystack.wire import tcp

MOST_FLOWS: Final = 4096
_MOST_ERRORS: Final = 16


@dataclass(slots=True)
class Handshake:
    """How a connection was made, and what was agreed on; None and 0: not offered, or not seen."""

    syn_at: float | None = None
    syn_ack_at: float | None = None
    ack_at: float | None = None
    syns: int = 0  # how often each was seen
    syn_acks: int = 0
    mss: tuple[int | None, int | None] = (None, None)  # of the client's SYN, of the server's
    wscale: tuple[int | None, int | None] = (None, None)
    sack: tuple[bool, bool] = (False, False)
    timestamps: tuple[bool, bool] = (False, False)
    ecn: tuple[int, int] = (0, 0)  # the flags of each side's SYN

    @property
    def is_whole(self) -> bool:
        """Tell whether all three segments were seen."""
        return None not in (self.syn_at, self.syn_ack_at, self.ack_at)

    @property
    def server_side_s(self) -> float | None:
        """Return from here to the server and back; None: not seen, or the SYN went more than once.

        What a SYN-ACK answers is not known where there were two SYNs.
        """
        if self.syn_at is None or self.syn_ack_at is None or self.syns != 1 or self.syn_acks != 1:
            return None
        return self.syn_ack_at - self.syn_at

    @property
    def client_side_s(self) -> float | None:
        """Return from here to the client and back; None: not known."""
        if self.syn_ack_at is None or self.ack_at is None or self.syn_acks != 1:
            return None
        return self.ack_at - self.syn_ack_at

    @property
    def rtt_s(self) -> float | None:
        """Return the round trip between both; None: not known."""
        server_s, client_s = self.server_side_s, self.client_side_s
        return None if server_s is None or client_s is None else server_s + client_s

    @property
    def options(self) -> list[str]:
        """Return what both sides agreed on, in words."""
        words = [f"mss {min(each for each in self.mss if each)}"] if any(self.mss) else []
        words += ["SACK"] if all(self.sack) else []
        words += ["timestamps"] if all(self.timestamps) else []
        if None not in self.wscale:
            words.append(f"window scale {self.wscale[0]} and {self.wscale[1]}")
        agreed = tcp.ecn_agreed(*self.ecn)
        return words + ([agreed] if agreed else [])


@dataclass(slots=True)
class Flow:
    """A conversation: `a` began it, as far as was seen."""

    number: int
    protocol: str  # "tcp", "udp"
    a: End
    b: End
    place: str
    began_at: float
    ended_at: float = 0.0
    frames: list[int] = field(default_factory=lambda: [0, 0])  # from a to b, from b to a
    frame_bytes: list[int] = field(default_factory=lambda: [0, 0])
    text_bytes: list[int] = field(default_factory=lambda: [0, 0])  # retransmitted ones too
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)  # of retransmissions
    handshake: Handshake = field(default_factory=Handshake)
    closed_by: str = ""  # "a", "b": who sent the first FIN or RST
    closed_how: str = ""  # "fin", "rst"
    errors: list[tuple[float, str]] = field(default_factory=list)  # by ICMP
    rtts: int = 0  # samples, their sum and extremes
    rtt_sum_s: float = 0.0
    rtt_min_s: float | None = None
    rtt_max_s: float | None = None
    halves: tuple[Half, Half] = field(default_factory=lambda: (Half(), Half()), repr=False)
    own_a: tuple[int, int] = field(default=(0, 0), repr=False)  # `a` as numbers

    def is_between(self, one: End, other: End) -> bool:
        """Tell whether these are its ends, in whichever order."""
        return {one, other} == {self.a, self.b}

    def __str__(self) -> str:
        """Return "10.0.0.1:40000 > 10.0.0.2:80 (tcp)"."""
        return f"{host_port(*self.a)} > {host_port(*self.b)} ({self.protocol})"


@dataclass(slots=True)
class Seen:
    """What a frame was to its conversation."""

    flow: Flow
    number: int  # of the frame, from 1
    from_a: bool
    kind: SegmentKind | str  # "datagram" of UDP, "error" of ICMP
    reason: Reason = ""  # of a retransmission: what made it due, most likely
    original: int = 0  # of a retransmission: the frame that had this before; 0: none was seen
    seq: int = 0  # counted from the sender's first number
    ack: int = 0
    text_bytes: int = 0
    in_flight_bytes: int = 0  # of the sender, after this
    rtt_s: float | None = None  # that its acknowledgment measures, from here to its sender and back


class FlowTable:
    """All conversations that were seen."""

    def __init__(self, most: int = MOST_FLOWS) -> None:
        """`most`: flows that are kept."""
        self.left_out = 0  # flows that found no room
        self.frames = 0
        self._most = most
        self._flows: OrderedDict[tuple[object, ...], Flow] = OrderedDict()
        self._numbers = 0

    def __iter__(self) -> Iterator[Flow]:
        """Yield the flows, by their beginning."""
        return iter(sorted(self._flows.values(), key=lambda flow: flow.number))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._flows)

    def feed(
        self, at: float, data: bytes, link_type: int = ETHERNET, place: str = ""
    ) -> Seen | None:
        """Take a frame; return what it was; None: of no flow. Never raises."""
        self.frames += 1
        read = read_or_quote(data, link_type)
        if read is None:
            return None
        key = _key(read, place)
        flow = self._flows.get(key)
        if read.quotes:
            return None if flow is None else self._error(flow, read, at)
        if flow is None or _is_another(flow, read):
            flow = self._begin(key, read, at, place)
        self._flows.move_to_end(key)
        side = 0 if (read.src, read.src_port) == flow.own_a else 1
        flow.ended_at = at
        flow.frames[side] += 1
        flow.frame_bytes[side] += len(data)
        flow.text_bytes[side] += read.text_bytes
        seen = Seen(flow, self.frames, not side, "datagram", text_bytes=read.text_bytes)
        if read.transport == "tcp":
            _segment(flow, side, read, at, seen)
        flow.kinds[seen.kind] += 1
        if seen.reason:
            flow.reasons[seen.reason] += 1
        return seen

    def _begin(self, key: tuple[object, ...], read: Read, at: float, place: str) -> Flow:
        before = self._flows.pop(key, None)
        if before is not None:  # between the same ends: it is over, and stays in sight
            self._flows[*key, before.number] = before
        if len(self._flows) >= self._most:
            self._flows.popitem(last=False)
            self.left_out += 1
        self._numbers += 1
        a, b = read.ends
        own, other = (read.src, read.src_port), (read.dst, read.dst_port)
        if not is_by_opener(read.transport, read.flags, read.src_port, read.dst_port):
            a, b, own = b, a, other
        flow = Flow(self._numbers, read.transport, a, b, place, at, at)
        flow.own_a = own
        self._flows[key] = flow
        return flow

    def _error(self, flow: Flow, read: Read, at: float) -> Seen:
        if len(flow.errors) < _MOST_ERRORS:
            flow.errors.append((at, read.quotes))
        # It is about what was sent: it comes from the other side, or on its behalf.
        return Seen(flow, self.frames, read.ends[0] != flow.a, "error")


def _key(read: Read, place: str) -> tuple[object, ...]:
    one, other = (read.src, read.src_port), (read.dst, read.dst_port)
    return (place, read.transport, *((one, other) if one <= other else (other, one)))


def _is_another(flow: Flow, read: Read) -> bool:
    """Tell whether a SYN begins a new connection between the same ends."""
    if read.transport != "tcp" or read.flags & (tcp.SYN | tcp.ACK) != tcp.SYN:
        return False
    half = flow.halves[0 if (read.src, read.src_port) == flow.own_a else 1]
    return half.known and read.seq != half.isn % (1 << 32)


def _segment(flow: Flow, side: int, read: Read, at: float, seen: Seen) -> None:
    own, other = flow.halves[side], flow.halves[1 - side]
    flags = read.flags
    if not own.known:
        own.begin(read.seq)
        if not flags & tcp.SYN:
            own.isn -= 1  # so that its first byte is number 1, as after a handshake
    seq = unwrap(read.seq, own.nxt)
    if flags & tcp.SYN:
        _take_options(flow, side, read)
    has_ack = bool(flags & tcp.ACK)
    if has_ack and not other.known:
        other.begin(read.ack)
        other.isn -= 1
    ack = unwrap(read.ack, other.una) if has_ack else own.last_ack
    window = window_of(own, read)
    length = read.text_bytes + bool(flags & tcp.SYN) + bool(flags & tcp.FIN)
    old_una = other.una
    quiet = not length and not flags & tcp.RST
    same = ack == own.last_ack and window == own.window
    if has_ack:
        counts = quiet and same
        seen.rtt_s = other.acknowledged(ack, read, at, counts=counts)
    _measure(flow, seen.rtt_s)
    if flags & tcp.RST:
        seen.kind = "rst"
    elif length and not _is_probe(own, other, seq, read):
        seen.kind, seen.reason, seen.original = own.text(read, seq, seq + length, at, seen.number)
        if seen.original and flags & tcp.SYN and has_ack and _asked_again(flow.handshake):
            seen.kind, seen.reason = "retransmission", "syn"
        if seen.kind == "data" and flags & tcp.SYN:
            seen.kind = "syn-ack" if has_ack else "syn"
        elif seen.kind == "data" and not read.text_bytes:
            seen.kind = "fin"
    else:
        seen.kind = _bare(own, other, seq, read, ack, window, same=same, moved=ack > old_una)
    own.last_was_probe = seen.kind if seen.kind in ("window probe", "keep-alive") else ""
    _note_handshake(flow, side, read, at)
    _note_end(flow, side, flags)
    if has_ack:
        own.last_ack = max(own.last_ack, ack)
    own.window = window
    seen.seq, seen.ack = seq - own.isn, ack - other.isn if has_ack else 0
    seen.in_flight_bytes = own.in_flight


def _is_probe(own: Half, other: Half, seq: int, read: Read) -> bool:
    """Tell a segment whose one byte, if any, is there to ask for an answer."""
    if read.text_bytes > 1 or read.flags & (tcp.SYN | tcp.FIN | tcp.RST):
        return False
    if other.window == 0 and read.text_bytes == 1 and seq == own.nxt:
        return True
    return own.known and seq == own.nxt - 1 and own.nxt - 1 > own.isn and own.una >= own.nxt


def _bare(
    own: Half,
    other: Half,
    seq: int,
    read: Read,
    ack: int,
    window: int,
    *,
    same: bool,
    moved: bool,
) -> SegmentKind:
    """Return what a segment without text was."""
    if _is_probe(own, other, seq, read) or (other.window == 0 and seq < own.nxt):
        return "window probe" if other.window == 0 else "keep-alive"
    if moved or own.last_ack < 0:
        return "zero window" if window == 0 and own.window != 0 else "ack"
    if other.last_was_probe == "keep-alive" and same:
        return "keep-alive ack"
    if window == 0:
        return "zero window"
    if ack == own.last_ack and other.in_flight and same:
        return "dup ack"
    if ack == own.last_ack and window != own.window:
        return "window update"
    return "ack"


def _take_options(flow: Flow, side: int, read: Read) -> None:
    """Take what a SYN offers; it holds when the other's has it too."""
    handshake, options = flow.handshake, read.options
    own, other = flow.halves[side], flow.halves[1 - side]

    def put(pair: tuple[object, object], value: object) -> tuple[object, object]:
        return (value, pair[1]) if side == 0 else (pair[0], value)

    handshake.ecn = put(handshake.ecn, read.flags)  # type: ignore[assignment]
    if options is None:
        return
    handshake.mss = put(handshake.mss, options.mss)  # type: ignore[assignment]
    handshake.wscale = put(handshake.wscale, options.wscale)  # type: ignore[assignment]
    handshake.sack = put(handshake.sack, options.sack_permitted)  # type: ignore[assignment]
    has_clock = options.timestamps is not None
    handshake.timestamps = put(handshake.timestamps, has_clock)  # type: ignore[assignment]
    if None not in handshake.wscale:
        flow.halves[0].shift, flow.halves[1].shift = handshake.wscale  # type: ignore[assignment]
    own.sack_ok = other.sack_ok = all(handshake.sack)


def _note_handshake(flow: Flow, side: int, read: Read, at: float) -> None:
    handshake = flow.handshake
    if read.flags & tcp.SYN:
        if read.flags & tcp.ACK:
            handshake.syn_acks += 1
            handshake.syn_ack_at = at
        else:
            handshake.syns += 1
            handshake.syn_at = at
    elif side == 0 and handshake.syn_ack_at is not None and handshake.ack_at is None:
        handshake.ack_at = at
        client_s, server_s = handshake.client_side_s, handshake.server_side_s
        flow.halves[0].beyond_s = client_s or 0.0
        flow.halves[1].beyond_s = server_s or 0.0


def _note_end(flow: Flow, side: int, flags: int) -> None:
    if flags & (tcp.FIN | tcp.RST) and not flow.closed_by:
        flow.closed_by = "ab"[side]
        flow.closed_how = "rst" if flags & tcp.RST else "fin"


def _asked_again(handshake: Handshake) -> bool:
    """Tell whether the SYN has come again since it was answered."""
    asked_at, answered_at = handshake.syn_at, handshake.syn_ack_at
    return asked_at is not None and answered_at is not None and asked_at > answered_at


def _measure(flow: Flow, rtt_s: float | None) -> None:
    if rtt_s is not None:
        flow.rtts += 1
        flow.rtt_sum_s += rtt_s
        flow.rtt_min_s = rtt_s if flow.rtt_min_s is None else min(flow.rtt_min_s, rtt_s)
        flow.rtt_max_s = rtt_s if flow.rtt_max_s is None else max(flow.rtt_max_s, rtt_s)

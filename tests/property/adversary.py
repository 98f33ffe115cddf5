"""Two TCP engines, and a channel between them that does its worst: one seed, one run.

Segments are real bytes on the way, checksums included, so that a corrupted one is found as it would
be. The seed decides everything: what the two ends can do, what befalls their segments, what their
users do and when.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Final

from pystack.core.errors import WireError
from pystack.observe.captures.pcap import PcapWriter
from pystack.tcp.config import TcpConfig
from pystack.tcp.connection import Connection
from pystack.tcp.events import Signal
from pystack.tcp.output import reset_for
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import NEVER
from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.frame import Frame, split

START: Final = 1000.0
MACS: Final = (b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2")
ADDRESSES: Final = (0x0A000001, 0x0A000002)
PORTS: Final = (49152, 80)
MAX_STEPS: Final = 100_000  # of one run
PATIENCE_S: Final = 10_000.0  # of a user, when all others are long through
MAX_SEGMENTS_AT_ONCE: Final = 5000


@dataclass(slots=True, kw_only=True)
class Channel:
    """What may happen to a segment, as probabilities; until it heals."""

    delay_s: float = 0.02
    loss: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0  # and so reordered
    late_by_s: float = 0.05
    corrupt: float = 0.0
    mark: float = 0.0  # CE, where ECT is set
    dark: tuple[float, float] = (0.0, 0.0)  # nothing passes from ... to ..., seconds from START
    heals_at: float = 300.0


@dataclass(slots=True, kw_only=True)
class Plan:
    """What one user does: writes so much, reads with pauses, then goes."""

    size: int = 10_000
    chunk: int = 3000
    pause_s: float = 0.01  # between writes, at most
    read_chunk: int = 1 << 20
    read_pause_s: float = 0.0  # between reads, at most
    abort_at: float | None = None  # None: it closes when all is written
    release: bool = True  # False: half-close, read to the end, then go


@dataclass(slots=True)
class Setup:
    """All that a seed decides."""

    configs: tuple[TcpConfig, TcpConfig]
    channels: tuple[Channel, Channel]  # from the first to the second, and back
    plans: tuple[Plan, Plan]
    mss: int
    gso: tuple[int, int]
    iss: tuple[int, int]


def pattern(side: int, size: int) -> bytes:
    """Return what a side has to say."""
    block = bytes((at * 7 + at // 251 + side * 101) % 256 for at in range(4093))
    return (block * (size // len(block) + 1))[:size]


@dataclass(slots=True)
class End:
    """One engine and its user."""

    number: int
    conn: Connection
    plan: Plan
    to_write: memoryview
    got: bytearray = field(default_factory=bytearray)
    at_eof: bool = False
    gone: bool = False
    timer_at: float = NEVER
    reading: bool = False  # a read is on the heap


class World:
    """Both ends, the heap, and what is on the way."""

    def __init__(self, setup: Setup, seed: int, pcap: Path | None = None) -> None:
        self.setup = setup
        self.rng = Random(f"channel {seed}")
        self.now = START
        self.steps = 0
        self.drops: dict[str, int] = {}
        self.texts = [pattern(number, setup.plans[number].size) for number in (0, 1)]
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._capture = None if pcap is None else PcapWriter(pcap.open("wb"))
        self.ends = [self._end(number) for number in (0, 1)]
        for end in self.ends:
            self.at(START + PATIENCE_S, lambda end=end: self._go(end))
        client = self.ends[0]
        client.conn.open_active(self.now)
        self.pump(client)

    def run(self) -> None:
        """Go on until nothing is left to do."""
        while self._heap:
            self.now, _, act = heappop(self._heap)
            self.steps += 1
            assert self.steps < MAX_STEPS, "it never ends"
            act()
        if self._capture is not None:
            self._capture.close()

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Do it then."""
        self._serial += 1
        heappush(self._heap, (max(when, self.now), self._serial, act))

    def pump(self, end: End) -> None:
        """As the table's pump: send, tell, arm."""
        conn = end.conn
        sent = 0
        while (segment := conn.poll_transmit(self.now)) is not None:
            segment.in_one_piece()
            sent += 1
            assert sent < MAX_SEGMENTS_AT_ONCE, "it never stops sending"
            self._send(end, segment)
        for reason in conn.drops:
            self.drops[reason] = self.drops.get(reason, 0) + 1
        conn.drops.clear()
        while (event := conn.next_event()) is not None:
            if isinstance(event, Signal):
                self._signal(end, event)
        wanted_at = conn.next_timeout()
        if wanted_at < end.timer_at:
            end.timer_at = wanted_at
            self.at(wanted_at, lambda: self._timeout(end))

    # the channel

    def _send(self, end: End, segment: tcp.Segment) -> None:
        src, dst = ADDRESSES[end.number], ADDRESSES[1 - end.number]
        header = tcp.pack_header(segment, src, dst)
        payload = header + bytes(segment.payload)
        packet = ipv4.pack_header(src, dst, ipv4.TCP, len(payload), tos=segment.ecn) + payload
        data = ethernet.pack(MACS[1 - end.number], MACS[end.number], ethernet.IPV4, packet)
        for frame in split(Frame(data, gso_bytes=segment.gso_bytes)):
            if self._capture is not None:
                self._capture.write(frame, self.now)
            self._carry(end, frame.data)

    def _carry(self, end: End, data: bytes) -> None:
        channel, rng = self.setup.channels[end.number], self.rng
        other = self.ends[1 - end.number]
        since = self.now - START
        if since >= channel.heals_at:
            self.at(self.now + channel.delay_s, lambda: self._arrive(other, data))
            return
        if channel.dark[0] <= since < channel.dark[1] or rng.random() < channel.loss:
            return
        for _ in range(2 if rng.random() < channel.duplicate else 1):
            delay_s = channel.delay_s
            if rng.random() < channel.late:
                delay_s += channel.late_by_s * rng.random()
            changed = data
            if rng.random() < channel.corrupt:
                spoiled = bytearray(data)
                spoiled[rng.randrange(14, len(data))] ^= 1 << rng.randrange(8)
                changed = bytes(spoiled)
            elif data[15] & 3 and rng.random() < channel.mark:
                changed = _marked(data)
            self.at(self.now + delay_s, lambda changed=changed: self._arrive(other, changed))

    def _arrive(self, end: End, data: bytes) -> None:
        try:
            packet = ipv4.parse(memoryview(data)[14:])
            if (packet.src, packet.dst) != (ADDRESSES[1 - end.number], ADDRESSES[end.number]):
                return
            segment = tcp.parse(packet)
        except WireError:
            return
        conn = end.conn
        if (segment.src_port, segment.dst_port) != (PORTS[1 - end.number], PORTS[end.number]):
            return
        if conn.state is TcpState.CLOSED:
            fresh = end.number == 1 and conn.segments_received == 0
            if fresh and segment.flags & (tcp.SYN | tcp.ACK | tcp.RST) == tcp.SYN:
                conn.open_passive(segment, self.now)
            elif not segment.flags & tcp.RST:
                self._send(end, reset_for(segment))
                return
        else:
            conn.segment_arrived(segment, self.now)
        self.pump(end)

    # time and users

    def _timeout(self, end: End) -> None:
        if self.now < end.timer_at:
            return  # an earlier one was asked for since
        end.timer_at = NEVER
        if end.conn.next_timeout() <= self.now:
            end.conn.timeout(self.now)
        self.pump(end)

    def _signal(self, end: End, signal: Signal) -> None:
        if signal is Signal.ESTABLISHED:
            self.at(self.now, lambda: self._write(end))
            if end.plan.abort_at is not None:
                self.at(self.now + end.plan.abort_at, lambda: self._abort(end))
        elif signal is Signal.WRITABLE:
            self.at(self.now, lambda: self._write(end))
        if signal in (Signal.READABLE, Signal.CLOSED) and not end.reading:
            end.reading = True
            pause_s = end.plan.read_pause_s * self.rng.random()
            self.at(self.now + pause_s, lambda: self._read(end))

    def _write(self, end: End) -> None:
        conn, plan = end.conn, end.plan
        if end.gone or conn.state is TcpState.CLOSED:
            return
        if not end.to_write:
            if conn.tcb.fin_seq is None:
                end.gone = plan.release and end.at_eof
                (conn.release if end.gone else conn.close)(self.now)
                self.pump(end)
            return
        taken = conn.write(end.to_write[: self.rng.randint(1, plan.chunk)], self.now)
        end.to_write = end.to_write[taken:]
        self.pump(end)
        if not conn.write_blocked:
            self.at(self.now + plan.pause_s * self.rng.random(), lambda: self._write(end))

    def _read(self, end: End) -> None:
        end.reading = False
        if end.gone:
            return
        conn = end.conn
        while data := conn.read(self.rng.randint(1, end.plan.read_chunk), self.now):
            end.got += data
            self.pump(end)
            if end.plan.read_pause_s:
                break
        if conn.receive_buffer.readable_bytes:
            end.reading = True
            pause_s = end.plan.read_pause_s * self.rng.random()
            self.at(self.now + pause_s, lambda: self._read(end))
        elif conn.at_eof and not end.at_eof:
            end.at_eof = True
            if not end.to_write and conn.state is not TcpState.CLOSED:
                end.gone = True
                conn.release(self.now)
                self.pump(end)

    def _abort(self, end: End) -> None:
        if not end.gone:
            end.gone = True
            end.conn.abort(self.now)
            end.conn.released = True
            self.pump(end)

    def _go(self, end: End) -> None:
        """A user whose peer has vanished goes in the end."""
        if not end.gone and end.conn.state is not TcpState.CLOSED:
            end.gone = True
            end.conn.release(self.now)
            self.pump(end)

    def _end(self, number: int) -> End:
        setup = self.setup
        conn = Connection(
            setup.configs[number],
            PORTS[number],
            PORTS[1 - number],
            iss=setup.iss[number],
            mtu_mss=setup.mss,
            gso_max_bytes=setup.gso[number],
            ts_offset=setup.iss[1 - number],  # just before it wraps, too
        )
        plan = setup.plans[number]
        return End(number, conn, plan, memoryview(self.texts[number]))


def _marked(data: bytes) -> bytes:
    """Return the frame with CE, and the checksum that goes with it."""
    header = bytearray(data[14:34])
    header[1] |= 3
    packet = ipv4.parse(memoryview(data)[14:])
    fresh = ipv4.pack_header(packet.src, packet.dst, ipv4.TCP, len(packet.payload), tos=header[1])
    return data[:14] + fresh + bytes(packet.payload)

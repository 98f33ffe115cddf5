"""A driver for one `Connection`, in packetdrill's notation.

    tcp.connect()
    tcp.expect("+0 > S 0:0(0) <mss 1460,wscale 5>")
    tcp.inject("+0.01 < S. 0:0(0) ack 1 win 1000 <mss 1460>")

The first word is the time since the line before, in seconds. Then come the direction, the ECN bits
of the IP header ([ect0], [ce]), the flags (S F R P E W A . and - for none), first:last(bytes), and
what else is to be said. Numbers count from the initial sequence number of their side; these stand
just below 2**32, so that every test wraps. So do timestamps, in milliseconds: ours are 1000 at the
start. What a line does not name is not looked at, but every segment that is sent must be expected.
"""

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from pystack.core.tcp_events import TcpRetransmitted, TcpSoftError, TcpStateChanged
from pystack.tcp.config import TcpConfig
from pystack.tcp.connection import Connection
from pystack.tcp.events import Signal
from pystack.tcp.seq import MASK
from pystack.tcp.shared import Shared
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import NEVER
from pystack.wire import ecn, tcp, tcp_options
from pystack.wire.checksum import Buffer

ISS: Final = 2**32 - 100
PEER_ISS: Final = 2**32 - 50
START: Final = 1000.0  # literal, and exact in a float
TS_BASE: Final = 2**32 - 1150  # 0 of our clock: it shows 1000 at the start, and wraps 150 ms later
PEER_TS_BASE: Final = 2**32 - 50
LOCAL_PORT: Final = 49152
REMOTE_PORT: Final = 80

_FLAGS: Final = {
    "F": tcp.FIN,
    "S": tcp.SYN,
    "R": tcp.RST,
    "P": tcp.PSH,
    "E": tcp.ECE,
    "W": tcp.CWR,
    "U": tcp.URG,
    "A": tcp.AE,
    ".": tcp.ACK,
}
_MARKS: Final = {"noecn": ecn.NOT_ECT, "ect1": ecn.ECT_1, "ect0": ecn.ECT_0, "ce": ecn.CE}
_LINE: Final = re.compile(
    r"\+(?P<after>[0-9.]+) +(?P<way>[<>])(?: +\[(?P<mark>[a-z01]+)\])? +(?P<flags>[FSRPEWUA.]+|-)"
    r" +(?P<seq>\d+):(?P<end>\d+)\((?P<size>\d+)\)(?: +ack +(?P<ack>\d+))?(?: +win +(?P<win>\d+))?"
    r"(?: +urg +(?P<urg>\d+))?"
    r"(?: +<(?P<options>[A-Za-z0-9: ,]*)>)?(?: +(?P<gso>gso) +(?P<piece>\d+))?"
)


def pattern(seq: int, size: int) -> bytes:
    """Return the bytes that stand at `seq` (relative) of either direction in every test."""
    return bytes(at * 7 % 251 for at in range(seq, seq + size))


@dataclass(slots=True)
class Line:
    """One line of a script, taken apart."""

    after_s: float
    outgoing: bool
    flags: int
    seq: int
    size: int
    ack: int | None  # None: not named
    win: int | None
    options: str | None
    gso_bytes: int
    mark: int | None
    up: int


def parse(text: str) -> Line:
    """Read a line."""
    found = _LINE.fullmatch(text.strip())
    assert found is not None, f"not a line of a script: {text!r}"
    seq, size = int(found["seq"]), int(found["size"])
    assert int(found["end"]) == seq + size, f"{text!r}: {seq} + {size} is not {found['end']}"
    flags = 0
    for letter in found["flags"].replace("-", ""):
        flags |= _FLAGS[letter]
    return Line(
        float(found["after"]),
        found["way"] == ">",
        flags,
        seq,
        size,
        None if found["ack"] is None else int(found["ack"]),
        None if found["win"] is None else int(found["win"]),
        found["options"],
        int(found["piece"] or 0),
        None if found["mark"] is None else _MARKS[found["mark"]],
        int(found["urg"] or 0),
    )


class Wire:
    """What turns the numbers of a script, which count from 0, into those of the wire, and back."""

    def __init__(self, ack_iss: int, val_base: int, ecr_base: int) -> None:
        self.ack_iss = ack_iss
        self.val_base = val_base
        self.ecr_base = ecr_base

    def pack(self, text: str) -> bytes:
        """Return "mss 1460,sackOK,TS val 1000 ecr 0,wscale 7" or "sack 1:2 5:9" as bytes.

        A timestamp of 0 is 0 on the wire too.
        """
        options = tcp_options.TcpOptions()
        for word in filter(None, (part.strip() for part in text.split(","))):
            name, _, rest = word.partition(" ")
            if name == "sackOK":
                options.sack_permitted = True
            elif name == "TS":
                _, val, _, ecr = rest.split(" ")
                options.timestamps = (
                    int(val) and (int(val) + self.val_base) & MASK,
                    int(ecr) and (int(ecr) + self.ecr_base) & MASK,
                )
            elif name == "sack":
                options.sack_blocks = tuple(
                    tuple((int(edge) + self.ack_iss) & MASK for edge in block.split(":"))
                    for block in rest.split(" ")
                )
            elif name == "ECN":
                words = rest.split(" ")
                counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
                options.accurate_ecn = tcp_options.AccurateEcn(**counts)
            else:
                assert name in ("mss", "wscale"), f"unknown option {word!r}"
                setattr(options, name, int(rest))
        return tcp_options.pack(options)

    def show(self, data: Buffer) -> str:
        """Return options in the words of a script."""
        options = tcp_options.parse(data)
        if options.timestamps is not None:
            val, ecr = options.timestamps
            options.timestamps = (
                val and (val - self.val_base) & MASK,
                ecr and (ecr - self.ecr_base) & MASK,
            )
        blocks, options.sack_blocks = options.sack_blocks, ()
        words = [options.describe()] if options.describe() else []
        if blocks:
            edges = [tuple((edge - self.ack_iss) & MASK for edge in block) for block in blocks]
            words.append("sack " + " ".join(f"{left}:{right}" for left, right in edges))
        return ", ".join(words)


class Script:
    """One connection, its time, and what it has sent and not been asked for yet."""

    def __init__(
        self,
        config: TcpConfig | None = None,
        *,
        mtu_mss: int = 1460,
        gso_max_bytes: int = 0,
        iss: int = ISS,
        peer_iss: int = PEER_ISS,
    ) -> None:
        # Without options unless a test is about them: their text would be in every line.
        self.config = config or TcpConfig(
            congestion="newreno",
            timestamps=False,
            sack=False,
            quick_acks=0,
            receive_buffer_bytes=1 << 20,
        )
        self.now = START
        self.sent: deque[tuple[float, tcp.Segment]] = deque()
        self.signals: list[Signal] = []
        self.transitions: list[tuple[TcpState, TcpState]] = []
        self.drops: list[str] = []
        self.errors: list[int] = []  # soft ones, as errno
        self.sent_again: list[str] = []  # why
        self.peer_iss = peer_iss
        self.written = 0
        self.conn = Connection(
            self.config,
            LOCAL_PORT,
            REMOTE_PORT,
            iss=iss,
            mtu_mss=mtu_mss,
            gso_max_bytes=gso_max_bytes,
            ts_offset=TS_BASE - int(START * 1000) + 1000 & MASK,
            shared=Shared(watchers=("the script",)),
        )
        self.outgoing = Wire(peer_iss, TS_BASE, PEER_TS_BASE)
        self.incoming = Wire(iss, PEER_TS_BASE, TS_BASE)

    @property
    def state(self) -> TcpState:
        """Return the connection's state."""
        return self.conn.state

    # the user

    def connect(self) -> None:
        """Open actively."""
        self.conn.open_active(self.now)
        self.pump()

    def listen(self, text: str) -> None:
        """Be what a listener makes of the SYN in the line."""
        self.conn.open_passive(self.incoming_segment(text), self.now)
        self.pump()

    def write(self, size: int) -> int:
        """Write the next bytes of the pattern; return how many were taken."""
        data = memoryview(pattern(1 + self.written, size))
        taken = self.conn.write(data, self.now)
        self.written += taken
        self.pump()
        return taken

    def write_urgent(self, size: int) -> int:
        """Write the next bytes of the pattern as urgent ones."""
        data = memoryview(pattern(1 + self.written, size))
        taken = self.conn.write(data, self.now, urgent=True)
        self.written += taken
        self.pump()
        return taken

    def read(self, max_bytes: int = 1 << 30) -> bytes:
        """Read what there is."""
        data = self.conn.read(max_bytes, self.now)
        self.pump()
        return data

    def close(self) -> None:
        """Close our direction."""
        self.conn.close(self.now)
        self.pump()

    def release(self) -> None:
        """Go away."""
        self.conn.release(self.now)
        self.pump()

    def abort(self) -> None:
        """Reset."""
        self.conn.abort(self.now)
        self.pump()

    # the network and time

    def inject(self, text: str) -> None:
        """Let time pass, during which nothing is sent, and let the line's segment arrive."""
        line = parse(text)
        assert not line.outgoing, f"{text!r} is not incoming"
        self.nothing_left(f"before {text!r}")
        self.advance(f"+{line.after_s}")
        self.nothing_left(f"before {text!r}")
        self.conn.segment_arrived(self.incoming_segment(text), self.now)
        self.pump()

    def batch(self, *texts: str) -> None:
        """Let several segments arrive at one instant, and pump once."""
        for text in texts:
            self.conn.segment_arrived(self.incoming_segment(text), self.now)
        self.pump()

    def expect(self, text: str) -> tcp.Segment:
        """Let time pass until something is sent; hold it against the line."""
        line = parse(text)
        assert line.outgoing, f"{text!r} is not outgoing"
        until = self.now + line.after_s
        while not self.sent and self.conn.next_timeout() <= until + 1e-9:
            self._next_timeout()
        assert self.sent, f"nothing was sent up to {self.now - START:+.6f}; expected {text!r}"
        at, segment = self.sent.popleft()
        self.now = max(self.now, at)
        shown = self.show(at, segment)
        assert abs(at - until) < 1e-6, f"{shown}: {at - until:+.6f} s off; expected {text!r}"
        self._compare(line, segment, f"{shown}\n  expected {text!r}")
        return segment

    def expect_nothing(self, span: str = "+0") -> None:
        """Let time pass, in which nothing is sent."""
        self.nothing_left("before")
        self.advance(span)
        self.nothing_left(f"within {span}")

    def advance(self, span: str) -> None:
        """Let time pass: each timer fires at its own instant."""
        until = self.now + float(span)
        while self.conn.next_timeout() <= until + 1e-9:
            self._next_timeout()
        self.now = until

    def nothing_left(self, when: str = "at the end") -> None:
        """Fail where something was sent that nobody has expected."""
        left = "\n  ".join(self.show(at, segment) for at, segment in self.sent)
        assert not left, f"sent {when}, and not expected:\n  {left}"

    def drain(self) -> list[tcp.Segment]:
        """Return everything sent that was not looked at."""
        segments = [segment for _, segment in self.sent]
        self.sent.clear()
        return segments

    def established(self, *, win: int = 65535, options: str = "mss 1460", rtt: str = "0.1") -> None:
        """Go through an active open to ESTABLISHED; the peer's numbers are 1 from here on."""
        self.connect()
        self.expect("+0 > S 0:0(0)")
        self.inject(f"+{rtt} < S. 0:0(0) ack 1 win {win} <{options}>")
        self.expect("+0 > . 1:1(0) ack 1")
        assert self.state is TcpState.ESTABLISHED

    def pump(self) -> None:
        """Send and tell, as the table's pump does."""
        conn = self.conn
        while (segment := conn.poll_transmit(self.now)) is not None:
            self.sent.append((self.now, segment))
        while (event := conn.next_event()) is not None:
            if isinstance(event, Signal):
                self.signals.append(event)
            elif isinstance(event, TcpStateChanged):
                self.transitions.append((TcpState(event.old), TcpState(event.new)))
            elif isinstance(event, TcpSoftError):
                self.errors.append(event.number)
            elif isinstance(event, TcpRetransmitted):
                self.sent_again.append(event.reason)
        self.drops += conn.drops
        conn.drops.clear()
        if conn.state is TcpState.CLOSED:
            assert conn.next_timeout() == NEVER, "a timer was left in CLOSED"
            assert len(conn.send_buffer) == 0, "data was left to send in CLOSED"

    def incoming_segment(self, text: str) -> tcp.Segment:
        """Return the segment of a line."""
        line = parse(text)
        return tcp.Segment(
            REMOTE_PORT,
            LOCAL_PORT,
            (self.peer_iss + line.seq) & MASK,
            0 if line.ack is None else (self.conn.tcb.iss + line.ack) & MASK,
            line.flags,
            line.win or 0,
            self.incoming.pack(line.options or ""),
            memoryview(pattern(line.seq, line.size)),
            up=line.up,
            ecn=line.mark or 0,
        )

    def show(self, at: float, segment: tcp.Segment) -> str:
        """Return a segment as a line."""
        letters = "".join(letter for letter, bit in _FLAGS.items() if segment.flags & bit) or "-"
        seq = (segment.seq - self.conn.tcb.iss) & MASK
        size = len(segment.payload)
        text = f"{at - START:+.6f} > {letters} {seq}:{seq + size}({size})"
        if segment.flags & tcp.ACK:
            text += f" ack {(segment.ack - self.peer_iss) & MASK}"
        text += f" win {segment.wnd}"
        if segment.options:
            text += f" <{self.outgoing.show(segment.options)}>"
        return text + (f" gso {segment.gso_bytes}" if segment.gso_bytes else "")

    def _next_timeout(self) -> None:
        self.now = max(self.now, self.conn.next_timeout())
        self.conn.timeout(self.now)
        self.pump()

    def _compare(self, line: Line, segment: tcp.Segment, message: str) -> None:
        seq = (segment.seq - self.conn.tcb.iss) & MASK
        assert segment.flags == line.flags, f"flags differ: {message}"
        assert (seq, len(segment.payload)) == (line.seq, line.size), f"text differs: {message}"
        if line.ack is not None:
            assert segment.flags & tcp.ACK, f"no ACK: {message}"
            assert (segment.ack - self.peer_iss) & MASK == line.ack, f"ack differs: {message}"
        if line.win is not None:
            assert segment.wnd == line.win, f"window differs: {message}"
        if line.options is not None:
            assert bytes(segment.options) == self.outgoing.pack(line.options), f"options: {message}"
        if line.mark is not None:
            assert segment.ecn == line.mark, f"{segment.ecn:02b} in the IP header: {message}"
        assert segment.gso_bytes == line.gso_bytes, f"pieces differ: {message}"
        if segment.payload:
            assert bytes(segment.payload) == pattern(seq, line.size), f"bytes differ: {message}"

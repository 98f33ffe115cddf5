"""Who has text, and a peer that takes it, goes on: every rule that says "wait" has its waker.

A sender goes through whatever makes it wait: windows of a few bytes, losses, ICMP's claims, sizes
that are raised again, corks, Nagle, pacing, silence. At any time, where there is text and room for
it and nothing is on the way, a timer runs. And from any state on, a peer that takes and
acknowledges all gets everything, and soon.
"""

from dataclasses import dataclass
from itertools import chain

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pystack.tcp import path_mtu
from pystack.tcp.config import TcpConfig
from pystack.tcp.connection import Connection
from pystack.tcp.states import MAY_SEND
from pystack.tcp.tcb import NEVER, Timer
from pystack.wire.tcp import ACK, FIN, SYN, Segment
from pystack.wire.tcp_options import TcpOptions, pack

MASK = 0xFFFFFFFF
ISS, PEER_ISS = 2**32 - 100, 2**32 - 50
MTU_MSS = 1460
WAKERS = (Timer.RETRANSMIT, Timer.PERSIST, Timer.LOSS, Timer.PACING, Timer.CORK)
SOON_S = 130.0  # two time-outs of the longest kind


@dataclass(slots=True)
class Bench:
    """A sender, and a peer that does as it is told."""

    conn: Connection
    shift: int
    now: float = 1000.0
    written: int = 0
    peer_nxt: int = ISS + 1  # up to here the peer has all
    losing: bool = False  # what is sent

    def __post_init__(self) -> None:
        self.conn.open_active(self.now)
        assert self.conn.poll_transmit(self.now) is not None
        self.now += 0.01
        options = pack(TcpOptions(mss=MTU_MSS, wscale=self.shift, sack_permitted=True))
        syn_ack = Segment(80, 4000, PEER_ISS, ISS + 1 & MASK, SYN | ACK, 65535, options)
        self.conn.segment_arrived(syn_ack, self.now)
        self.take()

    def take(self) -> None:
        """Send what is due; the peer gets it, in order, unless it is lost or beyond its window."""
        conn = self.conn
        while (segment := conn.poll_transmit(self.now)) is not None:
            size = segment.text_bytes + bool(segment.flags & FIN)
            if not self.losing and segment.seq <= self.peer_nxt < segment.seq + size:
                self.peer_nxt = segment.seq + size
        conn.events.clear()
        conn.drops.clear()
        self.look()

    def acknowledge(self, window: int) -> None:
        """Let the peer acknowledge what it has."""
        if self.conn.state.value in ("CLOSED", "TIME-WAIT"):
            return
        ack = Segment(
            80, 4000, PEER_ISS + 1 & MASK, self.peer_nxt & MASK, ACK, window >> self.shift, b""
        )
        self.conn.segment_arrived(ack, self.now)

    def wait(self, span_s: float) -> None:
        """Let time pass, each timer at its instant."""
        until = self.now + span_s
        while self.conn.next_timeout() <= until:
            self.now = max(self.now, self.conn.next_timeout())
            self.conn.timeout(self.now)
            self.take()
        self.now = until

    def look(self) -> None:
        """Something is due where there is text, room for it, and nothing on the way."""
        conn, tcb = self.conn, self.conn.tcb
        if conn.state not in MAY_SEND or tcb.snd_nxt > tcb.snd_una:
            return
        fin_waits = tcb.fin_seq is not None and tcb.snd_nxt <= tcb.fin_seq
        if conn.send_buffer.end > tcb.snd_nxt or fin_waits:
            assert min(tcb.timers[waker] for waker in WAKERS) < NEVER

    def run_to_the_end(self) -> None:
        """Be a good peer from here on."""
        until = self.now + SOON_S
        conn, window = self.conn, 65535 << self.shift
        while self.now < until and conn.send_buffer.end > self.peer_nxt:
            self.acknowledge(window)
            self.take()
            if conn.send_buffer.end <= self.peer_nxt or conn.next_timeout() == NEVER:
                break
            self.wait(min(max(conn.next_timeout() - self.now, 0.001), 0.01))
        assert conn.state.value == "CLOSED" or self.peer_nxt >= conn.send_buffer.end


STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from([1, 100, 548, 1000, 1460, 5000, 40_000])),
    st.tuples(st.just("acknowledge"), st.sampled_from([0, 1, 100, 700, 1459, 1460, 3000, 1 << 20])),
    st.tuples(st.just("lose"), st.sampled_from([0.0, 0.3, 2.0, 20.0])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.05, 0.25, 1.0, 599.0, 601.0])),
    st.tuples(st.just("too_big"), st.sampled_from([68, 296, 552, 588, 1000, 1400])),
    st.tuples(st.just("cork"), st.sampled_from([0, 1])),
    st.tuples(st.just("no_delay"), st.sampled_from([0, 1])),
    st.tuples(st.just("close"), st.just(0)),
    st.just(("lost", 0)),
)


# A time-out leaves a window of one segment, which what was written does not make use of.
LOST = [("lose", 0.0), ("write", 100), ("lose", 2.0), ("wait", 2.0), ("acknowledge", 65535)]


def go(bench: Bench, steps: list[tuple[str, float]]) -> None:
    conn = bench.conn
    for what, value in chain.from_iterable(LOST if step[0] == "lost" else [step] for step in steps):
        if conn.state not in MAY_SEND:
            break
        match what:
            case "write" if conn.tcb.fin_seq is None:
                conn.write(memoryview(bytes(int(value))), bench.now)
            case "acknowledge":
                bench.acknowledge(int(value))
            case "too_big":
                claim = int(value) - conn.tcb.sizes.headers_bytes - conn.tcb.options_bytes
                path_mtu.too_big(conn, conn.tcb.snd_una, claim, bench.now)
            case "cork":
                conn.cork(corked=bool(value))
            case "no_delay":
                conn.tcb.no_delay = bool(value)
            case "close":
                conn.close(bench.now)
            case "lose":
                bench.losing = True
                bench.wait(value)
            case "wait":
                bench.losing = False
                bench.wait(value)
        bench.take()
    bench.losing = False
    bench.run_to_the_end()


@given(
    st.sampled_from(["cubic", "newreno", "dctcp", "bbr", "fixed:1"]),
    st.booleans(),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([0, 4]),
    st.sampled_from([None, 548]),
    st.lists(STEPS, max_size=12),
)
@example("cubic", False, 0, 0, 548, [*LOST, ("wait", 601.0), ("write", 5000)])
@example("newreno", False, 1, 0, None, [("too_big", 588), *LOST, ("wait", 601.0), ("write", 5000)])
@settings(deadline=None, max_examples=300)
def test_text_that_may_go_goes(
    control: str,
    pacing: bool,
    mtu_probing: int,
    shift: int,
    path_mss: int | None,
    steps: list[tuple[str, float]],
) -> None:
    config = TcpConfig(congestion=control, pacing=pacing, mtu_probing=mtu_probing, timestamps=False)
    conn = Connection(config, 4000, 80, iss=ISS, mtu_mss=MTU_MSS, path_mss=path_mss)
    go(Bench(conn, shift), steps)

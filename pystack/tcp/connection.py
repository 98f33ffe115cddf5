"""Connection: one end of a TCP connection, sans-IO and clock-free. It delegates, decides nothing.

Five methods for whoever carries the segments::

    segment_arrived(seg, now)    a segment came in
    poll_transmit(now)           what is to be sent now, segment by segment, until None; the text
                                 of one that a port is to cut may go on in `segment.more`
    next_timeout()               when `timeout` is wanted
    timeout(now)                 that time has come
    next_event()                 what the owner should know, event by event, until None

and the user's calls of RFC 9293 section 3.10: `open_active`, `write`, `read`, `close`, `abort`,
and `release` for a user who goes away. After each of these the owner calls `poll_transmit` and the
rest: the pump, in `pystack.stack.tcp_table`.
"""

from dataclasses import replace
from typing import Any

from pystack.core.errors import ConfigError
from pystack.core.tcp_events import TcpStateChanged
from pystack.tcp import arrives, calls, handshake, live, output, timers
from pystack.tcp.config import TcpConfig
from pystack.tcp.congestion.base import CongestionControl
from pystack.tcp.congestion.guarded import ControlError, Guarded
from pystack.tcp.congestion.registry import unopened_control
from pystack.tcp.events import Event, Signal
from pystack.tcp.fast_open import FastOpen
from pystack.tcp.info import TcpInfo, snapshot
from pystack.tcp.pacing import Pacer
from pystack.tcp.rate import RateEstimator
from pystack.tcp.receive_buffer import ReceiveBuffer
from pystack.tcp.recovery.base import UNOPENED, LossRecovery
from pystack.tcp.recovery.prr import Prr
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.send_buffer import SendBuffer
from pystack.tcp.seq import HALF, MASK
from pystack.tcp.shared import Shared
from pystack.tcp.states import LEGAL, TcpState
from pystack.tcp.tcb import SIZES4, IpSizes, Tcb
from pystack.wire.tcp import Segment
from pystack.wire.tcp_options import FastOpenCookie


class Connection:
    """One end of a connection: the Tcb, the buffers, and the plug-ins that serve it."""

    __slots__ = (
        "bytes_acked",
        "bytes_received",
        "bytes_retransmitted",
        "bytes_sent",
        "ce_received",
        "config",
        "congestion",
        "deferred",
        "drops",
        "dsacks_sent",
        "ece_received",
        "error",
        "established_at",
        "events",
        "fast_open",
        "fast_open_reply",
        "fast_opened",
        "gso_max_bytes",
        "held_ack",
        "is_deaf",
        "local_port",
        "losses",
        "mute",
        "outbox",
        "pacer",
        "passive",
        "prr",
        "rates",
        "receive_buffer",
        "recovery",
        "released",
        "remote_port",
        "retransmits",
        "rtt",
        "segments_received",
        "segments_sent",
        "send_buffer",
        "shared",
        "shown_cwnd_bytes",
        "soft_error",
        "state",
        "syn_data_acked",
        "syn_data_taken",
        "tcb",
        "undos",
        "write_blocked",
    )

    def __init__(
        self,
        config: TcpConfig,
        local_port: int,
        remote_port: int,
        *,
        iss: int,
        mtu_mss: int,
        gso_max_bytes: int = 0,
        ts_offset: int = 0,
        shared: Shared | None = None,
        path_mss: int | None = None,
        sizes: IpSizes = SIZES4,
    ) -> None:
        """`mtu_mss`: largest payload for the link's MTU; `gso_max_bytes`: what the port can cut.

        `ts_offset` sets the clock of the timestamps option off from the world's; `shared` is what
        the host's connections have in common; `path_mss` what they know of the path's MTU.
        """
        if mtu_mss < 1:
            raise ConfigError(f"an MSS of {mtu_mss} bytes leaves no room for data")
        self.config = config
        self.shared = Shared() if shared is None else shared
        self.local_port, self.remote_port = local_port, remote_port
        self.gso_max_bytes = gso_max_bytes
        self.state = TcpState.CLOSED
        self.passive = self.deferred = False  # opened by a listener; which waits for its text
        # The user has gone and nobody waits; sends and reads no more; sent no more before it opened
        self.released = self.is_deaf = self.mute = False
        self.error: int | None = None  # errno of what ended it; None: nothing did, or a good end
        self.soft_error: int | None = None  # errno of the last one; None: none since the last ACK
        self.tcb = Tcb(iss, mtu_mss, ts_offset, sizes)
        self.tcb.no_delay = config.no_delay
        self.tcb.rcv_buf_max_bytes = config.receive_limit_bytes
        self.tcb.rcv_buf_bytes = min(config.receive_buffer_bytes, self.tcb.rcv_buf_max_bytes)
        self.tcb.path_mss = path_mss
        self.rtt = RttEstimator(probe_slack_s=config.probe_slack_s, max_rto_s=config.max_rto_s)
        self.send_buffer = SendBuffer(iss + 1)
        self.receive_buffer = ReceiveBuffer()
        # Both are made when the handshake has settled the segment size.
        self.congestion: CongestionControl = unopened_control(config.congestion, mtu_mss)
        self.recovery: LossRecovery = UNOPENED
        self.rates: RateEstimator | None = None  # None: the control asks for no rates
        self.pacer: Pacer | None = None  # None: as fast as the window lets
        self.prr: Prr | None = None  # None: not in a fast recovery that it governs
        self.events: list[Event] = []
        self.held_ack: Segment | None = None  # not worked off yet: `arrives.py`; None: none
        self.outbox: list[Segment] = []  # resets and challenge ACKs, bounded by what came in
        self.drops: list[str] = []  # reasons why segments were not taken; read by the owner
        self.write_blocked = False  # the user waits for room
        self.established_at: float | None = None  # None: not yet
        self.segments_sent = self.segments_received = self.retransmits = 0
        self.bytes_sent = self.bytes_acked = self.bytes_received = 0
        self.shown_cwnd_bytes = 0  # what watchers know
        self.bytes_retransmitted = self.losses = self.undos = self.dsacks_sent = 0
        self.ce_received = self.ece_received = 0
        self.fast_open: FastOpen | None = None  # an active open's; None: it does without
        self.fast_open_reply: FastOpenCookie | None = None  # in our SYN-ACK; None: nothing
        # By the peer's SYN, before the ACK; with text of it; with text of our SYN
        self.fast_opened = self.syn_data_taken = self.syn_data_acked = False

    # what carries the segments

    def segment_arrived(self, seg: Segment, now: float) -> None:
        """Take a segment that is for this connection; its checksum has been verified."""
        self.segments_received += 1 + len(seg.more)
        tcb = self.tcb
        tcb.heard_at = now
        # `unwrap`, written out twice: HOT
        near = tcb.rcv_nxt
        seg.seq = near + ((seg.seq - near + HALF) & MASK) - HALF
        near = tcb.snd_nxt
        seg.ack = near + ((seg.ack - near + HALF) & MASK) - HALF
        if seg.options:
            arrives.take_options(tcb, seg)
        if self.state is TcpState.SYN_SENT:
            seg.seq &= MASK  # nothing is known of the peer's numbers yet
            handshake.segment_arrived(self, seg, now)
        elif self.state is not TcpState.CLOSED:
            arrives.segment_arrived(self, seg, now)
        else:
            self.drops.append("tcp_after_end")  # later in the batch that ended it

    # `poll_transmit(now)`: the next segment to send now; None when there is nothing (more). HOT:
    # the function itself, which takes the connection first, as a method does.
    poll_transmit = output.next_segment

    def next_timeout(self) -> float:
        """Return the instant at which `timeout` is wanted; infinity for never."""
        return min(self.tcb.timers)

    def upkeep(self) -> str:
        """Return what upkeep the timers are for, where that is all that they are for; else ""."""
        return timers.upkeep(self)

    def timeout(self, now: float) -> None:
        """Let the timers that have run out do their work."""
        timers.expire(self, now)

    def next_event(self) -> Event | None:
        """Return what happened next; None when all is told."""
        return self.events.pop(0) if self.events else None

    # the user's calls

    def open_active(self, now: float) -> None:
        """Begin the handshake (3.10.1)."""
        handshake.open_active(self, now)

    def open_fast(self, syn: Segment, now: float) -> None:
        """Be the answer of a listener to a SYN whose cookie is right: its text is taken at once."""
        handshake.open_fast(self, syn, now)

    def open_passive(self, syn: Segment, now: float) -> None:
        """Be the answer of a listener to a SYN (3.10.7.2)."""
        handshake.open_passive(self, syn, now)

    def write(
        self,
        data: memoryview,
        now: float,
        *,
        urgent: bool = False,
        more_comes: bool = False,
        record_ends: bool = False,
    ) -> int:
        """Queue data for sending; return how much of it there was room for (3.10.2).

        Where it is urgent, so is all that was queued before it and not sent yet (3.8.5).
        `more_comes`: a short segment may wait for it, as MSG_MORE says. `record_ends`: no segment
        has the end of `data` and what is written later (MSG_EOR), where there is room for it all.
        """
        size = calls.write(self, data, now, more_comes=more_comes)
        if urgent and size:
            self.tcb.snd_up = self.send_buffer.end
        if record_ends and size == len(data):
            self.send_buffer.end_record()
        return size

    def set_no_delay(self, *, no_delay: bool) -> None:
        """Let short segments go at once (TCP_NODELAY), with what is held back now; or wait."""
        calls.set_no_delay(self, no_delay=no_delay)

    def cork(self, *, corked: bool) -> None:
        """Hold short segments back (TCP_CORK), 200 ms at most; or let go what was held."""
        calls.cork(self, corked=corked)

    def configure(self, now: float, **changes: Any) -> None:  # noqa: ANN401 - TcpConfig's fields
        """Change fields of this connection's `TcpConfig`. ConfigError for what can't be."""
        calls.configure(self, now, **changes)

    def read(self, max_bytes: int, now: float) -> bytes:
        """Return data that has arrived; empty when there is none (3.10.3)."""
        return calls.read(self, max_bytes, now)

    def close(self, now: float) -> None:
        """No more data to send: a FIN follows what is queued (3.10.4). Reading goes on."""
        calls.close(self, now)

    def set_receive_buffer(self, size_bytes: int) -> None:
        """Give it a receive buffer of that size, which grows no more (SO_RCVBUF)."""
        self.config = replace(
            self.config, receive_buffer_bytes=size_bytes, receive_buffer_max_bytes=size_bytes
        )
        self.tcb.rcv_buf_bytes = self.tcb.rcv_buf_max_bytes = size_bytes

    def release(self, now: float) -> None:
        """The user goes away: close, or reset where data would be lost (RFC 1122 4.2.2.13)."""
        calls.release(self, now)

    def abort(self, now: float, error: int | None = None) -> None:
        """End it at once: RST to the peer, everything queued is forgotten (3.10.5).

        `error`: an errno for the user, where somebody else wants it.
        """
        calls.abort(self, now, error)

    @property
    def at_eof(self) -> bool:
        """Tell whether everything the peer will ever send has been read."""
        tcb = self.tcb
        peer_done = tcb.rcv_fin_seq is not None and tcb.rcv_nxt > tcb.rcv_fin_seq
        return (
            peer_done or self.state is TcpState.CLOSED
        ) and not self.receive_buffer.readable_bytes

    # for the modules of this package

    def enter(self, state: TcpState) -> None:
        """Change the state, if the diagram of section 3.3.2 has that arrow."""
        old = self.state
        assert state in LEGAL[old], f"{old.value} -> {state.value} is not in RFC 9293's diagram"
        self.state = state
        if self.shared.watchers:
            self.events.append(TcpStateChanged(old=old.value, new=state.value))
        for tell in self.shared.entered:
            tell(self, old)

    def report_control(self, failure: ControlError) -> None:
        """Tell the owner that the congestion control is wrong: it ends the connection."""
        self.events.append(failure)

    def signal(self, signal: Signal) -> None:
        """Tell the owner, once for a row of the same."""
        if not self.events or self.events[-1] is not signal:
            self.events.append(signal)

    def finish(self, error: int | None) -> None:
        """Enter CLOSED: nothing is kept but what is there to be read."""
        if self.state is TcpState.CLOSED:
            return
        self.error = error
        self.tcb.timers[:] = [float("inf")] * len(self.tcb.timers)
        self.tcb.ack_now = self.tcb.syn_now = self.tcb.probe_now = False
        self.send_buffer.clear()
        self.recovery.clear()
        if self.released:
            self.receive_buffer.clear()  # else what came before the end may still be read
        else:
            self.receive_buffer.out_of_order.clear()  # the gap will never be filled
        self.enter(TcpState.CLOSED)
        self.signal(Signal.CLOSED)

    @property
    def failure(self) -> ControlError | None:
        """Return what was wrong with its congestion control; None: nothing was found."""
        control = live.control_of(self)
        return control.failure if isinstance(control, Guarded) else None

    def info(self) -> TcpInfo:
        """Return a snapshot of all variables."""
        return snapshot(self)

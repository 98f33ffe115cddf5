"""Connections in TIME-WAIT whose user has gone: small records in a table of their own.

They answer as RFC 9293 section 3.10.7.4 says for that state, keep resets out (RFC 1337), and give
way to new connections (RFC 6191). Their number is bounded; all of them together have one timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip, format_ip, is_loopback
from pystack.core.scheduler import Handle
from pystack.core.tcp_events import TcpStateChanged
from pystack.stack import egress
from pystack.tcp import accurate_ecn, timestamps
from pystack.tcp.seq import HALF, MASK, unwrap
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import Tcb
from pystack.wire import tcp, tcp_options
from pystack.wire.tcp_options import ALIGNED_TIMESTAMPS, TIMESTAMPS_LEAD

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.stack.tcp_table import TcpTable
    from pystack.stack.way import Way

_REUSE_AFTER_S: Final = 1.0  # the peer's timestamps must have moved on; as Linux's tcp_tw_reuse


class TimeWait:
    """What is left of a connection. Its variables have the names of the `Tcb`'s."""

    __slots__ = (
        "ace",
        "challenged_at",
        "local",
        "local_port",
        "rcv_adv",
        "rcv_nxt",
        "remote",
        "remote_port",
        "reuse_address",
        "reuse_port",
        "snd_nxt",
        "timestamps",
        "ts_offset",
        "ts_recent",
        "ts_recent_at",
        "until",
        "way",
        "wnd",
    )

    def __init__(self, socket: TcpSocket, until: float) -> None:
        connection = socket.connection
        tcb = connection.tcb
        self.way: Way = socket.way
        self.local: Ip = socket.local
        self.remote: Ip = socket.remote
        self.local_port = connection.local_port
        self.reuse_address = socket.reuse_address
        self.reuse_port = socket.reuse_port
        self.remote_port = connection.remote_port
        # What its ACKs tell of marks (RFC 9768 section 3.2.2): those that came before
        self.ace = 0 if tcb.accurate is None else accurate_ecn.told_flags(tcb.accurate)
        self.snd_nxt = tcb.snd_nxt
        self.rcv_nxt = tcb.rcv_nxt
        self.rcv_adv = tcb.rcv_adv
        self.wnd = min(tcb.rcv_wnd >> (tcb.rcv_wind_shift or 0), 0xFFFF)  # the window field
        self.timestamps = tcb.timestamps
        self.ts_offset = tcb.ts_offset
        self.ts_recent = tcb.ts_recent
        self.ts_recent_at = tcb.ts_recent_at
        self.challenged_at = tcb.challenged_at
        self.until = until


def may_follow(old: Tcb | TimeWait, syn: tcp.Segment, *, stamped: bool) -> bool:
    """Tell whether a SYN is certainly newer than a connection in TIME-WAIT (RFC 6191 section 2).

    `stamped`: the new connection would have timestamps if the SYN offers them.
    """
    newer_number = not (syn.seq - old.rcv_nxt) & HALF
    stamps = tcp_options.parse(syn.options).timestamps if stamped else None
    if not old.timestamps:
        return newer_number or stamps is not None
    if stamps is None or stamps[0] == old.ts_recent:
        return newer_number
    return not timestamps.older(stamps[0], old.ts_recent)


class TimeWaits:
    """The records of one host, the one that ends first standing first."""

    __slots__ = ("_host", "_table", "_timer", "records")

    def __init__(self, host: Host, table: TcpTable) -> None:
        self._host = host
        self._table = table
        self._timer: Handle | None = None  # None: there are no records
        self.records: dict[bytes, TimeWait] = {}

    def add(self, socket: TcpSocket, now: float) -> None:
        """Keep a record of a connection that has entered TIME-WAIT; it itself is forgotten."""
        config = self._table.config
        if len(self.records) >= self._table.limits.max_time_waits:
            self._host.counters.add("tcp_time_wait_overflow")
            return
        self._keep(socket.ends, TimeWait(socket, now + 2 * config.msl_s))

    def forget(self, ends: bytes) -> None:
        """Let a record go before its time."""
        record = self.records.pop(ends, None)
        if record is not None:
            self._table.ports.let_go(record, record.local_port)

    def clear(self) -> None:
        """Forget all, and the timer."""
        self.records.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def reusable(self, ends: bytes, now: float) -> bool:
        """Tell whether a connection from here may take the place of this one, if there is one.

        With timestamps the peer can tell new from old (RFC 6191; RFC 7323 section 5.8).
        """
        record = self.records.get(ends)
        if record is None:
            return True
        mode = self._table.limits.time_wait_reuse
        return (
            (mode == 1 or (mode == 2 and is_loopback(record.remote)))
            and record.timestamps
            and now - record.ts_recent_at > _REUSE_AFTER_S
        )

    def segment_arrived(
        self, ends: bytes, record: TimeWait, segment: tcp.Segment, now: float
    ) -> None:
        """RFC 9293 section 3.10.7.4 for TIME-WAIT: acknowledge what comes late, believe nothing."""
        flags, length = segment.flags, segment.seg_len
        if flags & tcp.RST:
            self._host.drop("tcp_rst_in_time_wait", now)  # RFC 1337 section 3, fix (F1)
            return
        if flags & tcp.SYN:
            self._host.drop("tcp_challenged_syn", now)
            self._challenge(record, now)
            return
        stamps = tcp_options.parse(segment.options).timestamps if record.timestamps else None
        if (
            stamps is not None
            and timestamps.older(stamps[0], record.ts_recent)
            and now - record.ts_recent_at <= timestamps.MAX_IDLE_S
        ):
            self._host.drop("tcp_paws", now)
        elif not length and record.rcv_nxt <= unwrap(segment.seq, record.rcv_nxt) <= record.rcv_adv:
            return  # an ACK, as there may be
        else:
            self._host.drop("tcp_after_end", now)
            if flags & tcp.FIN:
                # It came again, so our ACK was lost: the wait begins afresh.
                self.forget(ends)
                record.until = now + 2 * self._table.config.msl_s
                self._keep(ends, record)
        if length:
            self._acknowledge(record, now)
        else:
            self._challenge(record, now)

    def _keep(self, ends: bytes, record: TimeWait) -> None:
        self.records[ends] = record
        self._table.ports.hold(record, record.local_port)
        if self._timer is None:
            self._timer = self._host.scheduler.call_at(record.until, self._expire)

    def _expire(self, now: float) -> None:
        self._timer = None
        records = self.records
        while records:
            ends = next(iter(records))
            record = records[ends]
            if record.until > now:
                self._timer = self._host.scheduler.call_at(record.until, self._expire)
                return
            del records[ends]
            self._table.ports.let_go(record, record.local_port)
            self._tell_end(record, now)

    def _tell_end(self, record: TimeWait, now: float) -> None:
        if self._host.observers:
            self._host.notify(
                TcpStateChanged(
                    now,
                    self._host.name,
                    (format_ip(record.local), record.local_port),
                    (format_ip(record.remote), record.remote_port),
                    TcpState.TIME_WAIT.value,
                    TcpState.CLOSED.value,
                )
            )

    def _challenge(self, record: TimeWait, now: float) -> None:
        """Answer what can't be right, now and then (RFC 5961 section 7)."""
        if now - record.challenged_at < self._table.config.challenge_interval_s:
            self._host.drop("tcp_challenge_limited", now)
            return
        record.challenged_at = now
        shared = self._table.shared
        if not shared.challenges.take(now):
            self._host.drop("tcp_challenge_limited_host", now)
            return
        shared.counters.add("tcp_challenge_acks")
        self._acknowledge(record, now)

    def _acknowledge(self, record: TimeWait, now: float) -> None:
        options = b""
        if record.timestamps:
            tsval = int(now * timestamps.TICKS_PER_S + 0.5) + record.ts_offset & MASK
            options = ALIGNED_TIMESTAMPS.pack(TIMESTAMPS_LEAD, tsval, record.ts_recent)
        ack = tcp.Segment(
            record.local_port,
            record.remote_port,
            record.snd_nxt,
            record.rcv_nxt,
            tcp.ACK | record.ace,
            record.wnd,
            options,
        )
        egress.send_segment(self._host, record.way, ack, now)

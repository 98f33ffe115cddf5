"""The flows of one network: found when they are opened, whoever opens them, and read at the end.

What a connection counts anyway is read from it when it ends, so most measures cost nothing while
the run goes on. A connection has two ends here; an end that is outside of the network has none.
"""

from __future__ import annotations

import errno
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from pystack.core.addresses import Ip
from pystack.core.errors import ConfigError
from pystack.experiments.measures.distribution import Distribution, Weighted
from pystack.tcp.states import OVER, TcpState

if TYPE_CHECKING:
    from pystack.experiments.model import Track
    from pystack.stack.host import Host
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.stack.udp_socket import UdpSocket
    from pystack.tcp.connection import Connection

Key = tuple[Ip, int, Ip, int]  # local address and port, remote address and port
_PATTERN: Final = re.compile(r"(?:(tcp|udp|any)(?:\s+|$))?(.*?)(?:\s*>\s*(.+))?")
_CLOSING: Final = frozenset({TcpState.FIN_WAIT_1, TcpState.FIN_WAIT_2})
_HAS_FIN: Final = frozenset({TcpState.CLOSE_WAIT, TcpState.CLOSING})


class Chosen:
    """Which flows count: "left*", "left* > right*", "udp", "udp left*", "any"."""

    def __init__(self, pattern: str | None) -> None:
        """None: all of TCP. One pattern is for either end, two are for sender and receiver."""
        match = _PATTERN.fullmatch("tcp" if pattern is None else pattern.strip())
        if match is None or (match[3] and not match[2]) or (not pattern and pattern is not None):
            raise ConfigError(
                f"flows are named by their hosts, such as 'left*', 'left* > right*' or 'udp "
                f"left*', not by {pattern!r}"
            )
        protocol = match[1] or "tcp"
        self.tcp, self.udp = protocol != "udp", protocol != "tcp"
        self._one, self._other = match[2] or "*", match[3] or ""

    def __call__(self, sender: str, receiver: str) -> bool:
        """Tell whether what goes from one host to another counts."""
        if self._other:
            return fnmatchcase(sender, self._one) and fnmatchcase(receiver, self._other)
        return fnmatchcase(sender, self._one) or fnmatchcase(receiver, self._one)


class Counts(NamedTuple):
    """What one end has counted."""

    received: int = 0  # bytes for its user, in order
    acked: int = 0  # bytes that it has sent, SYN and FIN among them
    sent: int = 0  # bytes, each time
    sent_again: int = 0  # bytes
    retransmits: int = 0  # segments

    def since(self, mark: Counts) -> Counts:
        """Return what has been counted since then."""
        return Counts(*(now - then for now, then in zip(self, mark, strict=True)))


_NOTHING: Final = Counts()


@dataclass(eq=False, slots=True)
class End:
    """One end of a connection."""

    host: str
    port: int
    connection: Connection | None  # None: it has ended
    opened_at: float
    counts: Counts = _NOTHING  # up to `closed_at`
    mark: Counts = _NOTHING  # what was counted before the window
    text_before: int = 0  # bytes of it that the peer had acknowledged
    got_fin_at: float | None = None  # the peer's, and so all bytes; None: not yet
    fin_acked_at: float | None = None  # None: not yet
    closed_at: float | None = None  # nothing more is counted; None: not yet
    error: int | None = None  # errno; None: it had none
    established: bool = False
    timeouts: int = 0  # in the window
    rtts: Distribution | None = None  # None: not asked for, or there was none
    windows: Weighted | None = None
    cwnd_bytes: int = 0  # since the following
    cwnd_at: float | None = None
    rtt_s: float | None = None  # the last one
    tracks: dict[str, Track] = field(default_factory=dict)
    peer: End | None = None  # None: it is not of the network

    def now(self) -> Counts:
        """Return what is counted up to now."""
        return self.counts if self.connection is None else counts_of(self.connection)

    def text_acked(self) -> int:
        """Return how much text was acknowledged up to now: the FIN is a number, too."""
        return max(self.now().acked - (self.fin_acked_at is not None), 0)


def counts_of(connection: Connection) -> Counts:
    """Return what a connection has counted up to now."""
    return Counts(
        connection.bytes_received,
        connection.bytes_acked,
        connection.bytes_sent,
        connection.bytes_retransmitted,
        connection.retransmits,
    )


@dataclass(eq=False, slots=True)
class Way:
    """One direction of a flow: who sends, who receives. `None`: that end is not of the network."""

    sender: End | None
    receiver: End | None
    sender_name: str
    receiver_name: str
    opened_at: float

    @property
    def name(self) -> str:
        """Return "left1:49152>right1:5001"."""
        return f"{self.sender_name}>{self.receiver_name}"

    def delivered(self) -> int:
        """Return the bytes that its receiver got in all."""
        if self.receiver is not None:
            return self.receiver.now().received
        assert self.sender is not None
        return self.sender.text_acked()

    def delivered_before(self) -> int:
        """Return those that it got before the window."""
        if self.receiver is not None:
            return self.receiver.mark.received
        assert self.sender is not None
        return self.sender.text_before

    @property
    def complete_at(self) -> float | None:
        """Return when the receiver had got the FIN; None: it has not."""
        if self.receiver is not None:
            return self.receiver.got_fin_at
        return None if self.sender is None else self.sender.fin_acked_at

    @property
    def ended_at(self) -> float | None:
        """Return when it was complete, or ended otherwise; None: it goes on."""
        if self.complete_at is not None:
            return self.complete_at
        end = self.receiver or self.sender
        return None if end is None else end.closed_at


@dataclass(eq=False, slots=True)
class TcpFlow:
    """A connection."""

    opener: End
    key: Key
    names: tuple[str, str]  # of the two ends, the opener's first
    accepter: End | None = None  # None: it is not of the network, or has not heard of it

    def ways(self) -> tuple[Way, Way]:
        """Return both directions."""
        one, other = self.opener, self.accepter
        at = one.opened_at
        name, peer = self.names
        return Way(one, other, name, peer, at), Way(other, one, peer, name, at)

    def way(self) -> Way:
        """Return the direction in which it carried more; of equals, the opener's."""
        there, back = self.ways()
        return back if back.delivered() > there.delivered() else there


class Arrivals(deque[tuple[bytes, Ip, int, Ip]]):
    """What waits for the owner of a socket of UDP, counted as it comes."""

    def __init__(self, arrived: Callable[[int, Ip, int, Ip], None]) -> None:
        super().__init__()
        self._arrived = arrived

    def append(self, item: tuple[bytes, Ip, int, Ip]) -> None:
        """Count it."""
        super().append(item)
        self._arrived(len(item[0]), *item[1:])

    def extend(self, items: Iterator[tuple[bytes, Ip, int, Ip]]) -> None:  # type: ignore[override]
        """Count them."""
        for item in items:
            self.append(item)


class FlowBook:
    """All flows of a network that count."""

    def __init__(
        self,
        chosen: Chosen,
        now: Callable[[], float],
        name_of: Callable[[Ip], str],
        *,
        on_state: Callable[[End, Connection], object],
        compares: bool,
    ) -> None:
        """`on_state`: told of each end that is new, established, or ends.

        `compares`: flows are compared over the same time.
        """
        self.flows: list[TcpFlow] = []
        self.datagrams: dict[Key, UdpFlow] = {}
        self.live: dict[Connection, End] = {}
        self._chosen = chosen
        self._now = now
        self._name_of = name_of
        self._on_state = on_state
        self._compares = compares
        self._ends: list[End] = []  # of all flows, in the order in which they came
        self._open: dict[Key, TcpFlow] = {}  # by the opener's
        # What each end had received when the last flow was opened, and when the first one ended
        self.common_from: tuple[float, dict[End | UdpFlow, int]] | None = None
        self.common_until: tuple[float, dict[End | UdpFlow, int]] | None = None

    def host_added(self, host: Host) -> None:
        """Hear of all connections and sockets of a host."""
        if self._chosen.tcp:
            host.tcp.added.append(lambda socket: self._tcp_added(host.name, socket))
            host.tcp.shared.entered.append(self._entered)
        if self._chosen.udp:
            host.udp.added.append(lambda socket: self._udp_added(host.name, socket))

    def begin(self) -> None:
        """Begin the window here: what was counted is left out, and who has ended compares no more.

        The flows that go on are compared until the first of them ends.
        """
        for end in self._ends:
            end.mark, end.text_before = end.now(), end.text_acked()
        for datagrams in self.datagrams.values():
            datagrams.mark = datagrams.received
        self.common_until = None

    def competing(self, after: float, until: float) -> Iterator[Way | UdpFlow]:
        """Yield what is compared: not what ended before the window, or in it without a byte."""
        for flow in self.flows:
            way = flow.way()
            ended_at = until if way.ended_at is None else way.ended_at
            if ended_at >= until or (ended_at > after and way.delivered()):
                yield way
        yield from self.datagrams.values()

    def received(self) -> dict[End | UdpFlow, int]:
        """Return the bytes that each end has received up to now."""
        # With each flow that is opened, where they are compared: 2,000 take 4 million of these
        counts: dict[End | UdpFlow, int] = {
            end: end.counts.received if end.connection is None else end.connection.bytes_received
            for end in self._ends
        }
        for datagrams in self.datagrams.values():
            counts[datagrams] = datagrams.received
        return counts

    def _tcp_added(self, host: str, socket: TcpSocket) -> None:
        connection = socket.connection
        local, remote = socket.local, socket.remote
        if local == remote:
            return  # a host that talks to itself
        here = (local, connection.local_port, remote, connection.remote_port)
        flow = self._open.get((here[2], here[3], here[0], here[1]))
        if flow is None or flow.opener.host == host:
            peer = self._name_of(remote)
            if not (self._chosen(host, peer) or self._chosen(peer, host)):
                return
            end = End(host, connection.local_port, connection, self._now())
            names = f"{host}:{connection.local_port}", f"{peer}:{connection.remote_port}"
            flow = self._open[here] = TcpFlow(end, here, names)
            self.flows.append(flow)
            if self._compares and self.common_until is None:
                self.common_from = self._now(), self.received()
        else:
            if flow.accepter is not None and flow.accepter.established:
                return  # a second answer to the same SYN
            end = End(host, connection.local_port, connection, self._now())
            flow.accepter = end
            end.peer, flow.opener.peer = flow.opener, end
        self.live[connection] = end
        self._ends.append(end)
        self._on_state(end, connection)

    def _udp_added(self, host: str, socket: UdpSocket) -> None:
        def arrived(size: int, src: Ip, src_port: int, dst: Ip) -> None:
            key = (src, src_port, dst, socket.local_port)
            flow = self.datagrams.get(key)
            if flow is None:
                sender = self._name_of(src)
                if src == dst or not self._chosen(sender, host):
                    return
                flow = UdpFlow(f"{sender}:{src_port}", f"{host}:{key[3]}", self._now())
                self.datagrams[key] = flow
                if self._compares and self.common_until is None:
                    self.common_from = self._now(), self.received()
            flow.received += size

        socket.keep_in(Arrivals(arrived))

    def _entered(self, connection: Connection, old: TcpState) -> None:
        end = self.live.get(connection)
        if end is None:
            return
        state, now = connection.state, self._now()
        if state is TcpState.ESTABLISHED:
            end.established = True
            self._on_state(end, connection)
        elif state in _HAS_FIN or (state is TcpState.TIME_WAIT and old in _CLOSING):
            end.got_fin_at = now
            self._ended(end, now)
        if state is TcpState.FIN_WAIT_2 or (
            state in OVER
            and old in (TcpState.FIN_WAIT_1, TcpState.CLOSING, TcpState.LAST_ACK)
            and connection.error is None
        ):
            end.fin_acked_at = now
        if state in OVER:
            self._close(end, connection, now)

    def _close(self, end: End, connection: Connection, now: float) -> None:
        """Write down what the connection has counted, and let it go."""
        end.counts, end.error = counts_of(connection), connection.error
        end.closed_at, end.connection = now, None
        self._on_state(end, connection)
        del self.live[connection]
        if end.error != errno.ENETDOWN:  # else the network ends
            self._ended(end, now)

    def _ended(self, end: End, now: float) -> None:
        """Note where each flow is when the first that carried something has ended."""
        if self._compares and self.common_until is None and end.now().received:
            self.common_until = now, self.received()


@dataclass(eq=False, slots=True)
class UdpFlow:
    """Datagrams from one port to another."""

    sender_name: str
    receiver_name: str
    opened_at: float  # when the first arrived, as nobody says when they began
    received: int = 0  # bytes of its users
    mark: int = 0  # those before the window
    tracks: dict[str, Track] = field(default_factory=dict)
    closed_at: None = None  # datagrams may come at any time
    peer: None = None

    @property
    def name(self) -> str:
        """Return "left1:49152>right1:5001"."""
        return f"{self.sender_name}>{self.receiver_name}"

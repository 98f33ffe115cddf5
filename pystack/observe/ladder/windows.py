"""The congestion window of a connection and what it has under way, from events and frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pystack.core.tcp_events import TcpMeasured, TcpRepair
from pystack.observe.ladder.model import End, Window
from pystack.observe.ladder.sight import Sight
from pystack.observe.passage import ARRIVED, SEEN
from pystack.tcp.seq import unwrap
from pystack.wire import tcp

_LEAST_BYTES: Final = 3000  # that a connection has to send before its window is of interest

Ends = tuple[End, End]


@dataclass(slots=True)
class _Sender:
    """One end of a connection, as a sender."""

    node: str
    cwnd: list[tuple[float, int]] = field(default_factory=list)
    base: int | None = None  # the first number; None: not known yet
    sent: list[tuple[float, int]] = field(default_factory=list)  # instant, the next number
    acked: list[tuple[float, int]] = field(default_factory=list)
    payload_bytes: int = 0

    def number(self, seq: int, near: int) -> int:
        """Return how far a number is from the first one."""
        assert self.base is not None
        return unwrap(seq - self.base, near)


class Windows:
    """Looks on, and in the end knows the connection of the most interest."""

    def __init__(self, between: Ends | None) -> None:
        """`between`: which connection it is to be; None: the one that sends the most."""
        self._between = between
        self._senders: dict[tuple[str, Ends], _Sender] = {}

    def measured(self, event: TcpMeasured | TcpRepair) -> None:
        """Take another congestion window."""
        if isinstance(event, TcpRepair):
            cwnd = event.cwnd_bytes
        elif event.name == "cwnd_bytes":
            cwnd = int(event.value)
        else:
            return
        self._sender(event.host, (event.local, event.remote)).cwnd.append((event.at, cwnd))

    def passed(self, sight: Sight) -> None:
        """See what a segment sends, and what it acknowledges."""
        look, passage = sight.look, sight.passage
        ends = look.ends
        if ends is None or not look.is_tcp:
            return
        if sight.sender == passage.sender or passage.end == SEEN:
            sender = self._sender(sight.sender, ends)
            if sender.base is None:
                sender.base = look.seq
            near = sender.sent[-1][1] if sender.sent else 0
            size = look.payload_bytes + bool(look.flags & (tcp.SYN | tcp.FIN))
            number = sender.number(look.seq, near) + size
            if number > near or not sender.sent:
                sender.sent.append((sight.at, max(number, near)))
            sender.payload_bytes += look.payload_bytes
        if look.flags & tcp.ACK and passage.end in (ARRIVED, SEEN):
            sender_back = self._senders.get((sight.receiver, ends[::-1]))
            if sender_back is not None and sender_back.base is not None:
                near = sender_back.acked[-1][1] if sender_back.acked else 0
                number = sender_back.number(look.ack, near)
                at = sight.at if passage.arrives_at is None else passage.arrives_at
                if number > near:
                    sender_back.acked.append((at, number))

    def chosen(self) -> Window | None:
        """Return the window of the connection that sent the most; None: there was not much."""
        best: tuple[int, str, Ends] | None = None
        for (node, ends), sender in self._senders.items():
            if self._between is not None and ends not in (self._between, self._between[::-1]):
                continue
            # A router sends the same segments, and knows no window.
            weight = sender.payload_bytes * (2 if sender.cwnd else 1) + bool(sender.acked)
            if sender.payload_bytes >= _LEAST_BYTES and (best is None or weight > best[0]):
                best = (weight, node, ends)
        if best is None:
            return None
        _, node, ends = best
        sender = self._senders[node, ends]
        return Window(node, *ends, cwnd=sender.cwnd, flight=_flight(sender))

    def _sender(self, node: str, ends: Ends) -> _Sender:
        return self._senders.setdefault((node, ends), _Sender(node))


def _flight(sender: _Sender) -> list[tuple[float, int]]:
    steps = [(at, 0, number) for at, number in sender.sent]
    steps += [(at, 1, number) for at, number in sender.acked]
    steps.sort()
    flight: list[tuple[float, int]] = []
    sent = acked = 0
    for at, is_ack, number in steps:
        if is_ack:
            acked = max(acked, number)
        else:
            sent = max(sent, number)
        under_way = max(sent - acked, 0)
        if flight and flight[-1][0] == at:
            flight[-1] = (at, under_way)
        else:
            flight.append((at, under_way))
    return flight

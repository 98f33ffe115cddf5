"""One TCP connection as frames show it, with what the hosts themselves have told of it.

Fed in the order of time: what departs from its sender, what arrives at its receiver, events. It
keeps what is told afterwards, and no more of it for a long transfer than for a short one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import Final

from pystack.core.tcp_events import TcpMeasured, TcpRepair, TcpRetransmitted
from pystack.observe.explain.kept import Again, Kept, Loss, Round, Side, Turn, Window
from pystack.observe.explain.ledger import Leg
from pystack.observe.explain.reading import Ends, Read
from pystack.tcp.seq import unwrap
from pystack.wire import tcp

MOST_TURNS: Final = 60
MOST_KEPT: Final = 6  # frames of a turn
MOST_TROUBLE: Final = 400  # losses, retransmissions
MOST_ROUNDS: Final = 40
LEAST_ACK_DELAY_S: Final = 0.02  # what waits for less was not put off on purpose: Linux has 40 ms
_END: Final = itemgetter(1)  # of a segment in flight


class Conversation:
    """One connection. `sides[0]` is who opened it."""

    def __init__(self, ends: Ends, nodes: tuple[str, str], number: int) -> None:
        src, src_port, dst, dst_port = ends
        self.ends = ends
        self.number = number
        self.sides = (Side(nodes[0], src, src_port), Side(nodes[1], dst, dst_port))
        self.began_at = self.ended_at = 0.0
        self.established: Kept | None = None
        self.turns: list[Turn] = []
        self.more_turns = 0
        self.losses: list[Loss] = []
        self.agains: list[Again] = []
        self.windows: list[Window] = []
        self.keepalives: list[Kept] = []
        self.odd: dict[str, list[Kept]] = {}  # "copy", "reorder", "codel_mark" and the like
        self.repairs: list[TcpRepair] = []
        self.events: dict[tuple[str, int, int], TcpRetransmitted] = {}
        self.milestones: list[tuple[float, str, str]] = []
        self.errors: list[Kept] = []
        self._phase = ""

    @property
    def asked(self) -> bool:
        """Tell whether the program said when it sends requests."""
        return any(turn.starts_phase == "request" for turn in self.turns)

    def side_of(self, read: Read) -> int:
        """Return who sends this: 0, the client, or 1."""
        return 0 if (read.src, read.src_port) == self.ends[:2] else 1

    # what departs

    def departs(self, kept: Kept, leg: Leg) -> None:
        """A segment leaves its sender."""
        read, at = kept.read, kept.passage.entered_at
        number = self.side_of(read)
        side, other = self.sides[number], self.sides[1 - number]
        self.began_at = self.began_at or at
        self.ended_at = max(self.ended_at, at)
        side.segments += 1
        if read.flags & tcp.RST:
            side.rst = side.rst or kept
            return
        if read.flags & tcp.SYN:
            self._syn(kept, side, number, leg)
            return
        if side.origin is None:
            side.origin = read.seq  # it began before anybody looked
        if other.origin is None and read.flags & tcp.ACK:
            other.origin = read.ack
        begin = unwrap(read.seq, side.origin + side.next_new) - side.origin
        end = begin + read.size + (read.flags & tcp.FIN)
        self._note_window(kept, side, number)
        if read.flags & tcp.ACK:
            if number == 0 and self.established is None and self.sides[1].syn is not None:
                self.established = kept
            self._acknowledges(kept, number, at)
        if kept.passage.queued_s:
            self.queued(kept)
        if end > begin:
            if end > side.next_new:
                self._new(kept, number, begin, end, leg)
            else:
                if kept.was == "out of order":
                    self.noticed("late", kept)
                else:
                    self._again(kept, number, begin, end, leg)
                if kept.is_first and kept.was in ("out of order", "retransmission"):
                    self._fills(kept, number, begin, end, leg)
            if read.flags & tcp.FIN:
                side.fin = side.fin or kept
                side.fin_seq = end - 1
        elif begin < side.next_new and begin + 1 == side.next_new:
            self.keepalives.append(kept)
            if self.windows and self.windows[-1].opened_at is None:
                self.windows[-1].probes += 1
        if kept.lost:
            self._lost(kept, number, begin, end)

    def lost_on_the_way(self, kept: Kept) -> None:
        """A segment is lost on a link behind the first."""
        read = kept.read
        number = self.side_of(read)
        side = self.sides[number]
        origin = side.origin if side.origin is not None else read.seq
        if read.flags & tcp.SYN:
            self._lost(kept, number, -1, 0)
            return
        begin = unwrap(read.seq, origin + side.next_new) - origin
        self._lost(kept, number, begin, begin + read.size + (read.flags & tcp.FIN))

    def _syn(self, kept: Kept, side: Side, number: int, leg: Leg) -> None:
        read = kept.read
        at = kept.passage.entered_at
        if side.syn is None:
            side.syn, side.syn_at = kept, at
            side.origin = read.seq + 1 & 0xFFFFFFFF
            side.wnd = read.wnd
            side.flight.append((-1, 0, at, leg, kept.is_lost))
            other = self.sides[1 - number].syn
            if other is not None and kept.read.options.wscale is not None:
                for each, offer in ((side, kept), (self.sides[1 - number], other)):
                    if other.read.options.wscale is not None:
                        each.wnd_shift = min(offer.read.options.wscale or 0, 14)
        else:
            self._again(kept, number, -1, 0, leg)
        if kept.lost:
            self._lost(kept, number, -1, 0)
        if kept.read.size:
            self._new(kept, number, 0, kept.read.size, leg)  # Fast Open

    def _new(self, kept: Kept, number: int, begin: int, end: int, leg: Leg) -> None:
        side, at, read = self.sides[number], kept.passage.entered_at, kept.read
        side.flight.append((begin, end, at, leg, kept.is_lost))
        side.next_new = end
        if not read.size:
            return
        side.text_bytes += read.size
        turn = self.turns[-1] if self.turns else None
        if turn is None or turn.side != number or (self._phase and number == 0):
            turn = self._next_turn(number, begin, at)
        turn.end = max(turn.end, begin + read.size)
        turn.delivered_at = turn.acked_at = None
        turn.last_at = at
        turn.segments += 1
        turn.last = kept
        turn.put(begin, read.data)
        if len(turn.kept) < MOST_KEPT:
            turn.kept.append(kept)
        if side.round is None or side.acked > side.round.first_seq:
            side.round = Round(at, begin, cwnd_bytes=side.cwnd_bytes)
            if len(turn.rounds) < MOST_ROUNDS:
                turn.rounds.append(side.round)
        flight, wnd = end - side.acked, self.sides[1 - number].wnd
        if turn.limit is None and 0 < wnd < flight + read.size and side.cwnd_bytes > wnd:
            turn.limit = at, wnd, side.cwnd_bytes
        side.round.segments += 1
        side.round.size += read.size

    def _fills(self, kept: Kept, number: int, begin: int, end: int, leg: Leg) -> None:
        """Take a segment for the first time, behind others that have passed this place."""
        side, read = self.sides[number], kept.read
        place = next((at for at, sent in enumerate(side.flight) if sent[0] > begin), None)
        sent = (begin, end, kept.passage.entered_at, leg, kept.is_lost)
        side.flight.insert(len(side.flight) if place is None else place, sent)
        if not read.size:
            return
        side.text_bytes += read.size
        for turn in self.turns[-8:]:
            if turn.side == number and begin < turn.end:
                turn.put(begin, read.data)
                turn.segments += 1
                return

    def _next_turn(self, number: int, begin: int, at: float) -> Turn:
        turn = Turn(number, begin, begin, at, at, starts_phase=self._phase)
        self._phase = ""
        if len(self.turns) < MOST_TURNS:
            self.turns.append(turn)
        else:
            self.more_turns += 1
            self.turns[-1] = turn  # the last one stays in sight
        self.sides[number].round = None
        return turn

    def _again(self, kept: Kept, number: int, begin: int, end: int, leg: Leg) -> None:
        side = self.sides[number]
        side.again += 1
        first_at, was_lost = None, False if kept.was == "spurious" else None
        # In flight, ends only grow.
        index = bisect_right(side.flight, begin, key=_END)
        if index < len(side.flight) and side.flight[index][0] <= begin:
            _, _, first_at, sent_leg, lost = side.flight[index]
            was_lost = lost if was_lost is None else was_lost
            if leg is not sent_leg:
                leg.original = sent_leg
        if len(self.agains) >= MOST_TROUBLE:
            return
        at = kept.passage.entered_at
        self.agains.append(Again(at, number, kept, begin, end, first_at, was_lost))

    def _lost(self, kept: Kept, number: int, begin: int, end: int) -> None:
        at = kept.passage.ended_at or kept.passage.entered_at
        self.ended_at = max(self.ended_at, at)
        side = self.sides[number]
        index = bisect_left(side.flight, end, key=_END)
        if index < len(side.flight) and side.flight[index][:2] == (begin, end):
            side.flight[index] = (*side.flight[index][:4], True)
        if len(self.losses) >= MOST_TROUBLE:
            return
        self.losses.append(Loss(at, number, kept, kept.lost, begin, end))

    def _note_window(self, kept: Kept, side: Side, number: int) -> None:
        read = kept.read
        side.wnd = read.wnd << side.wnd_shift
        for turn in self.turns[-1:]:
            if turn.side != number:
                turn.least_wnd = (
                    side.wnd if turn.least_wnd is None else min(turn.least_wnd, side.wnd)
                )
        closed = self.windows[-1] if self.windows else None
        is_closed = closed is not None and closed.side == number and closed.opened_at is None
        if not side.wnd and not is_closed and len(self.windows) < MOST_TROUBLE:
            self.windows.append(Window(number, kept.passage.entered_at, kept))
        elif side.wnd and closed is not None and is_closed:
            closed.opened_at = kept.passage.entered_at

    def _acknowledges(self, kept: Kept, number: int, at: float) -> None:
        """Note how long an ACK was put off."""
        read, side = kept.read, self.sides[number]
        since, side.unacked_since = side.unacked_since, None
        if read.size or read.flags & tcp.FIN:
            return
        other = self.sides[1 - number]
        for turn in self.turns[-1:]:
            if turn.side != number and other.origin is not None:
                if unwrap(read.ack, other.origin + turn.end) - other.origin > turn.end:
                    continue  # of the FIN behind it
                turn.ack_count += 1
                if len(turn.acks) < MOST_KEPT:
                    turn.acks.append(kept)
                if since is not None and at - since >= LEAST_ACK_DELAY_S:
                    turn.ack_delay_s = max(turn.ack_delay_s, at - since)
                    if len(turn.delayed) < MOST_KEPT:
                        turn.delayed.append((at, at - since))

    # what arrives

    def arrives(self, kept: Kept, at: float, ecn: int) -> None:
        """A segment has come to its receiver, with these ECN bits."""
        read = kept.read
        self.ended_at = max(self.ended_at, at)
        number = self.side_of(read)
        side, other = self.sides[number], self.sides[1 - number]
        if read.flags & tcp.ACK and other.origin is not None:
            self._acknowledged(kept, other, read.ack, at)
        if read.flags & tcp.SYN or read.flags & tcp.RST or side.origin is None:
            return
        begin = unwrap(read.seq, side.origin + side.next_new) - side.origin
        end = begin + read.size + (read.flags & tcp.FIN)
        if end == begin:
            return
        if begin < side.next_new:
            self._take(side, begin, end)
        if read.size:
            other.unacked_since = at if other.unacked_since is None else other.unacked_since
            self._progress(number, ecn, at)
        for loss in self.losses:
            if loss.repaired_at is None and loss.side == number and end > loss.begin >= begin:
                loss.repaired_at = at

    def _take(self, side: Side, begin: int, end: int) -> None:
        if begin > side.delivered:
            if len(side.gaps) < MOST_TROUBLE:
                side.gaps.append((begin, end))
            return
        side.delivered = max(side.delivered, end)
        again = True
        while again:
            again = False
            for gap in side.gaps:
                if gap[0] <= side.delivered:
                    side.delivered = max(side.delivered, gap[1])
                    side.gaps.remove(gap)
                    again = True
                    break

    def _progress(self, number: int, ecn: int, at: float) -> None:
        side = self.sides[number]
        if not self.turns:
            return
        for turn in self.turns[-8:]:
            if turn.side != number:
                continue
            if turn.arrived_at is None and side.delivered > turn.begin:
                turn.arrived_at = at
            if side.delivered >= turn.end and side.delivered <= turn.end + 1:
                turn.delivered_at = at if turn.delivered_at is None else turn.delivered_at
            elif side.delivered < turn.end:
                turn.delivered_at = None
        turn = self.turns[-1]
        if turn.side == number and ecn == 3:
            turn.marked += 1

    def queued(self, kept: Kept) -> None:
        """A segment had to wait for a link to be free."""
        number, passage = self.side_of(kept.read), kept.passage
        waited = passage.queued_s or 0.0
        for turn in self.turns[-1:]:
            if turn.side == number and kept.read.size:
                turn.queued_sum_s += waited
                if waited > turn.queued_s:
                    turn.queued_s, turn.queued = waited, kept
                    turn.queued_at = f"{passage.sender} to {passage.receiver}"

    def _acknowledged(self, kept: Kept, side: Side, ack: int, at: float) -> None:
        assert side.origin is not None
        got = unwrap(ack, side.origin + side.acked) - side.origin
        if got <= side.acked or got > side.next_new:
            return
        side.acked = got
        del side.flight[: bisect_right(side.flight, got, key=_END)]
        if side.fin_seq is not None and got > side.fin_seq:
            side.fin_acked = side.fin_acked or kept
        for turn in self.turns[-8:]:
            if self.sides[turn.side] is side and turn.acked_at is None and got >= turn.end:
                turn.acked_at = at

    def noticed(self, what: str, kept: Kept) -> None:
        """The line did something to a segment, after which it went on."""
        found = self.odd.setdefault(what, [])
        if len(found) < MOST_TROUBLE:
            found.append(kept)

    # what the hosts tell

    def on_retransmitted(self, event: TcpRetransmitted) -> None:
        """Remember why."""
        if len(self.events) < MOST_TROUBLE:
            self.events[event.host, event.seq, round(event.at * 1e9)] = event

    def on_measured(self, event: TcpMeasured, number: int) -> None:
        """Take a measurement."""
        side = self.sides[number]
        if event.name == "cwnd_bytes":
            side.cwnd_bytes = int(event.value)
        elif event.name == "rtt_s" and len(side.rtts) < MOST_TROUBLE:
            side.rtts.append((event.at, event.value))

    def on_milestone(self, at: float, what: str, detail: str) -> None:
        """A program says where it is."""
        if len(self.milestones) < MOST_TURNS:
            self.milestones.append((at, what, detail))
        if what in ("tls_done", "request"):
            self._phase = what

    def state_at(self, number: int, at: float) -> str:
        """Return the state of a side at an instant; "": not known."""
        known = ""
        for since, state in self.sides[number].states:
            if since > at + 1e-9:
                break
            known = state
        return known

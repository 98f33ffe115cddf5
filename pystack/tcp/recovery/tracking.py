"""What was sent and not acknowledged: a log while nothing is lost, else a scoreboard."""

from pystack.tcp.rate import RateEstimator
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.scoreboard import NO_BOARD, Record, Scoreboard
from pystack.tcp.tcb import Tcb


class Tracking:
    """The part of a loss recovery that keeps the books and judges nothing."""

    __slots__ = (
        "_calm_seq",
        "_log",
        "_rtt",
        "_tcb",
        "board",
        "fack",
        "held",
        "newest_rtt_s",
        "rates",
        "repairing",
    )

    def __init__(self, tcb: Tcb, rtt: RttEstimator) -> None:
        self._tcb = tcb
        self._rtt = rtt
        self._log: list[tuple[int, float]] = []  # no deque: empty it takes 0.6 kB
        self.held: list[tuple[int, float]] | list[Record] = self._log
        self.board = NO_BOARD
        self.repairing = False  # True: the scoreboard is in use, the log is empty
        self._calm_seq = tcb.iss  # SND.NXT at the last sign of trouble
        self.rates: RateEstimator | None = None  # None: nobody asks for rates
        self.fack = tcb.iss  # up to here at most the peer has told us of data
        self.newest_rtt_s = 0.0  # RFC 8985's RACK.rtt

    def pipe_bytes(self) -> int:
        """Return RFC 6675's pipe: FlightSize, less what is here or lost, and what went twice."""
        tcb = self._tcb
        flight_size_bytes = tcb.snd_nxt - tcb.snd_una
        return flight_size_bytes - self.board.left_bytes if self.repairing else flight_size_bytes

    def measure(self, rates: RateEstimator | None) -> None:
        """Keep records all the time, and tell of each; None: only while something is repaired."""
        self.rates = rates
        if rates is None:
            return
        self._track()
        for record in self.board.records:  # in flight already, where the control was exchanged
            rates.adopt(record, self.pipe_bytes())

    def clear(self) -> None:
        """The connection is over."""
        self._log.clear()
        self.board.clear()

    def _track(self) -> None:
        """Make records of the log."""
        if self.repairing:
            return
        self.repairing = True
        if self.board is NO_BOARD:
            self.board = Scoreboard()
        self.held = self.board.records
        seq = self._tcb.snd_una
        for end, at in self._log:
            self.board.sent(seq, end, at)
            seq = end
        self._log.clear()
        if seq < self._tcb.snd_nxt:
            self.board.sent(seq, self._tcb.snd_nxt, 0.0)  # from before the handshake's end

    def _record(self, seq: int, now: float) -> None:
        record = self.board.sent(seq, self._tcb.snd_nxt, now)
        if self.rates is not None:
            self.rates.sent(record, self.pipe_bytes(), now)

    def _lose(self, record: Record, now: float) -> None:
        self.board.mark_lost(record)
        if self.rates is not None:
            self.rates.lost(record, now)

    def _calm_down(self) -> None:
        """Make a log of the records, where a window of data came through since the last trouble."""
        board = self.board
        if self.rates is None and self._tcb.snd_una >= self._calm_seq:
            self._log.extend((record.end, record.xmit_at) for record in board.records)
            board.clear()  # and kept: its serial numbers go on
            self.repairing = False
            self.held = self._log

    def _shorten_log(self, now: float) -> None:
        log, una = self._log, self._tcb.snd_una
        count = 0
        for end, _ in log:
            if end > una:
                break
            count += 1
        if count:
            self.newest_rtt_s = now - log[count - 1][1]
            del log[:count]
        if una > self.fack:
            self.fack = una

    def _tail_of(self, record: Record) -> int:
        """Return how large the last segment of a record was, its FIN included."""
        tcb = self._tcb
        fin = tcb.fin_seq is not None and record.end == tcb.fin_seq + 1
        text_bytes = record.size - fin
        return (text_bytes - 1) % tcb.snd_mss + 1 + fin if text_bytes else 1

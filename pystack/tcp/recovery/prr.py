"""Proportional Rate Reduction (RFC 9937, which obsoletes RFC 6937): the window in fast recovery.

It takes what is in flight down to ssthresh evenly over one round trip, instead of half a round
trip of silence; and where more was lost than that, it builds up to ssthresh again.
"""


class Prr:
    """What may be sent during one fast recovery: `room_bytes`, at any moment."""

    __slots__ = (
        "_smss_bytes",
        "_ssthresh_bytes",
        "prr_delivered",
        "prr_out",
        "recover_fs",
        "room_bytes",
    )

    def __init__(self, recover_fs: int, ssthresh_bytes: int, smss_bytes: int) -> None:
        """`recover_fs`: what was in flight before the ACK that started it (RecoverFS)."""
        self.recover_fs = max(recover_fs, 1)
        self._ssthresh_bytes = ssthresh_bytes
        self._smss_bytes = smss_bytes
        self.prr_delivered = 0
        self.prr_out = 0
        self.room_bytes = smss_bytes  # the fast retransmit, in any case

    def on_ack(self, delivered_bytes: int, pipe_bytes: int, *, safe: bool) -> None:
        """An ACK has been worked off; `safe`: SND.UNA moved, and no further loss was found."""
        if not delivered_bytes:
            return
        self.prr_delivered += delivered_bytes
        if pipe_bytes > self._ssthresh_bytes:
            share = -(-self.prr_delivered * self._ssthresh_bytes // self.recover_fs)
            room_bytes = share - self.prr_out
        else:
            room_bytes = max(self.prr_delivered - self.prr_out, delivered_bytes)
            if safe:
                room_bytes += self._smss_bytes
            room_bytes = min(self._ssthresh_bytes - pipe_bytes, room_bytes)
        if room_bytes <= 0:
            room_bytes = 0 if self.prr_out else self._smss_bytes
        self.room_bytes = room_bytes

    def on_sent(self, size_bytes: int) -> None:
        """Something was sent, new or again."""
        self.prr_out += size_bytes
        self.room_bytes = max(self.room_bytes - size_bytes, 0)

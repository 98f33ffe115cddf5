"""What the options of an arriving segment say, as far as the handshake agreed on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp.seq import unwrap
from pystack.wire import tcp_options
from pystack.wire.tcp_options import ALIGNED_TIMESTAMPS, TIMESTAMPS_LEAD

if TYPE_CHECKING:
    from pystack.tcp.tcb import Tcb
    from pystack.wire.tcp import Segment

_ALIGNED_BYTES: Final = ALIGNED_TIMESTAMPS.size


def take(tcb: Tcb, seg: Segment) -> None:
    """Fill in `tsval`, `tsecr` and `sack_blocks` of a segment that has options (HOT)."""
    data = seg.options
    if len(data) == _ALIGNED_BYTES:
        lead, tsval, tsecr = ALIGNED_TIMESTAMPS.unpack_from(data)
        if lead == TIMESTAMPS_LEAD:
            if tcb.timestamps:
                seg.tsval = tsval
                seg.tsecr = tsecr
            return
    options = tcp_options.parse(data)
    if tcb.timestamps and options.timestamps is not None:
        seg.tsval, seg.tsecr = options.timestamps
    if tcb.sack_permitted and options.sack_blocks:
        near = tcb.snd_una
        seg.sack_blocks = tuple(
            (unwrap(left, near), unwrap(right, near)) for left, right in options.sack_blocks
        )
